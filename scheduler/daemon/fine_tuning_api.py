"""`/v1/fine_tuning/jobs`: create, list, show, cancel, pause and resume fine-tunings, as OpenAI's clients do.

    state_dir/fine_tunes/ID/training.jsonl     a second name of the uploaded file, which may be deleted meanwhile
                            validation.jsonl
                            output/            the trainer's; checkpoints.jsonl and events.jsonl are read from it

Translates and decides nothing: the job goes the way of every other.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from scheduler.batches import FilePurpose
from scheduler.config import Settings
from scheduler.daemon.api_errors import ApiError, invalid, not_found, unavailable
from scheduler.daemon.audit import TARGET
from scheduler.daemon.env import Env
from scheduler.daemon.file_folder import FileFolder
from scheduler.daemon.files_api import FilesApi, json_answer, listed
from scheduler.daemon.guard import caller_of, owned, tenant_for
from scheduler.daemon.http import Policies, Scope, read_json_body, refuse_other_origins, whole
from scheduler.daemon.job_desk import JobDesk
from scheduler.daemon.metadata import check_metadata, metadata_filter
from scheduler.fine_tuning import FineTuning, checked, job_of, read_fields, settings_of, status_of
from scheduler.jobs import InvalidJobError, Job, JobState
from scheduler.placement_text import explain
from scheduler.planning.plan import Placement
from scheduler.store.contract import IdempotencyKey, JobFilter, JobRecord, Reads, StoreBusyError, UnknownJobError
from scheduler.templates import filled, placeholders

log = logging.getLogger(__name__)

_LOOKING = frozenset({Scope.TRAIN, Scope.READ})
POLICIES: Policies = {
    "POST /v1/fine_tuning/jobs": Scope.TRAIN,
    "GET /v1/fine_tuning/jobs": _LOOKING,
    "GET /v1/fine_tuning/jobs/{id}": _LOOKING,
    "GET /v1/fine_tuning/jobs/{id}/events": _LOOKING,
    "GET /v1/fine_tuning/jobs/{id}/checkpoints": _LOOKING,
    "POST /v1/fine_tuning/jobs/{id}/cancel": Scope.TRAIN,
    "POST /v1/fine_tuning/jobs/{id}/pause": Scope.TRAIN,
    "POST /v1/fine_tuning/jobs/{id}/resume": Scope.TRAIN,
}

_MAX_BODY_BYTES = 64 * 1024
_DEFAULT_PAGE, _LONGEST_PAGE = 20, 100
_RETRY_AFTER_S = 5.0
# A trainer's file of lines is read to here at most.
_MAX_LINES_BYTES = 4 * 1024 * 1024
_ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.QUARANTINED})
_PAYLOAD, _ID = "fine_tuning", "ftjob"
# Created, planned, changed: each keeps its number though another is not there, and the trainer's come after them.
_OWN_EVENTS = 3


@dataclass(slots=True, kw_only=True)
class FineTuningApi:
    """The handlers."""

    env: Env
    settings: Settings
    reads: Reads
    desk: JobDesk
    files: FilesApi
    uploads: FileFolder
    folder: Path
    placement_of: Callable[[str], Placement | None]

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/fine_tuning/jobs", self.create)
        app.router.add_get("/v1/fine_tuning/jobs", self.listing, allow_head=False)
        app.router.add_get("/v1/fine_tuning/jobs/{id}", self.show, allow_head=False)
        app.router.add_get("/v1/fine_tuning/jobs/{id}/events", self.events, allow_head=False)
        app.router.add_get("/v1/fine_tuning/jobs/{id}/checkpoints", self.checkpoints, allow_head=False)
        app.router.add_post("/v1/fine_tuning/jobs/{id}/cancel", self.cancel)
        app.router.add_post("/v1/fine_tuning/jobs/{id}/pause", self.pause)
        app.router.add_post("/v1/fine_tuning/jobs/{id}/resume", self.resume)

    async def recover(self) -> None:
        """Remove what a crash left of calls that were never answered; what cannot be told now is left for later."""
        try:
            await self.env.in_thread(self._remove_unknown)
        except StoreBusyError as error:
            log.warning("folders not looked at", extra={"action": "fine_tunes_kept", "why": str(error)})

    async def create(self, request: web.Request) -> web.Response:
        """The fine-tuning once it is durable, or the one that its key stands for; 422 where no plan is in time."""
        body = await read_json_body(request, max_bytes=_MAX_BODY_BYTES)
        key, tenant = request.headers.get("Idempotency-Key"), tenant_for(request)
        idempotency = None if key is None else IdempotencyKey.of(key, body)
        if idempotency is not None and (known := await self.desk.admitted_before(tenant, idempotency)):
            return json_answer(self._described(await self._record(known)))
        try:
            fields = read_fields(body)
            check_metadata(fields.metadata)
            settings = settings_of(fields.model, self.settings.fine_tuning)
            asked = checked(fields, settings)
            job_id = self.env.new_id(_ID)
            paths = await self._paths(request, asked, job_id)
            template = next(one for one in self.settings.template if one.name == settings.template)
            arguments = asked.arguments(placeholders(template.command), paths)
            filled(template.command, arguments)
            job = job_of(asked, settings, arguments, job_id, self.env.now_s(), tenant)
        except InvalidJobError as error:
            raise invalid(f"{error.field}: {error.what}", param=error.field) from None
        request[TARGET] = job.id
        return await self._admitted(job, asked, idempotency)

    async def _admitted(self, job: Job, asked: FineTuning, idempotency: IdempotencyKey | None) -> web.Response:
        folder = self.folder / job.id
        try:
            await self.env.in_thread(self._lay_out, folder, asked)
            is_new, record = await self.desk.admit(job, {_PAYLOAD: asdict(asked)}, idempotency)
        except FileNotFoundError:
            raise not_found(f"There is no file {asked.training_file!r}.") from None
        except ApiError:
            await self.env.in_thread(shutil.rmtree, folder, True)
            raise
        if not is_new:  # the same call came twice at once, and the other was first
            await self.env.in_thread(shutil.rmtree, folder, True)
        return json_answer(self._described(record))

    async def listing(self, request: web.Request) -> web.Response:
        """Newest first, `after` an id; with `metadata[...]` those alone that have it."""
        limit = whole(request, "limit", _DEFAULT_PAGE, _LONGEST_PAGE)
        after = request.query.get("after")
        before = None if after is None else (await self._own(request, after, param="after")).sequence
        chosen = JobFilter(id_prefix=_ID, tenant=caller_of(request).tenant)
        fits, found, rows = metadata_filter(request.query), list[JobRecord](), limit + 1
        while len(found) <= limit:
            page = await self._asked(self.reads.jobs, chosen, limit=rows, before=before, with_payloads=True)
            found += [one for one in page if fits(_asked_of(one).metadata)]
            if len(page) < rows:
                break
            before, rows = page[-1].sequence, _LONGEST_PAGE  # few fit: a short page would ask for each of the others
        return json_answer(listed([self._described(one) for one in found[:limit]], has_more=len(found) > limit))

    async def show(self, request: web.Request) -> web.Response:
        return json_answer(self._described(await self._own(request, request.match_info["id"])))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancelled at once; what runs is told to stop. The body is not looked at."""
        return await self._commanded(request, self.desk.cancel)

    async def pause(self, request: web.Request) -> web.Response:
        """On hold until it is resumed; a run writes its checkpoint and stops. 409 for one that runs in one piece."""
        return await self._commanded(request, self.desk.hold)

    async def resume(self, request: web.Request) -> web.Response:
        """No longer on hold: it is planned again, and late if there is no more time."""
        return await self._commanded(request, self.desk.resume)

    async def _commanded(
        self, request: web.Request, command: Callable[[str], Coroutine[Any, Any, None]]
    ) -> web.Response:
        refuse_other_origins(request)
        record = await self._own(request, request.match_info["id"])
        await command(record.job.id)
        return json_answer(self._described(await self._record(record.job.id)))

    async def events(self, request: web.Request) -> web.Response:
        """What we know of the job, then what the trainer says; newest first."""
        record = await self._own(request, request.match_info["id"])
        own = _own_events(record, self.placement_of(record.job.id))
        said = await self.env.in_thread(_lines, self.folder / record.job.id / "output" / "events.jsonl")
        all_events = [*own, *(_event(record.job.id, _OWN_EVENTS + number, one) for number, one in enumerate(said))]
        # Turned round after sorting: of those of one second the later stands first, too.
        return json_answer(_page(request, sorted(all_events, key=lambda one: one["created_at"])[::-1]))

    async def checkpoints(self, request: web.Request) -> web.Response:
        """What the trainer wrote down, newest first."""
        record = await self._own(request, request.match_info["id"])
        written = await self.env.in_thread(_lines, self.folder / record.job.id / "output" / "checkpoints.jsonl")
        found = [_checkpoint(record, number, one) for number, one in enumerate(written)]
        return json_answer(_page(request, found[::-1]))

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _paths(self, request: web.Request, asked: FineTuning, job_id: str) -> dict[str, str]:
        """What the trainer is told of its files. Raises ApiError for a file that is none, or one for something else."""
        folder = self.folder / job_id
        paths = {"training_file": str(folder / "training.jsonl"), "output": str(folder / "output")}
        if asked.validation_file is not None:
            paths["validation_file"] = str(folder / "validation.jsonl")
        for name in ("training_file", "validation_file"):
            if (file_id := getattr(asked, name)) is None:
                continue
            file = await self.files.known(request, file_id, param=name)
            if file.purpose is not FilePurpose.FINE_TUNE:
                raise invalid(f"File {file_id} was uploaded with purpose {file.purpose}, not fine-tune.", param=name)
        return paths

    def _lay_out(self, folder: Path, asked: FineTuning) -> None:
        (folder / "output").mkdir(mode=0o700, parents=True)
        os.link(self.uploads.path(asked.training_file), folder / "training.jsonl")
        if asked.validation_file is not None:
            os.link(self.uploads.path(asked.validation_file), folder / "validation.jsonl")

    def _remove_unknown(self) -> None:
        for folder in self.folder.iterdir() if self.folder.exists() else ():
            try:
                self.reads.job(folder.name)
            except UnknownJobError:
                shutil.rmtree(folder, ignore_errors=True)

    async def _own(self, request: web.Request, job_id: str, param: str | None = None) -> JobRecord:
        """The caller's fine-tuning. Raises ApiError 404."""
        record = await self._record(job_id, param)
        owned(request, record.job.tenant, lambda: _unknown(job_id, param))
        return record

    async def _record(self, job_id: str, param: str | None = None) -> JobRecord:
        try:
            record: JobRecord = await self._asked(self.reads.job, job_id)
        except UnknownJobError:
            raise _unknown(job_id, param) from None
        if _PAYLOAD not in (record.payload or {}):
            raise _unknown(job_id, param)
        return record

    async def _asked(self, question: Callable[..., Any], *told: Any, **named: Any) -> Any:
        try:
            return await self.env.in_thread(question, *told, **named)
        except StoreBusyError as error:
            raise unavailable(str(error), code="store_busy", retry_after_s=_RETRY_AFTER_S) from None

    def _described(self, record: JobRecord) -> dict[str, Any]:
        return described(record, self.placement_of(record.job.id))


