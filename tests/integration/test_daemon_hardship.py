"""What a daemon must shrug off: a busy database, feeds that hang, clients that leave at the wrong moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from scheduler.daemon.database_polling import count_jobs
from scheduler.jobs import JobState
from scheduler.store.contract import Store, StoreBusyError
from scheduler.store.writer import Writing
from tests.daemons import a_daemon, a_submission, got, posted, until, until_state

pytestmark = pytest.mark.slow
T = TypeVar("T")


async def test_a_busy_database_delays_the_count_of_jobs_and_ends_nothing(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (daemon, client):
        asked: list[str] = []

        def busy(tenant: str | None = None) -> Mapping[JobState, int]:
            asked.append("count")
            raise StoreBusyError("the database is busy")

        daemon.reads.count_by_state = busy  # type: ignore[method-assign]
        counting = asyncio.create_task(count_jobs(daemon.env, daemon.reads, daemon.metrics))
        await until(lambda: len(asked) > 0)
        await got(client, "/healthz")

        assert not counting.done()
        counting.cancel()


class Slow:
    """A writer whose answers come only when they are let through; what it wrote is durable before."""

    def __init__(self, writer: Writing) -> None:
        self._writer = writer
        self.committed, self.let_through = asyncio.Event(), asyncio.Event()

    async def write(self, change: Callable[[Store], T], *, is_admission: bool = False) -> T:
        answer = await self._writer.write(change, is_admission=is_admission)
        self.committed.set()
        await self.let_through.wait()
        return answer


async def test_a_job_whose_client_left_before_the_answer_is_run_all_the_same(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (daemon, client):
        slow = Slow(daemon.writer)
        daemon.desk.writer = slow
        body = a_submission(within="2h")
        leaving = asyncio.create_task(posted(client, "/api/v1/jobs", body, **{"Idempotency-Key": "once"}))
        await slow.committed.wait()
        leaving.cancel()
        await asyncio.wait((leaving,))
        await asyncio.sleep(0.2)  # the server has to notice that nobody is there any more
        slow.let_through.set()

        again = await posted(client, "/api/v1/jobs", body, **{"Idempotency-Key": "once"})

        await until_state(client, again[1]["id"], "succeeded")


async def test_a_cancellation_whose_client_left_before_the_answer_stops_the_run(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (daemon, client):
        body = a_submission(arguments={"seconds": "60"}, within="90m")
        _, job = await posted(client, "/api/v1/jobs", body)
        await until_state(client, job["id"], "running")
        slow = Slow(daemon.writer)
        daemon.desk.writer = slow
        leaving = asyncio.create_task(posted(client, f"/api/v1/jobs/{job['id']}/cancel", {}))
        await slow.committed.wait()
        leaving.cancel()
        await asyncio.wait((leaving,))
        await asyncio.sleep(0.2)
        slow.let_through.set()

        await until(lambda: daemon.runner.engine.free_gpus() == {"here": 2})


async def test_feeds_that_hang_keep_no_job_and_no_question_waiting(tmp_path: Path) -> None:
    zones = [f"Z{number}" for number in range(40)]  # more than the machine has threads for
    tables: dict[str, Any] = {
        "region": [{"name": zone.lower(), "zone": zone, "gpus": 1, "pue": 1.0} for zone in zones],
        "feed": [{"kind": "synthetic", "zones": zones, "archetype": "solar", "poll_s": 600}],
    }
    over = threading.Event()
    async with a_daemon(tmp_path, tables) as (daemon, client):
        answer = daemon.poller.source.answer

        def hang(*arguments: Any) -> Any:
            over.wait(60)
            return answer(*arguments)

        daemon.poller.source.answer = hang  # type: ignore[assignment,method-assign]
        try:
            polling = asyncio.create_task(daemon.poller.poll())
            await asyncio.sleep(0.1)
            async with asyncio.timeout(50):  # the feeds hang for a minute
                _, job = await posted(client, "/api/v1/jobs", a_submission(within="2h"))
                await until_state(client, job["id"], "succeeded")
        finally:
            over.set()
            await polling


async def test_a_grid_of_which_nothing_is_known_is_no_reason_to_be_unready_and_is_remarked(tmp_path: Path) -> None:
    tables = {"region": [{"name": "here", "zone": "NOWHERE", "gpus": 2}], "feed": []}
    async with a_daemon(tmp_path, tables) as (_, client):
        status, answer = await got(client, "/readyz")

        assert (status, answer["status"]) == (200, "ready")
        assert answer["remarks"] == ["nothing is known of the grid of NOWHERE: work there runs as early as it can"]
        _, job = await posted(client, "/api/v1/jobs", a_submission())
        assert job["plan"]["cause"] == "no_forecast"
        await until_state(client, job["id"], "succeeded")


@pytest.mark.parametrize(
    ("asked", "path"), [("job", "/api/v1/jobs/any"), ("jobs", "/api/v1/jobs"), ("uses_page", "/api/v1/savings")]
)
async def test_a_question_to_a_busy_database_is_to_be_asked_again(tmp_path: Path, asked: str, path: str) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise StoreBusyError("the database is busy")

    async with a_daemon(tmp_path) as (daemon, client):
        setattr(daemon.reads, asked, busy)

        status, answer = await got(client, path)

        assert (status, answer["error"]["code"]) == (503, "store_busy")
