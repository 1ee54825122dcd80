"""Reads what an engine says of its own load, again and again: requests of others count when a worker is chosen.

Decides nothing. A page that cannot be had or read leaves the gateway with its own count of what is in flight.
"""

from __future__ import annotations

import asyncio
from typing import Never

import aiohttp

from scheduler.daemon.engines import LOAD_PATH, LoadReport, read_load
from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.upstream import Upstream
from scheduler.daemon.workers import Worker

_EVERY_S = 2.0
_TIMEOUT_S = 2.0
# A page of vLLM's is some 100 kB, and grows with the models it serves.
_MOST_BYTES = 4 * 1024 * 1024


class LoadReader:
    """Reads one worker's load in real time, whatever the policy clock's speed."""

    def __init__(self, worker: Worker, upstream: Upstream, env: Env, metrics: Metrics) -> None:
        self._worker, self._upstream, self._env, self._metrics = worker, upstream, env, metrics
        self._url = worker.base_url + LOAD_PATH

    async def run(self) -> Never:
        while True:
            if not self._worker.is_asleep:
                await self._read()
            # Spread out, so that many workers are not asked in one instant.
            pause_s = _EVERY_S * (0.8 + 0.4 * self._env.random.random())
            await self._env.sleep_s(pause_s * self._env.speed)

    async def _read(self) -> None:
        before = self._worker.in_flight
        report = await self._report()
        # Ours that ended or began while the page was made are not taken for somebody else's.
        ours = max(before, self._worker.in_flight)
        self._worker.reported(report, self._env.monotonic_s(), ours=ours)
        if report is not None:
            self._note(report)

    async def _report(self) -> LoadReport | None:
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                self._upstream.session.get(
                    self._url, headers={"Accept-Encoding": "identity"}, allow_redirects=False
                ) as response,
            ):
                page = await at_most(response.content, _MOST_BYTES) if response.status == 200 else b""
        except (TimeoutError, aiohttp.ClientError, OSError, UnicodeError):
            return None
        return read_load(self._worker.settings.engine, (page or b"").decode("utf-8", errors="replace"))

    def _note(self, report: LoadReport) -> None:
        name, metrics = self._worker.name, self._metrics
        metrics.worker_reported.labels(name, "running").set(report.running)
        metrics.worker_reported.labels(name, "waiting").set(report.waiting)
        if report.kv_cache_ratio is not None:
            metrics.worker_kv_cache.labels(name).set(report.kv_cache_ratio)


async def at_most(content: aiohttp.StreamReader, most_bytes: int) -> bytes | None:
    """The page; None where it is longer than any is."""
    pieces, size = [], 0
    async for piece in content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > most_bytes:
            return None
    return b"".join(pieces)
