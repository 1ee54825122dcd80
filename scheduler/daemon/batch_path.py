"""The way of one line of a batch: through the shaper of its model, behind everybody who waits, to a worker.

The same path as that of a request from outside, without the socket. Decides which failures are worth another try.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scheduler.daemon.api_errors import ApiError, internal, unknown_model
from scheduler.daemon.energy_use import WORKER_ENERGY_HEADER, Bookkeeper, worker_energy_j
from scheduler.daemon.env import Env
from scheduler.daemon.http import REQUEST_ID_HEADER
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.model_routing import ModelRouting
from scheduler.daemon.openai_api import Call, Endpoint, Usage, read_call, read_usage
from scheduler.daemon.pools import ModelPool, Ticket
from scheduler.daemon.quota_book import QuotaBook
from scheduler.daemon.relay import book_answer
from scheduler.daemon.request_context import working_for
from scheduler.daemon.request_terms import within
from scheduler.daemon.upstream import Answer, Upstream
from shaping.request import LatencyClass, Request

log = logging.getLogger(__name__)

# Nothing was done, or a worker failed: another worker, or the same one later, may answer.
WORTH_ANOTHER_TRY = frozenset({429, 502, 503, 504})
# A line that takes its worker down must not do so for a day: each of these is up to two workers.
_MAX_FAILED_TRIES = 3
_FAILED = frozenset({502, 504})
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0  # real seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class LineAnswer:
    """What a worker, or the gateway in its place, said to one line."""

    status: int
    request_id: str
    body: bytes
    tokens: int = 0


class BatchPath:
    """Sends lines; `leave` gives back the place that `admit` of a pool took."""

    def __init__(
        self,
        *,
        env: Env,
        pools: Mapping[str, ModelPool],
        routing: ModelRouting,
        upstream: Upstream,
        bookkeeper: Bookkeeper,
        metrics: Metrics,
        leave: Callable[[ModelPool, Ticket], None],
        quotas: QuotaBook,
    ) -> None:
        self._quotas = quotas
        self._env, self._metrics = env, metrics
        self._pools, self._routing, self._upstream = pools, routing, upstream
        self._bookkeeper, self._leave = bookkeeper, leave

    def serves(self, model: str) -> bool:
        return model in self._pools or model in self._routing.names

    def home(self, model: str | None) -> ModelPool | None:
        """The pool whose grid and places a batch is planned by; for a name of several models, the first of all."""
        return self._pools.get(model or "") or next(iter(self._pools.values()), None)

    def places(self, pool: ModelPool, most: int) -> int:
        """How many lines of batches may be on their way in a pool."""
        return max(1, min(most, pool.sequences))

    async def answer(
        self, endpoint: Endpoint, body: bytes, *, submitted_at_s: float, deadline_at_s: float, tenant: str
    ) -> LineAnswer:
        """Ask until there is an answer that another try would not change; cancelled by whoever waits no longer."""
        request_id = self._env.new_id("req")
        failed, pause_s = 0, _FIRST_PAUSE_S
        try:
            charge = self._quotas.admit_line(tenant)
        except ApiError as error:  # the month is used up: another try would not change that in time
            return LineAnswer(status=error.status, request_id=request_id, body=error.body())
        while True:
            answer = await self._tried(request_id, endpoint, body, submitted_at_s, deadline_at_s, tenant)
            failed += answer.status in _FAILED
            if answer.status not in WORTH_ANOTHER_TRY or failed >= _MAX_FAILED_TRIES:
                charge.used(answer.tokens)
                charge.ended(is_refused=False)
                return answer
            await self._env.sleep_s(pause_s * self._env.speed)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _tried(
        self, request_id: str, endpoint: Endpoint, body: bytes, submitted_at_s: float, deadline_at_s: float, tenant: str
    ) -> LineAnswer:
        with working_for(request_id):
            try:
                return await self._asked(request_id, endpoint, body, submitted_at_s, deadline_at_s, tenant)
            except ApiError as error:
                return LineAnswer(status=error.status, request_id=request_id, body=error.body())
            except Exception:  # the outermost runner of a line: the other lines go on
                log.exception("line failed", extra={"action": "batch_line_failed", "request_id": request_id})
                return LineAnswer(status=500, request_id=request_id, body=internal().body())

    async def _asked(
        self, request_id: str, endpoint: Endpoint, body: bytes, submitted_at_s: float, deadline_at_s: float, tenant: str
    ) -> LineAnswer:
        began_s, status = self._env.monotonic_s(), 499
        call = read_call(endpoint, body)
        route = self._routing.route(endpoint, body, call, None)
        pool = self._pools.get(call.model)
        if pool is None:
            raise unknown_model(call.model)
        ticket = pool.admit(self._request(request_id, endpoint, body, call, pool, deadline_at_s), self._env.now_s())
        try:
            await ticket.released_within(None)
            ticket.must_be_released()
            asked_s = self._env.monotonic_s()
            sent = body if route is None else route.body
            answer = await self._upstream.ask(
                pool.workers,
                endpoint,
                sent,
                {REQUEST_ID_HEADER: request_id},
                streams=False,
                request=ticket.request,
            )
            status = answer.status
            return self._read(endpoint, answer, pool, ticket, call, request_id, submitted_at_s, asked_s, tenant)
        except ApiError as error:
            status = error.status
            raise
        finally:
            self._leave(pool, ticket)
            self._metrics.for_requests(endpoint, pool.model, LatencyClass.BATCH).answered(
                status, took_s=self._env.monotonic_s() - began_s, held_s=ticket.held_s
            )

    def _request(
        self, request_id: str, endpoint: Endpoint, body: bytes, call: Call, pool: ModelPool, deadline_at_s: float
    ) -> Request:
        now_s = self._env.now_s()
        prompt_tokens, output_tokens = within(pool.kv_tokens, call.prompt_tokens, call.output_tokens)
        return Request(
            id=request_id,
            model=pool.model,
            arrived_at_s=now_s,
            release_by_s=max(now_s, deadline_at_s - pool.service.expected_s * self._env.speed),
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            latency_class=LatencyClass.BATCH,
            not_before_s=now_s,
            prefix=pool.prefix_of(endpoint, body, call.model),
            adapter=pool.adapter_of(call.model),
        )

    def _read(
        self,
        endpoint: Endpoint,
        answer: Answer,
        pool: ModelPool,
        ticket: Ticket,
        call: Call,
        request_id: str,
        submitted_at_s: float,
        asked_s: float,
        tenant: str,
    ) -> LineAnswer:
        try:
            assert answer.body is not None, "only a stream is left unread, and none was asked for"
            tokens = 0
            if answer.status == 200:
                guess = Usage(prompt_tokens=call.prompt_tokens, completion_tokens=call.output_tokens)
                usage = read_usage(answer.body, endpoint) or guess
                tokens = usage.prompt_tokens + usage.completion_tokens
                book_answer(
                    self._bookkeeper,
                    self._env,
                    pool,
                    ticket,
                    answer,
                    usage,
                    reported_j=worker_energy_j(answer.headers.get(WORKER_ENERGY_HEADER)),
                    asked_at_s=asked_s,
                    at_once_at_s=submitted_at_s,
                    tenant=tenant,
                )
            return LineAnswer(status=answer.status, request_id=request_id, body=answer.body, tokens=tokens)
        finally:
            answer.close()
