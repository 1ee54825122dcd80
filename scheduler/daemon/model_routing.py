"""Requests that name a pool instead of a model: gathers what the choice needs, and writes the chosen model into them.

Decides nothing itself: the chance is the router model's, the energy the energy model's, the choice that of
shaping/routing.py. A request that names a model costs one look into a table here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from intensity_feeds.series import IntensitySeries, SeriesError
from scheduler.daemon.api_errors import invalid, unknown_model
from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.openai_api import FLEX, Call, Endpoint
from scheduler.daemon.pool_budgets import PoolBudgets
from scheduler.daemon.pools import ModelPool
from scheduler.daemon.query_text import query_text, with_model
from scheduler.daemon.worker_profiles import worker_deployment
from scheduler.region_settings import RegionSettings
from scheduler.worker_settings import ModelPoolSettings, WorkerRole, WorkerSettings
from shaping.deployment import Deployment, ProfileError
from shaping.request_energy import request_energy_j
from shaping.router_model import RouterModel, RouterModelError, from_document
from shaping.routing import Cascade, Floors, Offer, RouteReason, Service, choose
from shaping.shadow_price import PacedBudget, dirtier_price

ECO_HEADER = "x-slacktide-eco"
ECO_PREFIX = "eco:"
_PREMIUM_TIER = "priority"
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off", ""})
_J_PER_KWH = 3.6e6
# So dear that only the cheapest adequate model is worth it: what a budget in grams buys while nobody knows the grid.
_PROHIBITIVE_RATIO_PER_COST = 1e12


class ModelPoolError(ValueError):
    """A model pool of the settings that cannot route. `pool` names it."""

    def __init__(self, pool: str, what: str, remedy: str) -> None:
        self.pool, self.what, self.remedy = pool, what, remedy
        super().__init__(f"model_pool {pool!r}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What became of a request that left something to us: its body for the worker, and why.

    With a `cascade` of the pool `name` nothing is decided yet: its models are asked one after another.
    """

    body: bytes
    headers: dict[str, str]
    cascade: Cascade | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What a pool's router judges requests by, and what serves each of its candidates."""

    router: RouterModel
    deployments: Mapping[str, Deployment]


class ModelRouting:
    """All model pools of the daemon."""

    def __init__(
        self,
        settings: Sequence[ModelPoolSettings],
        judges: Mapping[str, Judge],
        pools: Mapping[str, ModelPool],
        *,
        env: Env,
        metrics: Metrics,
        regions: Mapping[str, RegionSettings],
        grid_of: Callable[[str], IntensitySeries | None],
        budgets: PoolBudgets,
    ) -> None:
        self._pools, self._env, self._metrics = pools, env, metrics
        self._regions, self._grid_of, self._budgets = regions, grid_of, budgets
        self.take_up(settings, judges)

    def take_up(self, settings: Sequence[ModelPoolSettings], judges: Mapping[str, Judge]) -> None:
        """Other model pools, from the next request on. What was spent of a budget stays spent."""
        self._choices = {one.name: self._choice(one, judges[one.name]) for one in settings if not one.cascade}
        self._ladders = {one.name: _Ladder(one, self._metrics) for one in settings if one.cascade}
        self._budgets.keep_only({one.name for one in settings})

    def _choice(self, settings: ModelPoolSettings, judge: Judge) -> _Choice:
        budget = self._budgets.budget(settings)
        pools = [self._pools[candidate] for candidate in settings.candidates]
        return _Choice(settings, judge, pools, budget, self._env, self._metrics, self._regions, self._grid_of)

    @property
    def names(self) -> Sequence[str]:
        """The names that callers may use beside those of models."""
        return [*self._choices, *self._ladders]

    def served(self, name: str, model: str, reason: RouteReason) -> None:
        """Count a call of a pool that ended with this model."""
        self._metrics.routed.labels(name, model, reason).inc()

    def route(
        self, endpoint: Endpoint, body: bytes, call: Call, eco: str | None, *, can_escalate: bool = False
    ) -> Route | None:
        """Write the model into `call`; None for a call that names a model and asks for nothing else.

        Eco accepts delay as well as a lighter model; `can_escalate` is whether several models may be asked in turn.
        Raises ApiError.
        """
        if eco is None and call.model in self._pools:
            return None
        is_eco = wants_eco(eco) or call.model.startswith(ECO_PREFIX)
        name = call.model.removeprefix(ECO_PREFIX)
        if is_eco and call.service_tier in (None, "auto", "default"):
            call.service_tier = FLEX
        if choice := self._choices.get(name):
            return choice.route(endpoint, body, call, is_eco)
        if ladder := self._ladders.get(name):
            return ladder.route(body, call, is_eco, can_escalate=can_escalate)
        if name not in self._pools:
            raise unknown_model(call.model)
        if name == call.model:
            return None
        call.model = name
        return Route(body=with_model(body, name), headers={})


