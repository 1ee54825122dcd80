"""Durable writes of the queue per second: group commit by number of submitters, claims and results one by one or not.

    python -m benchmarks.store [--folder DIR] [--url URL]

Each write is acknowledged after its transaction is on the disk; the fsync of the same folder is measured beside it.
`--url` measures a server instead of SQLite; its tables are dropped first, so it must be one made for this.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from scheduler.events import Outcome
from scheduler.jobs import Job, JobKind
from scheduler.store.contract import Store
from scheduler.store.sql import SqlStore, open_store
from scheduler.store.writer import Writer
from tests.stores import emptied, sqlite_store_url

SUBMITTERS = (1, 32, 256)
BATCHES = (1, 50)
WRITES_A_RUN = 4_000
WRITES_ONE_BY_ONE = 500
FSYNCS = 50


def a_job(number: int) -> Job:
    return Job(
        id=f"job-{number:08d}",
        kind=JobKind.FINE_TUNING,
        submitted_at_s=0.0,
        earliest_start_at_s=0.0,
        deadline_at_s=86_400.0,
        duration_s=3_600.0,
        power_w=700.0,
    )


def fsync_s(folder: Path) -> float:
    """The median of an append of 4 KiB and its fsync."""
    took_s = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            file.write(b"x" * 4096)
            began_s = time.perf_counter()
            os.fsync(file.fileno())
            took_s.append(time.perf_counter() - began_s)
    return statistics.median(took_s)


async def enqueues_per_s(store: SqlStore, submitters: int) -> float:
    writer = Writer(store, on_fatal=print)
    writer.start()
    each = (WRITES_ONE_BY_ONE if submitters == 1 else WRITES_A_RUN) // submitters

    async def submit_all(submitter: int) -> None:
        for number in range(submitter * each, (submitter + 1) * each):
            await writer.write(_submission(a_job(number)), is_admission=True)

    began_s = time.perf_counter()
    await asyncio.gather(*(submit_all(submitter) for submitter in range(submitters)))
    took_s = time.perf_counter() - began_s
    await writer.close()
    return each * submitters / took_s


def _submission(job: Job) -> Callable[[Store], object]:
    return lambda store: store.submit(job, now_s=1.0, payload={"command": ["train"]})


def claims_and_results_per_s(store: SqlStore, batch: int) -> float:
    """Claim and finish, each a durable transaction of its own or with the others of its batch."""
    count = WRITES_ONE_BY_ONE if batch == 1 else WRITES_A_RUN
    with store.transaction():
        for number in range(count):
            store.submit(a_job(number), now_s=1.0)
    began_s = time.perf_counter()
    for first in range(0, count, batch):
        ids = [a_job(number).id for number in range(first, min(first + batch, count))]
        with _together(store, batch):
            claims = [store.claim(job_id, holder="d", region="DE", now_s=2.0, lease_s=45.0) for job_id in ids]
        with _together(store, batch):
            for claim in claims:
                assert claim is not None
                store.finish(claim.job_id, claim.token, outcome=Outcome.SUCCEEDED, now_s=3.0)
    return count / (time.perf_counter() - began_s)


def _together(store: SqlStore, batch: int) -> AbstractContextManager[None]:
    return store.transaction() if batch > 1 else nullcontext()


@contextmanager
def fresh(folder: Path, url: str) -> Iterator[SqlStore]:
    if url:
        emptied(url)
        store = open_store(url)
        try:
            yield store
        finally:
            store.close()
        return
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        store = open_store(sqlite_store_url(Path(inner)))
        try:
            yield store
        finally:
            store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk to be measured")
    parser.add_argument("--url", default="", help="SQLAlchemy URL of a server, instead of SQLite")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as probe:
        print(f"one fsync of 4 KiB: {fsync_s(Path(probe)) * 1e3:.2f} ms\n")
    print(f"{'durable enqueues, group commit':<34} {'per second':>10}")
    for submitters in SUBMITTERS:
        with fresh(arguments.folder, arguments.url) as store:
            print(f"  {submitters:>4} at once {'':<21} {asyncio.run(enqueues_per_s(store, submitters)):>10,.0f}")
    print(f"{'claim and result':<34} {'per second':>10}")
    for batch in BATCHES:
        with fresh(arguments.folder, arguments.url) as store:
            print(f"  in batches of {batch:<19} {claims_and_results_per_s(store, batch):>10,.0f}")


if __name__ == "__main__":
    main()
