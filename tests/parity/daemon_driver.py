"""The daemon's own runner and journal on virtual time, with hands that run jobs as long as they truly take."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from scheduler.daemon import runner as runner_module
from scheduler.daemon.env import Env
from scheduler.daemon.journal_file import JournalFile
from scheduler.daemon.runner import Runner
from scheduler.engine import Engine
from scheduler.events import (
    Command,
    Event,
    JobSubmitted,
    Outcome,
    PauseRun,
    RunFinished,
    RunPaused,
    RunStarted,
    StartRun,
    Tick,
)
from scheduler.jobs import Job
from scheduler.journal import Decision, decode
from scheduler.planning.gpu_counts import speed_at
from tests.virtual_time import run_virtually


class Hands:
    """Carries out on the event loop's timers, and counts what is still to come."""

    def __init__(self, runner: Runner, true_duration_s: dict[str, float], jobs: dict[str, Job]) -> None:
        self._runner, self._truth, self._jobs = runner, true_duration_s, jobs
        self._loop = asyncio.get_running_loop()
        self._finishes: dict[str, asyncio.TimerHandle] = {}
        self._progress: dict[str, tuple[float, float, float]] = {}  # start of progress, done before, speed
        self.pending = 0
        self.latest_at_s = 0.0

    def later(self, at_s: float, happen: Callable[[], None]) -> asyncio.TimerHandle:
        self.pending += 1

        def now() -> None:
            self.pending -= 1
            self.latest_at_s = self._loop.time()
            happen()

        return self._loop.call_at(at_s, now)

    def carry_out(self, command: Command) -> None:
        match command:
            case StartRun():
                self._start(command)
            case PauseRun():
                self._pause(command)

    def _start(self, command: StartRun) -> None:
        job, true_s = self._jobs[command.job_id], self._truth[command.job_id]
        done_s = command.done_s * true_s / job.duration_s
        restore_s = job.interruption.restore_s if job.interruption and done_s > 0 else 0.0
        speed = speed_at(job, command.gpus)
        since_s = command.at_s + restore_s
        ends_at_s = since_s + (true_s - done_s) / speed
        self._progress[job.id] = (since_s, done_s, speed)
        self._runner.post(RunStarted(at_s=command.at_s, job_id=job.id, attempt=command.attempt))
        finished = RunFinished(at_s=ends_at_s, job_id=job.id, attempt=command.attempt, outcome=Outcome.SUCCEEDED)
        self._finishes[job.id] = self.later(ends_at_s, lambda: self._runner.post(finished))

    def _pause(self, command: PauseRun) -> None:
        job, true_s = self._jobs[command.job_id], self._truth[command.job_id]
        self._finishes.pop(job.id).cancel()
        self.pending -= 1
        since_s, before_s, speed = self._progress[job.id]
        assert job.interruption is not None
        paused = RunPaused(
            at_s=command.at_s + job.interruption.checkpoint_s,
            job_id=job.id,
            attempt=command.attempt,
            done_s=(before_s + max(0.0, command.at_s - since_s) * speed) / true_s * job.duration_s,
        )
        self.later(paused.at_s, lambda: self._runner.post(paused))


def driven_by_daemon(
    engine: Engine,
    jobs: Sequence[Job],
    true_duration_s: dict[str, float],
    renewed: Callable[[float], list[Event]],
    replan_s: float,
) -> list[Decision]:
    """Every decision of the daemon's runner, read back from its journal."""
    with tempfile.TemporaryDirectory() as folder:
        journal = JournalFile(Path(folder), list(engine.regions), "carbon_aware")
        longest_s, runner_module.LONGEST_SLEEP_S = runner_module.LONGEST_SLEEP_S, replan_s
        try:
            run_virtually(_drive(engine, jobs, true_duration_s, renewed, replan_s, journal))
        finally:
            runner_module.LONGEST_SLEEP_S = longest_s
        journal.close()
        return list(decode(journal.path.read_bytes().splitlines(keepends=True))[2])


async def _drive(
    engine: Engine,
    jobs: Sequence[Job],
    true_duration_s: dict[str, float],
    renewed: Callable[[float], list[Event]],
    replan_s: float,
    journal: JournalFile,
) -> None:
    env = Env(epoch_s=0.0)
    runner = Runner(env, engine, journal)
    hands = Hands(runner, true_duration_s, {job.id: job for job in jobs})
    for job in jobs:
        submitted = JobSubmitted(at_s=job.submitted_at_s, job=job)
        hands.later(job.submitted_at_s, lambda event=submitted: runner.post(event))  # type: ignore[misc]
    over = asyncio.Event()

    def tick() -> None:
        now_s = env.now_s()
        if now_s > hands.latest_at_s and hands.pending == 0 and engine.next_wakeup_at_s() is None:
            over.set()
            return
        first: list[Event] = [] if now_s == 0 else [Tick(at_s=now_s, replan=True)]
        runner.post(*renewed(now_s), *first)
        asyncio.get_running_loop().call_at(now_s + replan_s, tick)

    asyncio.get_running_loop().call_at(0.0, tick)
    await asyncio.sleep(0)  # what belongs to instant 0 is posted before the first decision
    running = asyncio.create_task(runner.run(hands))
    await over.wait()
    running.cancel()
    await asyncio.wait((running,))
