"""Drives the scheduler's engine for one job in one place: the daemon's decisions without a daemon.

Asks for the intensity now and then, waits, and carries out what the engine commands: start, pause, go on. Decides
nothing about when. Clock, sleep, processes and the grid are given to it, so that a test of a night takes no time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from intensity_feeds.feed import Answer
from intensity_feeds.series import IntensitySeries, MixedSignalsError
from scheduler.engine import Engine
from scheduler.events import (
    Command,
    Event,
    ForecastUpdated,
    JobSubmitted,
    PauseRun,
    RecordPlacement,
    RecordState,
    ReportLate,
    RunLost,
    RunPaused,
    RunStarted,
    StartRun,
)
from scheduler.job_energy import piece_use
from scheduler.jobs import Job, JobState, done_after_pause_s
from scheduler.launchers.contract import CHECKPOINTED_EXIT_CODES
from scheduler.ledger import EnergyUse
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Placement, Refusal, Region

# A machine that was asleep, or a clock that was set, must not make a job wait longer than this to notice.
LONGEST_SLEEP_S = 60.0
# A feed may take this long to fail; close to a start nobody is asked any more.
ASKING_TAKES_S = 120.0
QUARANTINED_EXIT_CODE = 1


class Process(Protocol):
    """The command while it runs."""

    def wait(self, at_most_s: float) -> int | None:
        """Its exit code, 128 and the signal's number for a signal; None when the time is over."""
        ...

    def end(self, grace_s: float) -> tuple[int, bool]:
        """SIGTERM, its grace, SIGKILL: the exit code, and whether it had to be killed."""
        ...


class Outside(Protocol):
    """What the job's waiting needs of the world."""

    def now_s(self) -> float: ...

    def sleep(self, duration_s: float) -> None: ...

    def start(self, told: Mapping[str, str]) -> Process:
        """Start the command with `told` added to its environment."""
        ...

    def intensity(self, now_s: float) -> Answer | None:
        """What is known of the grid; may block for a while, never raises."""
        ...

    def say(self, message: str) -> None: ...


@dataclass(slots=True, kw_only=True)
class _Running:
    process: Process
    attempt: int
    done_s: float
    started_at_s: float


