"""The request path: an OpenAI call comes in, is offered to its model's shaper, goes to a worker, and is accounted for.

Composes the parts of the path and decides only who is admitted. Never waits for a disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol

from aiohttp import web

from intensity_feeds.series import IntensitySeries
from scheduler.config import Settings
from scheduler.daemon.answer_confidence import CAN_CASCADE
from scheduler.daemon.api_errors import ApiError, queue_full, unavailable, unknown_model
from scheduler.daemon.batch_path import BatchPath
from scheduler.daemon.energy_use import Bookkeeper, UseSink
from scheduler.daemon.env import Env
from scheduler.daemon.escalation import Asked, escalate
from scheduler.daemon.fleet import Fleet
from scheduler.daemon.guard import caller_of, tenant_for
from scheduler.daemon.habits import Habits
from scheduler.daemon.hand_over import HandOver
from scheduler.daemon.holding import DEADLINE_HEADER, PATIENCE_HEADER, deadline_of, patience_of, release_by
from scheduler.daemon.http import REQUEST_ID, Policies, Scope, read_json_body
from scheduler.daemon.joined_calls import JoinedCalls, RunningCall, may_be_retried, names_of
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.model_routing import ECO_HEADER, Judge, ModelRouting, Route, read_judges
from scheduler.daemon.openai_api import Call, Endpoint, model_answer, models_answer, read_call
from scheduler.daemon.pool_budgets import PoolBudgets
from scheduler.daemon.pools import RETRY_AFTER_FULL_S, ModelPool, Ticket, least_of_all
from scheduler.daemon.quota_book import Charge, QuotaBook
from scheduler.daemon.relay import Exchange
from scheduler.daemon.request_records import RequestRecord, RequestRecords
from scheduler.daemon.traces import part_of
from scheduler.daemon.upstream import Upstream
from scheduler.daemon.workers import Worker, readers_by_model
from scheduler.jobs import Job
from scheduler.launchers.contract import JOB_HEADER
from scheduler.quota_settings import limits_of
from shaping.prefixes import Prefix
from shaping.request import LatencyClass, Request
from shaping.routing import Cascade

log = logging.getLogger(__name__)

POLICIES: Policies = {
    **{f"POST {endpoint}": Scope.INFER for endpoint in Endpoint},
    "GET /v1/models": frozenset({Scope.INFER, Scope.READ}),
    "GET /v1/models/{model}": frozenset({Scope.INFER, Scope.READ}),
}

_RETRY_AFTER_DRAIN_S = 5.0
_CLIENT_LEFT = 499
_NO_HEADERS: Mapping[str, str] = {}
_LEAST_PATIENCE_S = 1.0  # of a client whose first model took all of it: it may have more than it says


class CleanHours(Protocol):
    """What the planner knows of the grid: when a request should go, and what the grid emits now."""

    def release_at_s(self, region: str, now_s: float, duration_s: float, release_by_s: float) -> float:
        """The earliest clean instant not after `release_by_s`."""
        ...

    def intensity_gco2e_per_kwh(self, region: str, now_s: float) -> float | None:
        """None where nobody knows it."""
        ...


class UnknownRegionError(ValueError):
    """A worker in a region that the settings do not describe."""

    def __init__(self, worker: str, region: str) -> None:
        self.worker, self.region = worker, region
        super().__init__(f"worker {worker} is in region {region!r}, which no [[region]] names: add one")


class _Account(NamedTuple):
    """On whose account a call is: its tenant, the batch job it belongs to, and its place in the quota."""

    tenant: str
    batch: Job | None
    charge: Charge
    record: RequestRecord


class Gateway:
    """The OpenAI-compatible front of the configured workers."""

    def __init__(
        self,
        *,
        env: Env,
        settings: Settings,
        clean_hours: CleanHours,
        sink: UseSink,
        metrics: Metrics,
        batch_of: Callable[[str], Job | None] = lambda _: None,
        grid_of: Callable[[str], IntensitySeries | None] = lambda _: None,
        quotas: QuotaBook | None = None,
        pool_budgets: PoolBudgets | None = None,
    ) -> None:
        """`batch_of` knows the open batch jobs, whose own client names its job; `grid_of` a region's forecast.

        Reads the router files of model pools and the calibrations of workers. Raises UnknownRegionError,
        ModelPoolError, CalibrationFileError.
        """
        self._batch_of = batch_of
        self._quotas = quotas or QuotaBook(env, limits_of(settings.tenant))
        self._env, self._settings, self._metrics, self._clean_hours = env, settings, metrics, clean_hours
        regions = {region.name: region for region in settings.region}
        for worker in settings.worker:
            if worker.region not in regions:
                raise UnknownRegionError(worker.url, worker.region)
        self.records = RequestRecords(sink)
        self._joinable = JoinedCalls()
        self._bookkeeper = Bookkeeper(regions, self.records, metrics, grid_of)
        self._bookkeeper.read_profiles(settings.worker)
        self._fleet = Fleet(settings, self._pool, env, metrics)
        self._workers, self._pools, self._served = self._fleet.workers, self._fleet.pools, self._fleet.served
        self._routing = ModelRouting(
            settings.model_pool,
            read_judges(settings.model_pool, settings.worker),
            self._served,
            env=env,
            metrics=metrics,
            regions=regions,
            grid_of=grid_of,
            budgets=pool_budgets or PoolBudgets(None, env),
        )
        hand_over = HandOver(settings.hand_over, readers_by_model(self._workers))
        self._upstream = Upstream(env, metrics, hand_over=hand_over, outliers=settings.outliers)
        self._created_at_s = env.now_s()
        self._tasks: asyncio.Task[None] | None = None
        self._is_draining = False
        self._emptied = asyncio.Event()

    def _pool(self, model: str, workers: list[Worker]) -> ModelPool:
        home = workers[0].settings.region
        return ModelPool(
            model=model,
            workers=workers,
            policy=self._settings.shaping.hold_policy,
            env=self._env,
            metrics=self._metrics,
            intensity_at=lambda now_s: self._clean_hours.intensity_gco2e_per_kwh(home, now_s),
            idle_power_w=self._bookkeeper.idle_power_w(workers[0].settings),
            reading_tokens_per_s=self._bookkeeper.reading_tokens_per_s(workers[0].settings),
        )

    # -- life ---------------------------------------------------------------------------------------------------------

    def add_routes(self, app: web.Application) -> None:
        for endpoint in Endpoint:
            app.router.add_post(endpoint, partial(self._serve, endpoint=endpoint))
        app.router.add_get("/v1/models", self._list_models, allow_head=False)
        app.router.add_get("/v1/models/{model:.+}", self._show_model, allow_head=False)

    async def start(self) -> None:
        await self._upstream.start()
        self._tasks = asyncio.create_task(self._fleet.run(self._upstream), name="gateway")

    def recall(self, habits: Mapping[str, Habits]) -> None:
        """How requests came before this life of the daemon, for the sleep of workers."""
        self._fleet.recall(habits)

    def take_up(self, settings: Settings, judges: Mapping[str, Judge] | None = None) -> None:
        """Other workers, outlier rules and limits of what is held, while requests go on; no task of it may fail.

        With `judges`, other model pools too.
        """
        self._settings = settings
        self._bookkeeper.read_profiles(settings.worker)
        self._fleet.take_up(settings)
        self._upstream.hand_over = HandOver(settings.hand_over, readers_by_model(self._workers))
        self._upstream.outliers = settings.outliers
        if judges is not None:
            self._routing.take_up(settings.model_pool, judges)

    async def stop(self, drain_s: float) -> None:
        """Admit nothing more, let held requests go, wait `drain_s` real seconds for those under way, close."""
        self._is_draining = True
        for pool in self._fleet.all_pools:
            pool.let_all_go()
        await self._drain(drain_s)
        if self._tasks is not None:
            self._tasks.cancel()
            await asyncio.wait((self._tasks,))
        await self._upstream.stop()

    async def _drain(self, drain_s: float) -> None:
        if self.held + self.running == 0:
            return
        try:
            async with asyncio.timeout(drain_s):
                await self._emptied.wait()
        except TimeoutError:
            log.warning("drain ended early", extra={"action": "drain_cut_short", "running": self.running})

    # -- what others ask ----------------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Requests held now."""
        held = 0
        for (
            pool
        ) in self._fleet.all_pools:  # asked for with every request, as a sum over a generator costs twice as much
            held += len(pool.held)
        return held

    @property
    def running(self) -> int:
        """Requests at the workers now."""
        return sum(pool.running for pool in self._fleet.all_pools)

    @property
    def workers(self) -> Sequence[Worker]:
        """In the order of the settings."""
        return self._workers

    @property
    def pools(self) -> Mapping[str, ModelPool]:
        """By model, in the order of the settings."""
        return self._pools

    @property
    def workers_up(self) -> int:
        now_s = self._env.monotonic_s()
        return sum(worker.is_up(now_s) for worker in self._workers)

    def alone_j(self, name: str, prompt_tokens: int, output_tokens: int) -> float | None:
        """Energy of one request with a worker to itself, by the model; None where nobody knows."""
        if (pool := self._served.get(name)) is None:
            return None
        worker, tokens = pool.workers[0].settings, {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
        return self._bookkeeper.modelled_j(worker, **tokens, batch_sequences=1)

    def problems(self) -> list[str]:
        """What keeps the gateway from serving, in words."""
        found = []
        if self._is_draining:
            found.append("the gateway is draining")
        if self._workers and (self._tasks is None or self._tasks.done()):
            found.append("the gateway's tasks do not run")
        if self._workers and not self.workers_up:
            found.append("no worker is up")
        return found

    def on_forecast_changed(self) -> None:
        """A new forecast: every held deferrable request is timed anew."""
        now_s = self._env.now_s()
        for pool in self._pools.values():
            for ticket in list(pool.held.values()):
                if ticket.request.latency_class is LatencyClass.FLEX:
                    pool.retime(ticket, self._clean_at_s(pool, now_s, ticket.request.release_by_s))
            pool.wake()

    def batch_path(self) -> BatchPath:
        """The way into the pools for lines of batches."""
        return BatchPath(
            env=self._env,
            pools=self._served,
            routing=self._routing,
            upstream=self._upstream,
            bookkeeper=self._bookkeeper,
            metrics=self._metrics,
            within=_within,
            leave=self._leave,
            quotas=self._quotas,
        )

    # -- requests -----------------------------------------------------------------------------------------------------

    async def _serve(self, http: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        began_s = self._env.monotonic_s()
        body = await read_json_body(http, max_bytes=self._settings.server.max_body_bytes)
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
        return self.records.began(
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
        request = self._request(http, call, pool, patience_s, now_s, whose.batch, prefix)
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
            self._leave(pool, ticket)
            self._metrics.for_requests(endpoint, pool.model, request.latency_class).answered(
                status, took_s=self._env.monotonic_s() - began_s, held_s=ticket.held_s
            )

    def _refuse_when_draining(self) -> None:
        if self._is_draining:
            raise unavailable("Slacktide is shutting down here.", code="draining", retry_after_s=_RETRY_AFTER_DRAIN_S)

    def _make_room(self, latency_class: LatencyClass) -> None:
        """Send one of a lower class away where no more may be held. Raises ApiError 429 where there is none."""
        if self.held < self._settings.shaping.max_held:
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
            patience_s=self._settings.shaping.flex_deadline_s if patience_s is None else patience_s,
            margin_s=self._settings.shaping.flex_margin_s,
            upstream=self._upstream,
            bookkeeper=self._bookkeeper,
            env=self._env,
            tenant=whose.tenant,
            batch=whose.batch,
            route=route,
        )

    def _leave(self, pool: ModelPool, ticket: Ticket) -> None:
        pool.leave(ticket)
        self._fleet.left(pool)
        if self._is_draining and self.held + self.running == 0:
            self._emptied.set()

    def _request(
        self,
        http: web.Request,
        call: Call,
        pool: ModelPool,
        patience_s: float | None,
        now_s: float,
        batch: Job | None,
        prefix: Prefix,
    ) -> Request:
        shaping = self._settings.shaping
        deadline_at_s = deadline_of(call, http.headers.get(DEADLINE_HEADER), now_s, shaping.flex_deadline_s)
        prompt_tokens, output_tokens = _within(pool.kv_tokens, call.prompt_tokens, call.output_tokens)
        if batch is not None:  # its hour was planned with the job: it goes when there is room beside the others
            latency_class, not_before_s = LatencyClass.BATCH, now_s
            release_by_s = self._release_by_s(call, pool, patience_s, now_s, batch.deadline_at_s)
        elif deadline_at_s is None:
            latency_class, not_before_s = LatencyClass.INTERACTIVE, now_s
            release_by_s = now_s + shaping.interactive_hold_s
            if patience_s is not None and release_by_s > now_s:
                release_by_s = min(release_by_s, self._release_by_s(call, pool, patience_s, now_s, float("inf")))
        else:
            latency_class = LatencyClass.FLEX
            release_by_s = self._release_by_s(call, pool, patience_s, now_s, deadline_at_s)
            not_before_s = self._clean_at_s(pool, now_s, release_by_s)
        return Request(
            id=http[REQUEST_ID],
            model=pool.model,
            arrived_at_s=now_s,
            release_by_s=release_by_s,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            latency_class=latency_class,
            not_before_s=not_before_s,
            is_streaming=call.is_streaming,
            prefix=prefix,
            adapter=pool.adapter_of(call.model),
        )

    def _release_by_s(
        self, call: Call, pool: ModelPool, patience_s: float | None, now_s: float, deadline_at_s: float
    ) -> float:
        shaping = self._settings.shaping
        # A stream is kept alive by comments; a plain call whose client says nothing gets the configured patience.
        silent_s = None if call.is_streaming else (shaping.flex_deadline_s if patience_s is None else patience_s)
        return release_by(
            arrived_at_s=now_s,
            deadline_at_s=deadline_at_s,
            patience_s=silent_s,
            service_s=pool.service.expected_s,
            margin_s=shaping.flex_margin_s,
            speed_ratio=self._env.speed,
        )

    def _clean_at_s(self, pool: ModelPool, now_s: float, release_by_s: float) -> float:
        duration_s = pool.service.expected_s * self._env.speed
        return min(release_by_s, self._clean_hours.release_at_s(pool.home, now_s, duration_s, release_by_s))

    # -- models -------------------------------------------------------------------------------------------------------

    async def _list_models(self, _: web.Request) -> web.Response:
        known = [*self._pools, *(name for name in self._served if name not in self._pools), *self._routing.names]
        return _json(models_answer(known, created_at_s=self._created_at_s))

    async def _show_model(self, http: web.Request) -> web.Response:
        model = http.match_info["model"]
        if model not in self._served and model not in self._routing.names:
            raise unknown_model(model)
        return _json(model_answer(model, created_at_s=self._created_at_s))


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": "application/json"})


def _whose(http: web.Request, endpoint: Endpoint) -> tuple[str | None, ...]:
    """All but the body that makes two calls the same."""
    asked = (http.headers.get(name) for name in (ECO_HEADER, DEADLINE_HEADER, JOB_HEADER))
    return (caller_of(http).key_id, endpoint, *asked)


def _within(kv_tokens: int | None, prompt_tokens: int, output_tokens: int) -> tuple[int, int]:
    """Estimates that the pool can hold: whether a prompt is really too long is for the worker to say."""
    if kv_tokens is None:
        return prompt_tokens, output_tokens
    output_tokens = min(output_tokens, kv_tokens)
    return min(prompt_tokens, kv_tokens - output_tokens), output_tokens
