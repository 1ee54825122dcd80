"""Keys, audit log and used quotas in the store: their rows, read and written. Decides nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from scheduler.keys import Key, Scope
from scheduler.quotas import Limit, Used, What, Window
from scheduler.store.access_contract import AuditEntry, DuplicateKeyError, UnknownKeyError
from scheduler.store.tables import AUDIT, KEYS, TENANT_QUOTAS, TENANT_USE

_KEY_COLUMNS = [KEYS.c[one.name] for one in fields(Key)]
_AMOUNTS = tuple(one.name for one in fields(Used) if one.name not in ("tenant", "month"))
_CHANGING = ("expires_at_s", "revoked_at_s", "replaced_by")


class AccessReads(ABC):
    """The questions about keys and quotas, over whatever connection the subclass lends."""

    @abstractmethod
    def _connected(self) -> AbstractContextManager[Connection]: ...

    def keys(self) -> Sequence[Key]:
        query = select(*_KEY_COLUMNS).order_by(KEYS.c.sequence)
        with self._connected() as connection:
            return [_key_of(row) for row in connection.execute(query).mappings()]

    def audit(self, *, limit: int, before: int | None = None, tenant: str | None = None) -> Sequence[AuditEntry]:
        query = select(AUDIT).order_by(AUDIT.c.sequence.desc()).limit(limit)
        if before is not None:
            query = query.where(AUDIT.c.sequence < before)
        if tenant is not None:
            query = query.where(AUDIT.c.tenant == tenant)
        with self._connected() as connection:
            return [AuditEntry(**row) for row in connection.execute(query).mappings()]

    def used(self, month: str) -> Sequence[Used]:
        query = select(TENANT_USE).where(TENANT_USE.c.month == month).order_by(TENANT_USE.c.tenant)
        with self._connected() as connection:
            return [Used(**row) for row in connection.execute(query).mappings()]

    def quotas(self) -> Mapping[str, tuple[Limit, ...]]:
        column = TENANT_QUOTAS.c
        query = select(TENANT_QUOTAS).order_by(column.tenant, column.per, column.what)
        found: dict[str, tuple[Limit, ...]] = {}
        with self._connected() as connection:
            for tenant, what, per, most_cost in connection.execute(query):
                limit = Limit(what=What(what), window=Window(per), most_cost=most_cost)
                found[tenant] = (*found.get(tenant, ()), limit)
        return found


class AccessWrites(AccessReads):
    """The changes of keys and quotas."""

    def add_key(self, key: Key) -> None:
        try:
            with self._connected() as connection:
                connection.execute(insert(KEYS).values(_row_of(key)))
        except IntegrityError:
            raise DuplicateKeyError(key.id) from None

    def write_key(self, key: Key) -> None:
        changed = {name: getattr(key, name) for name in _CHANGING}
        with self._connected() as connection:
            if connection.execute(update(KEYS).where(KEYS.c.id == key.id).values(changed)).rowcount == 0:
                raise UnknownKeyError(key.id)

    def append_audit(self, entries: Collection[AuditEntry]) -> None:
        rows = [
            {one.name: getattr(entry, one.name) for one in fields(entry) if one.name != "sequence"} for entry in entries
        ]
        if rows:
            with self._connected() as connection:
                connection.execute(insert(AUDIT), rows)

    def add_used(self, parts: Collection[Used]) -> None:
        with self._connected() as connection:
            for part in parts:
                _add_one(connection, part)

    def write_quota(self, tenant: str, limits: Collection[Limit]) -> None:
        rows = [{"tenant": tenant, "what": one.what, "per": one.window, "most_cost": one.most_cost} for one in limits]
        with self._connected() as connection:
            connection.execute(delete(TENANT_QUOTAS).where(TENANT_QUOTAS.c.tenant == tenant))
            if rows:
                connection.execute(insert(TENANT_QUOTAS), rows)


def _add_one(connection: Connection, part: Used) -> None:
    here = (TENANT_USE.c.tenant == part.tenant, TENANT_USE.c.month == part.month)
    added = {name: TENANT_USE.c[name] + getattr(part, name) for name in _AMOUNTS}
    if connection.execute(update(TENANT_USE).where(*here).values(added)).rowcount == 0:
        connection.execute(insert(TENANT_USE).values({one.name: getattr(part, one.name) for one in fields(part)}))


def _row_of(key: Key) -> dict[str, Any]:
    row = {one.name: getattr(key, one.name) for one in fields(key)}
    return {**row, "scopes": " ".join(key.scopes)}


def _key_of(row: Any) -> Key:
    return Key(**{**row, "scopes": tuple(Scope(name) for name in row["scopes"].split())})
