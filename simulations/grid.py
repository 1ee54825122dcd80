"""What the grid really emitted, and what a policy was told beforehand.

Emissions are priced on the realised series; decisions see only forecasts. Knows no work and no machines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from intensity_feeds.feed import Rung
from intensity_feeds.forecasting import NotEnoughHistoryError, seasonal_forecast
from intensity_feeds.series import IntensitySeries, refuse_mixture
from scheduler.events import ForecastUpdated

# A forecaster sees the realised series and the instant of issue, and answers None when it cannot say anything.
Forecaster = Callable[[IntensitySeries, float], IntensitySeries | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Realised intensity by zone, all of one signal and basis, and how forecasts of it are made.

    Raises MixedSignalsError.
    """

    realised: Mapping[str, IntensitySeries]
    forecaster: Forecaster
    rung: Rung | None

    def __post_init__(self) -> None:
        refuse_mixture(self.realised.values())

    def forecasts(self, now_s: float) -> Iterator[ForecastUpdated]:
        """What every zone's forecast, issued now, tells the engine."""
        for zone, series in sorted(self.realised.items()):
            forecast = self.forecaster(series, now_s)
            rung = None if forecast is None else self.rung
            yield ForecastUpdated(at_s=now_s, zone=zone, series=forecast, rung=rung)


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


def blind(series: IntensitySeries, now_s: float) -> IntensitySeries | None:
    """Nothing is known: the feed is dead."""
    return None
