"""`/v1/files`: upload, list, show, read and delete files, as OpenAI's clients do.

An upload is streamed to the disk and acknowledged once it and its row are durable. What a client calls its file is kept
for people and is no part of any path.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from scheduler.batches import (
    BATCH_INPUT_LIFE_S,
    LONGEST_LIFE_S,
    SHORTEST_LIFE_S,
    UPLOAD_PURPOSES,
    FilePurpose,
    StoredFile,
)
from scheduler.daemon.api_errors import ApiError, invalid, not_found, unavailable
from scheduler.daemon.audit import TARGET
from scheduler.daemon.env import Env
from scheduler.daemon.file_folder import FileFolder, UnfinishedFile
from scheduler.daemon.file_ranges import WholeFile, names_one_range
from scheduler.daemon.guard import caller_of, owned, tenant_for
from scheduler.daemon.http import Policies, Scope, in_time, refuse_other_origins, slow_body, whole
from scheduler.store.contract import DiskFullError, Reads, StoreBusyError
from scheduler.store.filing_contract import UnknownFileError
from scheduler.store.writer import Writing

log = logging.getLogger(__name__)

# Files are there for batches and for fine-tunings.
_FILING = frozenset({Scope.BATCH, Scope.TRAIN})
POLICIES: Policies = {
    "POST /v1/files": _FILING,
    "GET /v1/files": _FILING | {Scope.READ},
    "GET /v1/files/{id}": _FILING | {Scope.READ},
    "GET /v1/files/{id}/content": _FILING | {Scope.READ},
    "DELETE /v1/files/{id}": _FILING,
}

# What the reader raises, by where a form is broken.
_BROKEN_FORM = (ValueError, RuntimeError, AssertionError, EOFError, HttpProcessingError, web.RequestPayloadError)
_FORM_ADVICE = "The form cannot be read: its boundary is missing or another, or it ends too soon."
_CHUNK_BYTES = 256 * 1024
# Beside the file: its boundaries and a few short fields.
_FORM_BYTES = 64 * 1024
_MAX_FIELD_BYTES = 1024
_MAX_PARTS = 16
_MAX_NAME_CHARACTERS = 255
_LONGEST_LIST = 10_000
_RETRY_AFTER_S = 5.0
_SWEEP_S = 60.0
_SHORTEST_SWEEP_S = 1.0  # real, under a clock that runs ahead


@dataclass(slots=True, kw_only=True)
class _Form:
    """What has come of a form so far."""

    fields: dict[str, str] = field(default_factory=dict)
    data: UnfinishedFile | None = None
    filename: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesApi:
    """The handlers, and the removal of files whose time is over."""

    env: Env
    writer: Writing
    reads: Reads
    folder: FileFolder
    max_file_bytes: int
    has_room: Callable[[], bool]

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/files", self.create)
        app.router.add_get("/v1/files", self.listing, allow_head=False)
        app.router.add_get("/v1/files/{id}", self.show, allow_head=False)
        app.router.add_get("/v1/files/{id}/content", self.content, allow_head=False)
        app.router.add_delete("/v1/files/{id}", self.delete)

    # -- life ---------------------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Remove what a crash left half-way."""
        known = await self.env.in_thread(self.reads.file_ids)
        await self.env.in_thread(self.folder.remove_others, known)

    async def run(self) -> None:
        """Remove files whose time is over, until cancelled."""
        while True:
            await self.env.sleep_s(max(_SWEEP_S, _SHORTEST_SWEEP_S * self.env.speed))
            try:
                for file in await self.env.in_thread(self.reads.expired_files, self.env.now_s()):
                    await self._remove(file.id)
                    log.info("file expired", extra={"action": "file_expired", "file": file.id})
            except (StoreBusyError, DiskFullError) as error:  # the next look finds it again
                log.warning("files not swept", extra={"action": "file_sweep_failed", "why": str(error)})

    async def known(self, request: web.Request, file_id: str, param: str | None = None) -> StoredFile:
        """The caller's file. Raises ApiError 404."""
        if "\0" in file_id:  # of a body; PostgreSQL takes no such text
            raise _refused(UnknownFileError(file_id), param)
        try:
            file = await self.env.in_thread(self.reads.file, file_id)
        except (UnknownFileError, StoreBusyError) as error:
            raise _refused(error, param) from None
        owned(request, file.tenant, lambda: _refused(UnknownFileError(file_id), param))
        if file.is_expired(self.env.now_s()):
            raise not_found(f"File {file_id!r} has expired.")
        return file

    # -- handlers -----------------------------------------------------------------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        """The file once it is durable."""
        self._check_upload(request)
        file_id, form = self.env.new_id("file"), _Form()
        try:
            async with in_time(request, self.max_file_bytes):
                await self._read_form(request, file_id, form)
            file = self._described(file_id, form, tenant_for(request))
            assert form.data is not None
            await self.env.in_thread(form.data.finish)
        except BaseException as error:
            if form.data is not None:
                form.data.discard()
            if isinstance(error, TimeoutError):
                raise slow_body() from None
            raise
        try:
            await self.writer.write(lambda store: store.add_file(file), is_admission=True)
        except (StoreBusyError, DiskFullError) as error:
            self.folder.remove(file_id)
            raise _refused(error) from None
        request[TARGET] = file.id
        return json_answer(described_file(file))

    async def listing(self, request: web.Request) -> web.Response:
        query = request.query
        limit, order = whole(request, "limit", _LONGEST_LIST, _LONGEST_LIST), query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise invalid("order must be asc or desc", param="order")
        try:
            found = await self.env.in_thread(
                self.reads.files,
                limit=limit + 1,
                after=query.get("after"),
                purpose=query.get("purpose"),
                newest_first=order == "desc",
                tenant=caller_of(request).tenant,
            )
        except (UnknownFileError, StoreBusyError) as error:
            raise _refused(error, "after") from None
        now_s = self.env.now_s()
        page = [described_file(file) for file in found[:limit] if not file.is_expired(now_s)]
        return json_answer(listed(page, has_more=len(found) > limit))

    async def show(self, request: web.Request) -> web.Response:
        return json_answer(described_file(await self.known(request, request.match_info["id"])))

    async def content(self, request: web.Request) -> web.StreamResponse:
        """The data, or the range of it that was asked for."""
        file = await self.known(request, request.match_info["id"])
        # A browser must neither guess that this is a page nor show it as one.
        headers = {
            hdrs.CONTENT_TYPE: "application/octet-stream",
            hdrs.CONTENT_DISPOSITION: "attachment",
            "X-Content-Type-Options": "nosniff",
        }
        kind = web.FileResponse if names_one_range(request.headers.get(hdrs.RANGE), file.size_bytes) else WholeFile
        return kind(self.folder.path(file.id), headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        refuse_other_origins(request)
        file = await self.known(request, request.match_info["id"])
        try:
            await self._remove(file.id)
        except (UnknownFileError, StoreBusyError, DiskFullError) as error:
            raise _refused(error) from None
        return json_answer({"id": file.id, "object": "file", "deleted": True})

    async def _remove(self, file_id: str) -> None:
        # The row first: data without a row is removed at the next start, a row without data would be a broken promise.
        await self.writer.write(lambda store: store.remove_file(file_id))
        await self.env.in_thread(self.folder.remove, file_id)

    # -- uploads ------------------------------------------------------------------------------------------------------

    def _check_upload(self, request: web.Request) -> None:
        refuse_other_origins(request)
        if request.content_type != "multipart/form-data" or hdrs.CONTENT_ENCODING in request.headers:
            raise ApiError(
                415,
                "Send the file as multipart/form-data, uncompressed.",
                kind="invalid_request_error",
                param="Content-Type",
                code="unsupported_media_type",
                closes_connection=True,
            )
        if (request.content_length or 0) > self.max_file_bytes + _FORM_BYTES:
            raise self._too_large()
        if not self.has_room():
            raise unavailable("The disk is nearly full.", code="disk_full", retry_after_s=_RETRY_AFTER_S)

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"The file is larger than the {self.max_file_bytes} bytes that batches.max_file_bytes allows.",
            kind="invalid_request_error",
            param="file",
            code="file_too_large",
            closes_connection=True,
        )

    async def _read_form(self, request: web.Request, file_id: str, form: _Form) -> None:
        try:
            parts = await request.multipart()
            for _ in range(_MAX_PARTS):
                if (part := await parts.next()) is None:
                    return
                if not isinstance(part, BodyPartReader):
                    raise invalid("A part of the form is a form itself.")
                await self._read_part(part, file_id, form)
        except _BROKEN_FORM:
            raise invalid(_FORM_ADVICE, code="bad_form") from None
        raise invalid(f"The form has more than {_MAX_PARTS} parts.")

    async def _read_part(self, part: BodyPartReader, file_id: str, form: _Form) -> None:
        if part.name == "file":
            if form.data is not None:
                raise invalid("Send one file at a time.", param="file")
            form.filename = _plain_name(part.filename or "")
            form.data = await self.env.in_thread(self.folder.begin, file_id)
            await self._receive(part, form.data)
            return
        value = await part.read_chunk(_MAX_FIELD_BYTES + 1)
        if len(value) > _MAX_FIELD_BYTES or (not part.at_eof() and await part.read_chunk(1024)):
            raise invalid("A field of the form is too long.", param=(part.name or "")[:40])
        form.fields[part.name or ""] = value.decode("utf-8", "replace")

    async def _receive(self, part: BodyPartReader, data: UnfinishedFile) -> None:
        while chunk := await part.read_chunk(_CHUNK_BYTES):
            if data.size_bytes + len(chunk) > self.max_file_bytes:
                raise self._too_large()
            try:
                await self.env.in_thread(data.write, chunk)
            except OSError as error:
                log.error("upload not written", extra={"action": "upload_failed", "why": str(error)})
                raise unavailable("The disk takes no more.", code="disk_full", retry_after_s=_RETRY_AFTER_S) from None

    def _described(self, file_id: str, form: _Form, tenant: str) -> StoredFile:
        """Raises ApiError for a form that lacks something."""
        purpose = form.fields.get("purpose")
        if purpose not in UPLOAD_PURPOSES:
            raise invalid(f"purpose must be one of {', '.join(sorted(UPLOAD_PURPOSES))}", param="purpose")
        if form.data is None:
            raise invalid("The form holds no file.", param="file")
        now_s = self.env.now_s()
        life_s = _life_s(form.fields.get("expires_after[anchor]"), form.fields.get("expires_after[seconds]"))
        if life_s is None and purpose == FilePurpose.BATCH:
            life_s = BATCH_INPUT_LIFE_S
        return StoredFile(
            id=file_id,
            purpose=FilePurpose(purpose),
            filename=form.filename,
            size_bytes=form.data.size_bytes,
            created_at_s=now_s,
            expires_at_s=None if life_s is None else now_s + life_s,
            tenant=tenant,
        )


