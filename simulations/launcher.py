"""A launcher of virtual jobs: carries out the engine's commands and says what would have happened, and when.

It knows each job's true duration, which the engine may have guessed wrongly. Decides nothing. Every stretch that held
GPUs is kept, because that is what draws power.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scheduler.events import Command, Event, Outcome, PauseRun, RunFinished, RunPaused, RunStarted, StartRun, StopRun
from scheduler.jobs import Job
from scheduler.planning.gpu_counts import power_at_w, speed_at
from scheduler.planning.plan import Segment
from scheduler.planning.run_phases import in_phases


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWork:
    """A job as it is submitted, how long it truly runs, and which workload it belongs to."""

    job: Job
    true_duration_s: float
    workload: str = "jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """GPUs held by one attempt of a job, restoring and checkpointing included."""

    job_id: str
    region: str
    start_at_s: float
    end_at_s: float
    gpus: int | None = None  # of an elastic job


def parts_of(work: JobWork, one: Stretch) -> Sequence[Segment]:
    """What the stretch drew: a piece for each phase of the job, in proportion to how long it truly ran."""
    power_w = None if one.gpus is None else power_at_w(work.job, one.gpus)
    whole = Segment(start_at_s=one.start_at_s, end_at_s=one.end_at_s, region=one.region, gpus=one.gpus, power_w=power_w)
    if not work.job.power_profile:
        return (whole,)
    return in_phases(replace(work.job, duration_s=work.true_duration_s), (whole,))


@dataclass(slots=True)
class _Run:
    attempt: int
    region: str
    started_at_s: float
    done_s: float  # of the true duration, before this run
    restore_s: float
    gpus: int | None
    speed: float
    is_ending: bool = False

    def progress_s(self, now_s: float) -> float:
        return self.done_s + max(0.0, now_s - self.started_at_s - self.restore_s) * self.speed


class VirtualLauncher:
    """`carry_out` answers a command with the event that will follow it; `confirm` takes that event off its books."""

    def __init__(self, works: Mapping[str, JobWork]) -> None:
        self._works = works
        self._runs: dict[str, _Run] = {}
        self.stretches: list[Stretch] = []

    @property
    def is_busy(self) -> bool:
        return bool(self._runs)

    def carry_out(self, command: Command) -> list[Event]:
        """What follows from the command if nothing else intervenes, each at its own instant."""
        match command:
            case StartRun():
                return self._start(command)
            case PauseRun():
                return self._pause(command)
            case StopRun():
                return self._stop(command)
            case _:
                return []  # records and reports ask for nothing

    def confirm(self, event: Event) -> bool:
        """Whether an event announced by `carry_out` does happen: a finish is overtaken by a pause or a stop."""
        match event:
            case RunFinished():
                return self._ends(event.job_id, event.attempt, event.at_s, by_itself=event.outcome is Outcome.SUCCEEDED)
            case RunPaused():
                return self._ends(event.job_id, event.attempt, event.at_s, by_itself=False)
            case _:
                return True

    def _start(self, command: StartRun) -> list[Event]:
        work = self._works[command.job_id]
        # Progress is measured on the engine's scale, where the whole job is its estimate; the truth is in proportion.
        done_s = command.done_s * work.true_duration_s / work.job.duration_s
        interruption = work.job.interruption
        restore_s = interruption.restore_s if interruption and done_s > 0 else 0.0
        speed = speed_at(work.job, command.gpus)
        self._runs[command.job_id] = _Run(
            command.attempt, command.region, command.at_s, done_s, restore_s, command.gpus, speed
        )
        finish_at_s = command.at_s + restore_s + (work.true_duration_s - done_s) / speed
        return [
            RunStarted(at_s=command.at_s, job_id=command.job_id, attempt=command.attempt),
            RunFinished(at_s=finish_at_s, job_id=command.job_id, attempt=command.attempt, outcome=Outcome.SUCCEEDED),
        ]

    def _pause(self, command: PauseRun) -> list[Event]:
        run, work = self._runs[command.job_id], self._works[command.job_id]
        run.is_ending = True
        progress_ratio = run.progress_s(command.at_s) / work.true_duration_s
        checkpoint_s = work.job.interruption.checkpoint_s if work.job.interruption else 0.0
        return [
            RunPaused(
                at_s=command.at_s + checkpoint_s,
                job_id=command.job_id,
                attempt=command.attempt,
                done_s=progress_ratio * work.job.duration_s,
            )
        ]

    def _stop(self, command: StopRun) -> list[Event]:
        self._runs[command.job_id].is_ending = True
        return [RunFinished(at_s=command.at_s, job_id=command.job_id, attempt=command.attempt, outcome=Outcome.FAILED)]

    def _ends(self, job_id: str, attempt: int, at_s: float, *, by_itself: bool) -> bool:
        run = self._runs.get(job_id)
        if run is None or run.attempt != attempt or (by_itself and run.is_ending):
            return False
        self._end(job_id, at_s)
        return True

    def _end(self, job_id: str, at_s: float) -> None:
        run = self._runs.pop(job_id)
        self.stretches.append(
            Stretch(job_id=job_id, region=run.region, start_at_s=run.started_at_s, end_at_s=at_s, gpus=run.gpus)
        )
