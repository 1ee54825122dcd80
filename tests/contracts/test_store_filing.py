"""What every store promises of files and batches. SQLite always; PostgreSQL where a server is installed or named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.batches import Batch, BatchStatus, FilePurpose, LineCounts, LineProblem, StoredFile, moved
from scheduler.store.contract import Store
from scheduler.store.filing_contract import UnknownBatchError, UnknownFileError
from scheduler.store.sql import SqlReader, open_store
from tests.stores import a_job, sqlite_store_url, taken_back


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


def a_file(file_id: str, **changed: object) -> StoredFile:
    file = StoredFile(id=file_id, purpose=FilePurpose.BATCH, filename="a.jsonl", size_bytes=5, created_at_s=1.0)
    return replace(file, **changed)  # type: ignore[arg-type]


def a_batch(batch_id: str, **changed: object) -> Batch:
    batch = Batch(
        id=batch_id,
        endpoint="/v1/chat/completions",
        input_file_id="file-1",
        completion_window="24h",
        created_at_s=1.0,
        deadline_at_s=86_401.0,
        output_file_id="file-2",
        error_file_id="file-3",
    )
    return replace(batch, **changed)  # type: ignore[arg-type]


def test_a_file_reads_back_as_it_was(url: str, store: Store) -> None:
    file = a_file("f", size_bytes=5_000_000_000, expires_at_s=2.5, filename="é.jsonl", tenant="red")
    store.add_file(file)
    reader = SqlReader(url)
    assert reader.file("f") == store.file("f") == file
    reader.close()


def test_a_removed_file_is_unknown(store: Store) -> None:
    store.add_file(a_file("f"))
    store.remove_file("f")
    for ask in (store.file, store.remove_file):
        with pytest.raises(UnknownFileError):
            ask("f")


def test_files_are_listed_a_page_at_a_time(store: Store) -> None:
    for name in "abcd":
        store.add_file(a_file(name, purpose=FilePurpose.VISION if name == "b" else FilePurpose.BATCH))
    assert [file.id for file in store.files(limit=2)] == ["d", "c"]
    assert [file.id for file in store.files(limit=2, after="c")] == ["b", "a"]
    assert [file.id for file in store.files(limit=9, after="a", purpose="batch", newest_first=False)] == ["c", "d"]
    with pytest.raises(UnknownFileError):
        store.files(limit=2, after="nobody")
    assert store.file_ids() == frozenset("abcd")


def test_expired_files_are_those_whose_time_is_over(store: Store) -> None:
    store.add_file(a_file("kept"))
    store.add_file(a_file("later", expires_at_s=20.0))
    store.add_file(a_file("over", expires_at_s=10.0))
    assert [file.id for file in store.expired_files(10.0)] == ["over"]


def test_a_batch_reads_back_as_it_was_written_last(store: Store) -> None:
    store.add_batch(a_batch("b", metadata={"k": "v"}))
    failed = moved(
        replace(
            store.batch("b"),
            counts=LineCounts(total=3),
            problems=(LineProblem(code="x", message="y", line=3, param="z"),),
        ),
        BatchStatus.FAILED,
        7.0,
    )
    store.write_batch(failed)
    assert store.batch("b") == failed


def test_only_batches_that_have_not_ended_are_open(store: Store) -> None:
    for status in BatchStatus:
        store.add_batch(a_batch(status.value, status=status))
    assert {batch.id for batch in store.open_batches()} == {"validating", "in_progress", "finalizing", "cancelling"}


def test_batches_are_listed_newest_first_a_page_at_a_time(store: Store) -> None:
    for name in "abc":
        store.add_batch(a_batch(name))
    assert [batch.id for batch in store.batches(limit=2)] == ["c", "b"]
    assert [batch.id for batch in store.batches(limit=2, after="b")] == ["a"]
    with pytest.raises(UnknownBatchError):
        store.batches(limit=2, after="nobody")


def test_an_unknown_batch_is_said_to_be_unknown(store: Store) -> None:
    with pytest.raises(UnknownBatchError):
        store.batch("nobody")
    with pytest.raises(UnknownBatchError):
        store.write_batch(a_batch("nobody"))


def test_what_a_transaction_undoes_was_never_there(store: Store) -> None:
    store.add_batch(a_batch("b"))
    with pytest.raises(UnknownFileError), store.transaction():
        store.write_batch(moved(store.batch("b"), BatchStatus.IN_PROGRESS, 2.0))
        store.add_file(a_file("f"))
        store.remove_file("nobody")
    assert store.batch("b").status is BatchStatus.VALIDATING
    assert store.file_ids() == frozenset()


def test_a_database_of_the_release_before_gets_the_new_tables_and_keeps_its_jobs(tmp_path: Path) -> None:
    url = sqlite_store_url(tmp_path)
    older = open_store(url)
    older.submit(a_job("kept"), now_s=1.0)
    older.close()
    with taken_back(url, "0001"):
        pass

    newer = open_store(url)
    assert newer.job("kept").job == a_job("kept")
    assert newer.files(limit=5) == []
    newer.close()
