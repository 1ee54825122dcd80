from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.daemon.journal_file import JournalFile
from scheduler.events import Tick
from scheduler.journal import decode
from tests.builders import a_region


def test_decisions_are_readable_as_soon_as_they_are_appended(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path, [a_region()], "run_now")

    journal.append(5.0, [Tick(at_s=5.0)], [])

    _, _, decisions = decode(journal.path.read_bytes().splitlines(keepends=True))
    assert [decision.events for decision in decisions] == [[Tick(at_s=5.0)]]
    journal.close()


def test_a_full_disk_ends_the_journal_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = JournalFile(tmp_path, [a_region()], "run_now")
    journal._file = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115

    journal.append(5.0, [Tick(at_s=5.0)], [])
    journal.append(6.0, [Tick(at_s=6.0)], [])
    journal.close()

    assert [record.action for record in caplog.records] == ["journal_ended"]  # type: ignore[attr-defined]
