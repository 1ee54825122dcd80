"""Calls workers: one session, a choice per attempt, another attempt only while nothing has reached the client.

Decides which failures are worth another worker, and what the client is told when none is left. Where one worker reads
the prompt for another (hand_over.py says when), the client learns of it by nothing but the time. Knows no shaping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import aiohttp
from aiohttp import StreamReader, hdrs

from scheduler.daemon.api_errors import ApiError, failed_upstream, unavailable
from scheduler.daemon.engine_priority import with_priority
from scheduler.daemon.env import Env
from scheduler.daemon.hand_over import HandOver, body_to_read, body_to_write
from scheduler.daemon.metering import Booking, KeptShare
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.openai_api import Endpoint
from scheduler.daemon.outliers import Peer, fault_of
from scheduler.daemon.upstream_connection import CallError, NotConnectedError, Reply, SilentError
from scheduler.daemon.upstream_pool import ConnectionPool
from scheduler.daemon.worker_failures import WorkerFailures
from scheduler.daemon.workers import Failure, Worker, choose
from scheduler.outlier_settings import OutlierSettings
from shaping.metered_shares import Share
from shaping.request import Request

# A request that takes down whatever serves it must not take down every worker in turn.
_MAX_SENT_ATTEMPTS = 2
# Embeddings of a large batch are some ten megabytes; more than this is no answer.
_MAX_ANSWER_BYTES = 256 * 1024 * 1024
_RETRY_AFTER_S = 2.0
_CONNECT_S = 5.0
_NO_HEADERS: Mapping[str, str] = {}


class WorkerCallError(Exception):
    """One attempt that failed; `detail` is for the log, never for the client."""

    def __init__(self, failure: Failure, worker: Worker, detail: str) -> None:
        self.failure, self.worker, self.detail = failure, worker, detail
        super().__init__(f"{worker.name}: {failure}: {detail}")


class Answer:
    """One attempt and what came of it: complete with its `body`, or a stream whose body is still to be read.

    Holds a place at its worker until it is closed.
    """

    __slots__ = (
        "_env",
        "_is_open",
        "_kept",
        "_metering",
        "_reply",
        "_request",
        "_share",
        "asked_at_s",
        "began_beside",
        "body",
        "has_taken_over",
        "headers",
        "read_by",
        "status",
        "worker",
    )

    def __init__(self, worker: Worker, request: Request, env: Env) -> None:
        self.worker, self._request, self._env = worker, request, env
        self.body: bytes | None = None
        self.read_by: Answer | None = None  # the prefill worker's, where another was asked to read the prompt
        self.has_taken_over = False  # the KV cache that the other made
        self._reply: Reply | None = None
        self.status = 0  # until it begins
        self.headers: Mapping[str, str] = _NO_HEADERS
        self._is_open = True
        worker.began(request.adapter)
        self.asked_at_s = env.monotonic_s()
        self._metering = worker.metering
        self._share: Share | None = None
        self._kept: KeptShare | None = None
        if self._metering is not None:
            self._share = self._metering.began(env.monotonic_s(), request.prompt_tokens, request.output_tokens)
        self.began_beside = worker.in_flight  # how many it ran with at its beginning, itself included

    def began(self, reply: Reply) -> None:
        self._reply, self.status, self.headers = reply, reply.status, reply.headers

    @property
    def content(self) -> StreamReader:
        """Of a stream, what is still to be read."""
        assert self._reply is not None, "asked of one that has begun"
        return self._reply.content

    @property
    def is_event_stream(self) -> bool:
        return self.headers.get(hdrs.CONTENT_TYPE, "").startswith("text/event-stream")

    async def read(self) -> None:
        """Its whole body; the connection is free for others then. Raises CallError, WorkerCallError."""
        assert self._reply is not None, "asked of one that has begun"
        content = self._reply.content
        body = await content.readany()
        if not content.at_eof():
            body = await self._read_on(content, body)
        self._reply.close()
        self.body = body

    async def _read_on(self, content: StreamReader, first: bytes) -> bytes:
        pieces, size = [first], len(first)
        while not content.at_eof():
            if size > _MAX_ANSWER_BYTES:
                what = f"the answer is larger than {_MAX_ANSWER_BYTES} bytes"
                raise WorkerCallError(Failure.ERROR, self.worker, what)
            pieces.append(await content.readany())
            size += len(pieces[-1])
        return b"".join(pieces)

    def book(self, booking: Booking) -> None:
        """Make the booking now, or once the worker's meter knows the energy, where it has one."""
        if self._metering is None or self._share is None:
            booking(None)
        elif self._kept is not None:
            self._kept.book(booking)
        else:
            self._metering.book(self._share, booking)

    def close_to_book_later(self) -> None:
        """Close it, and keep what the meter says of it until it is booked."""
        self.close()
        if self._metering is not None and self._share is not None:
            self._kept = KeptShare()
            self._metering.book(self._share, self._kept.metered)

    def close(self) -> None:
        """Give the worker's place back; an answer not read to its end is broken off, which cancels it there."""
        if self._is_open:
            self._is_open = False
            self.worker.ended(self._request.adapter)
            if self._metering is not None and self._share is not None:
                self._metering.ended(self._share, self._env.monotonic_s())
            if self._reply is not None:
                self._reply.close()


