"""The path of a call: read, routed, put on an account, offered to its pool, answered by a worker, and accounted for.

Composes the parts of the path and decides only who is let in. Never waits for a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from aiohttp import web

from scheduler.config import Settings
from scheduler.daemon.answer_confidence import CAN_CASCADE
from scheduler.daemon.api_errors import ApiError, queue_full, unavailable, unknown_model
from scheduler.daemon.energy_use import Bookkeeper
from scheduler.daemon.env import Env
from scheduler.daemon.escalation import Asked, escalate
from scheduler.daemon.fleet import Fleet
from scheduler.daemon.guard import caller_of, tenant_for
from scheduler.daemon.holding import DEADLINE_HEADER, PATIENCE_HEADER, patience_of
from scheduler.daemon.http import REQUEST_ID, read_json_body
from scheduler.daemon.joined_calls import JoinedCalls, RunningCall, may_be_retried, names_of
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.model_routing import ECO_HEADER, ModelRouting, Route
from scheduler.daemon.openai_api import Call, Endpoint, read_call
from scheduler.daemon.pools import RETRY_AFTER_FULL_S, ModelPool, Ticket, least_of_all
from scheduler.daemon.quota_book import Charge, QuotaBook
from scheduler.daemon.relay import Exchange
from scheduler.daemon.request_records import RequestRecord, RequestRecords
from scheduler.daemon.request_terms import Terms
from scheduler.daemon.traces import part_of
from scheduler.daemon.upstream import Upstream
from scheduler.jobs import Job
from scheduler.launchers.contract import JOB_HEADER
from shaping.request import LatencyClass
from shaping.routing import Cascade

_RETRY_AFTER_DRAIN_S = 5.0
_CLIENT_LEFT = 499
_NO_HEADERS: Mapping[str, str] = {}
_LEAST_PATIENCE_S = 1.0  # of a client whose first model took all of it: it may have more than it says


class _Account(NamedTuple):
    """On whose account a call is: its tenant, the batch job it belongs to, and its place in the quota."""

    tenant: str
    batch: Job | None
    charge: Charge
    record: RequestRecord


class CallPath:
    """One for all calls. `settings` are those of now."""

    def __init__(
        self,
        settings: Settings,
        *,
        env: Env,
        metrics: Metrics,
        fleet: Fleet,
        routing: ModelRouting,
        terms: Terms,
        upstream: Upstream,
        bookkeeper: Bookkeeper,
        quotas: QuotaBook,
        records: RequestRecords,
        batch_of: Callable[[str], Job | None],
    ) -> None:
        """`batch_of` knows the open batch jobs, whose own client names its job."""
        self.settings, self._env, self._metrics = settings, env, metrics
        self._fleet, self._served, self._routing, self._terms = fleet, fleet.served, routing, terms
        self._upstream, self._bookkeeper = upstream, bookkeeper
        self._quotas, self._records, self._batch_of = quotas, records, batch_of
        self._joinable = JoinedCalls()
        self.is_draining = False  # nobody is let in any longer
        self.emptied = asyncio.Event()  # while it is: the last one has left

    async def serve(self, http: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        began_s = self._env.monotonic_s()
        body = await read_json_body(http, max_bytes=self.settings.server.max_body_bytes)
        call = read_call(endpoint, body)
        can_join = not call.is_streaming and may_be_retried(http.headers)
        names = names_of(http.headers, _whose(http, endpoint), body) if can_join else None
        if names is None:
            return await self._answered(http, endpoint, body, call, began_s)
        if (running := self._joinable.of(names)) is not None:
            return await self._joined(http, endpoint, call, running)
        work = self._answered(http, endpoint, body, call, began_s)
        return (await self._joinable.begin(names, http[REQUEST_ID], work).answer()).response

    async def _joined(
        self, http: web.Request, endpoint: Endpoint, call: Call, running: RunningCall
    ) -> web.StreamResponse:
        """The answer of a call that this one is a retry of: it costs nothing, and is charged to nobody."""
        self._metrics.joined.labels(endpoint).inc()
        record = self._record(http, endpoint, call, call.model, tenant_for(http))
        record.joined = running.request_id
        status, headers = _CLIENT_LEFT, _NO_HEADERS
        try:
            response = (await running.answer()).again(running.request_id)
            status, headers = response.status, response.headers
            return response
        except ApiError as error:
            status = error.status
            raise
        finally:
            record.ended(status, self._env.now_s(), headers)

    async def _answered(
        self, http: web.Request, endpoint: Endpoint, body: bytes, call: Call, began_s: float
    ) -> web.StreamResponse:
        asked_model = call.model
        can_escalate = endpoint in CAN_CASCADE and not call.is_streaming
        eco = http.headers.get(ECO_HEADER)
        with part_of(http, "route") as part:
            route = self._routing.route(endpoint, body, call, eco, can_escalate=can_escalate)
            part.note(asked_for=call.model)
        whose = self._account_of(http, endpoint, call, asked_model)
        status, headers = _CLIENT_LEFT, _NO_HEADERS
        try:
            if route is None:
                response, _ = await self._served_by(http, endpoint, body, call, began_s, whose)
            elif route.cascade is None:
                response, _ = await self._served_by(http, endpoint, route.body, call, began_s, whose, route)
            else:
                response = await self._escalated(http, endpoint, call, began_s, whose, route, route.cascade)
            status, headers = response.status, _NO_HEADERS if route is None else response.headers
        except ApiError as error:
            status = error.status
            whose.charge.ended(is_refused=True)
            raise
        finally:
            whose.record.ended(status, self._env.now_s(), headers)
        whose.charge.ended(is_refused=status >= 400)
        return response

    def _account_of(self, http: web.Request, endpoint: Endpoint, call: Call, asked_model: str) -> _Account:
        """Whose the call is, and its place in that tenant's quota. Raises ApiError 429."""
        named = http.headers.get(JOB_HEADER)
        batch = None if named is None else self._batch_of(named)
        if batch is not None and not caller_of(http).acts_for(batch.tenant):
            batch = None  # somebody else's job: its name buys nothing
        tenant = tenant_for(http) if batch is None else batch.tenant
        tokens = call.prompt_tokens + call.output_tokens
        charge = self._quotas.admit(http, tenant, tokens, is_paced=batch is not None)
        record = self._record(http, endpoint, call, asked_model, tenant)
        return _Account(tenant=tenant, batch=batch, charge=charge, record=record)

    def _record(
        self, http: web.Request, endpoint: Endpoint, call: Call, asked_model: str, tenant: str
    ) -> RequestRecord:
        return self._records.began(
            RequestRecord(
                id=http[REQUEST_ID],
                tenant=tenant,
                endpoint=endpoint,
                asked_model=asked_model,
                service_tier=call.service_tier,
                is_streaming=call.is_streaming,
                arrived_at_s=self._env.now_s(),
            )
        )

    async def _escalated(
        self,
        http: web.Request,
        endpoint: Endpoint,
        call: Call,
        began_s: float,
        whose: _Account,
        route: Route,
        cascade: Cascade,
    ) -> web.StreamResponse:
        async def ask(model: str, body: bytes) -> Asked:
            # Who is asked next has waited for its hour with the first.
            is_first, now_s = model == cascade.models[0], self._env.monotonic_s()
            response, exchange = await self._served_by(
                http,
                endpoint,
                body,
                replace(call, model=model),
                began_s if is_first else now_s,
                whose,
                waited_s=None if is_first else now_s - began_s,
            )
            assert isinstance(response, web.Response), "no stream was asked for"
            return Asked(response=response, used=exchange.used, error_class=exchange.error_class)

        found = await escalate(cascade, endpoint, route.body, ask)
        self._routing.served(route.name, found.model, found.reason)
        return found.response

    async def _served_by(
        self,
        http: web.Request,
        endpoint: Endpoint,
        body: bytes,
        call: Call,
        began_s: float,
        whose: _Account,
        route: Route | None = None,
        *,
        waited_s: float | None = None,
    ) -> tuple[web.StreamResponse, Exchange]:
        """The answer of the model that the call names; `waited_s` of its client's patience went to another before."""
        pool = self._served.get(call.model)
        if pool is None:
            raise unknown_model(call.model)
        self._refuse_when_draining()
        patience_s = patience_of(http.headers.get(PATIENCE_HEADER))
        if patience_s is not None and waited_s is not None:
            patience_s = max(_LEAST_PATIENCE_S, patience_s - waited_s)
        now_s = self._env.now_s()
        prefix = pool.prefix_of(endpoint, body, call.model)
        request = self._terms.request(http, call, pool, patience_s, now_s, whose.batch, prefix)
        if waited_s is not None:
            request = replace(request, not_before_s=now_s)
        self._make_room(request.latency_class)
        ticket = pool.admit(request, now_s)
        whose.record.offered(ticket)
        status = _CLIENT_LEFT
        try:
            exchange = self._exchange(http, endpoint, body, call, pool, ticket, patience_s, whose, route)
            response = await exchange.run()
            status = response.status
            whose.record.answered(exchange.region, exchange.usage)
            if exchange.usage is not None:
                whose.charge.used(exchange.usage.prompt_tokens + exchange.usage.completion_tokens)
            return response, exchange
        except ApiError as error:
            status = error.status
            raise
        finally:
            whose.record.left(ticket)
            self.leave(pool, ticket)
            self._metrics.for_requests(endpoint, pool.model, request.latency_class).answered(
                status, took_s=self._env.monotonic_s() - began_s, held_s=ticket.held_s
            )

    def _refuse_when_draining(self) -> None:
        if self.is_draining:
            raise unavailable("Slacktide is shutting down here.", code="draining", retry_after_s=_RETRY_AFTER_DRAIN_S)

    def _make_room(self, latency_class: LatencyClass) -> None:
        """Send one of a lower class away where no more may be held. Raises ApiError 429 where there is none."""
        if self._fleet.held < self.settings.shaping.max_held:
            return
        sent_away = least_of_all(self._fleet.all_pools, latency_class)
        if sent_away is None:
            raise queue_full(RETRY_AFTER_FULL_S)
        self._metrics.shed.labels(sent_away).inc()

    def _exchange(
        self,
        http: web.Request,
        endpoint: Endpoint,
        body: bytes,
        call: Call,
        pool: ModelPool,
        ticket: Ticket,
        patience_s: float | None,
        whose: _Account,
        route: Route | None,
    ) -> Exchange:
        return Exchange(
            http,
            endpoint,
            body,
            call,
            pool,
            ticket,
            patience_s=self.settings.shaping.flex_deadline_s if patience_s is None else patience_s,
            margin_s=self.settings.shaping.flex_margin_s,
            upstream=self._upstream,
            bookkeeper=self._bookkeeper,
            env=self._env,
            tenant=whose.tenant,
            batch=whose.batch,
            route=route,
        )

    def leave(self, pool: ModelPool, ticket: Ticket) -> None:
        pool.leave(ticket)
        self._fleet.left(pool)
        if self.is_draining and self._fleet.held + self._fleet.running == 0:
            self.emptied.set()


def _whose(http: web.Request, endpoint: Endpoint) -> tuple[str | None, ...]:
    """All but the body that makes two calls the same."""
    asked = (http.headers.get(name) for name in (ECO_HEADER, DEADLINE_HEADER, JOB_HEADER))
    return (caller_of(http).key_id, endpoint, *asked)
