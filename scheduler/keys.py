"""Keys: whom each stands for, what it opens, until when, and whether one that is shown is good.

A key reads `tide-ID-SECRET`: 48 random bits to look it up by and 256 to prove it. Only the SHA-256 of the whole text is
kept. A slow hash is for passwords that people think up; nobody guesses 256 random bits, however fast he may try.
Draws no random number, reads no clock and knows no request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

_FORM = re.compile(r"tide-([0-9a-f]{12})-[A-Za-z0-9_-]{43}")
# Somebody else's 64 digits, so that an unknown id costs the same comparison as a known one.
_NOBODYS_SHA256 = "0" * 64
MAX_NAME = 100


class Scope(StrEnum):
    """What a route asks of its caller, and what a key opens."""

    OPEN = "open"  # probes and the page's shell: asks for no key, and no key has it
    INFER = "inference"
    BATCH = "batches"
    TRAIN = "jobs"
    READ = "read"
    ADMIN = "admin"


GRANTABLE = tuple(scope for scope in Scope if scope is not Scope.OPEN)
# A route asks for one scope, or for any of several.
Asked = Scope | frozenset[Scope]


class KeyState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Refusal(StrEnum):
    """Why a key that was shown does not open."""

    UNKNOWN = "invalid_api_key"
    EXPIRED = "expired_api_key"
    REVOKED = "revoked_api_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key without its secret. `tenant` None stands for every tenant: an operator's key."""

    id: str
    tenant: str | None
    scopes: tuple[Scope, ...]
    key_sha256: str
    created_at_s: float
    created_by: str
    name: str = ""
    expires_at_s: float | None = None
    revoked_at_s: float | None = None
    replaced_by: str | None = None

    def state(self, now_s: float) -> KeyState:
        if self.revoked_at_s is not None:
            return KeyState.REVOKED
        is_over = self.expires_at_s is not None and now_s >= self.expires_at_s
        return KeyState.EXPIRED if is_over else KeyState.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, once a key or a session has been believed. `tenant` None: whichever he names."""

    key_id: str
    tenant: str | None
    scopes: frozenset[Scope]

    def may(self, asked: Asked) -> bool:
        wanted = {asked} if isinstance(asked, Scope) else asked
        return Scope.OPEN in wanted or not self.scopes.isdisjoint(wanted)

    def acts_for(self, tenant: str) -> bool:
        """Whether what belongs to that tenant is his to see and to change."""
        return self.tenant is None or self.tenant == tenant


# Without keys whoever is on this machine may do everything.
ANYONE = Caller(key_id="anyone", tenant=None, scopes=frozenset(GRANTABLE))
# Behind routes that ask for nothing.
NOBODY = Caller(key_id="nobody", tenant=None, scopes=frozenset())


def key_text(key_id: str, secret: str) -> str:
    """What its holder is shown once. Raises ValueError for parts that are no such key."""
    text = f"tide-{key_id}-{secret}"
    if not _FORM.fullmatch(text):
        raise ValueError("a key is made of 12 hexadecimal digits and 256 bits in URL-safe base64")
    return text


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def bootstrap_key(key_sha256: str) -> Key:
    """A key of `server.keys_sha256`: it opens everything, and ends when the settings no longer name it."""
    return Key(
        id=f"config-{key_sha256[:8].lower()}",
        tenant=None,
        scopes=GRANTABLE,
        key_sha256=key_sha256.lower(),
        created_at_s=0.0,
        created_by="settings",
    )


def rotated(key: Key, *, new_id: str, key_sha256: str, now_s: float, overlap_s: float, by: str) -> tuple[Key, Key]:
    """The old key, good for `overlap_s` more at the most, and the new one, which lives as long as the old one did."""
    life_s = None if key.expires_at_s is None else key.expires_at_s - key.created_at_s
    new = replace(
        key,
        id=new_id,
        key_sha256=key_sha256,
        created_at_s=now_s,
        created_by=by,
        expires_at_s=None if life_s is None else now_s + life_s,
    )
    ends_at_s = now_s + overlap_s if key.expires_at_s is None else min(key.expires_at_s, now_s + overlap_s)
    return replace(key, expires_at_s=ends_at_s, replaced_by=new_id), new


def _ended_by_either(key: Key, same: Key) -> Key:
    """Of two states of a key the later one: its end only ever comes closer."""
    ends_at_s = [one.expires_at_s for one in (key, same) if one.expires_at_s is not None]
    return replace(
        key,
        expires_at_s=min(ends_at_s, default=None),
        revoked_at_s=key.revoked_at_s if same.revoked_at_s is None else same.revoked_at_s,
        replaced_by=key.replaced_by or same.replaced_by,
    )


class Keyring:
    """All keys that are known here. `loose` ones carry no id of ours and are compared one by one."""

    def __init__(self, loose: Iterable[Key] = (), *, own: Key | None = None) -> None:
        """`own` is the daemon's key to itself: to have it does not count as having keys."""
        self._own = () if own is None else (own,)
        self._has_loose = False
        self.name(loose)
        self._by_id: dict[str, Key] = {}

    def name(self, loose: Iterable[Key]) -> None:
        """The loose keys from now on, instead of those before."""
        named = list(loose)
        self._loose: Sequence[Key] = [*named, *self._own]
        self._has_loose |= bool(named)

    @property
    def asks_for_keys(self) -> bool:
        """From the first key on, and for good: the last one to expire must not open the door."""
        return self._has_loose or bool(self._by_id)

    def learn(self, keys: Collection[Key]) -> None:
        """The stored keys as somebody has read them, perhaps a moment ago: an end that is known here stands."""
        self.put(*(_ended_by_either(key, self._by_id.get(key.id, key)) for key in keys))

    def put(self, *keys: Key) -> None:
        """These have been stored or changed."""
        self._by_id.update((key.id, key) for key in keys)

    def key(self, key_id: str) -> Key | None:
        found = (key for key in self._loose if key.id == key_id)
        return self._by_id.get(key_id) or next(found, None)

    def believed(self, shown: str, now_s: float) -> Caller | Refusal:
        """Whoever shows this text. Every comparison takes as long whether it fits or not."""
        digest = sha256_of(shown)
        form = _FORM.fullmatch(shown)
        found = self._by_id.get(form[1]) if form else None
        fits = hmac.compare_digest(digest, _NOBODYS_SHA256 if found is None else found.key_sha256)
        holder = found if fits else None
        for key in self._loose:  # all of them, so that the time taken does not say which one fitted
            if hmac.compare_digest(digest, key.key_sha256):
                holder = key
        return Refusal.UNKNOWN if holder is None else self.standing(holder, now_s)

    def standing(self, key: Key, now_s: float) -> Caller | Refusal:
        """The same for somebody who proved to hold it before."""
        match key.state(now_s):
            case KeyState.EXPIRED:
                return Refusal.EXPIRED
            case KeyState.REVOKED:
                return Refusal.REVOKED
            case KeyState.ACTIVE:
                return Caller(key_id=key.id, tenant=key.tenant, scopes=frozenset(key.scopes))
