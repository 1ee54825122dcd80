"""`/api/v1`: submit, list, show, explain and cancel jobs; the plan, the intensity and the savings.

A job is acknowledged after it is durable, never before. Reads have a reader of their own and never wait for the writer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from scheduler.config import Settings
from scheduler.daemon.accounts import Accounts
from scheduler.daemon.api_errors import ApiError, invalid, not_found, unavailable
from scheduler.daemon.audit import TARGET
from scheduler.daemon.descriptions import (
    describe_account,
    describe_answer,
    describe_costs,
    describe_draft,
    describe_job,
    describe_placement,
    describe_region,
    describe_standing,
    restored,
    told_with,
)
from scheduler.daemon.env import Env
from scheduler.daemon.guard import caller_of, owned, tenant_for
from scheduler.daemon.http import Policies, Scope, read_json_body, refuse_other_origins, whole
from scheduler.daemon.past_runs import PastWork
from scheduler.daemon.poller import Poller
from scheduler.daemon.quota_book import QuotaBook
from scheduler.daemon.runner import Runner
from scheduler.daemon.tenants import TenantBudgets
from scheduler.events import CancelRequested, Event, JobSubmitted, PauseRequested, ResumeRequested
from scheduler.jobs import IllegalTransitionError, InvalidJobError, Job, JobKind, JobState, NotHoldableError
from scheduler.launchers.contract import run_id_of
from scheduler.placement_text import explain
from scheduler.planning.open_jobs.choices import Grid
from scheduler.planning.plan import Placement, Refusal
from scheduler.planning.reasons.by_objective import explain_by_objective
from scheduler.planning.reasons.change_text import change_of_submission_json
from scheduler.planning.reasons.explanation_text import as_json
from scheduler.planning.reasons.nearest_change import Change
from scheduler.planning.reasons.placed import explain_open_job
from scheduler.planning.reasons.suggestions import TIME_TO_ANSWER_S, changes_beside
from scheduler.planning.weighed.admission import Admitted, Overdrawn
from scheduler.planning.weighed.planner import reserve_ratio_of, weighing
from scheduler.quantities import QuantityError, format_instant, parse_instant_s
from scheduler.store.contract import (
    DiskFullError,
    IdempotencyConflictError,
    IdempotencyKey,
    JobFilter,
    JobRecord,
    Reads,
    Store,
    StoreBusyError,
    Submission,
    UnknownJobError,
    UnstorableError,
)
from scheduler.store.writer import Writing
from scheduler.submission import BatchEstimate, SubmissionFields, job_from, read_submission
from scheduler.templates import filled

# Who may submit jobs may look at them, too.
_LOOKING = frozenset({Scope.TRAIN, Scope.READ})
POLICIES: Policies = {
    "POST /api/v1/jobs": Scope.TRAIN,
    "GET /api/v1/jobs": _LOOKING,
    "GET /api/v1/jobs/{id}": _LOOKING,
    "GET /api/v1/jobs/{id}/explain": _LOOKING,
    "GET /api/v1/jobs/{id}/output": _LOOKING,
    "GET /api/v1/jobs/{id}/log": _LOOKING,
    "POST /api/v1/jobs/{id}/cancel": Scope.TRAIN,
    "POST /api/v1/jobs/{id}/pause": Scope.TRAIN,
    "POST /api/v1/jobs/{id}/resume": Scope.TRAIN,
    "POST /api/v1/jobs/{id}/requeue": Scope.TRAIN,
    "GET /api/v1/plan": Scope.READ,
    "GET /api/v1/intensity": Scope.READ,
    "GET /api/v1/savings": Scope.READ,
    "GET /api/v1/budgets": Scope.READ,
}

T = TypeVar("T")

MAX_PAGE = 500
_RETRY_AFTER_STORE_S = 5.0
# Job's own field names, as the client spells them.
_CLIENT_FIELDS = {"deadline_at_s": "deadline", "duration_s": "duration", "power_w": "power"}


@dataclass(slots=True, kw_only=True)
class JobsApi:
    """The handlers; they translate and decide nothing."""

    env: Env
    settings: Settings
    writer: Writing
    reads: Reads
    runner: Runner
    poller: Poller
    accounts: Accounts
    estimate: BatchEstimate
    outputs: Callable[[str], Path]
    logs: Callable[[str], Path]
    past: PastWork
    budgets: TenantBudgets
    quotas: QuotaBook
    is_draining: bool = False
    _telling: set[asyncio.Task[Any]] = field(default_factory=set)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/api/v1/jobs", self.submit)
        app.router.add_get("/api/v1/jobs", self.listing, allow_head=False)
        app.router.add_get("/api/v1/jobs/{id}", self.show, allow_head=False)
        app.router.add_get("/api/v1/jobs/{id}/explain", self.explain, allow_head=False)
        app.router.add_get("/api/v1/jobs/{id}/output", self.output, allow_head=False)
        app.router.add_get("/api/v1/jobs/{id}/log", self.log, allow_head=False)
        app.router.add_post("/api/v1/jobs/{id}/cancel", self.cancel)
        app.router.add_post("/api/v1/jobs/{id}/pause", self.pause)
        app.router.add_post("/api/v1/jobs/{id}/resume", self.resume)
        app.router.add_post("/api/v1/jobs/{id}/requeue", self.requeue)
        app.router.add_get("/api/v1/plan", self.plan, allow_head=False)
        app.router.add_get("/api/v1/intensity", self.intensity, allow_head=False)
        app.router.add_get("/api/v1/savings", self.savings, allow_head=False)
        app.router.add_get("/api/v1/budgets", self.budgets_left, allow_head=False)

    # -- jobs -------------------------------------------------------------------------------------------------------

    async def submit(self, request: web.Request) -> web.Response:
        """201 with the new job, 200 with the one an idempotency key stands for, 422 where no plan is in time."""
        if self.is_draining:
            raise _draining()
        body = await self._body(request)
        with _naming_the_field():
            fields = await self.env.in_thread(read_submission, body)  # megabytes, where it is a batch
        fields.tenant = tenant_for(request, fields.tenant)
        key = _idempotency_key(request)
        # Asked first: what was accepted once is the answer, though it might be infeasible by now.
        if key is not None and (known := await self._known(fields, key, body)):
            return known
        job = await self.env.in_thread(self._job, fields)
        accepted = await self._accepted(job)
        if request.query.get("dry_run") in ("1", "true"):
            return _json(200, describe_draft(accepted.job, accepted.placement))
        payload = {"requests": fields.requests} if fields.requests else None
        is_new, record = await self._submit(accepted, payload, None if key is None else IdempotencyKey.of(key, body))
        request[TARGET] = record.job.id
        return self._described_record(201 if is_new else 200, record)

    async def listing(self, request: web.Request) -> web.Response:
        """Newest first; `state`, `tenant`, `limit`, `before` narrow it down."""
        chosen = JobFilter(states=_states(request), tenant=_tenant_looked_at(request))
        limit = whole(request, "limit", 100, MAX_PAGE)
        before = whole(request, "before", 0, 2**62) or None
        with _naming_the_store():
            records = await self.env.in_thread(self.reads.jobs, chosen, limit=limit, before=before)
        jobs = [describe_job(record, self.runner.engine.placement(record.job.id)) for record in records]
        more = records[-1].sequence if len(records) == limit else None
        return _json(200, {"object": "list", "data": jobs, "next_before": more})

    async def show(self, request: web.Request) -> web.Response:
        record = await self._own(request)
        return self._described_record(200, record)

    async def explain(self, request: web.Request) -> web.Response:
        """Why the job is where it is, in a sentence and in numbers."""
        record = await self._own(request)
        placement = self.runner.engine.placement(record.job.id)
        zones = {region.name: region.zone for region in self.runner.engine.regions}
        answers = (
            {zone: self.poller.answers.get(zone) for zone in sorted({zones[s.region] for s in placement.segments})}
            if placement
            else {}
        )
        return _json(
            200,
            {
                "job": record.job.id,
                "state": record.standing.state,
                "why": explain(placement, None) if placement else record.standing.reason or "it has ended",
                "latest_start": format_instant(record.job.latest_start_at_s),
                "plan": describe_placement(placement) if placement else None,
                "costs": self._costs(record.job, placement) if placement else None,
                "explanation": await self._explanation(record.job.id),
                "forecasts": {
                    zone: {"rung": answer.rung, "feed": answer.feed, "age_s": answer.age_s} if answer else None
                    for zone, answer in answers.items()
                },
            },
        )

    async def output(self, request: web.Request) -> web.StreamResponse:
        """The answers of a batch so far, one JSON line each, in the order in which they came."""
        record = await self._own(request)
        if record.job.kind is not JobKind.INFERENCE_BATCH:
            raise not_found("Only an inference batch has an output; its process writes where it likes.")
        return await self._file(self.outputs(record.job.id), "application/x-ndjson")

    async def log(self, request: web.Request) -> web.StreamResponse:
        """What the latest attempt wrote to its standard output and error."""
        record = await self._own(request)
        return await self._file(self.logs(run_id_of(record.job.id, record.standing.attempt)), "text/plain")

    async def _file(self, path: Path, content_type: str) -> web.StreamResponse:
        if not await self.env.in_thread(path.is_file):
            raise not_found("Nothing has been written yet.")
        return web.FileResponse(path, headers={"Content-Type": content_type})

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a job; one that has ended already answers 409."""
        refuse_other_origins(request)
        job_id = (await self._own(request)).job.id
        await self.cancel_job(job_id)
        return await self._described(200, job_id)

    async def pause(self, request: web.Request) -> web.Response:
        """Put a job on hold; 409 for one that runs in one piece, or has ended."""
        refuse_other_origins(request)
        job_id = (await self._own(request)).job.id
        await self.hold_job(job_id)
        return await self._described(200, job_id)

    async def resume(self, request: web.Request) -> web.Response:
        """Let a job on hold go: it is planned again."""
        refuse_other_origins(request)
        job_id = (await self._own(request)).job.id
        await self.resume_job(job_id)
        return await self._described(200, job_id)

    async def requeue(self, request: web.Request) -> web.Response:
        """Let a job out of quarantine."""
        refuse_other_origins(request)
        job_id, now_s = (await self._own(request)).job.id, self.env.now_s()
        await self._write(
            lambda store: store.requeue(job_id, now_s=now_s),
            lambda record: restored(record, now_s),
        )
        return await self._described(200, job_id)

    # -- for other fronts of the queue ------------------------------------------------------------------------------

    async def admit(
        self, job: Job, payload: Mapping[str, Any], idempotency: IdempotencyKey | None = None
    ) -> tuple[bool, JobRecord]:
        """Plan a job and accept it: whether it is new, and the job that the key stands for.

        Raises ApiError: 422 where no plan is in time, 503 where it cannot be kept.
        """
        if self.is_draining:
            raise _draining()
        return await self._submit(await self._accepted(job), payload, idempotency)

    async def admitted_before(self, tenant: str, idempotency: IdempotencyKey) -> str | None:
        """The job that an earlier call with this key made: it may be infeasible by now and is still the answer.

        Raises ApiError 409 for a key that was used for another body.
        """
        try:
            with _naming_the_store():
                return await self.env.in_thread(self.reads.submission_of, tenant, idempotency)
        except IdempotencyConflictError as error:
            raise _refused(error) from None

    async def cancel_job(self, job_id: str) -> None:
        """Raises ApiError: 409 for one that has ended already."""
        now_s = self.env.now_s()
        await self._write(
            lambda store: store.cancel(job_id, now_s=now_s, reason="cancelled by request"),
            lambda _: CancelRequested(at_s=now_s, job_id=job_id),
        )

    async def hold_job(self, job_id: str) -> None:
        """On hold until it is let go. Raises ApiError: 409 for one that runs in one piece, or has ended."""
        now_s = self.env.now_s()
        self.budgets.take_back(job_id)
        await self._write(
            lambda store: store.hold(job_id, now_s=now_s), lambda _: PauseRequested(at_s=now_s, job_id=job_id)
        )

    async def resume_job(self, job_id: str) -> None:
        """Raises ApiError: 409 for one that has ended, or that a budget of its tenant cannot pay for now."""
        now_s = self.env.now_s()
        if (over := self.budgets.let_go(job_id, now_s)) is not None:
            message = f"It stays on hold: {over.text}."
            raise ApiError(409, message, kind="invalid_request_error", param="budget", code="over_budget")
        try:
            await self._write(
                lambda store: store.resume(job_id, now_s=now_s), lambda _: ResumeRequested(at_s=now_s, job_id=job_id)
            )
        except ApiError:
            self.budgets.take_back(job_id)
            raise

    # -- the rest ---------------------------------------------------------------------------------------------------

    async def plan(self, request: web.Request) -> web.Response:
        plan, free, now_s = self.runner.engine.plan(), self.runner.engine.free_gpus(), self.env.now_s()
        return _json(
            200,
            {
                "made_at": format_instant(now_s),
                "regions": [describe_region(region, free, now_s) for region in self.runner.engine.regions],
                "placements": [
                    describe_placement(one) for name, one in plan.placements.items() if self._is_own(request, name)
                ],
            },
        )

    async def intensity(self, request: web.Request) -> web.Response:
        zone, now_s = request.query.get("zone"), self.env.now_s()
        if zone is not None and zone not in self.poller.answers:
            raise not_found(f"Zone {zone!r} is not one of {', '.join(sorted(self.poller.answers)) or 'none'}.")
        chosen = {zone: self.poller.answers[zone]} if zone is not None else self.poller.answers
        zones = [describe_answer(name, answer, now_s) for name, answer in sorted(chosen.items())]
        return _json(200, {"now": format_instant(now_s), "zones": zones})

    async def savings(self, request: web.Request) -> web.Response:
        """The account since `since`, else of the last 30 days, priced on what is known of the intensity by now.

        `tenant` narrows it down.
        """
        now_s = self.env.now_s()
        since_s = _instant_of(request, "since", now_s - 30 * 86400.0)
        with _naming_the_store():
            account = await self.accounts.settled(since_s, now_s, tenant=_tenant_looked_at(request))
        described = describe_account(account)
        return _json(200, {"since": format_instant(since_s), "until": format_instant(now_s), **described})

    async def budgets_left(self, request: web.Request) -> web.Response:
        """What each tenant's budget has left in its period under way; `tenant` narrows it down."""
        tenant = _tenant_looked_at(request)
        found = [one for one in self.budgets.standings(self.env.now_s()) if tenant is None or one.budget.covers(tenant)]
        return _json(200, {"object": "list", "data": [describe_standing(one) for one in found]})

    # -- inside -----------------------------------------------------------------------------------------------------

    async def _body(self, request: web.Request) -> bytes:
        return await read_json_body(request, max_bytes=self.settings.server.max_body_bytes)

    def _job(self, fields: SubmissionFields) -> Job:
        templates = {template.name: template for template in self.settings.template}
        with _naming_the_field():
            job = job_from(
                fields,
                job_id=self.env.new_id("job"),
                now_s=self.env.now_s(),
                templates=templates,
                regions={region.name for region in self.settings.region},
                estimate=self.estimate,
            )
            if fields.template:
                filled(templates[fields.template].command, fields.arguments)
        return job

    async def _accepted(self, job: Job) -> Admitted:
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

    def _costs(self, job: Job, placement: Placement) -> dict[str, float | None] | None:
        """What the place is expected to cost in every unit; null where plans are made by grams alone."""
        engine = self.runner.engine
        planner = weighing(engine.planner)
        if planner is None:
            return None
        cost = planner.components(job, placement.segments, engine.regions, engine.forecasts)
        return describe_costs(cost)

    async def _explanation(self, job_id: str) -> dict[str, Any] | None:
        """Computed when somebody asks, on a thread; null for a job without a place."""
        engine, now_s = self.runner.engine, self.env.now_s()
        regions, forecasts, answers = engine.regions, dict(engine.forecasts), dict(self.poller.answers)
        open_jobs, planner = engine.open_jobs(now_s), engine.planner
        if (weighed := weighing(planner)) is not None:
            known = (job_id, open_jobs, weighed, regions, forecasts, answers, now_s, reserve_ratio_of(planner))
            explanation = await self.env.in_thread(explain_by_objective, *known)
        else:
            told = (job_id, open_jobs, Grid(regions=regions, forecasts=forecasts), answers, now_s)
            explanation = await self.env.in_thread(explain_open_job, *told, reserve_ratio_of(planner))
        return None if explanation is None else as_json(explanation)

    async def _known(self, fields: SubmissionFields, key: str, body: bytes) -> web.Response | None:
        known = await self.admitted_before(fields.tenant, IdempotencyKey.of(key, body))
        return None if known is None else await self._described(200, known)

    async def _submit(
        self, accepted: Admitted, payload: Mapping[str, Any] | None, idempotency: IdempotencyKey | None
    ) -> tuple[bool, JobRecord]:
        """Whether it is new, and the job as it is stored. Until the engine knows it, its budget is promised to it."""
        job = accepted.job
        self.budgets.promise(accepted)
        try:
            submission: Submission = await self._write(
                lambda store: store.submit(job, now_s=job.submitted_at_s, payload=payload, idempotency=idempotency),
                lambda told: JobSubmitted(at_s=job.submitted_at_s, job=job) if told.is_new else None,
                is_admission=True,
            )
            return submission.is_new, await self._record(submission.job_id)
        finally:  # the engine has heard of it by now, or never will
            self.budgets.take_back(job.id)

    async def _write(
        self, change: Callable[[Store], T], event_of: Callable[[T], Event | None], *, is_admission: bool = False
    ) -> T:
        """Change the queue, then tell the engine. A client that leaves in between cannot keep the two apart."""
        telling = asyncio.create_task(self._write_and_tell(change, event_of, is_admission))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        return await asyncio.shield(telling)

    async def _write_and_tell(
        self, change: Callable[[Store], T], event_of: Callable[[T], Event | None], is_admission: bool
    ) -> T:
        try:
            with _naming_the_store():
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

    async def _own(self, request: web.Request) -> JobRecord:
        """The job of the path, if it is the caller's. Raises ApiError 404."""
        job_id = request.match_info["id"]
        record = await self._record(job_id)
        owned(request, record.job.tenant, lambda: not_found(str(UnknownJobError(job_id))))
        return record

    def _is_own(self, request: web.Request, job_id: str) -> bool:
        job = self.runner.engine.job(job_id)
        return job is not None and caller_of(request).acts_for(job.tenant)

    async def _record(self, job_id: str) -> JobRecord:
        try:
            with _naming_the_store():
                return await self.env.in_thread(self.reads.job, job_id)
        except UnknownJobError as error:
            raise not_found(str(error)) from None

    async def _described(self, status: int, job_id: str) -> web.Response:
        return self._described_record(status, await self._record(job_id))

    def _described_record(self, status: int, record: JobRecord) -> web.Response:
        return _json(status, describe_job(record, self.runner.engine.placement(record.job.id)))


