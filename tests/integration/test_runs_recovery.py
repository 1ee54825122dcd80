"""What a daemon that comes back makes of runs whose start or end the last one could not tell any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from scheduler.daemon.app import Daemon
from scheduler.daemon.env import Env
from scheduler.daemon.runner import Runner
from scheduler.daemon.runs import Recipe, Recipes, Runs
from scheduler.engine import Engine
from scheduler.jobs import MAX_LOST_ATTEMPTS, MAX_UNSEEN_ATTEMPTS, Job, JobState
from scheduler.launchers.contract import Ending, Recovered, Run, RunEnded, RunSpec, run_id_of
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.quantities import format_instant, parse_instant_s
from scheduler.store.sql import SqlStore, open_store
from scheduler.store.writer import InlineWriter
from tests.builders import HOUR_S, YEAR_2022_AT_S, a_job, a_region
from tests.daemons import PATIENCE_S, SPEED, a_daemon, a_submission, posted, settings_of, until
from tests.integration.gateway_stand import CHAT, MODEL, FakeWorker, Gate, Uses, a_chat
from tests.stores import sqlite_store_url


@dataclass
class Survivors:
    """A launcher that comes back with these runs under way."""

    running: tuple[Run, ...] = ()
    ended: tuple[RunEnded, ...] = ()
    settled: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    async def recover(self) -> Recovered:
        return Recovered(running=self.running, ended=self.ended)

    async def start(self, run: RunSpec) -> Run:
        raise AssertionError("nothing is to be started")

    async def stop(self, run_id: str) -> bool:
        self.stopped.append(run_id)
        return True

    async def pause(self, run_id: str) -> bool:
        return False

    async def outcomes(self) -> AsyncIterator[RunEnded]:
        await asyncio.Event().wait()
        yield  # type: ignore[misc]

    async def settle(self, run_id: str) -> None:
        self.settled.append(run_id)

    async def close(self) -> None:
        """There is nothing to close."""


def no_recipe(job: Job) -> Recipe:
    raise AssertionError(f"{job.id} is not to be started")


def runs_of(
    store: SqlStore, launcher: Survivors, recipes: Recipes = no_recipe, env: Env | None = None
) -> tuple[Runs, Runner]:
    env = env or Env(epoch_s=200.0, seed=1)
    runner = Runner(env, Engine(regions=(a_region(),), planner=RunNowPlanner()))
    runs = Runs(
        env=env,
        runner=runner,
        writer=InlineWriter(store),
        launcher=launcher,
        recipes=recipes,
        on_use=Uses().record,
        holder="second life",
        lease_s=45.0,
    )
    return runs, runner


async def test_a_run_that_was_started_but_not_reported_is_running_after_the_restart(tmp_path: Path) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    with store.transaction():
        store.submit(a_job(), now_s=0.0)
        claim = store.claim("job", holder="first life", region="here", now_s=100.0, lease_s=45.0)
    assert claim is not None
    alive = Run(run_id=run_id_of("job", 1), job_id="job", attempt=1, token=claim.token, started_at_s=101.0)
    runs, runner = runs_of(store, Survivors(running=(alive,)))

    await runs.recover(store.open_jobs())
    runner.decide_once(runs)

    standing = store.job("job").standing
    assert (standing.state, standing.started_at_s) == (JobState.RUNNING, 101.0)
    assert runner.engine.state("job") is JobState.RUNNING
    store.close()


def never_started(attempt: int) -> RunEnded:
    """What the launcher finds of a run that it was handed and that nobody started."""
    return RunEnded(
        run_id=run_id_of("job", attempt),
        job_id="job",
        attempt=attempt,
        token=attempt,
        ending=Ending.LOST,
        exit_code=None,
        started_at_s=None,
        ended_at_s=None,
        problem="it was handed over but never started",
    )


@pytest.mark.parametrize("is_handed_over", [False, True])
async def test_a_daemon_that_dies_between_claim_and_start_does_not_count_against_the_job(
    tmp_path: Path, is_handed_over: bool
) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    store.submit(a_job(), now_s=0.0)

    async def dies() -> None:
        claim = store.claim("job", holder="first life", region="here", now_s=100.0, lease_s=45.0)
        assert claim is not None
        launcher = Survivors(ended=(never_started(claim.attempt),) if is_handed_over else ())
        runs, _ = runs_of(store, launcher)
        await runs.recover(store.open_jobs())
        assert launcher.settled == [one.run_id for one in launcher.ended]

    for _ in range(MAX_UNSEEN_ATTEMPTS - 1):
        await dies()
    assert (store.job("job").standing.state, store.job("job").standing.lost_attempts) == (JobState.WAITING, 0)

    for _ in range(MAX_LOST_ATTEMPTS):  # again and again: perhaps it is the job after all
        await dies()
    assert store.job("job").standing.state is JobState.QUARANTINED
    store.close()


@pytest.mark.slow
async def test_a_daemon_that_stops_leaves_no_command_half_carried_out(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, {"planning": {"policy": "run_now"}}) as (daemon, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission())
        # On a busy machine its start may have been carried out by the time of the answer.
        while daemon.runner.engine.state(job["id"]) is JobState.WAITING:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("run ")] == []


@pytest.mark.slow
async def test_no_run_is_started_while_a_stop_waits_for_requests(tmp_path: Path) -> None:
    gate = Gate()
    async with FakeWorker(gate).listening() as worker:
        workers = {"worker": [{"url": worker.url, "models": [MODEL], "region": "here"}]}
        tables = {**workers, "server": {"port": 0, "state_dir": str(tmp_path), "drain_s": 3600.0 * PATIENCE_S}}
        daemon = Daemon(settings_of(tmp_path, tables), Env(epoch_s=YEAR_2022_AT_S, speed=SPEED, seed=1), {})
        await daemon.start()
        async with aiohttp.ClientSession(base_url=daemon.listener.base_url) as client:
            chat = asyncio.create_task(posted(client, CHAT, a_chat()))
            await gate.entered.wait()
            soon = format_instant(daemon.runner.now_s() + 4 * HOUR_S)
            _, job = await posted(client, "/api/v1/jobs", a_submission(earliest_start=soon, within="305m"))

            stopping = asyncio.create_task(daemon.stop())
            deadline_s = parse_instant_s(job["deadline"])
            await until(lambda: daemon.runner.now_s() > deadline_s)
            gate.opened.set()
            assert (await chat)[0] == 200
            await stopping

    store = open_store(sqlite_store_url(tmp_path))
    assert store.job(job["id"]).standing.state is JobState.WAITING
    store.close()
