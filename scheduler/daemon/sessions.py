"""Sessions of the status page: who logged in with which key, and for how long yet. Kept in memory only.

A restart ends them all, which asks for the key once more and leaves nothing on the disk that would open anything. Knows
the digest of each token and not the token.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.keys import sha256_of

COOKIE = "slacktide_session"
# A working day: long enough for a page left open, short enough for a machine left behind.
LIFE_S = 12 * 3600.0
# Of all logins at once; the oldest makes room.
MAX_SESSIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    key_id: str
    ends_at_s: float


class Sessions:
    """Instants are of a clock that never jumps."""

    def __init__(self) -> None:
        self._by_digest: dict[str, _Session] = {}

    def begin(self, token: str, key_id: str, steady_s: float) -> None:
        """Who shows this token from now on holds that key. The token is 256 random bits that nobody has had."""
        self._by_digest = {name: one for name, one in self._by_digest.items() if steady_s < one.ends_at_s}
        while len(self._by_digest) >= MAX_SESSIONS:
            del self._by_digest[next(iter(self._by_digest))]
        self._by_digest[sha256_of(token)] = _Session(key_id=key_id, ends_at_s=steady_s + LIFE_S)

    def key_id(self, token: str, steady_s: float) -> str | None:
        """Looked up by the token's digest, so how long it takes says nothing of the token."""
        session = self._by_digest.get(sha256_of(token))
        return session.key_id if session is not None and steady_s < session.ends_at_s else None

    def end(self, token: str) -> None:
        self._by_digest.pop(sha256_of(token), None)