@contextmanager
def _naming_the_field() -> Iterator[None]:
    try:
        yield
    except InvalidJobError as error:
        field = _CLIENT_FIELDS.get(error.field, error.field)
        raise invalid(f"{field}: {error.what}", param=field) from None


@contextmanager
def _naming_the_store() -> Iterator[None]:
    """A store that is busy or full is the server's matter, and over soon."""
    try:
        yield
    except (StoreBusyError, DiskFullError) as error:
        raise unavailable(str(error), code="store_busy", retry_after_s=_RETRY_AFTER_STORE_S) from None


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not key.isprintable():  # bytes that are no UTF-8, which no database takes
        raise invalid("Idempotency-Key: must be text that prints", param="Idempotency-Key")
    return key


def _tenant_looked_at(request: web.Request) -> str | None:
    """The tenant that a list is narrowed down to; None: all of them."""
    asked, own = request.query.get("tenant"), caller_of(request).tenant
    return asked if own is None else tenant_for(request, asked or own)


def _draining() -> ApiError:
    return unavailable("The daemon is stopping.", code="draining", retry_after_s=_RETRY_AFTER_STORE_S)


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


def _json(status: int, data: Mapping[str, Any]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(data), content_type="application/json")


def _states(request: web.Request) -> frozenset[JobState] | None:
    asked = request.query.getall("state", [])
    try:
        return frozenset(JobState(state) for state in asked) or None
    except ValueError:
        known = ", ".join(JobState)
        raise invalid(f"state: {', '.join(asked)} is none of {known}", param="state") from None


def _instant_of(request: web.Request, name: str, default_s: float) -> float:
    text = request.query.get(name)
    try:
        return default_s if text is None else parse_instant_s(text)
    except QuantityError as error:
        raise invalid(f"{name}: {error}", param=name) from None
