"""What can happen to the engine, and what it can ask for. Plain data; the journal is made of these.

Events of one instant are taken in the order of `EVENT_ORDER`, then by the id they concern, never by arrival: a finish
frees its GPUs before a submission asks for them, and a cancellation is known before anything starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from intensity_feeds.feed import Rung
from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Job, JobState
from scheduler.planning.plan import Cause, Placement, Refusal, Region


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"


# -- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The launcher says the run of this attempt has ended."""

    at_s: float
    job_id: str
    attempt: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLost:
    """The run of this attempt ended without a result: its worker or its lease died.

    `was_claimed` is False where the queue did not give the job out, so that there was no attempt.
    """

    at_s: float
    job_id: str
    attempt: int
    was_claimed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPaused:
    """The run is checkpointed and stopped; `done_s` of its duration is behind it."""

    at_s: float
    job_id: str
    attempt: int
    done_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The launcher says the run of this attempt is under way."""

    at_s: float
    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityChanged:
    at_s: float
    region: Region


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastUpdated:
    """A new answer for a zone; `series` is None when nothing at all is known of it any more."""

    at_s: float
    zone: str
    series: IntensitySeries | None
    rung: Rung | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    at_s: float
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested:
    """Somebody puts the job on hold: it is not started, and paused where it runs, until it is let go."""

    at_s: float
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequested:
    """Somebody lets a job on hold go."""

    at_s: float
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted:
    """A new job, already durable where durability is promised."""

    at_s: float
    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRestored:
    """A job found in the store at start-up, in the state it was left in."""

    at_s: float
    job: Job
    state: JobState
    attempt: int
    lost: int = 0
    done_s: float = 0.0
    running_in: str | None = None
    started_at_s: float | None = None
    gpus: int | None = None
    is_on_hold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed; the replanning timer or a wake-up that the engine asked for."""

    at_s: float
    replan: bool = False


Event = (
    RunFinished
    | RunLost
    | RunPaused
    | RunStarted
    | CapacityChanged
    | ForecastUpdated
    | CancelRequested
    | PauseRequested
    | ResumeRequested
    | JobRestored
    | JobSubmitted
    | Tick
)

EVENT_ORDER: tuple[type, ...] = (
    RunFinished,
    RunLost,
    RunPaused,
    RunStarted,
    CapacityChanged,
    ForecastUpdated,
    CancelRequested,
    PauseRequested,
    ResumeRequested,
    JobRestored,
    JobSubmitted,
    Tick,
)
_RANKS = {kind: rank for rank, kind in enumerate(EVENT_ORDER)}


def order_key(event: Event) -> tuple[float, int, str]:
    """What events are sorted by: their instant, the rank of their kind, and the id they concern."""
    match event:
        case JobSubmitted() | JobRestored():
            concerned = event.job.id
        case ForecastUpdated():
            concerned = event.zone
        case CapacityChanged():
            concerned = event.region.name
        case Tick():
            concerned = ""
        case _:
            concerned = event.job_id
    return event.at_s, _RANKS[type(event)], concerned


# -- commands --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRun:
    """Start attempt `attempt` now, or resume it after a pause; `done_s` of its duration is already behind it."""

    at_s: float
    job_id: str
    region: str
    attempt: int
    done_s: float
    cause: Cause
    reason: str
    gpus: int | None = None  # of an elastic job; None: the job's own number


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRun:
    at_s: float
    job_id: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRun:
    """End a run whose job was cancelled."""

    at_s: float
    job_id: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlacement:
    """A job's place in the plan is new or has moved."""

    at_s: float
    placement: Placement
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordState:
    """The job has reached a state that no launcher has to act on: cancelled while waiting, quarantined, lost, on hold,
    let go.
    """

    at_s: float
    job_id: str
    state: JobState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLate:
    """No plan meets the job's deadline any more; it runs as early as it can."""

    at_s: float
    refusal: Refusal


Command = StartRun | PauseRun | StopRun | RecordPlacement | RecordState | ReportLate

COMMANDS: tuple[type, ...] = (StartRun, PauseRun, StopRun, RecordPlacement, RecordState, ReportLate)
