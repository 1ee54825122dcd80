"""How a job stands in the queue, and what each report makes of it. Pure: knows no database, no clock, no launcher.

Every change goes through the table in scheduler/jobs.py. The rules that the table cannot say stand here: an attempt is
counted when it is claimed, so a job that kills its worker is counted too; the fencing token grows with every claim and
every take-over; a lease that is given back leaves no holder; three losses in a row put a job into quarantine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scheduler.events import Outcome
from scheduler.jobs import (
    HOLDING_STATES,
    TERMINAL_STATES,
    Job,
    JobAction,
    JobState,
    action_after_loss,
    next_state,
    refuse_hold,
    refuse_resume,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All of a job that changes after its submission.

    `token` is 0 before the first claim. `lost_attempts` counts losses since the last requeue. `started_at_s` is the
    start of the latest attempt, `gpus` what an elastic job was given for it; `done_s` is the part of the job's duration
    that is safe in a checkpoint. `on_hold_at_s` is when it was put on hold, None where it is not.
    """

    state: JobState = JobState.WAITING
    attempt: int = 0
    lost_attempts: int = 0
    token: int = 0
    holder: str | None = None
    lease_expires_at_s: float | None = None
    region: str | None = None
    gpus: int | None = None
    started_at_s: float | None = None
    ended_at_s: float | None = None
    done_s: float = 0.0
    reason: str = ""
    changed_at_s: float
    on_hold_at_s: float | None = None

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL_STATES

    @property
    def is_held(self) -> bool:
        return self.state in HOLDING_STATES

    def is_held_under(self, token: int) -> bool:
        """Whether a report under this token still counts; False means stale, discard it."""
        return self.is_held and self.token == token


def claimed(
    before: Standing, *, holder: str, region: str, lease_s: float, now_s: float, gpus: int | None = None
) -> Standing:
    return replace(
        before,
        state=next_state(before.state, JobAction.CLAIM),
        attempt=before.attempt + 1,
        token=before.token + 1,
        holder=holder,
        lease_expires_at_s=now_s + lease_s,
        region=region,
        gpus=gpus,
        started_at_s=None,
        reason="",
        changed_at_s=now_s,
    )


def taken_over(before: Standing, *, holder: str, lease_s: float, now_s: float) -> Standing:
    """The same attempt under a new token: whoever held it before is stale from here on."""
    return replace(
        before, token=before.token + 1, holder=holder, lease_expires_at_s=now_s + lease_s, changed_at_s=now_s
    )


def started(before: Standing, *, now_s: float) -> Standing:
    return replace(before, state=next_state(before.state, JobAction.START), started_at_s=now_s, changed_at_s=now_s)


def paused(before: Standing, *, done_s: float, now_s: float) -> Standing:
    if before.state is JobState.STARTING:
        # What has paused has run: the daemon died between the start and its report.
        before = started(before, now_s=now_s)
    return _given_back(replace(before, done_s=done_s), JobAction.PAUSE, now_s, "")


def finished(before: Standing, *, outcome: Outcome, reason: str, now_s: float) -> Standing:
    action = JobAction.SUCCEED if outcome is Outcome.SUCCEEDED else JobAction.FAIL
    return _given_back(replace(before, ended_at_s=now_s), action, now_s, reason)


def cancelled(before: Standing, *, reason: str, now_s: float) -> Standing:
    return _given_back(replace(before, ended_at_s=now_s), JobAction.CANCEL, now_s, reason)


def lost(before: Standing, *, reason: str, now_s: float, is_counted: bool = True) -> Standing:
    """Waiting again, or in quarantine once it was lost too often."""
    losses = before.lost_attempts + is_counted
    action = action_after_loss(losses)
    return _given_back(replace(before, lost_attempts=losses), action, now_s, reason)


def requeued(before: Standing, *, now_s: float) -> Standing:
    return replace(
        before,
        state=next_state(before.state, JobAction.REQUEUE),
        lost_attempts=0,
        reason="requeued by an operator",
        changed_at_s=now_s,
    )


def put_on_hold(before: Standing, job: Job, *, now_s: float) -> Standing:
    """Its state stays; whoever holds its lease pauses it. Raises NotHoldableError."""
    refuse_hold(job, before.state)
    if before.on_hold_at_s is not None:
        return before
    return replace(before, on_hold_at_s=now_s, reason="put on hold", changed_at_s=now_s)


def let_go(before: Standing, job: Job, *, now_s: float) -> Standing:
    """No longer on hold. Raises NotHoldableError."""
    refuse_resume(job, before.state)
    if before.on_hold_at_s is None:
        return before
    return replace(before, on_hold_at_s=None, reason="", changed_at_s=now_s)


def _given_back(before: Standing, action: JobAction, now_s: float, reason: str) -> Standing:
    return replace(
        before,
        state=next_state(before.state, action),
        holder=None,
        lease_expires_at_s=None,
        reason=reason,
        changed_at_s=now_s,
    )
