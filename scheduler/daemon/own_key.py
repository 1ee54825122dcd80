"""The guard of a daemon: the keys that the settings name, its key to itself, and the identity provider.

Stored keys are learned afterwards. The daemon's own key lies in its folder, so that a batch that runs on after a
restart still gets in.
"""

from __future__ import annotations

from pathlib import Path

from scheduler.config import Settings
from scheduler.daemon.env import Env
from scheduler.daemon.guard import Guard
from scheduler.daemon.identity_tokens import IdentityTokens
from scheduler.keys import Key, Keyring, Scope, bootstrap_key, sha256_of


def own_key(folder: Path, env: Env) -> str:
    """Made where there is none yet. Raises OSError."""
    path = folder / "own.key"
    if not path.exists() or not path.read_bytes():  # empty: a crash between the two lines below
        path.touch(mode=0o600)
        path.write_text(env.new_secret(), encoding="ascii")
    return path.read_text(encoding="ascii")


def guard_of_daemon(settings: Settings, env: Env, own: str) -> Guard:
    """`own` opens inference: our own client of the gateway needs a key too, once others do.

    Raises NoIdentityLibraryError.
    """
    to_itself = Key(
        id="own",
        tenant=None,
        scopes=(Scope.INFER,),
        key_sha256=sha256_of(own),
        created_at_s=0.0,
        created_by="daemon",
    )
    named = [bootstrap_key(digest) for digest in settings.server.keys_sha256]
    identity = IdentityTokens(env, settings.oidc) if settings.oidc.issuer else None
    return Guard(env, Keyring(named, own=to_itself), identity)
