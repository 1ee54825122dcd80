"""Tells one worker to sleep or to wake, and waits until it has.

By its engine's own endpoints (engines.py names them), or by the commands that its settings name. Decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import aiohttp

from scheduler.daemon.engines import read_sleeping, sleep_calls, sleeping_path
from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.upstream import Upstream
from scheduler.daemon.workers import Worker
from shaping.consolidation import Action, Phase

log = logging.getLogger(__name__)

_ASK_TIMEOUT_S = 5.0
# An engine that loads a large model takes minutes; beyond this it is stuck.
_ORDER_TIMEOUT_S = 600.0
_HEALTH_EVERY_S = 0.5


class OrderError(Exception):
    """A worker did not do as it was told; `detail` is for the log."""

    def __init__(self, worker: Worker, action: Action, detail: str) -> None:
        self.worker, self.action, self.detail = worker, action, detail
        super().__init__(f"{worker.name} did not {action}: {detail}")


def take_up(worker: Worker, phase: Phase) -> bool:
    """Write down whether the worker takes requests; whether that has changed."""
    is_asleep, is_leaving = phase not in (Phase.AWAKE, Phase.DRAINING), phase is Phase.DRAINING
    is_changed = (worker.is_asleep, worker.is_leaving) != (is_asleep, is_leaving)
    worker.is_asleep, worker.is_leaving = is_asleep, is_leaving
    return is_changed


class Sleeper:
    """Carries out orders, one worker each; any number of them at a time."""

    def __init__(self, upstream: Upstream, env: Env, metrics: Metrics) -> None:
        self._upstream, self._env, self._metrics = upstream, env, metrics

    async def obeyed(self, worker: Worker, action: Action, *, is_gone_asleep: bool = False) -> bool:
        """Whether the worker did it. With `is_gone_asleep` one that nothing listens for counts as asleep."""
        began_s = self._env.monotonic_s()
        try:
            async with asyncio.timeout(_ORDER_TIMEOUT_S):
                await (self._put_to_sleep(worker) if action is Action.SLEEP else self._wake(worker))
        except aiohttp.ClientConnectorError as error:
            is_done = is_gone_asleep and action is Action.SLEEP
            self._note(worker, action, "done" if is_done else "failed", str(error))
            return is_done
        except (OrderError, TimeoutError, aiohttp.ClientError, OSError, UnicodeError) as error:
            self._note(worker, action, "failed", str(error) or type(error).__name__)
            return False
        self._note(worker, action, "done", f"{self._env.monotonic_s() - began_s:.1f} s")
        return True

    def _note(self, worker: Worker, action: Action, outcome: str, detail: str) -> None:
        self._metrics.worker_sleep_orders.labels(worker.name, action, outcome).inc()
        level = logging.INFO if outcome == "done" else logging.WARNING
        fields = {"action": f"worker_{action}_{outcome}", "worker": worker.name, "detail": detail}
        log.log(level, "worker sleep", extra=fields)

    async def _put_to_sleep(self, worker: Worker) -> None:
        if worker.settings.stop_command:
            await self._run(worker, Action.SLEEP, worker.settings.stop_command)
        else:
            await self._post(worker, Action.SLEEP)

    async def _wake(self, worker: Worker) -> None:
        if not worker.settings.start_command:
            await self._post(worker, Action.WAKE)
            return
        await self._run(worker, Action.WAKE, worker.settings.start_command)
        while not await self._is_healthy(worker):
            await self._env.sleep_s(_HEALTH_EVERY_S * self._env.speed)

    async def _post(self, worker: Worker, action: Action) -> None:
        calls = sleep_calls(worker.settings, action)
        if not calls:
            raise OrderError(worker, action, f"{worker.settings.engine} has no call for it")
        for call in calls:
            url = worker.base_url + call.path
            async with self._upstream.session.post(url, json=call.body, allow_redirects=False) as response:
                if response.status != 200:
                    raise OrderError(worker, action, f"{call.path} answered {response.status}")

    async def _run(self, worker: Worker, action: Action, command: Sequence[str]) -> None:
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            raise
        if status != 0:
            raise OrderError(worker, action, f"{command[0]} ended with status {status}")

    async def is_sleeping(self, worker: Worker) -> bool:
        """By the engine's own word; one that does not answer, or has no such path, counts as awake."""
        if worker.settings.start_command:
            return not await self._is_healthy(worker)
        url = worker.base_url + sleeping_path(worker.settings.engine)
        try:
            async with (
                asyncio.timeout(_ASK_TIMEOUT_S),
                self._upstream.session.get(url, allow_redirects=False) as response,
            ):
                return response.status == 200 and read_sleeping(worker.settings, await response.read())
        except (TimeoutError, aiohttp.ClientError, OSError, UnicodeError):
            return False

    async def _is_healthy(self, worker: Worker) -> bool:
        try:
            async with (
                asyncio.timeout(_ASK_TIMEOUT_S),
                self._upstream.session.get(worker.health_url, allow_redirects=False) as response,
            ):
                return response.status < 500
        except (TimeoutError, aiohttp.ClientError, OSError, UnicodeError):
            return False
