"""How wrong the forecasts of one feed for one zone have been: what was forecast, beside what the hours turned out as.

Decides which forecasts are remembered, when two are the same run of the feed's model, and what bias, error and
quantiles the remembered ones have by horizon. All of it by the hour. Knows no feed, no file and no clock, and corrects
nothing: that is forecast_correction.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from intensity_feeds.instants import ceil_to, floor_to
from intensity_feeds.series import Floats, IntensitySeries

# A feed asked every five minutes says nearly the same every time.
REMEMBERED_EVERY_S = 3600.0
# After a day one run in six hours tells as much, in a sixth of the room.
THINNED_AFTER_S = 86400.0
THINNED_TO_S = 6 * 3600.0
# Long enough for the quantiles of a forecast that is made once a day, short enough to follow the season.
KEPT_S = 60 * 86400.0
# Horizons that are summed up together: a job's own hours, the day, and each day after it.
HORIZON_EDGES_H = (0, 6, 12, 24, 48, 72, 96, 168)
# Fewer scored hours say little about a tail of a tenth.
FEWEST_HOURS = 100
# What lies further in the future was stamped by a wrong clock, and would hide every later forecast.
CLOCK_TOLERANCE_S = 3600.0

_HOUR_S = 3600.0
_SAME_GCO2E_PER_KWH = 0.01


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Issue:
    """One forecast by whole hours from `start_at_s` on, and what they turned out to be; NaN where that is unknown.

    Both arrays have shape (n,).
    """

    issued_at_s: float
    start_at_s: float
    forecast_gco2e_per_kwh: Floats
    actual_gco2e_per_kwh: Floats

    @property
    def end_at_s(self) -> float:
        return self.start_at_s + _HOUR_S * len(self.forecast_gco2e_per_kwh)

    @property
    def error_gco2e_per_kwh(self) -> Floats:
        """Actual minus forecast, shape (n,): above zero where the grid was dirtier than said."""
        return self.actual_gco2e_per_kwh - self.forecast_gco2e_per_kwh

    @property
    def first_horizon_h(self) -> int:
        """Whole hours from the hour of issue to the first hour."""
        return round((self.start_at_s - floor_to(self.issued_at_s, _HOUR_S)) / _HOUR_S)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ForecastErrors:
    """The remembered forecasts of one feed for one zone, by time of issue."""

    zone: str
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonError:
    """How wrong forecasts from `from_h` up to `to_h` hours ahead were, over `hours` scored hours.

    `bias` is the mean of actual minus forecast. `mape_ratio` leaves out hours that emitted nothing, and is None where
    all did.
    """

    from_h: int
    to_h: int
    hours: int
    bias_gco2e_per_kwh: float
    mae_gco2e_per_kwh: float
    mape_ratio: float | None

    @property
    def name(self) -> str:
        """`0-6h`: a label for a metric."""
        return f"{self.from_h}-{self.to_h}h"


# -- remembering -----------------------------------------------------------------------------------------------------


def recorded(errors: ForecastErrors, forecast: IntensitySeries, now_s: float) -> ForecastErrors:
    """With one more forecast, unless it is the newest run said again, or came within an hour of it.

    The same object where nothing is to be remembered. A forecast without an hour that is whole is none.
    """
    issue = _issue(forecast, now_s)
    if issue is None or run_of(errors, forecast) is not None:
        return errors
    newest_s = errors.issues[-1].issued_at_s if errors.issues else -np.inf
    if newest_s <= issue.issued_at_s < newest_s + REMEMBERED_EVERY_S:
        return errors
    issues = sorted((*errors.issues, issue), key=lambda one: one.issued_at_s)
    return replace(errors, issues=tuple(_thinned(issues, now_s)))


def scored(errors: ForecastErrors, actual: IntensitySeries, until_s: float) -> ForecastErrors:
    """With what `actual` knows of the hours that ended by `until_s`; where it knows nothing, what was known stays.

    What is known later replaces what was known earlier: the past is revised. The same object where nothing changes.
    """
    issues = tuple(_scored(issue, actual, until_s) for issue in errors.issues)
    if all(new is old for new, old in zip(issues, errors.issues, strict=True)):
        return errors
    return replace(errors, issues=issues)


def run_of(errors: ForecastErrors, forecast: IntensitySeries) -> Issue | None:
    """The newest remembered issue if `forecast` is the same run of the model: it ends no later, and says the same.

    The time of issue does not tell: several feeds give that of the answer. Nor does the first hour: a feed may know
    the running one better than its model.
    """
    if not errors.issues:
        return None
    newest, again = errors.issues[-1], _issue(forecast, errors.issues[-1].issued_at_s)
    if again is None or again.end_at_s > newest.end_at_s or again.start_at_s < newest.start_at_s:
        return None
    first = round((again.start_at_s - newest.start_at_s) / _HOUR_S)
    before = newest.forecast_gco2e_per_kwh[first : first + len(again.forecast_gco2e_per_kwh)]
    compared = np.abs(again.forecast_gco2e_per_kwh - before)[1:]
    is_same = len(compared) > 0 and bool(np.all((compared < _SAME_GCO2E_PER_KWH) | np.isnan(compared)))
    return newest if is_same else None


def _issue(forecast: IntensitySeries, now_s: float) -> Issue | None:
    start_s, end_s = ceil_to(forecast.start_at_s, _HOUR_S), floor_to(forecast.end_at_s, _HOUR_S)
    if end_s <= start_s:
        return None
    values = forecast.resampled(np.arange(start_s, end_s + 1.0, _HOUR_S)).gco2e_per_kwh
    issued_at_s = now_s if forecast.issued_at_s is None else forecast.issued_at_s
    unknown = np.full(len(values), np.nan)
    return Issue(
        issued_at_s=issued_at_s, start_at_s=start_s, forecast_gco2e_per_kwh=values, actual_gco2e_per_kwh=unknown
    )


def _thinned(issues: Sequence[Issue], now_s: float) -> Iterator[Issue]:
    """The young ones, and of the older ones the first of each stretch."""
    stretch = None
    for issue in issues:
        age_s = now_s - issue.issued_at_s
        if not -CLOCK_TOLERANCE_S <= age_s <= KEPT_S:
            continue
        own = issue.issued_at_s // THINNED_TO_S
        if age_s <= THINNED_AFTER_S or own != stretch:
            yield issue
        stretch = own


def _scored(issue: Issue, actual: IntensitySeries, until_s: float) -> Issue:
    start_s = max(issue.start_at_s, ceil_to(actual.start_at_s, _HOUR_S))
    end_s = min(issue.end_at_s, floor_to(min(actual.end_at_s, until_s), _HOUR_S))
    if end_s <= start_s:
        return issue
    known = actual.resampled(np.arange(start_s, end_s + 1.0, _HOUR_S)).gco2e_per_kwh
    first = round((start_s - issue.start_at_s) / _HOUR_S)
    before = issue.actual_gco2e_per_kwh[first : first + len(known)]
    after = np.where(np.isnan(known), before, known)
    if np.array_equal(after, before, equal_nan=True):
        return issue
    values = issue.actual_gco2e_per_kwh.copy()
    values[first : first + len(known)] = after
    return replace(issue, actual_gco2e_per_kwh=values)


# -- summing up ------------------------------------------------------------------------------------------------------


def scored_hours(errors: ForecastErrors) -> tuple[Floats, Floats, Floats]:
    """Horizon in hours, forecast and actual of every scored hour of every remembered forecast, each of shape (m,)."""
    if not errors.issues:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    horizons = [one.first_horizon_h + np.arange(len(one.forecast_gco2e_per_kwh), dtype=float) for one in errors.issues]
    horizon_h = np.concatenate(horizons)
    forecast = np.concatenate([one.forecast_gco2e_per_kwh for one in errors.issues])
    actual = np.concatenate([one.actual_gco2e_per_kwh for one in errors.issues])
    known = ~np.isnan(actual - forecast)
    return horizon_h[known], forecast[known], actual[known]


def by_horizon(errors: ForecastErrors) -> tuple[HorizonError, ...]:
    """Bias and mean absolute error of each stretch of horizons that has a scored hour."""
    return tuple(
        _horizon_error(from_h, to_h, forecast, actual) for from_h, to_h, forecast, actual in _stretches(errors, 1)
    )


def error_quantiles_gco2e_per_kwh(errors: ForecastErrors, at_ratio: Sequence[float]) -> dict[tuple[int, int], Floats]:
    """Quantiles of actual minus forecast, shape as `at_ratio`, for each stretch of horizons with enough hours."""
    return {
        (from_h, to_h): np.quantile(actual - forecast, at_ratio)
        for from_h, to_h, forecast, actual in _stretches(errors, FEWEST_HOURS)
    }


def _stretches(errors: ForecastErrors, fewest_hours: int) -> Iterator[tuple[int, int, Floats, Floats]]:
    """Forecast and actual of each stretch of horizons."""
    horizon_h, forecast, actual = scored_hours(errors)
    for from_h, to_h in pairwise(HORIZON_EDGES_H):
        inside = (horizon_h >= from_h) & (horizon_h < to_h)
        if np.count_nonzero(inside) >= fewest_hours:
            yield from_h, to_h, forecast[inside], actual[inside]


def _horizon_error(
    from_h: int, to_h: int, forecast_gco2e_per_kwh: Floats, actual_gco2e_per_kwh: Floats
) -> HorizonError:
    error = actual_gco2e_per_kwh - forecast_gco2e_per_kwh
    emits = actual_gco2e_per_kwh > 0
    relative = np.abs(error[emits]) / actual_gco2e_per_kwh[emits]
    return HorizonError(
        from_h=from_h,
        to_h=to_h,
        hours=len(error),
        bias_gco2e_per_kwh=float(error.mean()),
        mae_gco2e_per_kwh=float(np.abs(error).mean()),
        mape_ratio=float(relative.mean()) if len(relative) else None,
    )
