from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from scheduler.store import migrating
from scheduler.store.contract import SchemaError
from scheduler.store.sql import open_store
from scheduler.store.tables import METADATA
from tests.stores import sqlite_store_url


def test_the_migrations_build_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    open_store(sqlite_store_url(tmp_path)).close()
    engine = create_engine(sqlite_store_url(tmp_path))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_the_newest_revision_is_the_one_named_in_the_code() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrating.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == migrating.HEAD


def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    open_store(sqlite_store_url(tmp_path)).close()
    engine = create_engine(sqlite_store_url(tmp_path))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SchemaError, match="9999"):
        open_store(sqlite_store_url(tmp_path))


@pytest.mark.slow
def test_a_start_without_a_migration_does_not_load_alembic(tmp_path: Path) -> None:
    url = sqlite_store_url(tmp_path)
    open_store(url).close()
    script = f"""
import sys
from scheduler.store.sql import open_store
open_store({url!r}).close()
print("alembic" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=180, check=True)
    assert done.stdout.strip() == "False"
