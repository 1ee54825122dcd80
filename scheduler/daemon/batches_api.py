"""`/v1/batches`: create, list, show and cancel batches, as OpenAI's clients do. Translates and decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from aiohttp import web

from scheduler.batches import Batch, BatchStatus, FilePurpose, IllegalBatchMoveError, LineCounts
from scheduler.config import BatchesSettings
from scheduler.daemon.api_errors import ApiError, invalid, not_found, unavailable
from scheduler.daemon.audit import TARGET
from scheduler.daemon.batches import Batches
from scheduler.daemon.env import Env
from scheduler.daemon.files_api import FilesApi, checked_life_s, json_answer, listed
from scheduler.daemon.guard import caller_of, owned
from scheduler.daemon.http import Policies, Scope, read_json_body, refuse_other_origins, whole
from scheduler.daemon.metadata import check_metadata
from scheduler.daemon.openai_api import Endpoint
from scheduler.daemon.quota_book import QuotaBook
from scheduler.quantities import QuantityError, parse_duration_s
from scheduler.store.contract import DiskFullError, Reads, StoreBusyError
from scheduler.store.filing_contract import UnknownBatchError

POLICIES: Policies = {
    "POST /v1/batches": Scope.BATCH,
    "GET /v1/batches": frozenset({Scope.BATCH, Scope.READ}),
    "GET /v1/batches/{id}": frozenset({Scope.BATCH, Scope.READ}),
    "POST /v1/batches/{id}/cancel": Scope.BATCH,
}

_MAX_BODY_BYTES = 64 * 1024
_DEFAULT_PAGE, _LONGEST_PAGE = 20, 100
_SHORTEST_WINDOW_S = 1.0
_RETRY_AFTER_S = 5.0


class OutputLife(msgspec.Struct):
    """How long the files of answers are kept."""

    anchor: str
    seconds: int


class BatchFields(msgspec.Struct):
    """The body of a creation; fields of newer clients are passed over."""

    endpoint: str
    input_file_id: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None
    output_expires_after: OutputLife | None = None


_decoder = msgspec.json.Decoder(BatchFields)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchesApi:
    """The handlers."""

    env: Env
    settings: BatchesSettings
    reads: Reads
    files: FilesApi
    batches: Batches
    quotas: QuotaBook

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/batches", self.create)
        app.router.add_get("/v1/batches", self.listing, allow_head=False)
        app.router.add_get("/v1/batches/{id}", self.show, allow_head=False)
        app.router.add_post("/v1/batches/{id}/cancel", self.cancel)

    async def create(self, request: web.Request) -> web.Response:
        """The batch once it is durable; its lines are checked after that."""
        asked = _asked(await read_json_body(request, max_bytes=_MAX_BODY_BYTES))
        file = await self.files.known(request, asked.input_file_id, param="input_file_id")
        if file.purpose is not FilePurpose.BATCH:
            raise invalid(f"File {file.id} was uploaded with purpose {file.purpose}, not batch.", param="input_file_id")
        self.quotas.refuse_spent(file.tenant, is_batch=True)
        batch = self._batch(asked, file.tenant)
        try:
            await self.batches.accept(batch)
        except FileNotFoundError:
            raise not_found(f"There is no file {file.id!r}.") from None
        except (StoreBusyError, DiskFullError) as error:
            raise _refused(error) from None
        request[TARGET] = batch.id
        return json_answer(described_batch(batch, batch.counts))

    async def listing(self, request: web.Request) -> web.Response:
        limit, live = whole(request, "limit", _DEFAULT_PAGE, _LONGEST_PAGE), self.batches.live_counts()
        after, tenant = request.query.get("after"), caller_of(request).tenant
        try:
            found = await self.env.in_thread(self.reads.batches, limit=limit + 1, after=after, tenant=tenant)
        except (UnknownBatchError, StoreBusyError) as error:
            raise _refused(error, "after") from None
        return json_answer(listed([_described(batch, live) for batch in found[:limit]], has_more=len(found) > limit))

    async def show(self, request: web.Request) -> web.Response:
        # Taken before the row is read: a batch that ends in between is shown with the counts of its row.
        live = self.batches.live_counts()
        return json_answer(_described(await self.own(request), live))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancelling at once; cancelled when what has been answered is in its files. The body is not looked at."""
        refuse_other_origins(request)
        try:
            batch = await self.batches.cancel((await self.own(request)).id)
        except (UnknownBatchError, IllegalBatchMoveError, StoreBusyError, DiskFullError) as error:
            raise _refused(error) from None
        return json_answer(_described(batch, self.batches.live_counts()))

    def _batch(self, asked: BatchFields, tenant: str) -> Batch:
        if asked.endpoint not in set(Endpoint):
            raise invalid(f"endpoint must be one of {', '.join(Endpoint)}", param="endpoint")
        check_metadata(asked.metadata)
        now_s = self.env.now_s()
        return Batch(
            id=self.env.new_id("batch"),
            endpoint=asked.endpoint,
            input_file_id=asked.input_file_id,
            completion_window=asked.completion_window,
            created_at_s=now_s,
            deadline_at_s=now_s + self._window_s(asked.completion_window),
            output_file_id=self.env.new_id("file"),
            error_file_id=self.env.new_id("file"),
            metadata=asked.metadata,
            output_life_s=_output_life_s(asked.output_expires_after),
            tenant=tenant,
        )

    async def own(self, request: web.Request) -> Batch:
        """The batch of the path, if it is the caller's. Raises ApiError 404."""
        batch_id = request.match_info["id"]
        try:
            batch = await self.env.in_thread(self.reads.batch, batch_id)
        except (UnknownBatchError, StoreBusyError) as error:
            raise _refused(error) from None
        owned(request, batch.tenant, lambda: _refused(UnknownBatchError(batch_id)))
        return batch

    def _window_s(self, text: str) -> float:
        longest_s = self.settings.longest_window_s
        try:
            window_s = parse_duration_s(text)
        except (QuantityError, OverflowError) as error:
            raise invalid(f"completion_window: {error}", param="completion_window") from None
        if not _SHORTEST_WINDOW_S <= window_s <= longest_s:
            raise invalid(f"completion_window must be 1s to {longest_s:.0f}s", param="completion_window")
        return window_s


