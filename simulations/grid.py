"""What the grid really emitted, and what a policy was told beforehand.

Emissions are priced on the realised series; decisions see only forecasts. Knows no work and no machines.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from intensity_feeds.answers import from_running_step
from intensity_feeds.feed import Rung
from intensity_feeds.forecasting import NotEnoughHistoryError, seasonal_forecast
from intensity_feeds.series import IntensitySeries, refuse_mixture
from scheduler.events import ForecastUpdated
from simulations.outages import Forecaster, Outages


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Realised intensity by zone, all of one signal and basis, and how forecasts are made.

    Forecasts are of `seen`, where decisions see another signal than the one that emissions are priced by. Raises
    MixedSignalsError.
    """

    realised: Mapping[str, IntensitySeries]
    forecaster: Forecaster
    rung: Rung | None
    seen: Mapping[str, IntensitySeries] | None = None
    outages: Outages | None = None

    def __post_init__(self) -> None:
        refuse_mixture(self.realised.values())
        refuse_mixture((self.seen or {}).values())

    def forecasts(self, now_s: float) -> Iterator[ForecastUpdated]:
        """What every zone's forecast, issued now or what stands in for it, tells the engine."""
        for zone, series in sorted((self.seen or self.realised).items()):
            forecast, rung = self._told(series, now_s)
            yield ForecastUpdated(at_s=now_s, zone=zone, series=forecast, rung=rung)

    def foreseen(self, horizon_s: float) -> Grid:
        """The same grid for one who is told the truth, so far ahead, and whose feed never fails."""
        return replace(self, forecaster=perfect(horizon_s), rung=Rung.LIVE, seen=None, outages=None)

    def _told(self, series: IntensitySeries, now_s: float) -> tuple[IntensitySeries | None, Rung | None]:
        if self.outages is not None and (since_s := self.outages.since_s(now_s)) is not None:
            answer = self.outages.answer(series, self.forecaster, since_s, now_s)
            return (None, None) if answer is None else (answer.series, answer.rung)
        forecast = self.forecaster(series, now_s)
        return forecast, None if forecast is None else self.rung


def perfect(horizon_s: float) -> Forecaster:
    """The realised values themselves, `horizon_s` ahead."""

    def forecast(series: IntensitySeries, now_s: float) -> IntensitySeries | None:
        if not series.start_at_s <= now_s < series.end_at_s:
            return None
        return series.between(now_s, min(now_s + horizon_s, series.end_at_s))

    return forecast


def seasonal(horizon_s: float) -> Forecaster:
    """Our own forecast from what was measured before `now_s`; nothing as long as too little was."""

    def forecast(series: IntensitySeries, now_s: float) -> IntensitySeries | None:
        known_to_s = min(now_s, series.end_at_s)
        if known_to_s <= series.start_at_s:
            return None
        try:
            return seasonal_forecast(series.between(series.start_at_s, known_to_s), now_s, horizon_s)
        except NotEnoughHistoryError:
            return None

    return forecast


def recorded(horizon_s: float, issues: Mapping[str, Sequence[IntensitySeries]]) -> Forecaster:
    """What was really forecast: the newest of a zone's `issues`, in order, that there was by then and still holds."""
    issues_at_s = {zone: [_issued_at_s(one) for one in series] for zone, series in issues.items()}

    def forecast(series: IntensitySeries, now_s: float) -> IntensitySeries | None:
        place = bisect_right(issues_at_s.get(series.zone, ()), now_s)
        if place == 0 or not now_s < (newest := issues[series.zone][place - 1]).end_at_s:
            return None
        told = from_running_step(newest, now_s)
        return told.between(told.start_at_s, min(now_s + horizon_s, told.end_at_s))

    return forecast


def _issued_at_s(forecast: IntensitySeries) -> float:
    return forecast.start_at_s if forecast.issued_at_s is None else forecast.issued_at_s


def blind(series: IntensitySeries, now_s: float) -> IntensitySeries | None:
    """Nothing is known: the feed is dead."""
    return None
