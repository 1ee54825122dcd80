"""One HTTP/1.1 connection to a worker: sends a whole request, hands on the answer's head and its body as it comes.

    idle --ask--> asked --head--> answered --close, all read--> idle
                    |                 |
                    +--- broken off, silent, not HTTP, closed before its end ---> gone

aiohttp's own client does the same for a browser's worth of cases (redirects, cookies, proxies, compression, sessions),
which costs a call three times what it costs here (docs/decisions/0029). The parser is aiohttp's, and so is the reader
of bodies with its limits on what is buffered. Decides when a connection may be used again; chooses no worker, retries
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDictProxy

from scheduler.daemon.at_once import AtOnce

# Twice as much may wait for a slow client before the worker is made to wait.
_BUFFER_BYTES = 256 * 1024
_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL_STATUS = 200
_FIRST_REFUSAL_STATUS = 400
_SENT_AT_ONCE_BYTES = 64 * 1024  # into the system's own buffer


class CallError(Exception):
    """A call that went wrong; its text is for the log, never for a client.

    NotConnectedError   nothing was sent
    BrokenOffError      the connection ended, or what came was not HTTP
    SilentError         no byte for longer than was allowed
    """


class NotConnectedError(CallError):
    """No connection could be made."""


class BrokenOffError(CallError):
    """The answer, or the rest of it, will not come."""


class SilentError(CallError):
    """The worker says nothing."""

    def __init__(self, silence_s: float) -> None:
        self.silence_s = silence_s
        super().__init__(f"nothing came for {silence_s:g} s")


class Reply:
    """An answer whose head has come. It has its connection until it is closed."""

    __slots__ = ("_connection", "content", "headers", "status")

    def __init__(self, connection: Connection, message: RawResponseMessage, content: StreamReader) -> None:
        self._connection, self.content = connection, content
        self.status: int = message.code
        self.headers: CIMultiDictProxy[str] = message.headers

    def close(self) -> None:
        """Give the connection back; where the answer has not been read to its end, break it off."""
        self._connection.end(self)


class Connection(BaseProtocol):
    """A connection that is made, with at most one call under way."""

    __slots__ = (
        "_asked_bytes",
        "_content",
        "_heard_at_s",
        "_is_kept",
        "_look_at_s",
        "_on_end",
        "_reply",
        "_silence_s",
        "_waiter",
        "_watch",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[Connection], None]) -> None:
        """`on_end` is told of each reply that is closed."""
        super().__init__(loop)
        self._on_end = on_end
        self._waiter: AtOnce[Reply] | None = None  # of the call under way
        self._reply: Reply | None = None
        self._content: StreamReader | None = None
        self._is_kept = True  # after the answer
        self._asked_bytes = 0
        self._silence_s = self._heard_at_s = self._look_at_s = 0.0
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_usable(self) -> bool:
        """Whether another call may be made."""
        return self._parser is None and self.transport is not None and not self.transport.is_closing()

    def ask(self, request: bytes, silence_s: float) -> Awaitable[Reply]:
        """Send a whole request; the head of its answer is to be waited for. Raises BrokenOffError, SilentError.

        Whoever stops waiting aborts the connection.
        """
        if self.transport is None or not self.is_usable:  # closed in the instant in which it was made
            raise BrokenOffError("the connection was closed at once")
        # A parser for each answer: bytes that a worker sends beyond one never become a part of the next.
        self._parser = HttpResponseParser(self, self._loop, _BUFFER_BYTES, read_until_eof=True, auto_decompress=False)
        waiter: AtOnce[Reply] = AtOnce(loop=self._loop)
        self._waiter, self._asked_bytes = waiter, len(request)
        self.transport.write(request)
        self._silence_s, self._heard_at_s = silence_s, self._loop.time()
        self._watch_until(self._heard_at_s + silence_s)
        return waiter

    def end(self, reply: Reply) -> None:
        """The reply is done with."""
        if reply is not self._reply:
            return
        is_whole = reply.content.at_eof() and reply.content.exception() is None
        if is_whole and self._is_kept and self._is_sent(reply.status):
            self._reply = self._content = self._parser = None
        else:
            self.abort()
        self._on_end(self)

    def _is_sent(self, status: int) -> bool:
        """A worker that answers before it has read the request leaves bytes of it on their way."""
        if self.transport is None or self.transport.get_write_buffer_size():
            return False
        if status < _FIRST_REFUSAL_STATUS or self._asked_bytes <= _SENT_AT_ONCE_BYTES:
            return True
        # What waits beneath encryption is not told; nobody but who refuses answers before the end of a request.
        return self.transport.get_extra_info("sslcontext") is None

    def abort(self) -> None:
        """Close it now, whatever is under way."""
        content, self._reply, self._content = self._content, None, None
        if content is not None and not content.is_eof():  # whoever reads it must not wait for more
            content.set_exception(BrokenOffError("the connection was closed here"))
        if self.transport is not None:
            self.transport.abort()

    # -- what comes ---------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._parser is None:  # nobody asked for it
            self.abort()
            return
        self._heard_at_s = self._loop.time()
        try:
            messages, _, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._fail(BrokenOffError(f"what came is not HTTP: {error.message}"))
            return
        for message, content in messages:
            self._head_came(message, content)
        waiter, reply = self._waiter, self._reply
        if waiter is not None and reply is not None:
            self._waiter = None
            waiter.settle(reply)  # after all that came: who gets it may ask anew over this very connection

    def _head_came(self, message: RawResponseMessage, content: StreamReader) -> None:
        if message.code == _SWITCHING_PROTOCOLS:  # no client of ours has asked for it, and none may be told
            self._fail(BrokenOffError("the worker wants to speak another protocol"))
            return
        if message.code < _FIRST_FINAL_STATUS:
            return  # the answer proper is still to come
        waiter = self._waiter
        if waiter is None or waiter.done() or self._reply is not None:  # nobody waits any longer, or one too many
            self._is_kept = False
            return
        self._is_kept = not message.should_close
        self._content, self._reply = content, Reply(self, message, content)

    def connection_lost(self, exc: BaseException | None) -> None:
        parser = self._parser
        why = "the connection was closed" if exc is None else f"the connection was lost: {exc}"
        if self._content is not None and not self._content.is_eof() and parser is not None and exc is None:
            try:
                parser.feed_eof()  # the end of a body of no stated length, and of no other
            except HttpProcessingError as error:
                why = error.message
        self._fail(BrokenOffError(why))
        self._parser = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)

    def _fail(self, error: CallError) -> None:
        """Tell whoever waits for more of the answer; one that is whole stays so."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        elif self._content is not None and not self._content.is_eof():
            self._content.set_exception(error)
        self._is_kept = False
        if self.transport is not None:
            self.transport.abort()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Asked for by the reader after each piece, whether or not reading has stopped."""
        if self._reading_paused:
            self._heard_at_s = self._loop.time()
            super().resume_reading(resume_parser)

    # -- silence ------------------------------------------------------------------------------------------------------

    def _watch_until(self, due_at_s: float) -> None:
        # One timer looks again when it is due, instead of one that is set anew for each piece that comes.
        if self._watch is not None:
            if self._look_at_s <= due_at_s:
                return
            self._watch.cancel()
        self._look_at_s = due_at_s
        self._watch = self._loop.call_at(due_at_s, self._look)

    def _look(self) -> None:
        self._watch = None
        if self._parser is None:
            return
        now_s = self._loop.time()
        # A worker that we made wait is not silent.
        due_at_s = self._silence_s + (now_s if self._reading_paused else self._heard_at_s)
        if now_s < due_at_s:
            self._watch_until(due_at_s)
        elif self._content is None or not self._content.is_eof():
            self._fail(SilentError(self._silence_s))
