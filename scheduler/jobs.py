"""What a job is, which states it passes through, and which transitions are legal. Knows no queue and no clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shaping.deployment import ErrorClass


class JobKind(StrEnum):
    INFERENCE_BATCH = "inference_batch"
    FINE_TUNING = "fine_tuning"
    COMMAND = "command"


class Purpose(StrEnum):
    """Why the work is done; reports split development from the final run by it."""

    DEVELOPMENT = "development"
    ABLATION = "ablation"
    FINAL = "final"
    PRODUCTION = "production"


class JobState(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"


class JobAction(StrEnum):
    CLAIM = "claim"  # a holder takes the lease; the attempt is counted here
    START = "start"  # the launcher says it runs
    PAUSE = "pause"  # checkpointed and stopped; the lease is given back
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    LOSE = "lose"  # the lease ran out, or the worker died: run again
    QUARANTINE = "quarantine"  # lost too often
    REQUEUE = "requeue"  # an operator lets it out of quarantine


# The whole life of a job; what is not listed is illegal. The diagram in docs/jobs.md is generated from it.
TRANSITIONS: dict[JobState, dict[JobAction, JobState]] = {
    JobState.WAITING: {
        JobAction.CLAIM: JobState.STARTING,
        JobAction.CANCEL: JobState.CANCELLED,
    },
    JobState.STARTING: {
        JobAction.START: JobState.RUNNING,
        JobAction.SUCCEED: JobState.SUCCEEDED,  # a run shorter than the report of its start
        JobAction.FAIL: JobState.FAILED,
        JobAction.CANCEL: JobState.CANCELLED,
        JobAction.LOSE: JobState.WAITING,
        JobAction.QUARANTINE: JobState.QUARANTINED,
    },
    JobState.RUNNING: {
        JobAction.PAUSE: JobState.PAUSED,
        JobAction.SUCCEED: JobState.SUCCEEDED,
        JobAction.FAIL: JobState.FAILED,
        JobAction.CANCEL: JobState.CANCELLED,
        JobAction.LOSE: JobState.WAITING,
        JobAction.QUARANTINE: JobState.QUARANTINED,
    },
    JobState.PAUSED: {
        JobAction.CLAIM: JobState.STARTING,
        JobAction.CANCEL: JobState.CANCELLED,
    },
    JobState.QUARANTINED: {
        JobAction.REQUEUE: JobState.WAITING,
        JobAction.CANCEL: JobState.CANCELLED,
    },
    JobState.SUCCEEDED: {},
    JobState.FAILED: {},
    JobState.CANCELLED: {},
}

# A job may be put on hold in these, which is no state of its own: it keeps its state and is not started until it is let
# go. One that runs is paused first, so it has to be interruptible.
HOLDABLE_STATES = frozenset({JobState.WAITING, JobState.PAUSED, JobState.STARTING, JobState.RUNNING})
TERMINAL_STATES = frozenset(state for state, ways in TRANSITIONS.items() if not ways)
HOLDING_STATES = frozenset({JobState.STARTING, JobState.RUNNING})

# A job that takes its worker down is not the worker's fault three times.
MAX_LOST_ATTEMPTS = 3
# A daemon that dies between a claim and its start has not died of the job, unless it does so again and again.
MAX_UNSEEN_ATTEMPTS = 10


class IllegalTransitionError(Exception):
    """An action that the table does not allow in this state."""

    def __init__(self, state: JobState, action: JobAction) -> None:
        self.state, self.action = state, action
        super().__init__(f"{action} does not apply to a job that is {state}")


class NotHoldableError(Exception):
    """A job that cannot be put on hold, or let go, as it stands."""

    def __init__(self, job_id: str, state: JobState, what: str) -> None:
        self.job_id, self.state, self.what = job_id, state, what
        super().__init__(f"job {job_id} is {state}: {what}")


def next_state(state: JobState, action: JobAction) -> JobState:
    """The state after `action`. Raises IllegalTransitionError."""
    try:
        return TRANSITIONS[state][action]
    except KeyError:
        raise IllegalTransitionError(state, action) from None


def action_after_loss(lost_runs: int) -> JobAction:
    """What becomes of a job whose run was lost, this loss counted."""
    return JobAction.QUARANTINE if lost_runs >= MAX_LOST_ATTEMPTS else JobAction.LOSE


def counts_as_loss(attempt: int, *, was_seen: bool) -> bool:
    """Whether a lost attempt speaks against the job; `was_seen` is False where nobody saw it start."""
    return was_seen or attempt >= MAX_UNSEEN_ATTEMPTS


class InvalidJobError(ValueError):
    """A job that contradicts itself; `field` names where."""

    def __init__(self, field: str, what: str) -> None:
        self.field, self.what = field, what
        super().__init__(f"{field}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """What one pause costs: writing the checkpoint at its begin, reading it back at its end.

    Both take time on the GPUs at the job's own power; `min_run_s` is the shortest piece worth running.
    """

    checkpoint_s: float = 0.0
    restore_s: float = 0.0
    min_run_s: float = 0.0

    @property
    def overhead_s(self) -> float:
        """GPU time one pause adds."""
        return self.checkpoint_s + self.restore_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a run at constant IT power."""

    duration_s: float
    power_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work that can wait: `duration_s` of running, at some time between `earliest_start_at_s` and `deadline_at_s`.

    `power_w` is the IT power of the whole job while it runs, before PUE. `interruption` is None for a job that must run
    in one piece. `regions` names where it may run, in order of preference; empty means anywhere. Higher `priority` is
    placed first. `template` names the administrator's launch template, `arguments` fill its placeholders.
    Raises InvalidJobError.
    """

    id: str
    kind: JobKind
    submitted_at_s: float
    earliest_start_at_s: float
    deadline_at_s: float
    duration_s: float
    power_w: float
    gpus: int = 1
    interruption: Interruption | None = None
    regions: tuple[str, ...] = ()
    purpose: Purpose = Purpose.PRODUCTION
    tenant: str = "default"
    priority: int = 0
    label: str = ""
    template: str = ""
    arguments: tuple[tuple[str, str], ...] = ()
    # What the submitter said, where `duration_s` is longer because past runs like it were.
    declared_duration_s: float | None = None
    # What the submitter said, where `earliest_start_at_s` is later because the tenant's budget pays from then on.
    asked_earliest_start_at_s: float | None = None
    # Phases in turn, where power changes along the run: `duration_s` is their sum, `power_w` their mean over time.
    power_profile: tuple[Phase, ...] = ()
    # How well `power_w` is known, where it is a profile's, a batch's by its lines; None where the submitter stated it.
    power_error_class: ErrorClass | None = None
    # Numbers of GPUs on which it may run, growing, with the speed measured on each; `gpus`, on which `duration_s` and
    # `power_w` hold, is one of them.
    elastic: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        if not self.duration_s > 0:
            raise InvalidJobError("duration_s", f"must be more than 0, got {self.duration_s}")
        if self.gpus < 0:
            raise InvalidJobError("gpus", f"cannot be negative, got {self.gpus}")
        if not self.power_w >= 0:
            raise InvalidJobError("power_w", f"must be a number of watts, got {self.power_w}")
        if not self.deadline_at_s > self.earliest_start_at_s:
            raise InvalidJobError("deadline_at_s", "must lie after the earliest start")
        if self.power_profile and self.interruption is not None:
            raise InvalidJobError("power_profile", "a job whose power changes runs in one piece")
        if any(not phase.duration_s > 0 or not phase.power_w >= 0 for phase in self.power_profile):
            raise InvalidJobError("power_profile", "every phase lasts, at a number of watts")
        if self.elastic:
            self._refuse_bad_speeds()

    def _refuse_bad_speeds(self) -> None:
        counts = [gpus for gpus, _ in self.elastic]
        if self.power_profile:
            raise InvalidJobError("elastic", "goes not with power_profile: phases are of one number of GPUs")
        if any(gpus < 1 or not 0 < speed < float("inf") for gpus, speed in self.elastic):
            raise InvalidJobError("elastic", "needs numbers of GPUs from 1 and speeds above 0")
        if counts != sorted(set(counts)):
            raise InvalidJobError("elastic", "needs numbers of GPUs that grow, each named once")
        if self.gpus not in counts:
            told = ", ".join(str(gpus) for gpus in counts)
            raise InvalidJobError("gpus", f"{self.gpus} has no speed in elastic: write one of {told}")

    @property
    def latest_start_at_s(self) -> float:
        """The last instant to start and still finish by the deadline, run in one piece."""
        return self.deadline_at_s - self.duration_s

    @property
    def slack_s(self) -> float:
        """How long the start may wait after the earliest start; negative when no plan can be in time."""
        return self.latest_start_at_s - self.earliest_start_at_s

    @property
    def energy_kwh(self) -> float:
        """Estimated IT energy of the run without pauses."""
        return self.power_w / 1000.0 * self.duration_s / 3600.0


def refuse_hold(job: Job, state: JobState) -> None:
    """Raises NotHoldableError where the job cannot be put on hold."""
    if state not in HOLDABLE_STATES:
        raise NotHoldableError(job.id, state, "only what waits or runs can be put on hold")
    if state in HOLDING_STATES and job.interruption is None:
        raise NotHoldableError(job.id, state, "it runs in one piece; cancel it, or let it end")


def refuse_resume(job: Job, state: JobState) -> None:
    """Raises NotHoldableError where there is nothing that could go on."""
    if state not in HOLDABLE_STATES:
        raise NotHoldableError(job.id, state, "it will not go on")


def done_after_pause_s(job: Job, done_s: float, ran_s: float, speed: float = 1.0) -> float:
    """How much of the duration is behind a checkpoint after a piece of `ran_s`, which restored first if it resumed.

    `speed` is that of the piece's GPUs beside the job's own number of them.
    """
    if job.interruption is None:
        return 0.0
    overhead_s = job.interruption.checkpoint_s + (job.interruption.restore_s if done_s > 0 else 0.0)
    return min(job.duration_s, done_s + max(0.0, ran_s - overhead_s) * speed)
