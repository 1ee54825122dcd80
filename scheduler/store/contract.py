"""What a queue has to promise, whatever keeps it. Knows no SQL; tests/contracts/test_store.py holds every store to it.

The promises: what a committed transaction wrote survives a kill -9 at any instant; a job id, an idempotency key of a
tenant and a period of a launch are each accepted once; a report under an old fencing token changes nothing; no state
changes but by the table in scheduler/jobs.py; a terminal state is final.

    StoreError
    |- UnknownJobError            the caller: no such job
    |- IdempotencyConflictError   the caller: the key was used for another body
    |- DuplicateJobError          the caller: the id is taken
    |- UnstorableError            the caller: a number that is not finite
    |- StoreInUseError            the operator: another daemon holds this database
    |- SchemaError                the operator: the database is newer than this program
    |- StoreBusyError             wait: the database, or the queue before it, is busy
    |- DiskFullError              wait: no room left; admission is closed, running work goes on
    '- StoreBrokenError           nobody: stop the daemon, a write whose fsync failed must not be retried
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from scheduler.events import Outcome
from scheduler.jobs import Job, JobState
from scheduler.ledger import EnergyUse, Subject
from scheduler.store import access_contract, filing_contract, plans_contract, uses_contract
from scheduler.store.standing import Standing

Json = Mapping[str, object]


class StoreError(Exception):
    """Anything a store can refuse or fail with."""


class UnknownJobError(StoreError):
    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"there is no job {job_id!r}")


class IdempotencyConflictError(StoreError):
    def __init__(self, key: str, job_id: str) -> None:
        self.key, self.job_id = key, job_id
        super().__init__(f"idempotency key {key!r} was used for another body (job {job_id}): choose a new key")


class DuplicateJobError(StoreError):
    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"there is already a job {job_id!r}: submit under a new id")


class UnstorableError(StoreError):
    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"cannot be stored: {what}")


class StoreInUseError(StoreError):
    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path} is held by another daemon: stop it, or give this one its own state_dir")


class SchemaError(StoreError):
    def __init__(self, found: str, newest_known: str) -> None:
        self.found, self.newest_known = found, newest_known
        super().__init__(
            f"the database has schema {found}, this program knows up to {newest_known}: use the newer program"
        )


class StoreBusyError(StoreError):
    pass


class DiskFullError(StoreError):
    pass


class StoreBrokenError(StoreError):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """The client's key and a digest of what it sent, so that the key cannot be reused for something else."""

    key: str
    body_sha256: str

    @classmethod
    def of(cls, key: str, body: bytes) -> IdempotencyKey:
        return cls(key=key, body_sha256=hashlib.sha256(body).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The job that stands for this submission; `is_new` is False when it was accepted before."""

    job_id: str
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A lease on one attempt. Every report about it carries the token."""

    job_id: str
    token: int
    attempt: int
    done_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as it is stored. `sequence` grows with acceptance; `payload` is of the submitter, `result` of the run.

    `payload` is None in a list of jobs: a batch has megabytes of it, and a list of batches has no use for them.
    """

    sequence: int
    job: Job
    payload: Json | None
    standing: Standing
    result: Json | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """None asks for all."""

    states: frozenset[JobState] | None = None
    tenant: str | None = None
    id_prefix: str | None = None


class Reads(
    filing_contract.FilingReads,
    access_contract.AccessReads,
    uses_contract.UsePages,
    plans_contract.PlanReads,
    Protocol,
):
    """What may be asked at any time, beside the writer."""

    def job(self, job_id: str) -> JobRecord:
        """Raises UnknownJobError."""

    def jobs(
        self, chosen: JobFilter, *, limit: int, before: int | None = None, with_payloads: bool = False
    ) -> Sequence[JobRecord]:
        """Newest first; the next page starts `before` the last sequence of this one.

        Payloads are read only where they are known to be small.
        """

    def open_jobs(self) -> Sequence[JobRecord]:
        """Everything not terminal, in the order of acceptance, without payloads."""

    def count_by_state(self, tenant: str | None = None) -> Mapping[JobState, int]:
        """Every state, those without jobs too; of all tenants or of one."""

    def uses(self, since_at_s: float, until_at_s: float, *, tenant: str | None = None) -> Sequence[EnergyUse]:
        """Uses that started in [since, until), by start; all in memory, so ask for pages of a long time."""

    def uses_of(self, subject: Subject, subject_id: str) -> Sequence[EnergyUse]:
        """Uses of one request or one job, by start."""

    def spans(self, category: str, since_at_s: float, until_at_s: float) -> Sequence[tuple[str, str, float, float]]:
        """Region, model, start and end of each use of that category that started in [since, until)."""

    def first_use_at_s(self) -> float | None:
        """When the oldest use in the ledger started; None where there is none."""

    def submission_of(self, tenant: str, idempotency: IdempotencyKey) -> str | None:
        """The job that the key stands for, if it was used. Raises IdempotencyConflictError for another body."""

    def last_period(self, launch: str) -> str | None:
        """The greatest period key that was launched; local ISO date-times order as text."""

    def meta(self, key: str) -> str | None: ...

    def close(self) -> None: ...


class Store(Reads, filing_contract.Filing, access_contract.Access, plans_contract.Plans, Protocol):
    """The one writer's view. An operation outside `transaction()` is a transaction of its own."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing; durable when left without an exception. Does not nest."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Inside a transaction: an exception undoes this part only, and goes on to the caller."""

    def submit(
        self, job: Job, *, now_s: float, payload: Json | None = None, idempotency: IdempotencyKey | None = None
    ) -> Submission:
        """Accept a job once. Raises DuplicateJobError, IdempotencyConflictError, UnstorableError."""

    def launch(self, launch: str, period: str, job: Job, *, now_s: float, payload: Json | None = None) -> Submission:
        """Accept the job of one period of a recurring launch; a period that was launched answers its first job."""

    def claim(
        self, job_id: str, *, holder: str, region: str, now_s: float, lease_s: float, gpus: int | None = None
    ) -> Claim | None:
        """Take the lease and count the attempt; None when it is not there to be claimed any more.

        `gpus` are those that an elastic job is given for it.
        """

    def take_over(self, job_id: str, token: int, *, holder: str, now_s: float, lease_s: float) -> Claim | None:
        """Go on with an attempt that an earlier life of the daemon left running; None when the token is stale."""

    def heartbeat(self, leases: Iterable[tuple[str, int]], *, now_s: float, lease_s: float) -> frozenset[str]:
        """Renew leases given as (job id, token); the ids returned are stale: their runs must be stopped."""

    def started(self, job_id: str, token: int, *, now_s: float) -> bool:
        """False, here and below: the token is stale, nothing was written."""

    def pause(self, job_id: str, token: int, *, done_s: float, now_s: float) -> bool:
        """Its checkpoint is good, the lease is given back. A start that was never reported is taken as read."""

    def finish(
        self,
        job_id: str,
        token: int,
        *,
        outcome: Outcome,
        now_s: float,
        result: Json | None = None,
        reason: str = "",
    ) -> bool: ...

    def lose(self, job_id: str, token: int, *, now_s: float, reason: str, is_counted: bool = True) -> JobState | None:
        """The run is gone without a result. The state it led to, or None when the token is stale.

        A loss that is not counted brings the job no nearer to quarantine.
        """

    def lose_expired(self, *, now_s: float) -> Sequence[JobRecord]:
        """Take back every lease that has run out; the records as they stand afterwards."""

    def cancel(self, job_id: str, *, now_s: float, reason: str = "") -> JobRecord:
        """Terminal at once; a run under way is stale from here on and must be stopped.

        Raises UnknownJobError, IllegalTransitionError.
        """

    def hold(self, job_id: str, *, now_s: float) -> JobRecord:
        """Put on hold: it is not given out until it is let go. Raises UnknownJobError, NotHoldableError."""

    def resume(self, job_id: str, *, now_s: float) -> JobRecord:
        """Let it go. Raises UnknownJobError, NotHoldableError."""

    def requeue(self, job_id: str, *, now_s: float) -> JobRecord:
        """Out of quarantine. Raises UnknownJobError, IllegalTransitionError."""

    def record_uses(self, uses: Collection[EnergyUse]) -> None: ...

    def set_meta(self, key: str, value: str) -> None: ...
