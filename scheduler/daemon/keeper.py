"""Puts the workers of one model to sleep and wakes them: carries out what the Consolidator decides, and tells it how.

What is held waits while a worker wakes; what cannot be woken is tried again, and another one in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Never

from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.pools import ModelPool
from scheduler.daemon.sleep_orders import Sleeper, take_up
from scheduler.daemon.sleep_patience import patience_of
from scheduler.daemon.upstream import Upstream
from scheduler.shaping_settings import ConsolidationSettings
from shaping.consolidation import Action, ConsolidationPolicy, Consolidator, Order, Phase

# Real seconds between two looks when nothing calls for one sooner: what a drained worker idles on at most.
_EVERY_S = 0.5


class Keeper:
    """The sleep of one pool. Its workers serve this model only and are alike."""

    def __init__(
        self, pool: ModelPool, settings: ConsolidationSettings, upstream: Upstream, env: Env, metrics: Metrics
    ) -> None:
        self._pool, self._workers = pool, list(pool.workers)
        self._env, self._metrics = env, metrics
        self._sleeper = Sleeper(upstream, env, metrics)
        places = min(worker.settings.max_sequences for worker in self._workers)
        policy = self._policy(settings)
        self._decides = Consolidator(policy, workers=len(self._workers), sequences_per_worker=places)

    def take_up(self, settings: ConsolidationSettings) -> None:
        """Other rules from the next look on; orders under way are carried out. With `enabled` off all are woken."""
        self._decides.policy = self._policy(settings)

    def _policy(self, settings: ConsolidationSettings) -> ConsolidationPolicy:
        wake_s, workers = settings.wake_s * self._env.speed, len(self._workers)
        return ConsolidationPolicy(
            wake_s=wake_s,
            patience_s=patience_of(settings, [worker.settings for worker in self._workers], wake_s),
            min_awake=min(settings.min_awake, workers) if settings.enabled else workers,
            headroom_ratio=settings.headroom_ratio,
        )

    async def run(self) -> Never:
        """Look, order, look again; orders are carried out beside each other."""
        await self._find_out()
        async with asyncio.TaskGroup() as group:
            while True:
                for order in self._orders():
                    group.create_task(self._carry_out(order), name=f"{order.action} {order.worker}")
                await self._pool.blocked_within(_EVERY_S)

    async def _find_out(self) -> None:
        """Who sleeps already: another life of this daemon may have put it to sleep."""
        asleep = await asyncio.gather(*(self._sleeper.is_sleeping(worker) for worker in self._workers))
        for place, sleeps in enumerate(asleep):
            if sleeps:
                self._decides.done(place, Action.SLEEP)
        self._apply()

    def _orders(self) -> Sequence[Order]:
        in_flight = [worker.in_flight for worker in self._workers]
        orders = self._decides.orders(self._env.now_s(), self._pool.demand(), in_flight)
        self._apply()
        return orders

    def _apply(self) -> None:
        """Only the awake ones are given requests."""
        changed = False
        for worker, phase in zip(self._workers, self._decides.phases, strict=True):
            changed |= take_up(worker, phase)
            self._metrics.worker_awake.labels(worker.name).set(phase is Phase.AWAKE)
        if changed:
            self._pool.resize()

    async def _carry_out(self, order: Order) -> None:
        done = await self._sleeper.obeyed(self._workers[order.worker], order.action)
        if done:
            self._decides.done(order.worker, order.action)
        else:
            self._decides.failed(order.worker, order.action, self._env.now_s())
        self._apply()