class Upstream:
    """The gateway's way to its workers: connections for calls, a session for whoever asks after their health."""

    def __init__(
        self,
        env: Env,
        metrics: Metrics,
        *,
        hand_over: HandOver | None = None,
        outliers: OutlierSettings | None = None,
    ) -> None:
        self.outliers = outliers or OutlierSettings()
        self._env, self._metrics, self.hand_over = env, metrics, hand_over
        self._failures = WorkerFailures(env, metrics)
        self._session: aiohttp.ClientSession | None = None
        self._connections: ConnectionPool | None = None
        self._is_closed = False

    async def start(self) -> None:
        # No limit of its own: the shaper bounds what is under way, by workers that may come and go.
        self._connections = ConnectionPool(connect_s=_CONNECT_S)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    async def stop(self) -> None:
        self._is_closed = True
        self._failures.close()
        if self._connections is not None:
            self._connections.close()
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the upstream session is not started")
        return self._session

    async def ask(
        self,
        workers: Sequence[Worker],
        endpoint: Endpoint,
        body: bytes,
        headers: Mapping[str, str],
        *,
        streams: bool,
        request: Request,
    ) -> Answer:
        """An answer from one of the workers, its body read unless it is the stream that was asked for.

        What the `request` is known to be says which worker is best, and where it stands in an engine's own queue.

        The caller closes it. Raises ApiError when no worker gave one.
        """
        tried: list[Worker] = []
        sent = 0
        last: WorkerCallError | None = None
        read: Answer | None = None
        if self.hand_over is not None and self.hand_over.has_readers(request.model):
            handed, read = await self._handed_over(
                self.hand_over, workers, endpoint, body, headers, streams=streams, request=request
            )
            if handed is not None:
                return handed
        while sent < _MAX_SENT_ATTEMPTS and (worker := self._next(workers, tried, last, request)) is not None:
            tried.append(worker)
            if request.prefix:
                worker.prefixes.touch(request.prefix)
            try:
                answer = await self._attempt(worker, endpoint, body, headers, streams=streams, request=request)
            except WorkerCallError as error:
                last = error
                self._note_failure(error, request)
                if len(workers) > 1:
                    self._judge(worker, workers, is_failed=error.failure is not Failure.OVERLOADED)
                if error.failure is Failure.SILENT:
                    break
                sent += error.failure in (Failure.BROKEN_OFF, Failure.ERROR)
            else:
                self._failures.answered(worker)
                if answer.body is not None and answer.status == 200:
                    worker.recent.whole.add(self._env.monotonic_s() - answer.asked_at_s)
                if len(workers) > 1:
                    self._judge(worker, workers, is_failed=False)
                answer.read_by = read
                return answer
        raise _told_to_client(last, workers, self._env.monotonic_s())

    async def _handed_over(
        self,
        hand_over: HandOver,
        workers: Sequence[Worker],
        endpoint: Endpoint,
        body: bytes,
        headers: Mapping[str, str],
        *,
        streams: bool,
        request: Request,
    ) -> tuple[Answer | None, Answer | None]:
        """The answer of a worker that took the prompt's KV cache over, and that of the one that read it.

        Without the first the call is still to be made; the second is there whenever energy went into reading.
        """
        writer = self._next(workers, [], None, request)
        if writer is None:
            return None, None
        reader = hand_over.reader(writer, endpoint, request, self._env.monotonic_s())
        asked = None if reader is None else body_to_read(body)
        if reader is None or asked is None:
            return None, None
        read = await self._read_by(reader, endpoint, asked, headers, request)
        written = None if read is None or read.body is None else body_to_write(body, read.body)
        self._metrics.hand_overs.labels(reader.name, "failed" if written is None else "done").inc()
        if written is None:
            return None, read
        try:
            answer = await self._attempt(writer, endpoint, written, headers, streams=streams, request=request)
        except WorkerCallError as error:
            self._note_failure(error, request)
        else:
            if answer.status < 400:
                answer.read_by, answer.has_taken_over = read, True
                self._failures.answered(writer)
                return answer, read
            answer.close()
        self._metrics.hand_overs.labels(reader.name, "refused").inc()
        return None, read

    async def _read_by(
        self, reader: Worker, endpoint: Endpoint, body: bytes, headers: Mapping[str, str], request: Request
    ) -> Answer | None:
        """The prefill worker's answer, its place given back; None where it failed, which costs only the try."""
        only_read = replace(request, output_tokens=1)
        try:
            read = await self._attempt(reader, endpoint, body, headers, streams=False, request=only_read)
        except WorkerCallError as error:
            self._note_failure(error, request)
            return None
        if read.status != 200:
            read.close()
            return None
        read.close_to_book_later()
        self._failures.answered(reader)
        return read

    def _next(
        self,
        workers: Sequence[Worker],
        tried: list[Worker],
        last: WorkerCallError | None,
        request: Request,
    ) -> Worker | None:
        if self._is_closed:  # the drain time was over while this request was under way
            return None
        now_s = self._env.monotonic_s()
        worker = choose(workers, now_s, tried, request.prefix, request.adapter)
        # A kept-alive connection may be closed by the worker in the instant we use it; with no other worker, ask again.
        if worker is None and last is not None and last.failure is Failure.BROKEN_OFF and last.worker.is_up(now_s):
            return last.worker
        return worker

    async def _attempt(
        self,
        worker: Worker,
        endpoint: Endpoint,
        body: bytes,
        headers: Mapping[str, str],
        *,
        streams: bool,
        request: Request,
    ) -> Answer:
        assert self._connections is not None, "started"
        answer = Answer(worker, request, self._env)
        body = with_priority(body, worker.priority, request.latency_class)
        try:
            sent = worker.target.head(endpoint, headers, len(body)) + body
            answer.began(await self._connections.ask(worker.target.origin, sent, worker.settings.timeout_s))
            if answer.status >= 500 or 300 <= answer.status < 400:  # a redirect is a wrong address in the settings
                raise WorkerCallError(_failure_by_status(answer.status), worker, f"status {answer.status}")
            if not (streams and answer.status == 200 and answer.is_event_stream):
                await answer.read()
        except CallError as error:
            answer.close()
            raise WorkerCallError(_failure_of(error), worker, str(error)) from None
        except BaseException:
            answer.close()
            raise
        return answer

    def _note_failure(self, error: WorkerCallError, request: Request) -> None:
        if not self._is_closed:  # its calls were broken off by us
            self._failures.note(error.worker, request.served_name, error.failure, error.detail)

    def note_first_bytes(self, answer: Answer) -> None:
        """A stream's answer has begun."""
        answer.worker.recent.first.add(self._env.monotonic_s() - answer.asked_at_s)

    def _judge(self, worker: Worker, workers: Sequence[Worker], *, is_failed: bool) -> None:
        """A call is over: one that is worse than the others of its model rests. One alone is worse than nobody."""
        now_s = self._env.monotonic_s()
        worker.recent.ended(now_s, is_failed=is_failed)
        others = [_as_peer(one, now_s) for one in workers if one is not worker]
        fault = fault_of(_as_peer(worker, now_s), others, self.outliers, now_s)
        if fault is None:
            return
        self._failures.worse_than_peers(worker, fault, worker.recent.rest(now_s, self.outliers.rest_s))

    def note_broken_stream(self, worker: Worker, request: Request, error: CallError) -> None:
        """A stream that ended before its end, after some of it had reached the client."""
        self._note_failure(WorkerCallError(_failure_of(error), worker, str(error)), request)


