"""The daemon itself: who reaches it, its keys, its database, who vouches for tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from scheduler.addresses import is_loopback
from scheduler.config import Server
from scheduler.config_checks.finding import Finding
from scheduler.identity_settings import OidcSettings

_DATABASE = re.compile(r"sqlite:///.+|postgresql(\+\w+)?://.+")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def server_findings(server: Server) -> Iterator[Finding]:
    if not server.keys_sha256 and not is_loopback(server.host):
        yield Finding(
            path=("server", "host"),
            what=f"{server.host!r} is reachable from other machines and the settings name no key",
            hint="the daemon starts when it has made keys before: else fill keys_sha256, or listen on 127.0.0.1",
            is_warning=True,
        )
    for index, key in enumerate(server.keys_sha256):
        if not _SHA256.fullmatch(key):
            yield Finding(
                path=("server", "keys_sha256", index),
                what="is no SHA-256 in hexadecimal",
                hint="64 digits: printf %s KEY | sha256sum",
            )
    if bool(server.tls_certificate) != bool(server.tls_key):
        alone, other = ("tls_certificate", "tls_key") if server.tls_certificate else ("tls_key", "tls_certificate")
        yield Finding(
            path=("server", alone), what=f"is set, but {other} is not", hint=f"set {other} as well, or neither"
        )
    if server.database_url and not _DATABASE.fullmatch(server.database_url):
        yield Finding(  # the address is not repeated: it may hold a password
            path=("server", "database_url"),
            what="is no address of SQLite or PostgreSQL",
            hint="sqlite:///FILE, postgresql+psycopg://USER@HOST/NAME, or empty for SQLite in state_dir",
        )


def oidc_findings(oidc: OidcSettings) -> Iterator[Finding]:
    """Whoever can change what lies at `jwks_url` on its way can make tokens that are believed."""
    if not oidc.issuer:
        return
    for key in ("audience", "jwks_url"):
        if not getattr(oidc, key):
            yield Finding(path=("oidc",), what=f"issuer is set, but {key} is not", hint=f"the provider names its {key}")
    address = urlsplit(oidc.jwks_url)
    if address.scheme == "http" and not is_loopback(address.hostname or ""):
        yield Finding(path=("oidc", "jwks_url"), what="is read without encryption", hint="write https://")