def _unknown(job_id: str, param: str | None = None) -> ApiError:
    return not_found(f"There is no fine-tuning job {job_id[:60]!r}.", param=param)


def described(record: JobRecord, placement: Placement | None) -> dict[str, Any]:
    """OpenAI's fine-tuning object. What it would bill for is not known: `trained_tokens` stays null."""
    asked = _asked_of(record)
    state, job = record.standing.state, record.job
    has_failed = state in (JobState.FAILED, JobState.QUARANTINED)
    ended_at_s = record.standing.changed_at_s if state in _ENDED else None
    return {
        "object": "fine_tuning.job",
        "id": job.id,
        "model": asked.model,
        "created_at": int(job.submitted_at_s),
        "finished_at": None if ended_at_s is None else int(ended_at_s),
        "fine_tuned_model": asked.name_of_result(job.id) if state is JobState.SUCCEEDED else None,
        "organization_id": job.tenant,
        "result_files": [],
        "status": status_of(state, is_on_hold=record.standing.on_hold_at_s is not None),
        "validation_file": asked.validation_file,
        "training_file": asked.training_file,
        "hyperparameters": _hyperparameters(asked),
        "method": {"type": asked.method, asked.method: {"hyperparameters": _hyperparameters(asked)}},
        "trained_tokens": None,
        "seed": asked.seed,
        "estimated_finish": int(placement.end_at_s) if placement and ended_at_s is None else None,
        "integrations": [],
        "metadata": asked.metadata,
        "error": {"code": state, "message": record.standing.reason, "param": None} if has_failed else None,
    }


