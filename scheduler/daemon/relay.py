"""Carries one request from its hold to the end of its answer, byte for byte.

Decides nothing about when or where: it waits for the ticket, keeps the connection alive, passes the answer on, and
says inside a stream what went wrong once the status is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from functools import partial
from typing import NamedTuple

from aiohttp import hdrs, web

from scheduler.daemon.api_errors import ApiError, failed_upstream, unavailable
from scheduler.daemon.energy_use import (
    WORKER_ENERGY_HEADER,
    Bookkeeper,
    Used,
    energy_facts,
    energy_headers,
    stream_energy_j,
    worker_energy_j,
)
from scheduler.daemon.env import Env
from scheduler.daemon.holding import give_up_after_s
from scheduler.daemon.http import REQUEST_ID, REQUEST_ID_HEADER
from scheduler.daemon.model_routing import Route
from scheduler.daemon.openai_api import (
    Call,
    Endpoint,
    Usage,
    error_event,
    read_stream_usage,
    read_usage,
    tier_used,
    with_tier,
    wrapped_as_event,
)
from scheduler.daemon.pools import ModelPool, Ticket
from scheduler.daemon.traces import TRACE, UNTOLD, UNTRACED, Part, part_of
from scheduler.daemon.upstream import Answer, Upstream
from scheduler.daemon.upstream_connection import CallError
from scheduler.daemon.whole_answer import WholeAnswer
from scheduler.daemon.workers import Worker
from scheduler.jobs import Job
from scheduler.ledger import EnergyBasis
from shaping.deployment import ErrorClass
from shaping.request import Request
from shaping.uncertainty import worst

# Clients and proxies give up on silence; a comment is silence that they hear. Shorter where the client is hasty.
KEEP_ALIVE_S = 15.0
log = logging.getLogger(__name__)

_KEEP_ALIVE = b": keep-alive\n\n"
_STREAM_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
_PASSED_HEADERS = ("Cache-Control", "Content-Encoding", "Retry-After", "openai-processing-ms")
# The last event with the usage fits in here.
_TAIL_BYTES = 8192
# Less than this fits into the buffer that is kept for every client, and its sending never waits.
_UNTAKEN_BYTES = 16_384
# A reader this late is gone, or keeps a place at a worker on purpose.
SLOW_READER_S = 60.0
# The official client hangs up as soon as it has read this, so what is to reach it goes with it.
_LAST_EVENT = b"data: [DONE]\n\n"


_TELLS_TIER = frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.RESPONSES})


class SlowReaderError(ConnectionError):
    """A client that was hung up on, as it did not read its stream."""


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_asked_at_s",
        "_bookkeeper",
        "_env",
        "_upstream",
        "batch",
        "body",
        "call",
        "endpoint",
        "error_class",
        "http",
        "margin_s",
        "patience_s",
        "pool",
        "region",
        "route",
        "tenant",
        "ticket",
        "usage",
        "used",
    )

    def __init__(
        self,
        http: web.Request,
        endpoint: Endpoint,
        body: bytes,
        call: Call,
        pool: ModelPool,
        ticket: Ticket,
        *,
        patience_s: float,
        margin_s: float,
        upstream: Upstream,
        bookkeeper: Bookkeeper,
        env: Env,
        tenant: str,
        batch: Job | None = None,
        route: Route | None = None,
    ) -> None:
        self.tenant, self.batch, self.route = tenant, batch, route
        self.usage: Usage | None = None  # once an answer is there
        self.http, self.endpoint, self.body, self.call = http, endpoint, body, call
        self.pool, self.ticket, self.patience_s, self.margin_s = pool, ticket, patience_s, margin_s
        self._upstream, self._bookkeeper, self._env = upstream, bookkeeper, env
        self.region: str | None = None  # of the worker that answered
        self.used: Used | None = None  # by a plain answer, and how well it is known, once it is there
        self.error_class: ErrorClass | None = None

    async def run(self) -> web.StreamResponse:
        """The answer, sent or ready to be sent. Raises ApiError while nothing has been sent."""
        committed = None
        if self.ticket.released_at_s is None:
            with part_of(self.http, "held") as held:
                committed = await (self._hold_stream() if self.call.is_streaming else self._hold_plain())
                held.note(latency_class=self.ticket.request.latency_class)
        if self.http[TRACE] is UNTRACED:
            return await self._answered(committed, UNTOLD)
        with part_of(self.http, "worker") as part:
            return await self._answered(committed, part)

    async def _answered(self, committed: web.StreamResponse | None, part: Part) -> web.StreamResponse:
        try:
            answer = await self._ask(part.headers(self.http.headers))
        except ApiError as error:
            if committed is None:
                raise
            return await _end_with(committed, error_event(error))
        self.region = answer.worker.settings.region
        try:
            if answer.body is not None:
                return await self._pass_plain(answer, answer.body, committed)
            return await self._pass_stream(answer, committed)
        finally:
            energy_j = None if self.used is None else self.used.energy_j
            part.note(worker=answer.worker.name, region=self.region, status=answer.status, energy_j=energy_j)
            answer.close()

    def _ask(self, trace_headers: dict[str, str]) -> Awaitable[Answer]:
        self.ticket.must_be_released()
        self._asked_at_s = self._env.monotonic_s()
        headers = {REQUEST_ID_HEADER: self.http[REQUEST_ID], **trace_headers}
        return self._upstream.ask(
            self.pool.workers,
            self.endpoint,
            self.body,
            headers,
            streams=self.call.is_streaming,
            request=self.ticket.request,
        )

    # -- holding ------------------------------------------------------------------------------------------------------

    async def _hold_plain(self) -> None:
        if not await self.ticket.released_within(give_up_after_s(self.patience_s, self.margin_s)):
            raise unavailable(
                "No worker had room within your read timeout.", code="no_capacity_in_time", retry_after_s=5.0
            )

    async def _hold_stream(self) -> web.StreamResponse | None:
        """Hold; once it lasts, commit to an event stream and send comments into it."""
        interval_s = min(KEEP_ALIVE_S, self.patience_s / 3)
        if await self.ticket.released_within(interval_s):
            return None
        response = web.StreamResponse(headers=_STREAM_HEADERS)
        response.headers["x-slacktide-model"] = self.ticket.request.served_name
        response.headers.update(self._route_headers())
        await response.prepare(self.http)
        while True:
            await response.write(_KEEP_ALIVE)
            if await self.ticket.released_within(interval_s):
                return response

    # -- passing on ---------------------------------------------------------------------------------------------------

    async def _pass_plain(
        self, answer: Answer, body: bytes, committed: web.StreamResponse | None
    ) -> web.StreamResponse:
        used = reported_j = None
        if answer.status == 200:
            usage = read_usage(body, self.endpoint) or Usage(
                prompt_tokens=self.call.prompt_tokens, completion_tokens=self.call.output_tokens
            )
            reported_j = _reported_j(answer)
            used = self._book(answer, usage, reported_j)
        if committed is not None:
            comment = self._last_comment(used, self._known(answer, reported_j)) if answer.status == 200 else b""
            return await _end_with(committed, wrapped_as_event(body) + comment)
        headers = self._headers(answer)
        if answer.status == 200:
            body = self._with_tier(answer, body)
        if used is not None:
            known = self._known(answer, reported_j)
            headers.update(energy_headers(used, known))
            self.used, self.error_class = used, known
        return WholeAnswer(status=answer.status, body=body, headers=headers)

    def _known(self, answer: Answer, reported_j: float | None) -> ErrorClass | None:
        """How well what the answer used is known, a prefill worker's part as well."""
        known = _class_of(self._bookkeeper, answer, reported_j)
        if answer.read_by is None:
            return known
        return worst((known, _class_of(self._bookkeeper, answer.read_by, _reported_j(answer.read_by))))

    def _with_tier(self, answer: Answer, body: bytes) -> bytes:
        """Who names a service tier is told the one it got; the bytes of others are not touched."""
        asked = self.call.service_tier
        is_told = self.endpoint in _TELLS_TIER and "Content-Encoding" not in answer.headers
        if asked is None or not is_told:
            return body
        return with_tier(body, tier_used(asked, self.ticket.request.latency_class))

    async def _pass_stream(self, answer: Answer, committed: web.StreamResponse | None) -> web.StreamResponse:
        response = committed
        if response is None:
            response = web.StreamResponse(headers=self._headers(answer))
            await response.prepare(self.http)
        content = answer.content
        events, tail = 0, b""
        while True:
            try:
                chunk = await content.readany()
            except CallError as error:
                self._upstream.note_broken_stream(answer.worker, self.ticket.request, error)
                return await self._break_off(response, tail)
            if not chunk:
                break
            if not tail:
                self._upstream.note_first_bytes(answer)
            events += chunk.count(b"\n\n")
            tail = (tail + chunk)[-_TAIL_BYTES:]
            if tail.endswith(_LAST_EVENT):
                await self._send(response, chunk + self._ended_stream(answer, tail, events))
                return await self._past_the_last_event(answer, response)
            await self._send(response, chunk)
        last = self._ended_stream(answer, tail, events)
        # A line that was never ended would swallow the comment.
        await response.write(last if tail.endswith(b"\n\n") else b"")
        await response.write_eof()
        return response

    async def _past_the_last_event(self, answer: Answer, response: web.StreamResponse) -> web.StreamResponse:
        """To the worker's end, so that its connection is kept. Who leaves now has the whole answer, and is charged."""
        try:
            while chunk := await answer.content.readany():
                await self._send(response, chunk)
            await response.write_eof()
        except CallError as error:
            self._upstream.note_broken_stream(answer.worker, self.ticket.request, error)
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        return response

    async def _send(self, response: web.StreamResponse, chunk: bytes) -> None:
        """Send on. A client that leaves what it was sent lying for too long is hung up on: others need its place.

        Raises SlowReaderError, which is as if it had hung up itself.
        """
        transport = self.http.transport
        if transport is None or transport.get_write_buffer_size() + len(chunk) <= _UNTAKEN_BYTES:
            await response.write(chunk)
            return
        try:
            async with asyncio.timeout(SLOW_READER_S):
                await response.write(chunk)
        except TimeoutError:
            transport.abort()
            log.warning("client reads too slowly", extra={"action": "slow_reader_dropped", "region": self.region})
            raise SlowReaderError from None

    def _ended_stream(self, answer: Answer, tail: bytes, events: int) -> bytes:
        """Account for a stream; the comment to end it with."""
        # Engines send one event per token, beside the closing one.
        counted = Usage(prompt_tokens=self.call.prompt_tokens, completion_tokens=max(0, events - 1))
        reported_j = stream_energy_j(tail)
        used = self._book(answer, read_stream_usage(tail, self.endpoint) or counted, reported_j)
        # Bytes of ours inside compressed ones would break them.
        return (
            b"" if "Content-Encoding" in answer.headers else self._last_comment(used, self._known(answer, reported_j))
        )

    def _last_comment(self, used: Used | None, error_class: ErrorClass | None) -> bytes:
        """What a plain answer says in its headers and a stream cannot know before its end; clients pass over it."""
        told = {
            "held-ms": f"{self.ticket.held_s * 1000:.0f}",
            "model": self.ticket.request.served_name,
            "region": self.region or "",
            **(energy_facts(used, error_class) if used is not None else {}),
        }
        return f": slacktide {' '.join(f'{name}={value}' for name, value in told.items())}\n\n".encode()

    async def _break_off(self, response: web.StreamResponse, tail: bytes) -> web.StreamResponse:
        """The worker left in mid-stream: say so where an event can stand, else let the client see the break."""
        if tail and not tail.endswith(b"\n\n"):
            if self.http.transport is not None:
                self.http.transport.abort()
            return response
        error = failed_upstream(
            502, "The worker broke off in the middle of its answer.", code="worker_broke_off", retry_after_s=1.0
        )
        return await _end_with(response, error_event(error))

    def _headers(self, answer: Answer) -> dict[str, str]:
        theirs = answer.headers
        headers = {
            "Content-Type": _printable(theirs.get(hdrs.CONTENT_TYPE, "application/json")),
            "x-slacktide-held-ms": f"{self.ticket.held_s * 1000:.0f}",
            "x-slacktide-model": self.ticket.request.served_name,
            "x-slacktide-region": answer.worker.settings.region,
        }
        if answer.worker.is_metered:  # what is known by now is modelled; what will be booked need not be
            headers["x-slacktide-meter"] = "pending"
        for name in _PASSED_HEADERS:
            value = theirs.get(name)
            if value is not None:
                headers[name] = _printable(value)
        headers.update(self._route_headers())
        return headers

    def _route_headers(self) -> dict[str, str]:
        return {} if self.route is None else self.route.headers

    def _book(self, answer: Answer, usage: Usage, reported_j: float | None) -> Used | None:
        """Account for the answered request."""
        self.usage = usage
        arrived_at_s = self.ticket.request.arrived_at_s
        return book_answer(
            self._bookkeeper,
            self._env,
            self.pool,
            self.ticket,
            answer,
            usage,
            reported_j=reported_j,
            asked_at_s=self._asked_at_s,
            at_once_at_s=arrived_at_s if self.batch is None else self.batch.earliest_start_at_s,
            tenant=self.tenant,
        )


