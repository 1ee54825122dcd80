"""Asks every worker for its health, again and again, so that a dead one is known before a request finds out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Never

import aiohttp

from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.upstream import Upstream
from scheduler.daemon.workers import Worker

log = logging.getLogger(__name__)

_EVERY_S = 5.0
_TIMEOUT_S = 2.0
_AT_ITS_HEALTH = "start the server there or look in its log, or correct `url` of its [[worker]] and send SIGHUP"
_AT_ITS_CALLS = "the line worker_rests before this one says what failed and what to do"


class Prober:
    """Probes one worker in real time, whatever the policy clock's speed."""

    def __init__(
        self, worker: Worker, upstream: Upstream, env: Env, metrics: Metrics, on_change: Callable[[], None]
    ) -> None:
        self._worker, self._upstream, self._env, self._metrics = worker, upstream, env, metrics
        self._on_change = on_change
        self._was_up = True
        self._silence = ""  # why the latest probe found no life

    async def run(self) -> Never:
        while True:
            if not self._worker.is_asleep:  # a stopped one does not answer, and should not
                self._silence = await self._found()
                self._worker.probed(is_alive=not self._silence)
                self._report()
            # Spread out, so that many workers are not asked in one instant.
            pause_s = _EVERY_S * (0.8 + 0.4 * self._env.random.random())
            await self._env.sleep_s(pause_s * self._env.speed)

    async def _found(self) -> str:
        """Why it is not alive. Any answer below 500 counts: an engine without /health answers 404, and is alive."""
        path = self._worker.health_url.path
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                response = await self._upstream.session.get(self._worker.health_url, allow_redirects=False)
                response.close()
                return "" if response.status < 500 else f"{path} answers {response.status}"
        except TimeoutError:
            return f"{path} does not answer within {_TIMEOUT_S:g} s"
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            return f"{path} cannot be asked: {type(error).__name__}"

    def _report(self) -> None:
        is_up = self._worker.is_up(self._env.monotonic_s())
        self._metrics.worker_up.labels(self._worker.name).set(is_up)
        if is_up != self._was_up:
            self._was_up = is_up
            told = {"worker": self._worker.name, "models": " ".join(self._worker.settings.models)}
            if is_up:
                log.info("worker changed", extra={"action": "worker_up", **told})
            else:
                why = self._silence or "it is alive, but its calls fail or dawdle: see worker_failed, worker_rests"
                remedy = _AT_ITS_HEALTH if self._silence else _AT_ITS_CALLS
                log.warning("worker changed", extra={"action": "worker_down", **told, "why": why, "remedy": remedy})
            self._on_change()
