"""Puts the workers of one model to sleep and wakes them: carries out what the Consolidator decides, and tells it how.

A worker sleeps by its engine's own endpoints (`POST /sleep`, `/wake_up`), or by the commands that its settings name.
What is held waits while a worker wakes; what cannot be woken is tried again, and another one in its place.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Never

import aiohttp

from scheduler.config import ConsolidationSettings
from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.pools import ModelPool
from scheduler.daemon.upstream import Upstream
from scheduler.daemon.workers import Worker
from shaping.consolidation import Action, ConsolidationPolicy, Consolidator, Order, Phase

log = logging.getLogger(__name__)

# Real seconds between two looks when nothing calls for one sooner: what a drained worker idles on at most.
_EVERY_S = 0.5
_ASK_TIMEOUT_S = 5.0
# An engine that loads a large model takes minutes; beyond this it is stuck.
_ORDER_TIMEOUT_S = 600.0
_HEALTH_EVERY_S = 0.5


class OrderError(Exception):
    """A worker did not do as it was told; `detail` is for the log."""

    def __init__(self, worker: Worker, action: Action, detail: str) -> None:
        self.worker, self.action, self.detail = worker, action, detail
        super().__init__(f"{worker.name} did not {action}: {detail}")


class Keeper:
    """The sleep of one pool. Its workers serve this model only and are alike."""

    def __init__(
        self, pool: ModelPool, settings: ConsolidationSettings, upstream: Upstream, env: Env, metrics: Metrics
    ) -> None:
        self._pool, self._workers, self._upstream = pool, list(pool.workers), upstream
        self._env, self._metrics = env, metrics
        policy = ConsolidationPolicy(
            wake_s=settings.wake_s * env.speed,
            patience_s=settings.patience_s,
            min_awake=min(settings.min_awake, len(self._workers)),
            headroom_ratio=settings.headroom_ratio,
        )
        places = min(worker.settings.max_sequences for worker in self._workers)
        self._decides = Consolidator(policy, workers=len(self._workers), sequences_per_worker=places)

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
        asleep = await asyncio.gather(*(self._is_sleeping(worker) for worker in self._workers))
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
            is_asleep = phase is not Phase.AWAKE
            changed |= worker.is_asleep != is_asleep
            worker.is_asleep = is_asleep
            self._metrics.worker_awake.labels(worker.name).set(not is_asleep)
        if changed:
            self._pool.resize()

    async def _carry_out(self, order: Order) -> None:
        worker = self._workers[order.worker]
        began_s = self._env.monotonic_s()
        try:
            async with asyncio.timeout(_ORDER_TIMEOUT_S):
                await (self._put_to_sleep(worker) if order.action is Action.SLEEP else self._wake(worker))
        except (OrderError, TimeoutError, aiohttp.ClientError, OSError) as error:
            self._decides.failed(order.worker, order.action, self._env.now_s())
            self._note(worker, order.action, "failed", str(error) or type(error).__name__)
        else:
            self._decides.done(order.worker, order.action)
            self._note(worker, order.action, "done", f"{self._env.monotonic_s() - began_s:.1f} s")
        self._apply()

    def _note(self, worker: Worker, action: Action, outcome: str, detail: str) -> None:
        self._metrics.worker_sleep_orders.labels(worker.name, action, outcome).inc()
        level = logging.INFO if outcome == "done" else logging.WARNING
        fields = {"action": f"worker_{action}_{outcome}", "worker": worker.name, "detail": detail}
        log.log(level, "worker sleep", extra=fields)

    # -- the two ways to sleep ----------------------------------------------------------------------------------------

    async def _put_to_sleep(self, worker: Worker) -> None:
        if worker.settings.stop_command:
            await self._run(worker, Action.SLEEP, worker.settings.stop_command)
        else:
            await self._post(worker, Action.SLEEP, f"/sleep?level={worker.settings.sleep_level}")

    async def _wake(self, worker: Worker) -> None:
        if not worker.settings.start_command:
            await self._post(worker, Action.WAKE, "/wake_up")
            return
        await self._run(worker, Action.WAKE, worker.settings.start_command)
        while not await self._is_healthy(worker):
            await self._env.sleep_s(_HEALTH_EVERY_S * self._env.speed)

    async def _post(self, worker: Worker, action: Action, path: str) -> None:
        async with self._upstream.session.post(worker.base_url + path, allow_redirects=False) as response:
            if response.status != 200:
                raise OrderError(worker, action, f"{path} answered {response.status}")

    async def _run(self, worker: Worker, action: Action, command: Sequence[str]) -> None:
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            raise
        if status != 0:
            raise OrderError(worker, action, f"{command[0]} ended with status {status}")

    async def _is_sleeping(self, worker: Worker) -> bool:
        """By the engine's own word; one that does not answer, or has no such path, counts as awake."""
        if worker.settings.start_command:
            return not await self._is_healthy(worker)
        try:
            async with (
                asyncio.timeout(_ASK_TIMEOUT_S),
                self._upstream.session.get(worker.base_url + "/is_sleeping", allow_redirects=False) as response,
            ):
                said = json.loads(await response.read()) if response.status == 200 else {}
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            return False
        return isinstance(said, dict) and said.get("is_sleeping") is True

    async def _is_healthy(self, worker: Worker) -> bool:
        try:
            async with (
                asyncio.timeout(_ASK_TIMEOUT_S),
                self._upstream.session.get(worker.health_url, allow_redirects=False) as response,
            ):
                return response.status < 500
        except (TimeoutError, aiohttp.ClientError, OSError):
            return False
