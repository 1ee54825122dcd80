"""What every store promises of how well energy is known. SQLite always; PostgreSQL where one is installed or named."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import inspect

from scheduler.ledger import Subject
from scheduler.store.sql import open_store
from shaping.deployment import ErrorClass
from tests.contracts.test_store import a_use
from tests.stores import taken_back


def test_every_class_and_none_reads_back_as_it_was(url: str) -> None:
    store = open_store(url)
    uses = [replace(a_use(str(known), 1.0), error_class=known) for known in (None, *ErrorClass)]
    store.record_uses(uses)
    assert store.uses(0.0, 9.0) == uses
    store.close()


def test_uses_of_the_schema_before_stay_and_have_no_class(url: str) -> None:
    plain = a_use("kept", 1.0)
    older = open_store(url)
    older.record_uses([replace(plain, error_class=ErrorClass.DEFAULT)])
    older.close()
    with taken_back(url, "0008") as connection:
        assert "error_class" not in {one["name"] for one in inspect(connection).get_columns("energy_uses")}

    newer = open_store(url)
    newer.record_uses([replace(a_use("new", 2.0), error_class=ErrorClass.METERED)])
    assert newer.uses_of(Subject.JOB, "kept") == [plain]
    assert newer.uses_of(Subject.JOB, "new")[0].error_class is ErrorClass.METERED
    newer.close()
