"""The OpenAI-compatible front of the workers: puts its parts together, starts and ends them, and says how it is.

Decides nothing of a call: call_path.py does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from aiohttp import web

from intensity_feeds.series import IntensitySeries
from scheduler.config import Settings
from scheduler.daemon.api_errors import unknown_model
from scheduler.daemon.batch_path import BatchPath
from scheduler.daemon.call_path import CallPath
from scheduler.daemon.energy_use import Bookkeeper, UseSink
from scheduler.daemon.env import Env
from scheduler.daemon.fleet import Fleet
from scheduler.daemon.habits import Habits
from scheduler.daemon.hand_over import HandOver
from scheduler.daemon.http import Policies, Scope
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.model_routing import Judge, ModelRouting, read_judges
from scheduler.daemon.openai_api import Endpoint, model_answer, models_answer
from scheduler.daemon.pool_budgets import PoolBudgets
from scheduler.daemon.pools import ModelPool
from scheduler.daemon.quota_book import QuotaBook
from scheduler.daemon.request_records import RequestRecords
from scheduler.daemon.request_terms import CleanHours, Terms
from scheduler.daemon.upstream import Upstream
from scheduler.daemon.workers import Worker, readers_by_model
from scheduler.jobs import Job
from scheduler.quota_settings import limits_of
from shaping.request import LatencyClass

log = logging.getLogger(__name__)

POLICIES: Policies = {
    **{f"POST {endpoint}": Scope.INFER for endpoint in Endpoint},
    "GET /v1/models": frozenset({Scope.INFER, Scope.READ}),
    "GET /v1/models/{model}": frozenset({Scope.INFER, Scope.READ}),
}


class UnknownRegionError(ValueError):
    """A worker in a region that the settings do not describe."""

    def __init__(self, worker: str, region: str) -> None:
        self.worker, self.region = worker, region
        super().__init__(f"worker {worker} is in region {region!r}, which no [[region]] names: add one")


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
        self._quotas = quotas or QuotaBook(env, limits_of(settings.tenant))
        self._env, self._settings, self._metrics, self._clean_hours = env, settings, metrics, clean_hours
        regions = {region.name: region for region in settings.region}
        for worker in settings.worker:
            if worker.region not in regions:
                raise UnknownRegionError(worker.url, worker.region)
        self.records = RequestRecords(sink)
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
        self._terms = Terms(settings.shaping, clean_hours, env)
        self._calls = CallPath(
            settings,
            env=env,
            metrics=metrics,
            fleet=self._fleet,
            routing=self._routing,
            terms=self._terms,
            upstream=self._upstream,
            bookkeeper=self._bookkeeper,
            quotas=self._quotas,
            records=self.records,
            batch_of=batch_of,
        )
        self._created_at_s = env.now_s()
        self._tasks: asyncio.Task[None] | None = None

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
            app.router.add_post(endpoint, partial(self._calls.serve, endpoint=endpoint))
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
        self._settings = self._calls.settings = settings
        self._terms.shaping = settings.shaping
        self._bookkeeper.read_profiles(settings.worker)
        self._fleet.take_up(settings)
        self._upstream.hand_over = HandOver(settings.hand_over, readers_by_model(self._workers))
        self._upstream.outliers = settings.outliers
        if judges is not None:
            self._routing.take_up(settings.model_pool, judges)

    async def stop(self, drain_s: float) -> None:
        """Admit nothing more, let held requests go, wait `drain_s` real seconds for those under way, close."""
        self._calls.is_draining = True
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
                await self._calls.emptied.wait()
        except TimeoutError:
            log.warning("drain ended early", extra={"action": "drain_cut_short", "running": self.running})

    # -- what others ask ----------------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Requests held now."""
        return self._fleet.held

    @property
    def running(self) -> int:
        """Requests at the workers now."""
        return self._fleet.running

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
        if self._calls.is_draining:
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
                    pool.retime(ticket, self._terms.clean_at_s(pool, now_s, ticket.request.release_by_s))
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
            leave=self._calls.leave,
            quotas=self._quotas,
        )

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