def _as_peer(worker: Worker, now_s: float) -> Peer:
    is_up = worker.is_up(now_s) and not worker.is_asleep
    return Peer(settings=worker.settings, recent=worker.recent, is_up=is_up)


def _failure_by_status(status: int) -> Failure:
    return Failure.OVERLOADED if status == 503 else Failure.ERROR


def _failure_of(error: CallError) -> Failure:
    match error:
        case NotConnectedError():
            return Failure.UNREACHABLE
        case SilentError():
            return Failure.SILENT
        case _:
            return Failure.BROKEN_OFF


def _told_to_client(last: WorkerCallError | None, workers: Sequence[Worker], now_s: float) -> ApiError:
    """What the client learns: what happened and when to come back, no address of ours."""
    if last is None:
        retry_after_s = min(worker.retry_after_s(now_s) for worker in workers)
        return unavailable("No worker for this model is up.", code="no_worker", retry_after_s=retry_after_s)
    match last.failure:
        case Failure.UNREACHABLE:
            return unavailable(
                "No worker for this model can be reached.", code="worker_unreachable", retry_after_s=_RETRY_AFTER_S
            )
        case Failure.OVERLOADED:
            return unavailable(
                "The workers for this model are full.", code="worker_overloaded", retry_after_s=_RETRY_AFTER_S
            )
        case Failure.SILENT:
            return failed_upstream(
                504, "The worker did not answer in time.", code="worker_timeout", retry_after_s=_RETRY_AFTER_S
            )
        case Failure.BROKEN_OFF:
            return failed_upstream(
                502, "The worker broke the connection off.", code="worker_broke_off", retry_after_s=_RETRY_AFTER_S
            )
        case Failure.ERROR:
            return failed_upstream(502, "The worker failed.", code="worker_error", retry_after_s=_RETRY_AFTER_S)
