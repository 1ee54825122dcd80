"""How runs end when something else goes wrong at the same time: a restart, an old attempt, a disk, changed settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scheduler.daemon.env import Env
from scheduler.daemon.runs import Recipe
from scheduler.events import Command, JobSubmitted, PauseRequested, ResumeRequested, StartRun
from scheduler.jobs import Interruption, Job, JobState
from scheduler.launchers.contract import Ending, Run, RunEnded, run_id_of
from scheduler.store.contract import Claim
from scheduler.store.sql import SqlStore, open_store
from tests.builders import a_job
from tests.integration.test_runs_recovery import Survivors, runs_of
from tests.stores import sqlite_store_url


class Unheard:
    """Nobody does what the engine asks for."""

    def carry_out(self, command: Command) -> None:
        """It is only asked."""


def a_running_job(store: SqlStore, **fields: Any) -> Claim:
    """A job on its first attempt since instant 100, by an earlier life."""
    with store.transaction():
        store.submit(a_job(**fields), now_s=0.0)
        claim = store.claim("job", holder="first life", region="here", now_s=100.0, lease_s=45.0)
        assert claim is not None
        store.started("job", claim.token, now_s=100.0)
    return claim


def a_second_attempt(store: SqlStore) -> None:
    """The first attempt was lost, the second is claimed."""
    first = a_running_job(store)
    with store.transaction():
        store.lose("job", first.token, now_s=170.0, reason="its run was lost")
        assert store.claim("job", holder="first life", region="here", now_s=180.0, lease_s=45.0)


def an_end(ending: Ending, *, attempt: int = 1, exit_code: int = 0) -> RunEnded:
    """The first attempt ended at 160, after a minute."""
    return RunEnded(
        run_id=run_id_of("job", attempt),
        job_id="job",
        attempt=attempt,
        token=1,
        ending=ending,
        exit_code=exit_code,
        started_at_s=100.0,
        ended_at_s=160.0,
    )


def alive(attempt: int) -> Run:
    return Run(run_id=run_id_of("job", attempt), job_id="job", attempt=attempt, token=attempt, started_at_s=181.0)


@pytest.mark.parametrize(
    ("ending", "exit_code", "state", "known_as"),
    [
        (Ending.EXITED, 0, JobState.SUCCEEDED, None),
        (Ending.EXITED, 3, JobState.FAILED, None),
        (Ending.PAUSED, 0, JobState.PAUSED, JobState.STARTING),  # resumed at once
        (Ending.LOST, 9, JobState.WAITING, JobState.STARTING),
    ],
)
async def test_an_end_while_the_daemon_was_away_is_all_that_the_engine_hears_of_whatever_the_clock_says(
    tmp_path: Path, ending: Ending, exit_code: int, state: JobState, known_as: JobState | None
) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    a_running_job(store, interruption=Interruption())
    launcher = Survivors(ended=(an_end(ending, exit_code=exit_code),))
    stopped_clock = Env(epoch_s=200.0, speed=1e-12, seed=1)
    runs, runner = runs_of(store, launcher, env=stopped_clock)

    await runs.recover(store.open_jobs())
    runner.decide_once(Unheard())

    assert store.job("job").standing.state is state
    assert runner.engine.state("job") is known_as
    assert launcher.settled == [run_id_of("job", 1)]
    (use,) = store.uses(0.0, 1e9)
    assert (use.started_at_s, use.ended_at_s) == (100.0, 160.0)
    store.close()


async def test_the_end_of_a_run_and_what_it_used_are_told_once_in_all_lives(tmp_path: Path) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    a_running_job(store)
    for _ in range(2):  # the first life dies before the launcher has forgotten the run
        runs, _ = runs_of(store, Survivors(ended=(an_end(Ending.EXITED),)))
        await runs.recover(store.open_jobs())

    (use,) = store.uses(0.0, 1e9)
    assert use.energy_kwh == pytest.approx(1.0 / 60.0)  # 1 kW for a minute
    store.close()


async def test_the_late_end_of_an_old_attempt_leaves_the_new_one_alone(tmp_path: Path) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    a_second_attempt(store)
    launcher = Survivors(running=(alive(2),), ended=(an_end(Ending.LOST),))
    runs, runner = runs_of(store, launcher)

    await runs.recover(store.open_jobs())
    runner.decide_once(runs)

    assert launcher.stopped == []
    assert launcher.settled == [run_id_of("job", 1)]
    assert runner.engine.state("job") is JobState.RUNNING
    store.close()


async def test_an_old_attempt_that_is_still_alive_beside_the_new_one_is_stopped(tmp_path: Path) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    a_second_attempt(store)
    launcher = Survivors(running=(alive(1), alive(2)))
    runs, _ = runs_of(store, launcher)

    await runs.recover(store.open_jobs())

    assert launcher.stopped == [run_id_of("job", 1)]
    store.close()


async def test_a_run_whose_region_was_taken_out_of_the_settings_still_ends(tmp_path: Path) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    with store.transaction():
        store.submit(a_job(regions=("gone",)), now_s=0.0)
        claim = store.claim("job", holder="first life", region="gone", now_s=100.0, lease_s=45.0)
        assert claim is not None
        store.started("job", claim.token, now_s=100.0)
    runs, _ = runs_of(store, Survivors(ended=(an_end(Ending.EXITED),)))

    await runs.recover(store.open_jobs())

    assert store.job("job").standing.state is JobState.SUCCEEDED
    assert list(store.uses(0.0, 1e9)) == []
    store.close()


async def test_a_recipe_that_a_full_disk_keeps_from_being_written_costs_attempts_and_not_the_job(
    tmp_path: Path,
) -> None:
    def no_room(job: Job) -> Recipe:
        raise OSError(28, "No space left on device")

    store = open_store(sqlite_store_url(tmp_path))
    with store.transaction():
        store.submit(a_job(), now_s=0.0)
    runs, runner = runs_of(store, Survivors(), no_room)
    await runs.recover(store.open_jobs())

    for _ in range(3):
        runner.decide_once(runs)
        await runs.close()

    standing = store.job("job").standing
    assert (standing.state, standing.lost_attempts) == (JobState.QUARANTINED, 3)
    assert "No space left" in standing.reason
    store.close()


@pytest.mark.slow
async def test_a_stop_that_a_full_disk_delays_is_asked_again(tmp_path: Path) -> None:
    class Reluctant(Survivors):
        async def stop(self, run_id: str) -> bool:
            if not self.settled:
                self.settled.append("asked once")
                raise OSError(28, "No space left on device")
            return await Survivors.stop(self, run_id)

    store = open_store(sqlite_store_url(tmp_path))
    launcher = Reluctant(running=(alive(1),))
    runs, _ = runs_of(store, launcher, env=Env(epoch_s=200.0, speed=1000.0, seed=1))

    await runs.recover([])

    assert launcher.stopped == [run_id_of("job", 1)]
    store.close()


async def test_a_job_put_on_hold_while_its_start_was_on_its_way_is_not_started_and_has_lost_no_attempt(
    tmp_path: Path,
) -> None:
    store = open_store(sqlite_store_url(tmp_path))
    job = a_job(submitted_at_s=200.0, earliest_start_at_s=200.0)
    store.submit(job, now_s=200.0)
    runs, runner = runs_of(store, Survivors())
    runner.post(JobSubmitted(at_s=200.0, job=job))
    (start,) = [one for one in runner.decide_once(Unheard()) if isinstance(one, StartRun)]

    store.hold("job", now_s=200.5)  # it was only planned when this was written
    runner.post(PauseRequested(at_s=200.5, job_id="job"))
    runs.carry_out(start)
    await runs.close()
    runner.decide_once(runs)

    assert (runner.engine.state("job"), runner.engine.is_on_hold("job")) == (JobState.WAITING, True)
    assert (store.job("job").standing.attempt, store.job("job").standing.lost_attempts) == (0, 0)
    runner.post(ResumeRequested(at_s=201.0, job_id="job"))
    (again,) = [one for one in runner.decide_once(Unheard()) if isinstance(one, StartRun)]
    assert again.attempt == 1
    store.close()
