"""Asks the feeds on a timer and tells engine, gateway and metrics what came. Decides nothing.

A feed call blocks, so it runs on a thread of the pool for calls: a feed that hangs holds one of them until its time-out
and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from intensity_feeds.feed import Answer
from intensity_feeds.series import IntensitySeries
from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.runner import Runner
from scheduler.events import ForecastUpdated

log = logging.getLogger(__name__)

# Deadlines of a week are planned on what is known; nothing public forecasts further.
HORIZON_S = 7 * 86400.0


class IntensitySource(Protocol):
    """The fallback ladder, as seen from here. Both calls may block."""

    def answer(self, zone: str, now_s: float, horizon_s: float) -> Answer | None: ...

    def history(self, zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries | None: ...


class Poller:
    """Keeps the latest answer of each zone."""

    def __init__(
        self,
        env: Env,
        source: IntensitySource,
        zones: Sequence[str],
        runner: Runner,
        metrics: Metrics,
        on_change: Callable[[], None],
    ) -> None:
        self.answers: dict[str, Answer | None] = {}
        self.source = source  # may be replaced while it is asked
        self._env, self._zones = env, tuple(zones)
        self._runner, self._metrics, self._on_change = runner, metrics, on_change

    async def poll(self) -> None:
        """Ask for every zone at once, so that a slow one delays no other."""
        await asyncio.gather(*(self._poll_zone(zone) for zone in self._zones))

    def forecasts(self) -> Mapping[str, IntensitySeries]:
        """What is known now, by zone; unknown zones are absent."""
        return {zone: answer.series for zone, answer in self.answers.items() if answer is not None}

    def unknown_zones(self) -> list[str]:
        """A remark for each zone of which nothing is known: work there is done, and not moved to cleaner hours."""
        unknown = [zone for zone in self._zones if self.answers.get(zone) is None]
        return [f"nothing is known of the grid of {zone}: work there runs as early as it can" for zone in unknown]

    async def history(self, zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries | None:
        return await self._env.in_call_thread(self.source.history, zone, start_at_s, end_at_s)

    async def _poll_zone(self, zone: str) -> None:
        now_s = self._env.now_s()
        answer = await self._env.in_call_thread(self.source.answer, zone, now_s, HORIZON_S)
        self._export(zone, answer)
        is_news = not _same(self.answers.get(zone), answer) or zone not in self.answers
        self.answers[zone] = answer
        if not is_news:
            return
        series, rung = (answer.series, answer.rung) if answer else (None, None)
        log.info("intensity changed", extra={"action": "intensity_update", "zone": zone, "rung": rung or "unknown"})
        self._runner.post(ForecastUpdated(at_s=self._env.now_s(), zone=zone, series=series, rung=rung))
        self._on_change()

    def _export(self, zone: str, answer: Answer | None) -> None:
        if answer is not None:
            self._metrics.forecast_age(zone, answer.rung, answer.age_s)


def _same(one: Answer | None, other: Answer | None) -> bool:
    """Whether two answers say the same; the time of an answer says nothing about its content."""
    if one is None or other is None:
        return one is other
    mine, theirs = one.series, other.series
    return (
        one.rung is other.rung
        and np.array_equal(mine.edges_at_s, theirs.edges_at_s)
        and np.array_equal(mine.gco2e_per_kwh, theirs.gco2e_per_kwh, equal_nan=True)
    )
