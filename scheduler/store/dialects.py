"""What differs between SQLite and PostgreSQL: how to connect, how to begin, which error means what.

Nothing outside this file may say a dialect's name. Knows no job.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ClauseElement, Connection, CursorResult, Dialect, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool
from sqlalchemy.sql.compiler import SQLCompiler

from scheduler.store.contract import DiskFullError, StoreBrokenError, StoreBusyError, StoreInUseError

# Another process may read, back up or check the database; none but us writes it for long.
BUSY_TIMEOUT_S = 5.0

# Primary SQLite result codes; the extended ones carry them in their low byte.
_SQLITE_FULL = {sqlite3.SQLITE_FULL}
_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SQLITE_BROKEN = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}
_POSTGRES_DISK_FULL = "53100"
_POSTGRES_BUSY = {"40001", "40P01", "55P03", "57014"}


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def sqlite_file(url: str) -> Path | None:
    """The database file behind the URL; None for a server."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def writer_engine(url: str) -> Engine:
    """One connection that writes. On SQLite it is also the only one that checkpoints."""
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, poolclass=NullPool)
    return _sqlite_engine(
        url,
        NullPool,
        # A commit is acknowledged to clients: it has to reach the disk, not the page cache.
        pragmas=("journal_mode = WAL", "synchronous = FULL"),
        # A deferred transaction that turns into a writer half-way can fail after work was done.
        begin="BEGIN IMMEDIATE",
    )


def reader_engine(url: str) -> Engine:
    """Connections that cannot write."""
    if make_url(url).get_backend_name() != "sqlite":
        engine = create_engine(url, pool_size=4, pool_pre_ping=True)
        return engine.execution_options(postgresql_readonly=True)
    # The system keeps the pages of the file as well: a cache of its own for each connection only grows with the ledger.
    return _sqlite_engine(url, QueuePool, pragmas=("query_only = ON", "cache_size = -512"), begin="BEGIN")


def _sqlite_engine(url: str, pool: type[NullPool] | type[QueuePool], pragmas: Sequence[str], begin: str) -> Engine:
    connect_args = {"check_same_thread": False, "timeout": BUSY_TIMEOUT_S}
    engine = create_engine(url, poolclass=pool, connect_args=connect_args)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late and is deferred
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


@contextmanager
def sole_writer(url: str) -> Iterator[None]:
    """Hold the SQLite file against a second daemon; a server looks after its own writers. Raises StoreInUseError."""
    path = sqlite_file(url)
    if path is None:
        yield
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreInUseError(str(path)) from None
        yield


def translated(error: DBAPIError) -> Exception:
    """The driver's error in the words of the contract; itself when it says nothing about the store's health."""
    cause = error.orig
    code = getattr(cause, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    state = getattr(cause, "sqlstate", None)
    if primary in _SQLITE_FULL or state == _POSTGRES_DISK_FULL:
        return DiskFullError(f"no room left on the disk of the database: {cause}")
    if primary in _SQLITE_BUSY or state in _POSTGRES_BUSY:
        return StoreBusyError(f"the database is busy: {cause}")
    if primary in _SQLITE_BROKEN or (code is None and isinstance(error, (OperationalError, InterfaceError))):
        return StoreBrokenError(f"the database cannot be relied on any more: {cause}")
    return error


def has_lost_transaction(connection: Connection) -> bool:
    """SQLite rolls back by itself when the disk is full; any further ROLLBACK would be an error of its own."""
    driver = connection.connection.dbapi_connection
    return isinstance(driver, sqlite3.Connection) and not driver.in_transaction


def insert_unless_there(table: Table, dialect: Dialect) -> ClauseElement:
    """INSERT that affects no row where a unique constraint is already satisfied."""
    names = [column.name for column in table.columns if column.name != "sequence"]
    if dialect.name == "sqlite":
        return sqlite.insert(table).values(dict.fromkeys(names)).on_conflict_do_nothing()
    return postgresql.insert(table).values(dict.fromkeys(names)).on_conflict_do_nothing()


class DriverStatement:
    """A Core statement compiled once and run at the driver's cost: about a quarter of a full Core execution.

    Only for statements whose columns need no conversion on the way in or out.
    """

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self._sql = str(compiled)
        self._constants: Mapping[str, Any] = compiled.params
        self._positions = compiled.positiontup

    def run(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        return connection.exec_driver_sql(self._sql, self._bound(values))

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            connection.exec_driver_sql(self._sql, [self._bound(row) for row in rows])

    def _bound(self, values: Mapping[str, Any]) -> Any:
        bound = {**self._constants, **values}
        return bound if self._positions is None else tuple(bound[name] for name in self._positions)