def _printable(value: str) -> str:
    """As it may stand in a header of ours: the parser lets control characters of a worker's through."""
    return value if value.isprintable() else "".join(filter(str.isprintable, value))


def book_answer(
    bookkeeper: Bookkeeper,
    env: Env,
    pool: ModelPool,
    ticket: Ticket,
    answer: Answer,
    usage: Usage,
    *,
    reported_j: float | None,
    asked_at_s: float,
    at_once_at_s: float,
    tenant: str,
) -> Used | None:
    """Account for an answered request; what it used as the worker reports it, or by the model, or None.

    Booked is what the worker's meter counted for it, where there is one, as soon as it has been read. `asked_at_s` is
    on the clock that never jumps, `at_once_at_s` when it would have run without us.
    """
    pool.service.observe(env.monotonic_s() - asked_at_s)
    worker, request = answer.worker, ticket.request
    worker.served.add(usage.prompt_tokens, usage.completion_tokens)
    energy_j = reported_j
    if energy_j is None:
        energy_j = bookkeeper.modelled_j(
            worker.settings,
            prompt_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cached_tokens=usage.prompt_tokens if answer.has_taken_over else usage.cached_tokens,
            batch_sequences=(answer.began_beside + worker.in_flight) // 2,
        )
    read_j = None if answer.read_by is None else _reading_j(bookkeeper, answer.read_by, usage)
    when = _When(request.arrived_at_s + ticket.held_s, env.now_s(), at_once_at_s)
    known = _class_of(bookkeeper, answer, reported_j)
    answer.book(partial(_booked, bookkeeper, pool, request, worker, energy_j, known, usage, when, tenant))
    used = bookkeeper.used(worker.settings, energy_j, when.released_at_s, when.ended_at_s)
    if answer.read_by is None:
        return used
    # The prompt's tokens are counted once, where the answer is written.
    reader = answer.read_by.worker
    known = _class_of(bookkeeper, answer.read_by, _reported_j(answer.read_by))
    answer.read_by.book(partial(_booked, bookkeeper, pool, request, reader, read_j, known, Usage(), when, tenant))
    read = bookkeeper.used(reader.settings, read_j, when.released_at_s, when.ended_at_s)
    return None if used is None else used.and_more(read)


