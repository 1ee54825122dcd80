"""What past errors say about a forecast in hand: its correction, and the band that the truth will lie in.

A forecast that was too low an hour ago is mostly still too low now, and less so later. How much of an error is left
after so many hours is learned, per feed and zone, from the remembered forecasts, and the newest known error is carried
forward by that share. On recorded forecasts this lowers emissions, while correcting each hour of the day by its usual
error lowers the error and not the emissions (docs/forecasts.md has both). The band comes from the errors of the same
horizon. Nothing is said before there is enough to learn from. Knows no feed, no file and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from intensity_feeds.forecast_errors import (
    ForecastErrors,
    Issue,
    error_quantiles_gco2e_per_kwh,
    run_of,
)
from intensity_feeds.instants import floor_to
from intensity_feeds.series import Floats, IntensitySeries

# As much as the own forecast looks back: less is a few days' weather.
FEWEST_LEARNED_HOURS = 14 * 24
# Errors are followed from the first day of a forecast on: few feeds leave a forecast standing for longer.
FOLLOWED_FROM_H = 24
BAND_RATIOS = (0.1, 0.5, 0.9)

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class QuantileForecast:
    """Where the truth lay, in one of ten, five of ten and nine of ten hours, had past forecasts been this one.

    Three series on the edges of the forecast; a step of a horizon that is not known well enough is a gap.
    """

    p10: IntensitySeries
    p50: IntensitySeries
    p90: IntensitySeries


def remaining_error_ratio(errors: ForecastErrors) -> Floats | None:
    """By hours after an error: the share of it that is left, 0 to 1, shape (n,); the first is 1.

    None while too little is known. The slope of the later error on the earlier one through zero, over all pairs within
    one forecast.
    """
    table = _errors_by_horizon(errors.issues)
    if table.size == 0 or _learned_hours(errors.issues) < FEWEST_LEARNED_HOURS:
        return None
    known = ~np.isnan(table)
    error = np.where(known, table, 0.0)
    followed = min(FOLLOWED_FROM_H, error.shape[1])
    ratios = np.zeros(error.shape[1])
    for hours in range(error.shape[1]):
        count = min(followed, error.shape[1] - hours)
        first, later = error[:, :count], error[:, hours : hours + count]
        squares = float((first**2 * known[:, hours : hours + count]).sum())
        ratios[hours] = float((first * later).sum()) / squares if squares > 0 else 0.0
    return np.clip(ratios, 0.0, 1.0)


def corrected(errors: ForecastErrors, forecast: IntensitySeries, left_ratio: Floats | None) -> IntensitySeries:
    """The forecast, moved by what is left of its newest known error; as it is where there is none to go by.

    `left_ratio` is `remaining_error_ratio`, which changes only when hours are scored.
    """
    issue = run_of(errors, forecast)
    newest = None if issue is None else _newest_known(issue)
    if issue is None or newest is None or left_ratio is None:
        return forecast
    error = float(issue.error_gco2e_per_kwh[newest])
    lead_h = _hour_of_step(forecast) - (issue.start_at_s + newest * _HOUR_S) / _HOUR_S
    index = np.clip(np.rint(lead_h).astype(np.int64), 0, len(left_ratio) - 1)
    left = np.where((lead_h > 0) & (lead_h < len(left_ratio)), left_ratio[index], 0.0)
    values = np.maximum(0.0, forecast.gco2e_per_kwh + error * left)
    return replace(
        forecast, gco2e_per_kwh=values, source=f"{forecast.source}, corrected by its newest error".strip(", ")
    )


def quantiles(
    errors: ForecastErrors, forecast: IntensitySeries, at_ratio: Sequence[float]
) -> tuple[IntensitySeries, ...] | None:
    """A series for each of `at_ratio`: the forecast plus that quantile of the errors of its horizon.

    None where no horizon has enough scored hours.
    """
    known = error_quantiles_gco2e_per_kwh(errors, at_ratio)
    if not known:
        return None
    issued_at_s = forecast.start_at_s if forecast.issued_at_s is None else forecast.issued_at_s
    horizon_h = _hour_of_step(forecast) - floor_to(issued_at_s, _HOUR_S) / _HOUR_S
    shift = np.full((len(at_ratio), len(horizon_h)), np.nan)
    for (from_h, to_h), found in known.items():
        shift[:, (horizon_h >= from_h) & (horizon_h < to_h)] = found[:, None]
    return tuple(replace(forecast, gco2e_per_kwh=np.maximum(0.0, forecast.gco2e_per_kwh + one)) for one in shift)


def band(errors: ForecastErrors, forecast: IntensitySeries) -> QuantileForecast | None:
    """The band of `forecast` as the feed said it, before any correction; None while too little is known."""
    found = quantiles(errors, forecast, BAND_RATIOS)
    return None if found is None else QuantileForecast(p10=found[0], p50=found[1], p90=found[2])


def _hour_of_step(series: IntensitySeries) -> Floats:
    """The whole hour, counted from the epoch, in which each step begins."""
    return np.asarray(series.edges_at_s[:-1] // _HOUR_S, dtype=np.float64)


def _newest_known(issue: Issue) -> int | None:
    known = np.flatnonzero(~np.isnan(issue.error_gco2e_per_kwh))
    return int(known[-1]) if len(known) else None


def _errors_by_horizon(issues: Sequence[Issue]) -> Floats:
    """One row for each issue, one column for each hour from its first; NaN where unknown or past its end."""
    if not issues:
        return np.zeros((0, 0))
    table = np.full((len(issues), max(len(one.forecast_gco2e_per_kwh) for one in issues)), np.nan)
    for row, one in zip(table, issues, strict=True):
        row[: len(one.forecast_gco2e_per_kwh)] = one.error_gco2e_per_kwh
    return table


def _learned_hours(issues: Sequence[Issue]) -> int:
    """Distinct hours of which an error is known: a forecast made more often teaches no more about the weather."""
    hours = [
        one.start_at_s + _HOUR_S * np.flatnonzero(~np.isnan(one.error_gco2e_per_kwh)[:FOLLOWED_FROM_H])
        for one in issues
    ]
    return len(np.unique(np.concatenate(hours)))
