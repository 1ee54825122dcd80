"""`/api/v1/jobs`: submit, list, show, explain, cancel, hold, let go and queue again; job_desk.py does what they ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from scheduler.config import Settings
from scheduler.daemon.api_errors import invalid, not_found
from scheduler.daemon.audit import TARGET
from scheduler.daemon.descriptions import (
    describe_costs,
    describe_draft,
    describe_job,
    describe_placement,
)
from scheduler.daemon.env import Env
from scheduler.daemon.guard import owned, tenant_for, tenant_looked_at
from scheduler.daemon.http import Policies, Scope, json_answer, read_json_body, refuse_other_origins, whole
from scheduler.daemon.job_desk import JobDesk, naming_the_store
from scheduler.daemon.poller import Poller
from scheduler.daemon.runner import Runner
from scheduler.jobs import InvalidJobError, Job, JobKind, JobState
from scheduler.launchers.contract import run_id_of
from scheduler.placement_text import explain
from scheduler.planning.open_jobs.choices import Grid
from scheduler.planning.plan import Placement
from scheduler.planning.reasons.by_objective import explain_by_objective
from scheduler.planning.reasons.explanation_text import as_json
from scheduler.planning.reasons.placed import explain_open_job
from scheduler.planning.weighed.planner import reserve_ratio_of, weighing
from scheduler.quantities import format_instant
from scheduler.store.contract import (
    IdempotencyKey,
    JobFilter,
    JobRecord,
    Reads,
    UnknownJobError,
)
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
}

MAX_PAGE = 500
# Job's own field names, as the client spells them.
_CLIENT_FIELDS = {"deadline_at_s": "deadline", "duration_s": "duration", "power_w": "power"}


@dataclass(slots=True, kw_only=True)
class JobsApi:
    """The handlers; they translate and decide nothing."""

    env: Env
    settings: Settings
    desk: JobDesk
    reads: Reads
    runner: Runner
    poller: Poller
    estimate: BatchEstimate
    outputs: Callable[[str], Path]
    logs: Callable[[str], Path]

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

    async def submit(self, request: web.Request) -> web.Response:
        """201 with the new job, 200 with the one an idempotency key stands for, 422 where no plan is in time."""
        self.desk.refuse_if_draining()
        body = await self._body(request)
        with _naming_the_field():
            fields = await self.env.in_thread(read_submission, body)  # megabytes, where it is a batch
        fields.tenant = tenant_for(request, fields.tenant)
        key = _idempotency_key(request)
        # Asked first: what was accepted once is the answer, though it might be infeasible by now.
        if key is not None and (known := await self._known(fields, key, body)):
            return known
        job = await self.env.in_thread(self._job, fields)
        accepted = await self.desk.accepted(job)
        if request.query.get("dry_run") in ("1", "true"):
            return json_answer(200, describe_draft(accepted.job, accepted.placement))
        payload = {"requests": fields.requests} if fields.requests else None
        is_new, record = await self.desk.submit(
            accepted, payload, None if key is None else IdempotencyKey.of(key, body)
        )
        request[TARGET] = record.job.id
        return self._described_record(201 if is_new else 200, record)

    async def listing(self, request: web.Request) -> web.Response:
        """Newest first; `state`, `tenant`, `limit`, `before` narrow it down."""
        chosen = JobFilter(states=_states(request), tenant=tenant_looked_at(request))
        limit = whole(request, "limit", 100, MAX_PAGE)
        before = whole(request, "before", 0, 2**62) or None
        with naming_the_store():
            records = await self.env.in_thread(self.reads.jobs, chosen, limit=limit, before=before)
        jobs = [describe_job(record, self.runner.engine.placement(record.job.id)) for record in records]
        more = records[-1].sequence if len(records) == limit else None
        return json_answer(200, {"object": "list", "data": jobs, "next_before": more})

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
        return json_answer(
            200,
            {
                "job": record.job.id,
                "state": record.standing.state,
                "why": why_there(record, placement),
                "latest_start": format_instant(record.job.latest_start_at_s),
                "plan": describe_placement(placement, record.job.power_error_class) if placement else None,
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
        await self.desk.cancel(job_id)
        return await self._described(200, job_id)

    async def pause(self, request: web.Request) -> web.Response:
        """Put a job on hold; 409 for one that runs in one piece, or has ended."""
        refuse_other_origins(request)
        job_id = (await self._own(request)).job.id
        await self.desk.hold(job_id)
        return await self._described(200, job_id)

    async def resume(self, request: web.Request) -> web.Response:
        """Let a job on hold go: it is planned again."""
        refuse_other_origins(request)
        job_id = (await self._own(request)).job.id
        await self.desk.resume(job_id)
        return await self._described(200, job_id)

    async def requeue(self, request: web.Request) -> web.Response:
        """Let a job out of quarantine."""
        refuse_other_origins(request)
        job_id = (await self._own(request)).job.id
        await self.desk.requeue(job_id)
        return await self._described(200, job_id)

    # -- inside -------------------------------------------------------------------------------------------------------

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
        known = await self.desk.admitted_before(fields.tenant, IdempotencyKey.of(key, body))
        return None if known is None else await self._described(200, known)

    async def _own(self, request: web.Request) -> JobRecord:
        """The job of the path, if it is the caller's. Raises ApiError 404."""
        job_id = request.match_info["id"]
        record = await self.desk.record(job_id)
        owned(request, record.job.tenant, lambda: not_found(str(UnknownJobError(job_id))))
        return record

    async def _described(self, status: int, job_id: str) -> web.Response:
        return self._described_record(status, await self.desk.record(job_id))

    def _described_record(self, status: int, record: JobRecord) -> web.Response:
        return json_answer(status, describe_job(record, self.runner.engine.placement(record.job.id)))


def why_there(record: JobRecord, placement: Placement | None) -> str:
    """In a sentence. A job that the engine has not heard of yet has no place, and has not ended."""
    if placement is not None:
        return explain(placement, None)
    standing = record.standing
    if standing.reason:
        return standing.reason
    return f"it is {standing.state}, and has no place yet" if standing.ended_at_s is None else "it has ended"


@contextmanager
def _naming_the_field() -> Iterator[None]:
    try:
        yield
    except InvalidJobError as error:
        field = _CLIENT_FIELDS.get(error.field, error.field)
        raise invalid(f"{field}: {error.what}", param=field) from None


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not key.isprintable():  # bytes that are no UTF-8, which no database takes
        raise invalid("Idempotency-Key: must be text that prints", param="Idempotency-Key")
    return key


def _states(request: web.Request) -> frozenset[JobState] | None:
    asked = request.query.getall("state", [])
    try:
        return frozenset(JobState(state) for state in asked) or None
    except ValueError:
        known = ", ".join(JobState)
        raise invalid(f"state: {', '.join(asked)} is none of {known}", param="state") from None
