"""Lets the workers of several models take turns on GPUs that they share: carries out what GpuTurns decides.

Never wakes one before all others have said that they sleep. A worker that nothing listens for holds no GPU and counts
as asleep; one that hangs keeps the GPUs, for it may still hold their memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Never

from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.pools import ModelPool
from scheduler.daemon.sleep_orders import Sleeper, take_up
from scheduler.daemon.sleep_patience import USUAL_PATIENCE_S
from scheduler.daemon.upstream import Upstream
from scheduler.shaping_settings import ConsolidationSettings
from shaping.consolidation import Action, Demand, Order, Phase
from shaping.sharing import GpuTurns, SharingPolicy

# Real seconds between two looks when nothing calls for one sooner, and the least between two.
_EVERY_S = 0.5
_SHORTEST_S = 0.001


class TurnKeeper:
    """The turns on one group of GPUs. Each pool has one worker, and it alone serves the pool's model."""

    def __init__(
        self,
        pools: Sequence[ModelPool],
        settings: ConsolidationSettings,
        upstream: Upstream,
        env: Env,
        metrics: Metrics,
    ) -> None:
        self._pools, self._workers = list(pools), [pool.workers[0] for pool in pools]
        self._env, self._metrics = env, metrics
        self._sleeper = Sleeper(upstream, env, metrics)
        self._bell = asyncio.Event()
        self._decides = GpuTurns(self._policy(settings), workers=len(self._workers), awake=None)
        self._tell_pools()
        self._apply()

    def take_up(self, settings: ConsolidationSettings) -> None:
        """Other rules from the next look on; orders under way are carried out."""
        self._decides.policy = self._policy(settings)
        self._tell_pools()
        self._bell.set()

    def _policy(self, settings: ConsolidationSettings) -> SharingPolicy:
        return SharingPolicy(
            swap_s=settings.wake_s * self._env.speed,
            stay_s=settings.stay_s,
            patience_s=USUAL_PATIENCE_S if settings.patience_s is None else settings.patience_s,
            may_all_sleep=settings.min_awake == 0,
        )

    def _tell_pools(self) -> None:
        for pool in self._pools:
            pool.take_turns(self._decides.policy, self._bell)

    async def run(self) -> Never:
        """Look, order, look again, whenever something happens to one of the pools or is due."""
        await self._find_out()
        async with asyncio.TaskGroup() as group:
            while True:
                self._bell.clear()
                for order in self._orders():
                    group.create_task(self._carry_out(order), name=f"{order.action} {order.worker}")
                await self._next_look()

    async def _find_out(self) -> None:
        """Who is awake: they were started by somebody else, or by another life of this daemon."""
        asleep = await asyncio.gather(*(self._sleeper.is_sleeping(worker) for worker in self._workers))
        for place, sleeps in enumerate(asleep):
            if not sleeps:
                self._decides.done(place, Action.WAKE)
        self._apply()

    async def _next_look(self) -> None:
        left_s = self._env.real_s(self._decides.look_again_at_s - self._env.now_s())
        try:
            async with asyncio.timeout(min(_EVERY_S, max(_SHORTEST_S, left_s))):
                await self._bell.wait()
        except TimeoutError:
            pass

    def _orders(self) -> Sequence[Order]:
        now_s = self._env.now_s()
        leave = self._decides.leave(now_s, self._demands())
        if leave is not None:
            self._pools[leave.worker].hasten(leave.ahead_s)
        orders = self._decides.orders(now_s, self._demands())
        self._apply()
        return orders

    def _demands(self) -> list[Demand]:
        return [pool.demand() for pool in self._pools]

    def _apply(self) -> None:
        """Only the one awake is given requests."""
        for pool, worker, phase in zip(self._pools, self._workers, self._decides.phases, strict=True):
            self._metrics.worker_awake.labels(worker.name).set(phase is Phase.AWAKE)
            if take_up(worker, phase):
                pool.resize()

    async def _carry_out(self, order: Order) -> None:
        if await self._sleeper.obeyed(self._workers[order.worker], order.action, is_gone_asleep=True):
            self._decides.done(order.worker, order.action)
        else:
            self._decides.failed(order.worker, order.action, self._env.now_s())
        self._apply()
        self._bell.set()
