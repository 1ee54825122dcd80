"""A feed that does not answer for a while, and what the policy is told instead: the rungs of the daemon's own ladder.

Decides only what was known when the feed fell silent. Which of it may answer, and how far the last forecast is
continued by our own, is decided in intensity_feeds/rungs.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from intensity_feeds.feed import Answer
from intensity_feeds.records import Record, fetched
from intensity_feeds.rungs import LadderRules, cached_answer, own_answer, prolonged, yearly_answer
from intensity_feeds.series import IntensitySeries

# A forecaster sees the realised series and the instant of issue, and answers None when it cannot say anything.
Forecaster = Callable[[IntensitySeries, float], IntensitySeries | None]

_FEED = "feed"
_RULES = LadderRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outages:
    """`windows_at_s` are (from, to); forecasts came every `renew_s` from `start_at_s` on, `horizon_s` ahead."""

    windows_at_s: Sequence[tuple[float, float]]
    start_at_s: float
    renew_s: float
    horizon_s: float

    def since_s(self, now_s: float) -> float | None:
        """Since when the feed has been silent; None while it answers. Windows that touch are one."""
        since_s: float | None = None
        for from_s, to_s in sorted(self.windows_at_s, reverse=True):
            if from_s <= (now_s if since_s is None else since_s) < to_s or to_s == since_s:
                since_s = from_s
        return since_s

    def answer(self, series: IntensitySeries, forecaster: Forecaster, since_s: float, now_s: float) -> Answer | None:
        """From what was known when the silence began; None where that says nothing of the present."""
        past = _past(series, since_s)
        own = own_answer(past, _FEED, now_s, self.horizon_s)
        last = cached_answer(self._last(series, forecaster, since_s), _FEED, now_s, _RULES)
        if last is not None:
            return prolonged(last, own)
        return own or yearly_answer(series.zone, (series.signal, series.basis), now_s, self.horizon_s)

    def _last(self, series: IntensitySeries, forecaster: Forecaster, since_s: float) -> Record | None:
        """The last forecast before the silence; none where that began before the scenario."""
        issues = math.ceil((since_s - self.start_at_s) / self.renew_s)
        if issues < 1:
            return None
        issued_at_s = self.start_at_s + (issues - 1) * self.renew_s
        forecast = forecaster(series, issued_at_s)
        return None if forecast is None else fetched(forecast, issued_at_s)


def _past(series: IntensitySeries, known_to_s: float) -> Record | None:
    known_to_s = min(known_to_s, series.end_at_s)
    if known_to_s <= series.start_at_s:
        return None
    return fetched(series.between(series.start_at_s, known_to_s), known_to_s)