def _asked_of(record: JobRecord) -> FineTuning:
    assert record.payload is not None, "only lists leave it out"
    return msgspec.convert(record.payload[_PAYLOAD], FineTuning)


def _hyperparameters(asked: FineTuning) -> dict[str, float | int]:
    return {name: int(value) if value == int(value) else value for name, value in asked.hyperparameters.items()}


# -- events and checkpoints -------------------------------------------------------------------------------------------


def _own_events(record: JobRecord, placement: Placement | None) -> list[dict[str, Any]]:
    job, standing = record.job, record.standing
    told = [(0, job.submitted_at_s, "info", f"Created fine-tuning job: {job.id}")]
    if placement is not None:
        told.append((1, job.submitted_at_s, "info", f"Planned: {explain(placement, None)}"))
    if standing.changed_at_s > job.submitted_at_s:
        level = "error" if standing.state in (JobState.FAILED, JobState.QUARANTINED) else "info"
        told.append((2, standing.changed_at_s, level, f"The job is {standing.state}. {standing.reason}".strip()))
    return [
        _event(job.id, number, {"created_at": at_s, "level": level, "message": message})
        for number, at_s, level, message in told
    ]


def _event(job_id: str, number: int, said: Mapping[str, Any]) -> dict[str, Any]:
    level = said.get("level")
    return {
        "object": "fine_tuning.job.event",
        "id": f"ftevent-{job_id}-{number}",
        "created_at": int(said.get("created_at") or 0),
        "level": level if level in ("info", "warn", "error") else "info",
        "message": str(said.get("message", "")),
        "type": "metrics" if said.get("data") else "message",
        "data": said.get("data"),
    }