class _Ladder:
    """One model pool whose candidates are asked in turn."""

    def __init__(self, settings: ModelPoolSettings, metrics: Metrics) -> None:
        self._name, self._metrics = settings.name, metrics
        self._cascade = Cascade(models=settings.candidates, sure_ratio=settings.sure_ratio)

    def route(self, body: bytes, call: Call, is_eco: bool, *, can_escalate: bool) -> Route:
        first, last = self._cascade.models[0], self._cascade.models[-1]
        match _service(call, is_eco):
            case Service.PREMIUM:
                return self._straight(body, call, last, RouteReason.PREMIUM)
            case Service.ECO:
                return self._straight(body, call, first, RouteReason.ECO)
            case Service.STANDARD if not can_escalate:
                return self._straight(body, call, last, RouteReason.CANNOT_ESCALATE)
            case Service.STANDARD:
                call.model = first
                return Route(body=body, headers={}, cascade=self._cascade, name=self._name)

    def _straight(self, body: bytes, call: Call, model: str, reason: RouteReason) -> Route:
        self._metrics.routed.labels(self._name, model, reason).inc()
        call.model = model
        return Route(body=with_model(body, model), headers={"x-slacktide-route": reason.value})


class _Choice:
    """One model pool whose router chooses."""

    def __init__(
        self,
        settings: ModelPoolSettings,
        judge: Judge,
        pools: list[ModelPool],
        budget: PacedBudget | None,
        env: Env,
        metrics: Metrics,
        regions: Mapping[str, RegionSettings],
        grid_of: Callable[[str], IntensitySeries | None],
    ) -> None:
        self._settings, self._env, self._pools, self._budget = settings, env, pools, budget
        self._regions, self._grid_of, self._metrics = regions, grid_of, metrics
        self._router, self._deployments = judge.router, judge.deployments
        self._floors = Floors(standard_ratio=settings.floor_ratio, eco_ratio=settings.eco_floor_ratio)
        self._estimates = _estimates_of(settings)

    def route(self, endpoint: Endpoint, body: bytes, call: Call, is_eco: bool) -> Route:
        now_s = self._env.now_s()
        grids = self._grids(now_s)
        chances = self._router.chances(query_text(endpoint, body))
        offers = [self._offer(pool, chances[self._estimates[pool.model]], call, grids) for pool in self._up()]
        found = choose(
            offers,
            service=_service(call, is_eco),
            floors=self._floors,
            price_ratio_per_cost=self._price_ratio_per_cost(now_s, grids),
            left_cost=self._budget.left_cost(now_s) if self._budget is not None and self._is_counted(grids) else None,
        )
        if self._budget is not None and self._is_counted(grids):
            self._budget.spend(found.offer.cost, now_s)
        self._metrics.routed.labels(self._settings.name, found.offer.model, found.reason).inc()
        call.model = found.offer.model
        headers = {
            "x-slacktide-route": found.reason.value,
            "x-slacktide-route-chance": f"{found.offer.chance_ratio:.3f}",
        }
        return Route(body=with_model(body, found.offer.model), headers=headers)

    def _up(self) -> list[ModelPool]:
        """The candidates with a worker that is up; all of them where none is, so that the caller hears why."""
        now_s = self._env.monotonic_s()
        up = [pool for pool in self._pools if any(worker.is_up(now_s) for worker in pool.workers)]
        return up or self._pools

    def _offer(self, pool: ModelPool, chance_ratio: float, call: Call, grids: _Grids | None) -> Offer:
        cost = request_energy_j(
            self._deployments[pool.model],
            prompt_tokens=call.prompt_tokens,
            output_tokens=call.output_tokens,
            batch_sequences=pool.running // len(pool.workers) + 1,
        )
        if self._settings.budget_gco2e is not None and grids is not None:
            cost *= self._regions[pool.home].pue * grids.now_gco2e_per_kwh[pool.home] / _J_PER_KWH
        return Offer(model=pool.model, chance_ratio=chance_ratio, cost=cost)

    def _price_ratio_per_cost(self, now_s: float, grids: _Grids | None) -> float:
        if self._budget is None or not self._is_counted(grids):
            # The cheapest adequate model serves: nothing says what a better guess may cost.
            return _PROHIBITIVE_RATIO_PER_COST
        price_ratio_per_cost = self._budget.price_ratio_per_cost(now_s)
        if self._settings.budget_gco2e is not None or grids is None:
            return price_ratio_per_cost
        home = self._pools[0].home
        return dirtier_price(price_ratio_per_cost, grids.now_gco2e_per_kwh[home], grids.usual_gco2e_per_kwh[home])

    def _is_counted(self, grids: _Grids | None) -> bool:
        """Grams are counted where the grid is known; what nobody knows is no number."""
        return self._settings.budget_gco2e is None or grids is not None

    def _grids(self, now_s: float) -> _Grids | None:
        """The grids of all candidates, where a budget asks for them; None where one of them is not known."""
        if self._budget is None:
            return None
        now_gco2e_per_kwh, usual_gco2e_per_kwh = {}, {}
        for home in {pool.home for pool in self._pools}:
            series = self._grid_of(home)
            if series is None:
                return None
            try:
                now_gco2e_per_kwh[home] = series.at(now_s)
                usual_gco2e_per_kwh[home] = series.mean_gco2e_per_kwh(now_s, series.end_at_s)
            except SeriesError:
                return None
        return _Grids(now_gco2e_per_kwh=now_gco2e_per_kwh, usual_gco2e_per_kwh=usual_gco2e_per_kwh)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grids:
    """What regions emit now, and on average over their forecasts."""

    now_gco2e_per_kwh: Mapping[str, float]
    usual_gco2e_per_kwh: Mapping[str, float]


