"""Spans of jobs: what was decided about each, when and why, and how long its runs took.

    job submitted | planned | moved | paused | stopped | late | state | ended    one moment each
    job run           from the start of a run to its pause or its end

A job lives for hours or days and may outlive the daemon, so there is no span around all of it, which would be told at
its end or never: its spans are one trace by its id, whoever of the daemon's lives tells them. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from scheduler.events import (
    Command,
    Event,
    JobRestored,
    JobSubmitted,
    PauseRun,
    RecordPlacement,
    RecordState,
    ReportLate,
    RunFinished,
    RunLost,
    RunPaused,
    RunStarted,
    StartRun,
    StopRun,
)
from scheduler.jobs import TERMINAL_STATES, Job, JobState
from scheduler.planning.plan import Placement
from scheduler.quantities import format_instant

Facts = Mapping[str, str | float | None]


class OpenSpan(Protocol):
    """A span that has begun."""

    def note(self, **facts: str | float | None) -> None: ...

    def end(self) -> None: ...


class SpanMaker(Protocol):
    """Where spans of jobs go."""

    def of_job(self, name: str, job_id: str) -> OpenSpan:
        """A span in the job's trace, from now on."""
        ...


class JobSpans:
    """Told of everything that the engine hears and says."""

    def __init__(self, maker: SpanMaker) -> None:
        self._maker = maker
        self._jobs: dict[str, Facts] = {}
        self._placed: set[str] = set()
        self._runs: dict[str, OpenSpan] = {}

    def told(self, events: Sequence[Event], commands: Sequence[Command]) -> None:
        """One decision: what was heard before it, and what came of it."""
        for event in events:
            self._hear(event)
        for command in commands:
            self._say(command)

    def close(self) -> None:
        """The daemon ends; runs go on without it."""
        for job_id in list(self._runs):
            self._end_run(job_id, "goes on")

    def _hear(self, event: Event) -> None:
        match event:
            case JobSubmitted():
                self._know(event.job)
                deadline = format_instant(event.job.deadline_at_s)
                self._moment("job submitted", event.job.id, deadline=deadline, duration_s=event.job.duration_s)
            case JobRestored():
                self._know(event.job)
                self._placed.add(event.job.id)  # in another life
                if event.state is JobState.RUNNING:
                    self._begin_run(event.job.id, event.running_in)
            case RunStarted():
                if (run := self._runs.get(event.job_id)) is not None:
                    run.note(attempt=event.attempt)
            case RunPaused():
                self._end_run(event.job_id, "paused")
            case RunLost():
                self._end_run(event.job_id, "lost")
            case RunFinished():
                self._end_run(event.job_id, event.outcome)
                self._moment("job ended", event.job_id, state=event.outcome)
                self._forget(event.job_id)
            case _:
                pass

    def _say(self, command: Command) -> None:
        match command:
            case RecordPlacement():
                name = "job moved" if command.placement.job_id in self._placed else "job planned"
                self._placed.add(command.placement.job_id)
                self._moment(name, command.placement.job_id, reason=command.reason, **_place(command.placement))
            case StartRun():
                self._begin_run(command.job_id, command.region, reason=command.reason, attempt=command.attempt)
            case PauseRun():
                self._moment("job paused", command.job_id, reason=command.reason)
            case StopRun():
                self._moment("job stopped", command.job_id, reason=command.reason)
            case RecordState():
                self._moment("job state", command.job_id, state=command.state, reason=command.reason)
                if command.state in TERMINAL_STATES:
                    self._forget(command.job_id)
            case ReportLate():
                self._moment("job late", command.refusal.job_id, reason=command.refusal.what)

    def _know(self, job: Job) -> None:
        self._jobs[job.id] = {"job_id": job.id, "label": job.label or None, "tenant": job.tenant, "kind": job.kind}

    def _moment(self, name: str, job_id: str, **facts: str | float | None) -> None:
        span = self._maker.of_job(name, job_id)
        span.note(**self._jobs.get(job_id, {"job_id": job_id}), **facts)
        span.end()

    def _begin_run(self, job_id: str, region: str | None, **facts: str | float | None) -> None:
        run = self._runs[job_id] = self._maker.of_job("job run", job_id)
        run.note(**self._jobs.get(job_id, {"job_id": job_id}), region=region, **facts)

    def _end_run(self, job_id: str, ending: str) -> None:
        if (run := self._runs.pop(job_id, None)) is not None:
            run.note(ending=ending)
            run.end()

    def _forget(self, job_id: str) -> None:
        self._jobs.pop(job_id, None)
        self._placed.discard(job_id)


def _place(placement: Placement) -> dict[str, str | float | None]:
    return {
        "region": placement.region,
        "start": format_instant(placement.start_at_s),
        "end": format_instant(placement.end_at_s),
        "cause": placement.cause,
        "emissions_gco2e": placement.emissions_gco2e,
        "baseline_emissions_gco2e": placement.baseline_emissions_gco2e,
    }
