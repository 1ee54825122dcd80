"""Builders for tests of the queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text

from scheduler.jobs import Job, JobKind
from scheduler.store import migrating
from scheduler.store.dialects import sqlite_url
from scheduler.store.tables import METADATA

POSTGRES_VARIABLE = "SLACKTIDE_TEST_POSTGRES"


def a_job(job_id: str, **changed: Any) -> Job:
    settings: dict[str, Any] = {
        "id": job_id,
        "kind": JobKind.COMMAND,
        "submitted_at_s": 0.0,
        "earliest_start_at_s": 0.0,
        "deadline_at_s": 86_400.0,
        "duration_s": 3_600.0,
        "power_w": 700.0,
    }
    return Job(**(settings | changed))


def sqlite_store_url(folder: Path) -> str:
    return sqlite_url(folder / "queue.db")


def emptied(url: str) -> None:
    """Drop what an earlier test left in a shared server."""
    engine = create_engine(url)
    with engine.begin() as connection:
        METADATA.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    engine.dispose()


@contextmanager
def taken_back(url: str, revision: str) -> Iterator[Connection]:
    """A closed database as an earlier schema has it; a store that opens it after that takes it up again."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrating.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        assert migrating.revision(connection) == revision
        yield connection
    engine.dispose()
