"""The workers and model pools of the gateway with their tasks, and how new settings change them while requests run.

A worker that leaves the settings is given nothing more and finishes what it has; a pool that leaves lets what it holds
go and ends with its last request. Decides no release and no choice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any

from scheduler.config import Settings
from scheduler.daemon.engines import reports_load
from scheduler.daemon.env import Env
from scheduler.daemon.habits import Habits
from scheduler.daemon.keeper import Keeper
from scheduler.daemon.load_reading import LoadReader
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.pools import ModelPool
from scheduler.daemon.probing import Prober
from scheduler.daemon.turn_keeper import TurnKeeper
from scheduler.daemon.upstream import Upstream
from scheduler.daemon.workers import Worker, by_model

log = logging.getLogger(__name__)


class Fleet:
    """What requests go to. `workers`, `pools` and `served` are changed in place: others look at them."""

    def __init__(
        self, settings: Settings, make_pool: Callable[[str, list[Worker]], ModelPool], env: Env, metrics: Metrics
    ) -> None:
        self._settings, self._make_pool, self._env, self._metrics = settings, make_pool, env, metrics
        self.workers = [Worker(worker) for worker in settings.worker]
        self.pools = {model: make_pool(model, workers) for model, workers in by_model(self.workers).items()}
        # By every name that callers may use: those of models, and of adapters on them.
        self.served: dict[str, ModelPool] = {}
        self._name()
        self._leaving: list[ModelPool] = []
        self._upstream: Upstream | None = None
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[Worker | ModelPool, list[asyncio.Task[None]]] = {}
        self._keepers: dict[ModelPool, tuple[Keeper, asyncio.Task[None]]] = {}
        self._turns: list[TurnKeeper] = []

    def _name(self) -> None:
        self.served.clear()
        self.served.update(
            (name, self.pools[worker.settings.models[0]])
            for worker in self.workers
            for name in worker.settings.adapters
        )
        self.served.update(self.pools)

    @property
    def all_pools(self) -> Collection[ModelPool]:
        """Those that end with their last request too."""
        return [*self.pools.values(), *self._leaving] if self._leaving else self.pools.values()

    @property
    def held(self) -> int:
        """Requests held now."""
        held = 0
        for pool in self.all_pools:  # asked for with every request, as a sum over a generator costs twice as much
            held += len(pool.held)
        return held

    @property
    def running(self) -> int:
        """Requests at the workers now."""
        return sum(pool.running for pool in self.all_pools)

    def resize(self) -> None:
        for pool in self.all_pools:
            pool.resize()

    def recall(self, habits: Mapping[str, Habits]) -> None:
        """What an earlier life of the daemon knew of each model's load."""
        for model, known in habits.items():
            if model in self.pools:
                self.pools[model].recall(known)

    # -- tasks --------------------------------------------------------------------------------------------------------

    async def run(self, upstream: Upstream) -> None:
        """Every pool's, worker's and keeper's task, until cancelled."""
        self._upstream = upstream
        async with asyncio.TaskGroup() as group:
            self._group = group
            for pool in self.pools.values():
                self._tend_pool(pool)
            self._take_turns()
            for worker in self.workers:
                self._tend_worker(worker)
            await asyncio.Event().wait()  # workers may come later

    def _start(self, task: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        assert self._group is not None, "the fleet runs"
        return self._group.create_task(task, name=name)

    def _tend_pool(self, pool: ModelPool) -> None:
        self._tasks[pool] = [self._start(pool.run(), f"pool {pool.model}")]
        self._keep(pool)

    def _keep(self, pool: ModelPool) -> None:
        """Somebody who has its workers sleep, where the settings say so; anew where they have changed."""
        self._dismiss(pool)
        consolidation = self._settings.consolidation
        # Who slept while it was on has to be woken where it is off.
        is_wanted = consolidation.enabled or any(worker.is_asleep or worker.is_leaving for worker in pool.workers)
        if is_wanted and pool.is_exclusive and not pool.shares_gpu and self._upstream is not None:
            keeper = Keeper(pool, consolidation, self._upstream, self._env, self._metrics)
            self._keepers[pool] = keeper, self._start(keeper.run(), f"keeper {pool.model}")

    def _dismiss(self, pool: ModelPool) -> None:
        if (found := self._keepers.pop(pool, None)) is not None:
            found[1].cancel()

    def _consolidate(self) -> None:
        """By other rules, whoever is asleep or on the way there."""
        for pool in self.pools.values():
            if pool in self._keepers:
                self._keepers[pool][0].take_up(self._settings.consolidation)
            else:
                self._keep(pool)
        for turns in self._turns:
            turns.take_up(self._settings.consolidation)

    def _take_turns(self) -> None:
        assert self._upstream is not None, "the fleet runs"
        for name in sorted({pool.shares_gpu for pool in self.pools.values()} - {""}):
            sharing = [pool for pool in self.pools.values() if pool.shares_gpu == name]
            turns = TurnKeeper(sharing, self._settings.consolidation, self._upstream, self._env, self._metrics)
            self._turns.append(turns)
            self._start(turns.run(), f"turns on {name}")

    def _tend_worker(self, worker: Worker) -> None:
        assert self._upstream is not None, "the fleet runs"
        prober = Prober(worker, self._upstream, self._env, self._metrics, self.resize)
        self._tasks[worker] = [self._start(prober.run(), f"probe {worker.name}")]
        if reports_load(worker.settings.engine):
            reader = LoadReader(worker, self._upstream, self._env, self._metrics)
            self._tasks[worker].append(self._start(reader.run(), f"load of {worker.name}"))

    def _leave_alone(self, one: Worker | ModelPool) -> None:
        for task in self._tasks.pop(one, ()):
            task.cancel()

    # -- new settings -------------------------------------------------------------------------------------------------

    def take_up(self, settings: Settings) -> None:
        """Other workers, or the same ones otherwise. A worker goes on where its address stays."""
        other_rules = settings.consolidation != self._settings.consolidation
        self._settings = settings
        before = list(self.workers)
        known: dict[str, list[Worker]] = {}
        for worker in before:
            known.setdefault(worker.settings.url, []).append(worker)
        changed: set[Worker] = set()
        self.workers.clear()
        for wanted in settings.worker:
            same = known.get(wanted.url)
            worker = same.pop(0) if same else Worker(wanted)
            if worker.settings != wanted or worker not in before:
                worker.change(wanted)
                changed.add(worker)
            self.workers.append(worker)
        gone = [worker for worker in before if worker not in self.workers]
        for worker in gone:
            self._retire(worker)
        for worker in changed:
            self._leave_alone(worker)
            self._tend_worker(worker)
        self._arrange({*gone, *changed})
        if other_rules:
            self._consolidate()

    def _retire(self, worker: Worker) -> None:
        worker.is_retired = True
        self._leave_alone(worker)
        self._metrics.worker_gone(worker.name)
        log.info("worker leaves", extra={"action": "worker_leaves", "worker": worker.name, "running": worker.in_flight})

    def _arrange(self, changed: set[Worker]) -> None:
        """Every pool before the workers of its model as they now are."""
        wanted = by_model(self.workers)
        for model in [model for model in self.pools if model not in wanted]:
            self._dissolve(self.pools.pop(model))
        for model, workers in wanted.items():
            pool = self.pools.get(model)
            if pool is None:
                self.pools[model] = pool = self._make_pool(model, workers)
                self._tend_pool(pool)
            elif list(pool.workers) != workers or changed.intersection(workers):
                pool.serve_by(workers)
                self._keep(pool)
        self._name()

    def _dissolve(self, pool: ModelPool) -> None:
        self._dismiss(pool)
        self._leaving.append(pool)
        pool.let_all_go()
        self.left(pool)

    def left(self, pool: ModelPool) -> None:
        """A request of the pool is over: a pool that is to leave does so after its last."""
        if pool in self._leaving and not pool.held and not pool.running:
            self._leaving.remove(pool)
            self._leave_alone(pool)
