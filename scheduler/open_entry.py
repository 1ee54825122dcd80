"""One open job as the engine sees it: where it stands, what it occupies, when it is due, and how long its run lasts.

Rules about one job alone; who may have which GPUs is the engine's business. Knows no clock and no other job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scheduler.events import JobRestored
from scheduler.jobs import HOLDING_STATES, Job, JobAction, JobState, action_after_loss, next_state
from scheduler.planning.gpu_counts import power_at_w, speed_at
from scheduler.planning.plan import Placement, Region, Segment
from scheduler.planning.planner import OpenJob
from scheduler.watched import SAME_INSTANT_S

# A run that outlasts its estimate is expected to take this share of the estimate longer, again and again.
OVERRUN_RATIO = 0.1
MIN_OVERRUN_S = 60.0


@dataclass(slots=True)
class OpenEntry:
    """One open job as the engine sees it; mutable, and nobody else's."""

    job: Job
    state: JobState = JobState.WAITING
    attempt: int = 0
    lost: int = 0
    done_s: float = 0.0
    running: Segment | None = None  # what it occupies now, until a finish, a loss or a pause frees it
    placement: Placement | None = None
    baseline_gco2e: float | None = None
    is_pausing: bool = False
    is_on_hold: bool = False
    is_reported_late: bool = False

    @property
    def waits(self) -> bool:
        return not self.is_on_hold and self.state in (JobState.WAITING, JobState.PAUSED) and self.running is None

    @property
    def is_planned(self) -> bool:
        """Whether it takes room in plans: what is on hold does only while its run lasts."""
        return not self.is_on_hold or self.running is not None

    @property
    def gpus(self) -> int | None:
        """On how many GPUs the plan has an elastic job run next; None: on its own number."""
        return self.placement.segments[-1].gpus if self.placement is not None else None

    def whole_s(self, gpus: int | None) -> float:
        """What is left on so many GPUs, in one piece: the restore first where there is something to restore."""
        pause = self.job.interruption
        restore_s = pause.restore_s if pause is not None and self.done_s > 0 else 0.0
        return (self.job.duration_s - self.done_s) / speed_at(self.job, gpus) + restore_s

    @property
    def latest_start_at_s(self) -> float:
        """When it must start whatever the plan says, on as many GPUs as it says; never before it may."""
        return max(self.job.deadline_at_s - self.whole_s(self.gpus), self.job.earliest_start_at_s)

    def pause(self, done_s: float) -> None:
        """Its run is checkpointed and stopped, `done_s` of its duration being behind it."""
        self.state = next_state(JobState.RUNNING, JobAction.PAUSE)
        self.done_s = done_s
        self._leave_gpus()

    def lose(self, *, is_counted: bool) -> None:
        """Its run is gone; `is_counted` as an attempt that failed."""
        self.lost += is_counted
        self.state = next_state(self.state, action_after_loss(self.lost) if is_counted else JobAction.LOSE)
        if self.job.interruption is None:
            self.done_s = 0.0
        self._leave_gpus()

    def _leave_gpus(self) -> None:
        self.running, self.is_pausing = None, False
        if self.is_on_hold:
            self.placement = None

    def as_open(self, now_s: float, met_at_once: bool | None = None) -> OpenJob:
        running = expected_run(self, now_s)
        return OpenJob(
            job=self.job, done_s=self.done_s, running=running, planned=self.placement, met_at_once=met_at_once
        )


def precedence(entry: OpenEntry) -> tuple[int, float, float, str]:
    start_at_s = entry.placement.start_at_s if entry.placement else entry.job.submitted_at_s
    return -entry.job.priority, start_at_s, entry.job.submitted_at_s, entry.job.id


def restored_entry(event: JobRestored) -> OpenEntry:
    entry = OpenEntry(
        job=event.job,
        state=event.state,
        attempt=event.attempt,
        done_s=event.done_s,
        lost=event.lost,
        is_on_hold=event.is_on_hold,
    )
    if event.state in HOLDING_STATES and event.running_in is not None:
        started_at_s = event.at_s if event.started_at_s is None else event.started_at_s
        gpus = event.gpus if entry.job.elastic else None
        entry.running = Segment(
            start_at_s=started_at_s,
            end_at_s=started_at_s + max(0.0, entry.whole_s(gpus)),
            region=event.running_in,
            gpus=gpus,
            power_w=None if gpus is None else power_at_w(entry.job, gpus),
        )
    return entry


