"""An hour in which the feed fails changes where the answers come from, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from intensity_feeds.feed import Rung
from intensity_feeds.synthetic import archetype
from scheduler.daemon.app import Daemon
from scheduler.quantities import parse_instant_s
from simulations.feed_server import ALWAYS, FEED_SERVER, NO_FAULTS, Faults, FeedServer, build_app
from tests.builders import DAY_S, HOUR_S
from tests.daemons import a_daemon, a_submission, posted, until, until_state
from tests.integration.gateway_stand import CHAT, FakeWorker, a_chat

pytestmark = pytest.mark.slow

NOON_AT_S = parse_instant_s("2022-06-01T12:00Z")
SPEED = 1200.0  # the hour lasts three seconds
POLLS_S = 300.0
HANGS_S = 0.3  # so long is waited for an answer where none may come in time anyway
OUTAGES = {
    "500s": Faults(server_error=ALWAYS),
    "hanging": Faults(slow=ALWAYS, delay_s=30.0),
    "garbage": Faults(html=ALWAYS),
    "nonsense numbers": Faults(absurd=ALWAYS),
}


@dataclass
class Grid:
    """The emulated GB service; its clock is the daemon's once there is one."""

    url: str
    server: FeedServer
    daemon: Daemon | None = None

    def now_s(self) -> float:
        return NOON_AT_S if self.daemon is None else self.daemon.runner.now_s()


@asynccontextmanager
async def a_grid() -> AsyncIterator[Grid]:
    series = archetype("solar", "GB", NOON_AT_S - 20 * DAY_S, 25, seed=1)
    clock: list[Grid] = []
    app = build_app({"GB": series}, now_s=lambda: clock[0].now_s())
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    clock.append(Grid(url=f"http://127.0.0.1:{runner.addresses[0][1]}", server=app[FEED_SERVER]))
    try:
        yield clock[0]
    finally:
        await runner.cleanup()


def feed_of(grid: Grid) -> dict[str, Any]:
    return {"kind": "uk_carbon", "zones": ["GB"], "base_url": grid.url, "timeout_s": HANGS_S, "poll_s": POLLS_S}


def gb_tables(grid: Grid) -> dict[str, Any]:
    return {"region": [{"name": "here", "zone": "GB", "gpus": 4}], "feed": [feed_of(grid)]}


@dataclass
class Seen:
    """What users saw of an hour, and what operators saw."""

    finished: dict[str, tuple[str, bool]] = field(default_factory=dict)  # job -> state, in time
    answers: list[int] = field(default_factory=list)
    rungs: set[Rung] = field(default_factory=set)
    failures: dict[str, float] = field(default_factory=dict)


async def an_hour(folder: Path, faults: Faults, timeout_s: float = 5.0) -> Seen:
    async with a_grid() as grid, FakeWorker().listening() as worker:
        tables = {
            "region": [{"name": "here", "zone": "GB", "gpus": 4}],
            "feed": [{**feed_of(grid), "timeout_s": timeout_s}],
            "worker": [{"url": worker.url, "models": ["llama-3.1-8b"], "region": "here"}],
        }
        async with a_daemon(folder, tables, speed=SPEED, epoch_s=NOON_AT_S) as (daemon, client):
            grid.daemon = daemon
            grid.server.set_faults(faults)
            seen = await lived_through(daemon, client)
            grid.server.set_faults(NO_FAULTS)
            await until(lambda: rung_of(daemon) is Rung.LIVE)
            return seen


async def lived_through(daemon: Daemon, client: aiohttp.ClientSession) -> Seen:
    """Jobs and requests of one hour; the jobs to their ends, which may come later."""
    seen = Seen()
    names: dict[str, str] = {}
    ends_at_s = daemon.runner.now_s() + HOUR_S
    while (now_s := daemon.runner.now_s()) < ends_at_s:
        if len(names) < 4:
            body = a_submission(duration="20m", within=f"{len(names) + 2}h", arguments={"seconds": "0.05"})
            status, job = await posted(client, "/api/v1/jobs", body)
            assert status == 201, job
            names[f"job {len(names)}"] = job["id"]
        for tier in ("auto", "flex"):
            status, _ = await posted(client, CHAT, {**a_chat(), "service_tier": tier})
            seen.answers.append(status)
        if now_s > ends_at_s - HOUR_S / 2:
            seen.rungs.add(rung_of(daemon) or Rung.YEARLY_AVERAGE)
        await asyncio.sleep(0.1)
    seen.failures = failures(daemon)
    for name, job_id in names.items():
        job = await until_state(client, job_id, "succeeded", "failed", "quarantined")
        seen.finished[name] = job["state"], job["ended_at"] <= job["deadline"]
    return seen


def rung_of(daemon: Daemon) -> Rung | None:
    answer = daemon.poller.answers.get("GB")
    return None if answer is None else answer.rung


def failures(daemon: Daemon) -> dict[str, float]:
    """Failed questions by outcome, as the metric tells."""
    return {
        sample.labels["outcome"]: sample.value
        for metric in daemon.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "slacktide_feed_outcomes_total" and sample.labels["outcome"] != "ok"
    }


async def test_an_hour_without_an_outage_is_live_throughout(tmp_path: Path) -> None:
    seen = await an_hour(tmp_path, NO_FAULTS)

    assert seen.finished == {f"job {number}": ("succeeded", True) for number in range(4)}
    assert set(seen.answers) == {200}
    assert (seen.rungs, seen.failures) == ({Rung.LIVE}, {})


@pytest.mark.parametrize("outage", OUTAGES)
async def test_an_hour_of_outage_changes_the_rung_and_a_metric_and_nothing_else(tmp_path: Path, outage: str) -> None:
    seen = await an_hour(tmp_path, OUTAGES[outage], HANGS_S)

    assert seen.finished == {f"job {number}": ("succeeded", True) for number in range(4)}
    assert set(seen.answers) == {200}
    assert seen.rungs == {Rung.CACHED}
    assert sum(seen.failures.values()) >= 3


@pytest.mark.parametrize("outage", ["500s", "hanging"])
async def test_a_daemon_that_starts_into_an_outage_runs_its_jobs_at_once_and_says_why(
    tmp_path: Path, outage: str
) -> None:
    async with a_grid() as grid:
        grid.server.set_faults(OUTAGES[outage])
        async with a_daemon(tmp_path, gb_tables(grid), speed=SPEED, epoch_s=NOON_AT_S) as (_, client):
            _, job = await posted(client, "/api/v1/jobs", a_submission())
            assert job["plan"]["cause"] == "no_forecast"
            # A second is twenty minutes here, and the cleanest hour of this grid is almost a day away.
            assert parse_instant_s(job["plan"]["start"]) - parse_instant_s(job["submitted_at"]) < HOUR_S
            await until_state(client, job["id"], "succeeded")