def _life_s(anchor: str | None, seconds: str | None) -> float | None:
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise invalid("expires_after[anchor] must be created_at", param="expires_after[anchor]")
    return checked_life_s(int(seconds) if seconds and seconds.isascii() and seconds.isdigit() else None)


def checked_life_s(seconds: object, param: str = "expires_after[seconds]") -> float:
    """Raises ApiError for a life outside the bounds."""
    if not isinstance(seconds, int) or not SHORTEST_LIFE_S <= seconds <= LONGEST_LIFE_S:
        raise invalid(f"{param} must be a whole number from {SHORTEST_LIFE_S:.0f} to {LONGEST_LIFE_S:.0f}", param=param)
    return float(seconds)


def _plain_name(name: str) -> str:
    """The last part of a name, as people see it: no folders, nothing that does not print."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:_MAX_NAME_CHARACTERS] or "file"


def described_file(file: StoredFile) -> dict[str, Any]:
    """OpenAI's file object."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": int(file.created_at_s),
        "expires_at": None if file.expires_at_s is None else int(file.expires_at_s),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def listed(page: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """OpenAI's list object."""
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"object": "list", "data": page, "first_id": first, "last_id": last, "has_more": has_more}


def json_answer(data: Mapping[str, Any]) -> web.Response:
    return web.Response(body=msgspec.json.encode(data), content_type="application/json")


def _refused(error: Exception, param: str | None = None) -> ApiError:
    if isinstance(error, UnknownFileError):
        return not_found(f"There is no file {error.file_id[:60]!r}.", param=param)
    return unavailable(str(error), code="store_busy", retry_after_s=_RETRY_AFTER_S)
