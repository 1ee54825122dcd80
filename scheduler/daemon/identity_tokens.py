"""Tokens of an identity provider: fetches its public keys, checks signatures, and asks identity.py about the claims.

Only asymmetric algorithms are taken, whatever a token's own header says. Keys are read again after ten minutes, or when
a token names one that is not there, but not more often than every half minute, so that strangers cannot make us call
the provider. A provider that does not answer leaves the keys that are known good for an hour.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import requests

from scheduler.daemon.env import Env
from scheduler.identity import Claims, believed
from scheduler.identity_settings import OidcSettings
from scheduler.keys import Caller, Refusal, sha256_of

log = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
FRESH_S, LAST_RESORT_S, SHORTEST_GAP_S = 600.0, 3600.0, 30.0
_MAX_BYTES = 256 * 1024
_MAX_TOKEN = 8 * 1024
# Tokens whose signature was checked: a check costs about as much as all else that the door does.
_MAX_CHECKED = 10_000


class NoIdentityLibraryError(Exception):
    """[oidc] is set, and what checks signatures is not installed."""


class IdentityTokens:
    """Instants are real seconds, except those that claims are held against."""

    def __init__(self, env: Env, settings: OidcSettings) -> None:
        """Raises NoIdentityLibraryError."""
        try:
            import jwt
        except ImportError:
            raise NoIdentityLibraryError('[oidc] needs PyJWT: pip install "slacktide[oidc]"') from None
        self._jwt: Any = jwt
        self._env, self._settings = env, settings
        self._keys: dict[str, Any] = {}
        self._read_at_s = self._tried_at_s = float("-inf")
        self._reading = asyncio.Lock()
        self._checked: dict[str, Claims] = {}

    @staticmethod
    def is_one(shown: str) -> bool:
        """Whether this looks like a token at all; a key of ours does not."""
        return shown.startswith("eyJ") and shown.count(".") == 2 and len(shown) <= _MAX_TOKEN

    @property
    def has_keys(self) -> bool:
        """Whether the provider's keys are known, and not from too long ago."""
        return self._env.monotonic_s() < self._read_at_s + LAST_RESORT_S

    async def prepare(self, token: str) -> None:
        """Have the keys at hand that this token may need."""
        if self._is_wanting(token):
            async with self._reading:
                if self._is_wanting(token):
                    await self._read()

    def believed(self, token: str) -> Caller | Refusal:
        """Whoever shows this token, by the keys at hand."""
        claims = self._claims(token)
        return Refusal.UNKNOWN if claims is None else believed(claims, self._settings, self._env.now_s())

    # -- signatures ---------------------------------------------------------------------------------------------------

    def _claims(self, token: str) -> Claims | None:
        digest = sha256_of(token)
        found = self._checked.get(digest)
        if found is None and (found := self._check(token)) is not None:
            if len(self._checked) >= _MAX_CHECKED:
                self._checked.clear()
            self._checked[digest] = found
        return found

    def _check(self, token: str) -> Claims | None:
        key = self._keys.get(self._key_id(token) or "")
        if key is None:
            return None
        # Whether it is in time, and for us, is for the clock and the rules of identity.py.
        left_out = dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss"), False)
        try:
            claims: Claims = self._jwt.decode(token, key=key, algorithms=list(ALGORITHMS), options=left_out)
        except (self._jwt.PyJWTError, ValueError, TypeError):
            return None
        return claims

    def _key_id(self, token: str) -> str | None:
        try:
            key_id = self._jwt.get_unverified_header(token).get("kid")
        except (self._jwt.PyJWTError, ValueError):
            return None
        return key_id if isinstance(key_id, str) else None

    # -- keys ---------------------------------------------------------------------------------------------------------

    def _is_wanting(self, token: str) -> bool:
        steady_s = self._env.monotonic_s()
        if steady_s < self._tried_at_s + SHORTEST_GAP_S:
            return False
        return steady_s >= self._read_at_s + FRESH_S or (self._key_id(token) or "") not in self._keys

    async def _read(self) -> None:
        self._tried_at_s = self._env.monotonic_s()
        try:
            self._keys = await self._env.in_call_thread(self._fetched)
        except (requests.RequestException, msgspec.DecodeError, self._jwt.PyJWTError, ValueError, TypeError) as error:
            log.warning("keys of the identity provider not read", extra={"action": "oidc_failed", "why": str(error)})
            return
        self._read_at_s = self._env.monotonic_s()
        self._checked.clear()
        log.info("keys of the identity provider read", extra={"action": "oidc_read", "keys": len(self._keys)})

    def _fetched(self) -> dict[str, Any]:
        timeout_s = self._settings.timeout_s
        with requests.get(self._settings.jwks_url, timeout=timeout_s, allow_redirects=False, stream=True) as response:
            if response.status_code != 200:
                raise ValueError(f"the provider answers {response.status_code}")
            body = response.raw.read(_MAX_BYTES + 1, decode_content=True)
        if len(body) > _MAX_BYTES:
            raise ValueError(f"the provider's answer is longer than {_MAX_BYTES} bytes")
        read = msgspec.json.decode(body, type=dict[str, Any])
        return {one.key_id: one for one in self._jwt.PyJWKSet.from_dict(read).keys if one.key_id}