def _checkpoint(record: JobRecord, number: int, written: Mapping[str, Any]) -> dict[str, Any]:
    step, metrics = written.get("step", number), written.get("metrics")
    name = _asked_of(record).name_of_result(record.job.id)
    return {
        "object": "fine_tuning.job.checkpoint",
        "id": f"ftckpt-{record.job.id}-{number}",
        "created_at": int(written.get("created_at") or 0),
        "fine_tuned_model_checkpoint": f"{name}:ckpt-step-{step}",
        "fine_tuning_job_id": record.job.id,
        "step_number": int(step),
        "metrics": {**(metrics if isinstance(metrics, dict) else {}), "step": step},
    }


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file that a trainer writes while we read; what is no JSON object is passed over."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_LINES_BYTES)
    except FileNotFoundError:
        return []
    found = []
    for line in text.splitlines(keepends=True):
        try:
            value = msgspec.json.decode(line) if line.endswith(b"\n") else None
        except msgspec.DecodeError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _page(request: web.Request, found: list[dict[str, Any]]) -> dict[str, Any]:
    limit = whole(request, "limit", _DEFAULT_PAGE, _LONGEST_PAGE)
    after = request.query.get("after")
    ids = [one["id"] for one in found]
    if after is not None and after not in ids:
        raise not_found(f"There is nothing called {after[:60]!r} here.", param="after")
    first = 0 if after is None else ids.index(after) + 1
    return listed(found[first : first + limit], has_more=len(found) > first + limit)
