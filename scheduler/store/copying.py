"""A copy of a SQLite queue as it stood at one instant, made beside the daemon that writes it. A shell."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

# A copy reads in one transaction; beside a writer under WAL it waits for nobody, and nobody for it.
_PATIENCE_S = 30.0


class UnsoundDatabaseError(Exception):
    """A file that SQLite itself finds damaged; `what` is the first thing it found."""

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        super().__init__(f"{path} is damaged: {what}")


def copy_database(source: Path, target: Path) -> None:
    """`target` is a whole database of its own, checked. Raises UnsoundDatabaseError, sqlite3.Error, OSError."""
    with (
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_S)) as read,
        closing(sqlite3.connect(target, timeout=_PATIENCE_S)) as written,
    ):
        read.backup(written)
    check_database(target)


def check_database(path: Path) -> None:
    """Raises UnsoundDatabaseError, sqlite3.Error."""
    with closing(sqlite3.connect(path, timeout=_PATIENCE_S)) as opened:
        try:
            (found,) = opened.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            raise UnsoundDatabaseError(path, str(error)) from None
    if found != "ok":
        raise UnsoundDatabaseError(path, str(found))
