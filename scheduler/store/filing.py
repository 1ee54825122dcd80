"""Files and batches in the store: their rows, read and written. Decides nothing; the data of files is elsewhere.

A batch is kept whole as JSON, like a job; only what queries ask for has a column of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Table, delete, insert, select, update

from scheduler.batches import FINAL, Batch, BatchStatus, FilePurpose, StoredFile
from scheduler.store.filing_contract import UnknownBatchError, UnknownFileError
from scheduler.store.tables import BATCHES, FILES

_ENCODER = msgspec.json.Encoder()
_BATCH_DECODER = msgspec.json.Decoder(Batch)
_FILE_COLUMNS = [FILES.c[one.name] for one in fields(StoredFile)]
_OPEN = sorted(set(BatchStatus) - FINAL)


class FilingReads(ABC):
    """The questions about files and batches, over whatever connection the subclass lends."""

    @abstractmethod
    def _connected(self) -> AbstractContextManager[Connection]: ...

    def file(self, file_id: str) -> StoredFile:
        with self._connected() as connection:
            return _file(connection, file_id)

    def files(
        self,
        *,
        limit: int,
        after: str | None = None,
        purpose: str | None = None,
        newest_first: bool = True,
        tenant: str | None = None,
    ) -> Sequence[StoredFile]:
        query = select(*_FILE_COLUMNS)
        if purpose is not None:
            query = query.where(FILES.c.purpose == purpose)
        if tenant is not None:
            query = query.where(FILES.c.tenant == tenant)
        with self._connected() as connection:
            page = _page(connection, FILES, query, after, limit, newest_first=newest_first)
            return [_file_of(row) for row in connection.execute(page).mappings()]

    def expired_files(self, now_s: float) -> Sequence[StoredFile]:
        query = select(*_FILE_COLUMNS).where(FILES.c.expires_at_s <= now_s).order_by(FILES.c.sequence)
        with self._connected() as connection:
            return [_file_of(row) for row in connection.execute(query).mappings()]

    def file_ids(self) -> frozenset[str]:
        with self._connected() as connection:
            return frozenset(connection.execute(select(FILES.c.id)).scalars())

    def batch(self, batch_id: str) -> Batch:
        with self._connected() as connection:
            return _batch(connection, batch_id)

    def batches(self, *, limit: int, after: str | None = None, tenant: str | None = None) -> Sequence[Batch]:
        query = select(BATCHES.c.batch)
        if tenant is not None:
            query = query.where(BATCHES.c.tenant == tenant)
        with self._connected() as connection:
            page = _page(connection, BATCHES, query, after, limit, newest_first=True)
            return [_BATCH_DECODER.decode(text) for text in connection.execute(page).scalars()]

    def open_batches(self) -> Sequence[Batch]:
        query = select(BATCHES.c.batch).where(BATCHES.c.status.in_(_OPEN)).order_by(BATCHES.c.sequence)
        with self._connected() as connection:
            return [_BATCH_DECODER.decode(text) for text in connection.execute(query).scalars()]


class FilingWrites(FilingReads):
    """The changes of files and batches."""

    def add_file(self, file: StoredFile) -> None:
        with self._connected() as connection:
            connection.execute(insert(FILES).values({one.name: getattr(file, one.name) for one in fields(StoredFile)}))

    def remove_file(self, file_id: str) -> None:
        with self._connected() as connection:
            if connection.execute(delete(FILES).where(FILES.c.id == file_id)).rowcount == 0:
                raise UnknownFileError(file_id)

    def add_batch(self, batch: Batch) -> None:
        with self._connected() as connection:
            values = {"id": batch.id, "tenant": batch.tenant, "status": batch.status, "batch": _text_of(batch)}
            connection.execute(insert(BATCHES).values(values))

    def write_batch(self, batch: Batch) -> None:
        changed = {"status": batch.status, "batch": _text_of(batch)}
        with self._connected() as connection:
            if connection.execute(update(BATCHES).where(BATCHES.c.id == batch.id).values(changed)).rowcount == 0:
                raise UnknownBatchError(batch.id)


def _file(connection: Connection, file_id: str) -> StoredFile:
    row = connection.execute(select(*_FILE_COLUMNS).where(FILES.c.id == file_id)).mappings().one_or_none()
    if row is None:
        raise UnknownFileError(file_id)
    return _file_of(row)


def _file_of(row: Any) -> StoredFile:
    return StoredFile(**{**row, "purpose": FilePurpose(row["purpose"])})


def _batch(connection: Connection, batch_id: str) -> Batch:
    text = connection.execute(select(BATCHES.c.batch).where(BATCHES.c.id == batch_id)).scalar_one_or_none()
    if text is None:
        raise UnknownBatchError(batch_id)
    return _BATCH_DECODER.decode(text)


def _page(
    connection: Connection, table: Table, query: Select[Any], after: str | None, limit: int, *, newest_first: bool
) -> Select[Any]:
    """One page of a list; nothing comes `after` an id that is not there (any more)."""
    sequence = table.c.sequence
    query = query.order_by(sequence.desc() if newest_first else sequence).limit(limit)
    if after is None:
        return query
    last = connection.execute(select(sequence).where(table.c.id == after)).scalar_one_or_none()
    if last is None:
        raise UnknownFileError(after) if table is FILES else UnknownBatchError(after)
    return query.where(sequence < last if newest_first else sequence > last)


def _text_of(batch: Batch) -> str:
    return _ENCODER.encode(batch).decode()
