"""The writer's thread over a real SQLite file: what is acknowledged when, and who pays for a fault."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError

from scheduler.events import Outcome
from scheduler.jobs import JobState
from scheduler.store.contract import (
    DiskFullError,
    DuplicateJobError,
    Store,
    StoreBrokenError,
    StoreBusyError,
    StoreInUseError,
    Submission,
)
from scheduler.store.dialects import translated
from scheduler.store.disk import DiskGuard
from scheduler.store.sql import SqlReader, SqlStore, open_store
from scheduler.store.writer import InlineWriter, Writer
from tests.stores import a_job, sqlite_store_url

PATIENCE_S = 60.0


class WatchedStore:
    """A store whose commits are counted, and can be held or made to fail."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.commits = 0
        self.gate = threading.Event()
        self.gate.set()
        self.before_commit = threading.Event()
        self.fault: Exception | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.store.transaction():
            yield
            self.before_commit.set()
            assert self.gate.wait(PATIENCE_S)
            if self.fault is not None:
                raise self.fault
        self.commits += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Bench:
    def __init__(self, folder: Path, disk: DiskGuard | None = None, **settings: int) -> None:
        self.url = sqlite_store_url(folder)
        self.store = WatchedStore(open_store(self.url))
        self.fatal: list[StoreBrokenError] = []
        self.writer = Writer(cast(Store, self.store), on_fatal=self.fatal.append, disk=disk, **settings)
        self.writer.start()

    async def at_commit(self) -> None:
        assert await asyncio.to_thread(self.store.before_commit.wait, PATIENCE_S)

    async def submit(self, job_id: str) -> Submission:
        async with asyncio.timeout(PATIENCE_S):
            return await self.writer.write(lambda store: store.submit(a_job(job_id), now_s=1.0), is_admission=True)

    async def report(self, change: Callable[[Store], Any]) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return await self.writer.write(change)

    def committed(self) -> list[str]:
        reader = SqlReader(self.url)
        try:
            return [record.job.id for record in reader.open_jobs()]
        finally:
            reader.close()

    def limit_pages(self, spare: int) -> None:
        """The database file may grow by so many pages: SQLite then says that the disk is full."""
        connection = self.store.store._connection
        used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {used + spare}")
        connection.rollback()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.store.gate.set()
    await bench.writer.close()


async def test_a_write_answers_once_it_is_committed(bench: Bench) -> None:
    bench.store.gate.clear()
    answer = asyncio.ensure_future(bench.submit("a"))
    await bench.at_commit()
    assert (answer.done(), bench.committed()) == (False, [])
    bench.store.gate.set()
    assert (await answer).is_new
    assert bench.committed() == ["a"]


async def test_writes_that_wait_share_one_commit(bench: Bench) -> None:
    bench.store.gate.clear()
    first = asyncio.ensure_future(bench.submit("first"))
    await bench.at_commit()
    others = [asyncio.ensure_future(bench.submit(f"j{number}")) for number in range(50)]
    await asyncio.sleep(0)
    bench.store.gate.set()
    await asyncio.gather(first, *others)
    assert bench.store.commits == 2
    assert len(bench.committed()) == 51


async def test_a_write_that_fails_is_undone_alone(bench: Bench) -> None:
    def two_of_one_id(store: Store) -> None:
        store.submit(a_job("b"), now_s=1.0)
        store.submit(a_job("b"), now_s=1.0)

    outcomes = await asyncio.gather(
        bench.submit("a"), bench.report(two_of_one_id), bench.submit("c"), return_exceptions=True
    )
    assert isinstance(outcomes[1], DuplicateJobError)
    assert bench.committed() == ["a", "c"]


async def test_any_error_of_a_write_goes_to_who_awaits_it(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        await bench.report(lambda _: 1 / 0)
    assert (await bench.submit("a")).is_new
    assert bench.fatal == []


async def test_a_caller_that_went_away_does_not_disturb_the_others(bench: Bench) -> None:
    bench.store.gate.clear()
    gone = asyncio.ensure_future(bench.submit("gone"))
    await bench.at_commit()
    gone.cancel()
    bench.store.gate.set()
    assert (await bench.submit("here")).is_new
    assert bench.committed() == ["gone", "here"]


async def test_a_full_queue_pushes_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_waiting=2)
    bench.store.gate.clear()
    under_way = asyncio.ensure_future(bench.submit("a"))
    await bench.at_commit()
    waiting = [asyncio.ensure_future(bench.submit(name)) for name in ("b", "c")]
    await asyncio.sleep(0)
    with pytest.raises(StoreBusyError):
        await bench.submit("d")
    bench.store.gate.set()
    await asyncio.gather(under_way, *waiting)
    assert bench.committed() == ["a", "b", "c"]
    await bench.writer.close()


async def test_closing_writes_what_waits_and_takes_no_more(bench: Bench) -> None:
    waiting = [asyncio.ensure_future(bench.submit(f"j{number}")) for number in range(20)]
    await asyncio.sleep(0)
    await bench.writer.close()
    assert all(submission.is_new for submission in await asyncio.gather(*waiting))
    with pytest.raises(StoreBusyError):
        await bench.submit("late")


async def test_after_a_failed_fsync_nothing_is_tried_again(bench: Bench) -> None:
    bench.store.fault = StoreBrokenError("disk I/O error")
    outcomes = await asyncio.gather(bench.submit("a"), bench.submit("b"), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreBrokenError, StoreBrokenError]
    assert [str(error) for error in bench.fatal] == ["disk I/O error"]
    bench.store.fault = None
    with pytest.raises(StoreBrokenError):
        await bench.submit("c")
    assert bench.writer.is_broken
    assert bench.committed() == []


