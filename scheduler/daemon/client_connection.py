"""A client's connection: takes its requests one after another, and says nothing of aiohttp's own.

aiohttp makes a task for each request and wakes both it and its own in later turns of the event loop; here a request
runs in the connection's task, from the call that brings its bytes on. Error pages that are sent where no handler was
reached look like every other refusal. Knows nothing of what is served.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from aiohttp import StreamReader, hdrs, web
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.web_protocol import ERROR, RequestHandler

from scheduler.daemon.api_errors import error_body
from scheduler.daemon.at_once import AtOnce
from scheduler.daemon.request_context import REQUEST_IN_HAND

log = logging.getLogger(__name__)

# A connection that has not sent its first whole request head after this long is closed.
_FIRST_REQUEST_S = 30.0
_READ_TOO_LATE = web.PayloadAccessError()


class _NamelessResponse(web.Response):
    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.pop(hdrs.SERVER, None)


class _NextTurn:
    def __await__(self) -> Generator[None]:
        yield


class ClientConnection(RequestHandler):
    """One of the listener's, from its making to its end."""

    __slots__ = ("silence",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.silence: asyncio.TimerHandle | None = self._loop.call_later(_FIRST_REQUEST_S, self._close_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.silence is not None:
            self.silence.cancel()
            self.silence = None
        super().connection_lost(exc)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Asked for by the reader after each piece, whether or not reading has stopped."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _close_if_silent(self) -> None:
        self.silence = None
        if self._request_count == 0:
            log.info("connection closed", extra={"action": "silent_connection_closed"})
            self.force_close()

    def handle_error(
        self, request: Any, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer is already on its way")
        if status < 500:
            log.info("request not understood", extra={"action": "request_not_understood", "status": status})
        else:  # it passed the front door, so nobody else names it
            log.error("answer failed", exc_info=exc, extra={"action": "answer_failed", "status": status})
        said = "This is not HTTP as this server understands it." if status < 500 else "Slacktide failed here."
        kind = "invalid_request_error" if status < 500 else "server_error"
        response = _NamelessResponse(
            status=status, body=error_body(said, kind=kind, code="bad_request"), content_type="application/json"
        )
        response.force_close()
        return response

    # -- requests -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        waiter, self._waiter = self._waiter, None  # aiohttp would wake it before it is done with the data itself
        RequestHandler.data_received(self, data)
        if waiter is None:
            self._break_off_body()
            return
        self._waiter = waiter
        if self._messages and isinstance(waiter, AtOnce) and not waiter.done():
            waiter.settle(None)

    def _break_off_body(self) -> None:
        """Where what came is no HTTP any more, who reads a body would wait for its rest in vain."""
        request = self._current_request
        if request is None or not self._messages or isinstance(self._messages[-1][0], RawRequestMessage):
            return
        if not request.content.is_eof() and request.content.exception() is None:
            request.content.set_exception(web.RequestPayloadError("the body is not HTTP"))

    async def start(self) -> None:
        """Take requests until the connection ends. aiohttp's own way, without a task for each of them."""
        while not self._force_close:
            if not self._messages:
                self._waiter = AtOnce(loop=self._loop)
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            message, payload = self._messages.popleft()
            has_come = payload.is_eof()
            if has_come:
                self._make_room()
            if await self._take(message, payload) or self._close or not self._keepalive:
                break
            if not has_come:  # the parser counts what is whole: told before, it would have one place fewer for ever
                self._make_room()
                self.data_received(b"")
            if self._messages:  # who sends many requests in one piece must not keep all others waiting
                await _NextTurn()
            # One timer for the connection, which looks again when it is due.
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            if self._keepalive_handle is None:
                self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    def _make_room(self) -> None:
        """For another request behind those that wait."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    async def _take(self, message: Any, payload: StreamReader) -> bool:
        """Answer one request; whether the connection is of no more use."""
        assert self._manager is not None and self._request_factory is not None, "not lost yet"
        assert self._request_handler is not None and self._task_handler is not None, "not lost yet"
        self._manager.requests_count += 1
        handler = self._request_handler
        if not isinstance(message, RawRequestMessage):  # what it says of one that is no HTTP
            message, handler = ERROR, self._make_error_handler(message)
            REQUEST_IN_HAND.set("")  # that of the request before is still in this context
        request = self._request_factory(message, payload, self, StreamWriter(self, self._loop), self._task_handler)
        try:
            response, has_left = await self._handle_request(request, None, handler)
            if has_left:
                return True
            self._keepalive = bool(response.keep_alive)
            if not payload.is_eof():
                await self._read_past(payload)
            payload.set_exception(_READ_TOO_LATE)
        except (ConnectionError, web.RequestPayloadError):  # left, or is no longer understood
            return True
        except Exception:  # the outermost runner of a connection
            log.exception("connection failed", extra={"action": "connection_failed"})
            self.force_close()
            return True
        except BaseException:
            self.force_close()
            raise
        finally:
            request._task = None  # type: ignore[assignment]  # else an error would keep the task, and the task the error
        return self._force_close

    async def _read_past(self, payload: StreamReader) -> None:
        """The rest of a body that no handler wanted: a client reads its answer only once it has sent all."""
        if not self._force_close:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lingering_time):
                    while not payload.is_eof():
                        await payload.readany()
        if not payload.is_eof() and not self._force_close:
            self.close()
