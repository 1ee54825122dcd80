"""Whom a token of an identity provider stands for, once its signature has been found good.

Decides by the claims alone: issued by whom, for whom, until when, for which tenant and scopes. A token always has one
tenant; what is for operators of all of them takes a key. Knows no signature and no address.
"""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.identity_settings import OidcSettings
from scheduler.keys import GRANTABLE, Caller, Refusal

# Clocks of two machines differ by less than this, or something else is wrong.
LEEWAY_S = 60.0
_MAX_NAME = 200

Claims = Mapping[str, object]


def believed(claims: Claims, settings: OidcSettings, now_s: float) -> Caller | Refusal:
    """Whoever shows a well-signed token with these claims."""
    if claims.get("iss") != settings.issuer or not _is_for(claims.get("aud"), settings.audience):
        return Refusal.UNKNOWN
    ends_at_s, begins_at_s = _instant_s(claims.get("exp")), _instant_s(claims.get("nbf", 0))
    subject, tenant = _name(claims.get("sub")), _name(claims.get(settings.tenant_claim))
    if ends_at_s is None or begins_at_s is None or subject is None or tenant is None:
        return Refusal.UNKNOWN
    if now_s >= ends_at_s + LEEWAY_S:
        return Refusal.EXPIRED
    if now_s < begins_at_s - LEEWAY_S:
        return Refusal.UNKNOWN
    named = _scopes(claims.get(settings.scope_claim))
    scopes = frozenset(scope for scope in GRANTABLE if scope in named)
    return Caller(key_id=f"oidc:{subject}", tenant=tenant, scopes=scopes)


def _is_for(audience: object, wanted: str) -> bool:
    return audience == wanted or (isinstance(audience, list) and wanted in audience)


def _instant_s(claim: object) -> float | None:
    """JSON's true and NaN are no instants."""
    is_number = isinstance(claim, int | float) and not isinstance(claim, bool)
    return float(claim) if is_number and abs(claim) < 1e12 else None  # type: ignore[arg-type]


def _name(claim: object) -> str | None:
    is_name = isinstance(claim, str) and 0 < len(claim) <= _MAX_NAME and claim.isprintable()
    return claim if is_name else None  # type: ignore[return-value]


def _scopes(claim: object) -> frozenset[str]:
    if isinstance(claim, str):
        return frozenset(claim.split())
    return frozenset(one for one in claim if isinstance(one, str)) if isinstance(claim, list) else frozenset()