async def test_an_error_nobody_foresaw_stops_the_writer_too(bench: Bench) -> None:
    bench.store.fault = MemoryError("no memory")
    with pytest.raises(StoreBrokenError, match="MemoryError"):
        await bench.submit("a")
    assert len(bench.fatal) == 1


async def test_a_busy_database_fails_the_batch_and_no_more(bench: Bench) -> None:
    bench.store.fault = StoreBusyError("locked")
    with pytest.raises(StoreBusyError):
        await bench.submit("a")
    bench.store.fault = None
    assert (await bench.submit("a")).is_new


async def test_on_a_full_disk_the_store_refuses_and_recovers(bench: Bench) -> None:
    await bench.submit("a")
    bench.limit_pages(2)
    big = {"x": "y" * 100_000}
    with pytest.raises(DiskFullError):
        await bench.report(lambda store: store.submit(a_job("big"), now_s=1.0, payload=big))
    bench.limit_pages(1000)
    assert (await bench.report(lambda store: store.submit(a_job("big"), now_s=1.0, payload=big))).is_new
    assert bench.committed() == ["a", "big"]
    assert bench.fatal == []


async def test_on_a_full_disk_reports_use_the_ballast_and_new_work_is_refused(tmp_path: Path) -> None:
    class Ballast(DiskGuard):
        def free_ballast(self) -> bool:
            had_some = super().free_ballast()
            full.limit_pages(1000)
            return had_some

    guard = Ballast(tmp_path, min_free_bytes=0, ballast_bytes=4096)
    full = Bench(tmp_path, guard)
    await full.submit("a")
    claim = await full.report(lambda store: store.claim("a", holder="d", region="DE", now_s=2.0, lease_s=30.0))
    assert (tmp_path / "ballast").stat().st_size == 4096
    full.limit_pages(0)
    result = {"log": "y" * 100_000}
    answers = await asyncio.gather(
        full.report(lambda store: store.finish("a", claim.token, outcome=Outcome.SUCCEEDED, now_s=3.0, result=result)),
        full.writer.write(lambda store: store.submit(a_job("b"), now_s=3.0), is_admission=True),
        return_exceptions=True,
    )
    assert answers[0] is True
    assert isinstance(answers[1], DiskFullError)
    assert (await full.report(lambda store: store.job("a"))).standing.state is JobState.SUCCEEDED
    await full.writer.close()


async def test_below_the_watermark_new_work_is_refused_and_reports_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="scheduler.store.writer")

    class Filling(DiskGuard):
        has_room = True

        def admits(self) -> bool:
            return self.has_room

    guard = Filling(tmp_path)
    bench = Bench(tmp_path, guard)
    await bench.submit("a")
    guard.has_room = False
    with pytest.raises(DiskFullError):
        await bench.submit("b")
    assert not bench.writer.has_room
    assert await bench.report(lambda store: store.claim("a", holder="d", region="DE", now_s=2.0, lease_s=30.0))
    guard.has_room = True
    assert (await bench.submit("b")).is_new
    await bench.writer.close()
    full, free = (vars(record) for record in caplog.records)  # once each, however much is refused between
    assert (full["action"], full["folder"], full["needs_free_mib"]) == ("disk_nearly_full", str(tmp_path), 512)
    assert free["action"] == "disk_has_room"


def test_a_guard_admits_by_what_is_free_and_lays_its_ballast(tmp_path: Path) -> None:
    assert not DiskGuard(tmp_path, min_free_bytes=2**62, ballast_bytes=4096).admits()
    assert list(tmp_path.iterdir()) == []
    guard = DiskGuard(tmp_path, min_free_bytes=1, ballast_bytes=4096)
    assert guard.admits()
    assert [path.name for path in tmp_path.iterdir()] == ["ballast"]
    assert (guard.free_ballast(), guard.free_ballast()) == (True, False)


def test_a_second_daemon_on_the_same_file_is_refused(tmp_path: Path) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    with pytest.raises(StoreInUseError):
        open_store(sqlite_store_url(tmp_path))
    store.close()
    open_store(sqlite_store_url(tmp_path)).close()


def test_the_writer_connection_is_as_durable_as_promised(tmp_path: Path) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    pragmas = {
        name: store._connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("journal_mode", "synchronous", "busy_timeout")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000}
    store.close()


def test_a_transaction_is_a_writer_from_its_first_instant(tmp_path: Path) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    other = sqlite3.connect(tmp_path / "queue.db", timeout=0.0)
    with store.transaction(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()
    store.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    reader = SqlReader(sqlite_store_url(tmp_path))
    with pytest.raises(StoreBrokenError, match="readonly"), reader._connected() as connection:
        connection.exec_driver_sql("DELETE FROM jobs")
    reader.close()
    store.close()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, StoreBrokenError),
        (sqlite3.SQLITE_CORRUPT, StoreBrokenError),
        (sqlite3.SQLITE_FULL, DiskFullError),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusyError),
        (sqlite3.SQLITE_CONSTRAINT, OperationalError),
    ],
)
def test_what_the_driver_says_is_told_in_the_words_of_the_contract(code: int, said: type[Exception]) -> None:
    cause = sqlite3.OperationalError("as SQLite says it")
    cause.sqlite_errorcode = code
    assert type(translated(OperationalError("COMMIT", None, cause))) is said


async def test_the_inline_writer_answers_like_the_thread(tmp_path: Path) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    writer = InlineWriter(store)
    assert (await writer.write(lambda s: s.submit(a_job("a"), now_s=1.0), is_admission=True)).is_new
    with pytest.raises(DuplicateJobError):
        await writer.write(lambda s: s.submit(a_job("a"), now_s=1.0))
    store.close()