def wants_eco(said: str | None) -> bool:
    """What the header says; nothing is no. Raises ApiError for what is neither yes nor no."""
    word = (said or "").strip().lower()
    if word in _YES:
        return True
    if word not in _NO:
        raise invalid(f"{ECO_HEADER} must be 1 or 0", param=ECO_HEADER)
    return False


def _service(call: Call, is_eco: bool) -> Service:
    if is_eco:
        return Service.ECO
    return Service.PREMIUM if call.service_tier == _PREMIUM_TIER else Service.STANDARD


def read_judges(settings: Iterable[ModelPoolSettings], workers: Sequence[WorkerSettings]) -> dict[str, Judge]:
    """What each pool with a router judges by: all of it that may fail. Reads files. Raises ModelPoolError."""
    first: dict[str, WorkerSettings] = {}
    for worker in workers:
        if worker.role is not WorkerRole.PREFILL:
            for model in worker.models:
                first.setdefault(model, worker)
    return {one.name: _judge(one, first) for one in settings if not one.cascade}


def _judge(settings: ModelPoolSettings, workers: Mapping[str, WorkerSettings]) -> Judge:
    router = _read_router(settings)
    for estimate in _estimates_of(settings).values():
        if estimate not in router.heads:
            what = f"{settings.router} has no estimate {estimate!r}; it has {', '.join(router.heads)}"
            raise ModelPoolError(settings.name, what, "set estimates to one of these for each candidate")
    deployments = {model: _deployment(settings.name, model, workers[model]) for model in settings.candidates}
    return Judge(router=router, deployments=deployments)


def _estimates_of(settings: ModelPoolSettings) -> Mapping[str, str]:
    """The router's name for each candidate."""
    return dict(zip(settings.candidates, settings.estimates or settings.candidates, strict=True))


def _deployment(name: str, model: str, worker: WorkerSettings) -> Deployment:
    """What serves a candidate."""
    try:
        return worker_deployment(worker, model)
    except ProfileError as error:
        what = f"the energy of {model} is unknown: {error.what}"
        raise ModelPoolError(name, what, "set profile of its [[worker]], see `slacktide profiles list`") from None


def _read_router(settings: ModelPoolSettings) -> RouterModel:
    remedy = "write one: slacktide router train --data JUDGED.csv.gz --out FILE"
    try:
        return from_document(json.loads(Path(settings.router).expanduser().read_text("utf-8")))
    except OSError as error:
        raise ModelPoolError(settings.name, f"router {settings.router}: {error.strerror}", remedy) from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ModelPoolError(settings.name, f"router {settings.router} is no JSON", remedy) from None
    except RouterModelError as error:
        raise ModelPoolError(settings.name, f"router {settings.router}: {error}", remedy) from None