@dataclass(slots=True, kw_only=True)
class LoneJob:
    """`run` returns the command's exit code; `uses` then holds what its pieces used.

    `answer` is what is known of the grid now, `expected` the newest forecast of every instant since the submission.
    """

    job: Job
    region: Region
    outside: Outside
    poll_s: float
    grace_s: float = 30.0
    uses: list[EnergyUse] = field(default_factory=list)
    answer: Answer | None = None
    expected: IntensitySeries | None = None
    _engine: Engine = field(init=False)
    _inbox: list[Event] = field(default_factory=list)
    _running: _Running | None = None
    _poll_at_s: float = -math.inf
    _exit_code: int | None = None

    def __post_init__(self) -> None:
        self._engine = Engine(regions=(self.region,), planner=FleetPlanner())

    def appraised(self) -> Placement | Refusal:
        """Where and when it would run by what is known so far."""
        now_s = self.outside.now_s()
        self._engine.decide(self._taken(), now_s)
        return self._engine.appraise(self.job, now_s)

    def ask(self) -> None:
        """Learn what is known of the grid, the first time from the submission on."""
        is_first, now_s = math.isinf(self._poll_at_s), self.outside.now_s()
        self._poll_at_s = now_s + self.poll_s
        self.answer = self.outside.intensity(self.job.submitted_at_s if is_first else now_s)
        series, rung = (self.answer.series, self.answer.rung) if self.answer else (None, None)
        news = ForecastUpdated(at_s=self.outside.now_s(), zone=self.region.zone, series=series, rung=rung)
        self._inbox.append(news)
        if series is not None:
            self.expected = _continued(self.expected, series)

    def run(self) -> int:
        self._inbox.append(JobSubmitted(at_s=self.outside.now_s(), job=self.job))
        while self._exit_code is None:
            self._ask_when_due()
            for command in self._engine.decide(self._taken(), self.outside.now_s()):
                self._carry_out(command)
            if not self._inbox and self._exit_code is None:
                self._wait()
        return self._exit_code

    # -- the grid -----------------------------------------------------------------------------------------------------

    def _ask_when_due(self) -> None:
        now_s = self.outside.now_s()
        wakeup_at_s = self._engine.next_wakeup_at_s()
        is_close = wakeup_at_s is not None and wakeup_at_s - now_s < ASKING_TAKES_S
        runs_to_its_end = self._running is not None and self.job.interruption is None
        if now_s >= self._poll_at_s and not runs_to_its_end and not is_close:
            self.ask()

    def _taken(self) -> list[Event]:
        taken, self._inbox = self._inbox, []
        return taken

    # -- commands -----------------------------------------------------------------------------------------------------

    def _carry_out(self, command: Command) -> None:
        match command:
            case StartRun():
                self._start(command)
            case PauseRun():
                self._pause(command)
            case RecordPlacement():
                if self._running is None:
                    self.outside.say(f"planned {command.reason}")
            case ReportLate():
                self.outside.say(f"late: {command.refusal.what}")
            case RecordState() if command.state is JobState.QUARANTINED:
                self.outside.say("the command was lost too often and is given up")
                self._exit_code = QUARANTINED_EXIT_CODE
            case _:
                pass

    def _start(self, command: StartRun) -> None:
        now_s = self.outside.now_s()
        told = {
            "SLACKTIDE_JOB_ID": self.job.id,
            "SLACKTIDE_ATTEMPT": str(command.attempt),
            "SLACKTIDE_RESUME": "1" if command.attempt > 1 else "0",
            "SLACKTIDE_DONE_S": f"{command.done_s:g}",
            "SLACKTIDE_GRACE_S": f"{self.grace_s:g}",
            "SLACKTIDE_GPUS": str(self.job.gpus),
        }
        self.outside.say("starts" if command.attempt == 1 else "goes on")
        process = self.outside.start(told)
        self._running = _Running(process=process, attempt=command.attempt, done_s=command.done_s, started_at_s=now_s)
        self._inbox.append(RunStarted(at_s=now_s, job_id=self.job.id, attempt=command.attempt))

    def _pause(self, command: PauseRun) -> None:
        assert self._running is not None
        self.outside.say(f"pauses: {command.reason}")
        running = self._running
        exit_code, was_killed = running.process.end(self.grace_s)
        ended_at_s = self._book(running)
        if was_killed:
            self._inbox.append(RunLost(at_s=ended_at_s, job_id=self.job.id, attempt=running.attempt))
        elif exit_code in CHECKPOINTED_EXIT_CODES:
            done_s = done_after_pause_s(self.job, running.done_s, ended_at_s - running.started_at_s)
            paused = RunPaused(at_s=ended_at_s, job_id=self.job.id, attempt=running.attempt, done_s=done_s)
            self._inbox.append(paused)
        else:
            self._exit_code = exit_code

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        now_s = self.outside.now_s()
        wakeup_at_s = self._engine.next_wakeup_at_s()
        until_s = min(now_s + LONGEST_SLEEP_S, math.inf if wakeup_at_s is None else wakeup_at_s)
        if self._running is None:
            self.outside.sleep(max(0.0, until_s - now_s))
            return
        exit_code = self._running.process.wait(max(0.0, until_s - now_s))
        if exit_code is not None:
            self._book(self._running)
            self._exit_code = exit_code

    def _book(self, running: _Running) -> float:
        """What the piece that has just ended used."""
        self._running, ended_at_s = None, self.outside.now_s()
        if ended_at_s > running.started_at_s:
            self.uses.append(
                piece_use(self.job, running.done_s, self.region, self.region, running.started_at_s, ended_at_s)
            )
        return ended_at_s


def _continued(earlier: IntensitySeries | None, later: IntensitySeries) -> IntensitySeries:
    try:
        return later if earlier is None else earlier.followed_by(later)
    except MixedSignalsError:  # another feed answered, and another question
        return later
