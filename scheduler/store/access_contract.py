"""What a store has to promise of keys, the audit log and what tenants have used. Knows no SQL and no secret.

A key is never removed and an entry of the log never changed: there are no words for either here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from scheduler.keys import Key
from scheduler.quotas import Limit, Used


class UnknownKeyError(Exception):
    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(f"there is no key {key_id!r}")


class DuplicateKeyError(Exception):
    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(f"there is already a key {key_id!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what, when, with which result. `status` is of HTTP, `code` that of a refusal, else empty."""

    at_s: float
    key_id: str
    tenant: str | None
    action: str
    target: str
    status: int
    code: str
    request_id: str
    sequence: int = 0  # given by the store


class AccessReads(Protocol):
    """What may be asked at any time, beside the writer."""

    def keys(self) -> Sequence[Key]:
        """Every key there ever was, in the order of creation."""

    def audit(self, *, limit: int, before: int | None = None, tenant: str | None = None) -> Sequence[AuditEntry]:
        """Newest first; the next page starts `before` the last sequence of this one."""

    def used(self, month: str) -> Sequence[Used]:
        """What each tenant has used in a month such as 2026-01."""

    def quotas(self) -> Mapping[str, tuple[Limit, ...]]:
        """The limits that were written, by tenant."""


class Access(AccessReads, Protocol):
    """The one writer's view."""

    def add_key(self, key: Key) -> None:
        """Raises DuplicateKeyError."""

    def write_key(self, key: Key) -> None:
        """Its end and its successor as they are now; nothing else of a key changes. Raises UnknownKeyError."""

    def append_audit(self, entries: Collection[AuditEntry]) -> None: ...

    def add_used(self, parts: Collection[Used]) -> None:
        """Add what was used since the last time."""

    def write_quota(self, tenant: str, limits: Collection[Limit]) -> None:
        """These in place of the tenant's limits; none takes them all away."""