class _When(NamedTuple):
    """The span of a use, and when it would have begun at once."""

    released_at_s: float
    ended_at_s: float
    at_once_at_s: float


def _booked(
    bookkeeper: Bookkeeper,
    pool: ModelPool,
    request: Request,
    worker: Worker,
    modelled_j: float | None,
    known: ErrorClass | None,
    tokens: Usage,
    when: _When,
    tenant: str,
    metered_j: float | None,
) -> None:
    """The last argument comes from the worker's meter, where it has one."""
    used_j = modelled_j if metered_j is None else metered_j
    if used_j is not None:
        pool.used(used_j)
    bookkeeper.book(
        request,
        worker.settings,
        home=pool.home,
        energy_j=used_j,
        basis=EnergyBasis.MODELLED if metered_j is None else EnergyBasis.METERED,
        error_class=known if metered_j is None else ErrorClass.METERED,
        prompt_tokens=tokens.prompt_tokens,
        output_tokens=tokens.completion_tokens,
        released_at_s=when.released_at_s,
        ended_at_s=when.ended_at_s,
        at_once_at_s=when.at_once_at_s,
        tenant=tenant,
    )


def _reading_j(bookkeeper: Bookkeeper, read: Answer, usage: Usage) -> float | None:
    """What a prefill worker spent on the prompt, by its own word or the model."""
    reported_j = _reported_j(read)
    if reported_j is not None:
        return reported_j
    return bookkeeper.modelled_j(
        read.worker.settings, prompt_tokens=usage.prompt_tokens, output_tokens=0, batch_sequences=1
    )


def _reported_j(answer: Answer) -> float | None:
    return worker_energy_j(answer.headers.get(WORKER_ENERGY_HEADER))


def _class_of(bookkeeper: Bookkeeper, answer: Answer, reported_j: float | None) -> ErrorClass | None:
    """How well the energy of a worker is known; what it reports itself is its own word, not ours to judge."""
    return bookkeeper.error_class(answer.worker.settings) if reported_j is None else None


async def _end_with(response: web.StreamResponse, event: bytes) -> web.StreamResponse:
    await response.write(event)
    await response.write_eof()
    return response