def expected_run(entry: OpenEntry, now_s: float) -> Segment | None:
    """The running piece to its expected end; one that outlasted its estimate is expected to take a little longer."""
    running = entry.running
    if running is None or running.end_at_s > now_s:
        return running
    return replace(running, end_at_s=now_s + overrun_s(entry))


def overrun_s(entry: OpenEntry) -> float:
    return max(MIN_OVERRUN_S, OVERRUN_RATIO * entry.job.duration_s)


def run_now(entry: OpenEntry, region: str, gpus: int | None, now_s: float) -> Segment:
    """The run that would start now, on so many GPUs."""
    power_w = None if gpus is None else power_at_w(entry.job, gpus)
    end_at_s = now_s + piece_s(entry, gpus, now_s)
    return Segment(start_at_s=now_s, end_at_s=end_at_s, region=region, gpus=gpus, power_w=power_w)


def held_at_start(entry: OpenEntry, run: Segment, regions: Sequence[Region]) -> dict[str, int]:
    """GPUs that each region holds during a run.

    A start is a little late, and a run may outlast its estimate: so far it may reach into what is held after it.
    """
    now_s, end_at_s = run.start_at_s, run.end_at_s - overrun_s(entry)
    return {region.name: region.held_gpus(now_s, max(now_s, end_at_s)) for region in regions if region.held}


def powered_until_s(entry: OpenEntry, run: Segment) -> float:
    """To when the run that starts now needs its power: where it was planned, no longer than the plan made sure of."""
    now_s = run.start_at_s
    piece = current_segment(entry, now_s)
    is_planned = piece.region == run.region and piece.gpus == run.gpus
    if not is_planned or not piece.start_at_s <= now_s + SAME_INSTANT_S < piece.end_at_s:
        return run.end_at_s
    return min(run.end_at_s, piece.end_at_s)


def run_length_s(entry: OpenEntry, ended_at_s: float) -> float | None:
    """How long a contiguous run took, on the job's own number of GPUs; not known of one that may have paused."""
    if entry.running is None or entry.job.interruption is not None:
        return None
    return (ended_at_s - entry.running.start_at_s) * speed_at(entry.job, entry.running.gpus)


def current_segment(entry: OpenEntry, now_s: float) -> Segment:
    """The next piece of a waiting job: the first that is not over."""
    assert entry.placement is not None
    segments = entry.placement.segments
    return next((piece for piece in segments[:-1] if piece.end_at_s > now_s + SAME_INSTANT_S), segments[-1])


def is_due(entry: OpenEntry, now_s: float) -> bool:
    if entry.placement is None:
        return False
    return min(current_segment(entry, now_s).start_at_s, entry.latest_start_at_s) <= now_s + SAME_INSTANT_S


def piece_s(entry: OpenEntry, gpus: int | None, now_s: float) -> float:
    """How long the run that starts now on so many GPUs lasts: to its planned pause, else to the end of the job."""
    assert entry.placement is not None
    piece = current_segment(entry, now_s)
    is_last = piece.end_at_s >= entry.placement.end_at_s
    whole_s = entry.whole_s(gpus)
    return whole_s if is_last else min(whole_s, piece.end_at_s - now_s)


def later_segments(entry: OpenEntry) -> Sequence[Segment]:
    """Pieces of the plan that come after the running one."""
    if entry.placement is None or entry.running is None:
        return ()
    end_at_s = entry.running.end_at_s - SAME_INSTANT_S
    return [piece for piece in entry.placement.segments if piece.start_at_s >= end_at_s]


def pause_at_s(entry: OpenEntry) -> float | None:
    """When a running job must begin its checkpoint to pause as planned; None where no pause is planned."""
    if entry.running is None or entry.is_pausing or entry.is_on_hold:
        return None
    if entry.job.interruption is None or not later_segments(entry):
        return None
    return entry.running.end_at_s - entry.job.interruption.checkpoint_s
