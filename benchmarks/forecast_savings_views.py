"""What a planner saw of a recorded grid at each hour: the newest forecast, as issued or with what past errors say.

Walks through the record hour by hour and hands the product's error record each forecast when it is issued and each
actual hour once it is over, so nothing can be seen early. Decides nothing about plans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from intensity_feeds.forecast_correction import corrected, quantiles, remaining_error_ratio
from intensity_feeds.forecast_errors import ForecastErrors, scored
from intensity_feeds.forecast_errors import recorded as remembered
from intensity_feeds.series import Floats, IntensitySeries
from intensity_feeds.trace import read_forecast_trace, read_trace
from tests.real_data import data_folder

HOUR_S = 3600.0
DAY_S = 86400.0
# The usual error of an hour counts as measured on ten more days without any, so that a few days do not decide.
_DAYS_WITHOUT_ERROR = 10
# Until the next day's forecast, nothing newer will come.
_SETTLED_H = 24

View = Callable[[float], IntensitySeries]
Views = Mapping[str, View]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One zone of a file: forecasts by time of issue, quantiles of them where the file has any, and what happened."""

    issues: tuple[IntensitySeries, ...]
    quantiles: Mapping[str, tuple[IntensitySeries, ...]]
    actual: IntensitySeries


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How a forecast is read: from which column, and changed how; `late_s` after an hour its actual is known."""

    changed: Callable[[ForecastErrors, IntensitySeries, Floats | None], IntensitySeries]
    column: str = ""
    is_hourly: bool = False
    late_s: float = 0.0


def read_recorded(file: str, zones: Sequence[str] | None = None) -> dict[str, Recorded]:
    path = data_folder() / file
    has_quantiles = "derived" in file
    columns = ("forecast_p10", "forecast_p90") if has_quantiles else ()
    issues, actual = read_forecast_trace(path, zones), read_trace(path, zones)
    others = {column: read_forecast_trace(path, zones, column=column) for column in columns}
    return {
        zone: Recorded(
            issues=issues[zone],
            quantiles={column: by_zone[zone] for column, by_zone in others.items()},
            actual=actual[zone],
        )
        for zone in issues
    }


def seen(recorded: Recorded, variant: Variant) -> View:
    """What was seen at an hour of the record, as a function of that hour."""
    by_hour = dict(_walked(recorded, variant))
    last_s = max(by_hour)
    return lambda now_s: by_hour[min(now_s, last_s)]


def walked_errors(recorded: Recorded, late_s: float = 0.0) -> Iterator[tuple[ForecastErrors, IntensitySeries]]:
    """At each time of issue: what had been learned by then, and the new forecast."""
    errors = ForecastErrors(zone=recorded.actual.zone)
    for issue in recorded.issues:
        errors = remembered(errors, issue, issue.start_at_s)
        errors = _scored_until(errors, recorded.actual, issue.start_at_s - late_s, 4 * DAY_S)
        yield errors, issue


def _walked(recorded: Recorded, variant: Variant) -> Iterator[tuple[float, IntensitySeries]]:
    shown = recorded.quantiles[variant.column] if variant.column else recorded.issues
    walk = zip(walked_errors(recorded, variant.late_s), shown, strict=True)
    for (errors, issue), series in walk:
        ratios = remaining_error_ratio(errors) if variant.is_hourly else None
        is_last = issue is recorded.issues[-1]
        for hour in range(len(issue.gco2e_per_kwh) if is_last else round(DAY_S / HOUR_S)):
            now_s = issue.start_at_s + hour * HOUR_S
            if hour == 0 or variant.is_hourly:
                known = _scored_until(errors, recorded.actual, now_s - variant.late_s, DAY_S)
                current = variant.changed(known, series, ratios)
            yield now_s, current


def _scored_until(errors: ForecastErrors, actual: IntensitySeries, until_s: float, back_s: float) -> ForecastErrors:
    from_s, to_s = max(actual.start_at_s, until_s - back_s), min(actual.end_at_s, until_s)
    return errors if to_s <= from_s else scored(errors, actual.between(from_s, to_s), until_s)


# -- variants --------------------------------------------------------------------------------------------------------


def _as_is(_: ForecastErrors, forecast: IntensitySeries, __: Floats | None) -> IntensitySeries:
    return forecast


def _usual_error(errors: ForecastErrors, forecast: IntensitySeries, _: Floats | None) -> IntensitySeries:
    """The mean error of this hour of the day at this horizon, drawn towards none. Issues are all of midnight."""
    count = len(forecast.gco2e_per_kwh)
    table = np.full((len(errors.issues), count), np.nan)
    for row, issue in zip(table, errors.issues, strict=True):
        own = issue.error_gco2e_per_kwh[:count]
        row[: len(own)] = own
    days = np.count_nonzero(~np.isnan(table), axis=0)
    usual = np.nansum(table, axis=0) / (days + _DAYS_WITHOUT_ERROR)
    return replace(forecast, gco2e_per_kwh=np.maximum(0.0, forecast.gco2e_per_kwh + usual))


def _learned_p90(errors: ForecastErrors, forecast: IntensitySeries, _: Floats | None) -> IntensitySeries:
    found = quantiles(errors, forecast, (0.9,))
    return forecast if found is None or found[0].has_gap else found[0]


def _hopeful(errors: ForecastErrors, forecast: IntensitySeries, _: Floats | None) -> IntensitySeries:
    """Hours that a newer forecast will settle are taken at three of ten, not the middle: waiting keeps a choice."""
    found = quantiles(errors, forecast, (0.3, 0.5))
    if found is None or found[0].has_gap:
        return forecast
    shift = found[0].gco2e_per_kwh - found[1].gco2e_per_kwh
    shift = np.where(np.arange(len(shift)) >= _SETTLED_H, shift, 0.0)
    return replace(forecast, gco2e_per_kwh=np.maximum(0.0, forecast.gco2e_per_kwh + shift))


VARIANTS: Mapping[str, Variant] = {
    "as issued": Variant(changed=_as_is),
    "usual error of the hour": Variant(changed=_usual_error),
    "learned p90": Variant(changed=_learned_p90),
    "recorded p90": Variant(changed=_as_is, column="forecast_p90"),
    "recorded p10": Variant(changed=_as_is, column="forecast_p10"),
    "hopeful": Variant(changed=_hopeful),
    "newest error": Variant(changed=corrected, is_hourly=True),
    "newest error, 3 h late": Variant(changed=corrected, is_hourly=True, late_s=3 * HOUR_S),
}
