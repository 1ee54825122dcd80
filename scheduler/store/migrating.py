"""Brings a database to the schema this program knows. Decides nothing about the tables; the migrations do."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from scheduler.store.contract import SchemaError

# The newest revision in migrations/versions. Said here too, so that a start without a migration need not load Alembic.
HEAD = "0009"

_SCRIPTS = Path(__file__).parent / "migrations"


def bring_up_to_date(connection: Connection) -> None:
    """Inside the caller's transaction. Raises SchemaError for a database that is newer than this program."""
    found = revision(connection)
    if found is not None and found > HEAD:
        raise SchemaError(found, HEAD)
    if found != HEAD:
        _upgrade(connection)


def revision(connection: Connection) -> str | None:
    """None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