def _described(batch: Batch, live: Mapping[str, LineCounts]) -> dict[str, Any]:
    return described_batch(batch, batch.counts if batch.is_final else live.get(batch.id, batch.counts))


def described_batch(batch: Batch, counts: LineCounts) -> dict[str, Any]:
    """OpenAI's batch object."""

    def entered(status: BatchStatus) -> int | None:
        at_s = batch.entered_at_s.get(status)
        return None if at_s is None else int(at_s)

    problems = [asdict(problem) for problem in batch.problems]
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": problems} if problems else None,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": batch.status,
        "output_file_id": batch.output_file_id if batch.output_bytes else None,
        "error_file_id": batch.error_file_id if batch.error_bytes else None,
        "created_at": int(batch.created_at_s),
        "in_progress_at": entered(BatchStatus.IN_PROGRESS),
        "expires_at": int(batch.deadline_at_s),
        "finalizing_at": entered(BatchStatus.FINALIZING),
        "completed_at": entered(BatchStatus.COMPLETED),
        "failed_at": entered(BatchStatus.FAILED),
        "expired_at": entered(BatchStatus.EXPIRED),
        "cancelling_at": entered(BatchStatus.CANCELLING),
        "cancelled_at": entered(BatchStatus.CANCELLED),
        "request_counts": {"total": counts.total, "completed": counts.completed, "failed": counts.failed},
        "metadata": batch.metadata,
    }


def _asked(body: bytes) -> BatchFields:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        named = next((name for name in BatchFields.__struct_fields__ if f"`{name}`" in str(error)), None)
        placed = next((name for name in BatchFields.__struct_fields__ if f"$.{name}" in str(error)), named)
        raise invalid(f"{error}.", param=placed) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("The body is not valid JSON.", code="invalid_json") from None


def _output_life_s(life: OutputLife | None) -> float | None:
    if life is None:
        return None
    if life.anchor != "created_at":
        raise invalid("output_expires_after.anchor must be created_at", param="output_expires_after.anchor")
    return checked_life_s(life.seconds, param="output_expires_after.seconds")


def _refused(error: Exception, param: str | None = None) -> ApiError:
    match error:
        case UnknownBatchError():
            return not_found(f"There is no batch {error.batch_id[:60]!r}.", param=param)
        case IllegalBatchMoveError():
            return invalid(f"A batch that is {error.before} cannot be cancelled.", code="not_cancellable")
        case _:
            return unavailable(str(error), code="store_busy", retry_after_s=_RETRY_AFTER_S)
