"""[oidc] of the settings: tokens of an identity provider, accepted beside keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.setting_values import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OidcSettings:
    """[oidc]: signed tokens of an identity provider, accepted beside keys; needs the extra `oidc`."""

    issuer: Annotated[
        str, Field(description="Who must have issued a token (`iss`), to the letter; empty: none are.")
    ] = ""
    audience: Annotated[str, Field(description="For whom it must be (`aud`).")] = ""
    jwks_url: Annotated[
        str, Field(pattern=r"^(https?://.+)?$", description="Where the provider shows its public keys; https.")
    ] = ""
    tenant_claim: Annotated[
        str, Field(min_length=1, description="The claim that names the tenant; a token without it is refused.")
    ] = "tenant"
    scope_claim: Annotated[
        str, Field(min_length=1, description="The claim with the scopes: a text with blanks between, or a list.")
    ] = "scope"
    timeout_s: Annotated[float, Field(gt=0, le=60, description="Time-out of reading the public keys.")] = 5.0
