"""Takes jobs in and changes them: the queue first, then the engine. For every front that has jobs.

What cannot be done is an ApiError. A job is acknowledged after it is durable, never before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from scheduler.daemon.api_errors import ApiError, invalid, not_found, unavailable
from scheduler.daemon.descriptions import restored, told_with
from scheduler.daemon.env import Env
from scheduler.daemon.past_runs import PastWork
from scheduler.daemon.quota_book import QuotaBook
from scheduler.daemon.runner import Runner
from scheduler.daemon.tenants import TenantBudgets
from scheduler.events import CancelRequested, Event, JobSubmitted, PauseRequested, ResumeRequested
from scheduler.jobs import IllegalTransitionError, Job, NotHoldableError
from scheduler.planning.plan import Refusal
from scheduler.planning.reasons.change_text import change_of_submission_json
from scheduler.planning.reasons.nearest_change import Change
from scheduler.planning.reasons.suggestions import TIME_TO_ANSWER_S, changes_beside
from scheduler.planning.weighed.admission import Admitted, Overdrawn
from scheduler.store.contract import (
    DiskFullError,
    IdempotencyConflictError,
    IdempotencyKey,
    JobRecord,
    Reads,
    Store,
    StoreBusyError,
    Submission,
    UnknownJobError,
    UnstorableError,
)
from scheduler.store.writer import Writing

T = TypeVar("T")
_RETRY_AFTER_STORE_S = 5.0


@dataclass(slots=True, kw_only=True)
class JobDesk:
    """What may be asked of the queue."""

    env: Env
    writer: Writing
    reads: Reads
    runner: Runner
    past: PastWork
    budgets: TenantBudgets
    quotas: QuotaBook
    is_draining: bool = False
    _telling: set[asyncio.Task[Any]] = field(default_factory=set)

    # -- taking in ----------------------------------------------------------------------------------------------------

    def refuse_if_draining(self) -> None:
        """Raises ApiError 503."""
        if self.is_draining:
            raise unavailable("The daemon is stopping.", code="draining", retry_after_s=_RETRY_AFTER_STORE_S)

    async def admit(
        self, job: Job, payload: Mapping[str, Any], idempotency: IdempotencyKey | None = None
    ) -> tuple[bool, JobRecord]:
        """Plan a job and accept it: whether it is new, and the job that the key stands for.

        Raises ApiError: 422 where no plan is in time, 503 where it cannot be kept.
        """
        self.refuse_if_draining()
        return await self.submit(await self.accepted(job), payload, idempotency)

    async def admitted_before(self, tenant: str, idempotency: IdempotencyKey) -> str | None:
        """The job that an earlier call with this key made: it may be infeasible by now and is still the answer.

        Raises ApiError 409 for a key that was used for another body.
        """
        try:
            with naming_the_store():
                return await self.env.in_thread(self.reads.submission_of, tenant, idempotency)
        except IdempotencyConflictError as error:
            raise _refused(error) from None

    async def accepted(self, job: Job) -> Admitted:
        """The job as it is planned, and where. What its past asks for never refuses it; a month used up does."""
        self.quotas.refuse_spent(job.tenant)
        engine, now_s = self.runner.engine, self.env.now_s()
        guarded = self.past.guarded(job)
        answer = self.budgets.admitted(guarded, lambda one: engine.appraise(one, now_s), now_s)
        if not isinstance(answer, Admitted) and guarded is not job:
            answer = self.budgets.admitted(job, lambda one: engine.appraise(one, now_s), now_s)
        match answer:
            case Admitted():
                return answer
            case Overdrawn():
                changes = await self.env.in_thread(self.budgets.suggesting(job, now_s))
                raise _infeasible(told_with(answer.text, changes), "budget", changes)
            case Refusal():
                # On a thread: a dozen places are tried, and nobody else should wait for that.
                beside = (engine.open_jobs(now_s), engine.regions, dict(engine.forecasts))
                changes = await self.env.in_thread(changes_beside, job, *beside, now_s + TIME_TO_ANSWER_S)
                raise _infeasible(told_with(answer.what, changes), answer.obstacle, changes)

    async def submit(
        self, accepted: Admitted, payload: Mapping[str, Any] | None, idempotency: IdempotencyKey | None
    ) -> tuple[bool, JobRecord]:
        """Whether it is new, and the job as it is stored. Until the engine knows it, its budget is promised to it."""
        self.budgets.promise(accepted)
        return await self._outliving(self._submit(accepted.job, payload, idempotency))

    async def _submit(
        self, job: Job, payload: Mapping[str, Any] | None, idempotency: IdempotencyKey | None
    ) -> tuple[bool, JobRecord]:
        try:
            submission: Submission = await self._write_and_tell(
                lambda store: store.submit(job, now_s=job.submitted_at_s, payload=payload, idempotency=idempotency),
                lambda told: JobSubmitted(at_s=job.submitted_at_s, job=job) if told.is_new else None,
                is_admission=True,
            )
            return submission.is_new, await self.record(submission.job_id)
        finally:  # the engine has heard of it by now, or never will
            self.budgets.take_back(job.id)

    # -- changing -----------------------------------------------------------------------------------------------------

    async def cancel(self, job_id: str) -> None:
        """Raises ApiError: 409 for one that has ended already."""
        now_s = self.env.now_s()
        await self._write(
            lambda store: store.cancel(job_id, now_s=now_s, reason="cancelled by request"),
            lambda _: CancelRequested(at_s=now_s, job_id=job_id),
        )

    async def hold(self, job_id: str) -> None:
        """On hold until it is let go. Raises ApiError: 409 for one that runs in one piece, or has ended."""
        now_s = self.env.now_s()
        self.budgets.take_back(job_id)
        await self._write(
            lambda store: store.hold(job_id, now_s=now_s), lambda _: PauseRequested(at_s=now_s, job_id=job_id)
        )

    async def resume(self, job_id: str) -> None:
        """Raises ApiError: 409 for one that has ended, or that a budget of its tenant cannot pay for now."""
        now_s = self.env.now_s()
        if (over := self.budgets.let_go(job_id, now_s)) is not None:
            message = f"It stays on hold: {over.text}."
            raise ApiError(409, message, kind="invalid_request_error", param="budget", code="over_budget")
        await self._outliving(self._resume(job_id, now_s))

    async def _resume(self, job_id: str, now_s: float) -> None:
        try:
            await self._write_and_tell(
                lambda store: store.resume(job_id, now_s=now_s), lambda _: ResumeRequested(at_s=now_s, job_id=job_id)
            )
        except ApiError:
            self.budgets.take_back(job_id)
            raise

    async def requeue(self, job_id: str) -> None:
        """Out of quarantine. Raises ApiError."""
        now_s = self.env.now_s()
        await self._write(
            lambda store: store.requeue(job_id, now_s=now_s),
            lambda record: restored(record, now_s),
        )

    # -- looking ------------------------------------------------------------------------------------------------------

    async def record(self, job_id: str) -> JobRecord:
        """Raises ApiError 404."""
        try:
            with naming_the_store():
                return await self.env.in_thread(self.reads.job, job_id)
        except UnknownJobError as error:
            raise not_found(str(error)) from None

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _write(self, change: Callable[[Store], T], event_of: Callable[[T], Event | None]) -> T:
        """Change the queue, then tell the engine."""
        return await self._outliving(self._write_and_tell(change, event_of))

    async def _outliving(self, work: Coroutine[Any, Any, T]) -> T:
        """A client that leaves can keep neither queue and engine apart, nor a promise and what it was made for."""
        telling = asyncio.create_task(work)
        self._telling.add(telling)
        telling.add_done_callback(self._told)
        return await asyncio.shield(telling)

    def _told(self, telling: asyncio.Task[Any]) -> None:
        self._telling.discard(telling)
        if not telling.cancelled():
            telling.exception()  # looked at: where the client has left, nobody else will

    async def _write_and_tell(
        self, change: Callable[[Store], T], event_of: Callable[[T], Event | None], *, is_admission: bool = False
    ) -> T:
        try:
            with naming_the_store():
                written = await self.writer.write(change, is_admission=is_admission)
        except (
            UnknownJobError,
            IllegalTransitionError,
            NotHoldableError,
            IdempotencyConflictError,
            UnstorableError,
        ) as error:
            raise _refused(error) from None
        if (event := event_of(written)) is not None:
            self.runner.post(event)
        return written


@contextmanager
def naming_the_store() -> Iterator[None]:
    """A store that is busy or full is the server's matter, and over soon."""
    try:
        yield
    except (StoreBusyError, DiskFullError) as error:
        raise unavailable(str(error), code="store_busy", retry_after_s=_RETRY_AFTER_STORE_S) from None


def _infeasible(message: str, obstacle: str, changes: Sequence[Change]) -> ApiError:
    return ApiError(
        422,
        message,
        kind="invalid_request_error",
        param=obstacle,
        code="infeasible",
        suggestions=[change_of_submission_json(one) for one in changes],
    )


def _refused(error: Exception) -> ApiError:
    match error:
        case UnknownJobError():
            return not_found(str(error))
        case UnstorableError():
            return invalid(str(error))
        case _:
            return ApiError(409, str(error), kind="invalid_request_error", code="conflict")
