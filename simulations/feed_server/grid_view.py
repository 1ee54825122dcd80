"""What the emulated services know at one emulated instant.

Cuts the trace into a service's own steps (time-weighted means, whole steps only) and lays the faults over the numbers.
Knows no service's units, names or envelopes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from intensity_feeds.series import IntensitySeries, Signal
from simulations.feed_server.faults import NO_FAULTS, Faults
from simulations.feed_server.instants import floor_s
from simulations.feed_server.replies import Json

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
# A published estimate that is later revised differs by so much; a quarter is seen in scraped live data.
REVISION_RATIO = 1.25
ABSURD_RATIO = 1e7
# Faults that strike single points strike every third, counted from the epoch, so that answers agree with each other.
STRUCK_EVERY = 3
HOLE_FROM_S, HOLE_UNTIL_S = 3 * HOUR_S, 7 * HOUR_S
SANDBOX_GCO2E_PER_KWH = 123.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One step. `value` is g/kWh, or whatever a fault put in its place."""

    start_at_s: float
    value: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class GridView:
    """The trace as seen at `now_s`, with the faults named in `holding`. `data_now_s` lags where `latest` is frozen."""

    trace: Mapping[str, IntensitySeries]
    now_s: float
    data_now_s: float
    marginal: Mapping[str, IntensitySeries] = field(default_factory=dict)
    regions: Mapping[str, str] = field(default_factory=dict)
    gb_zones: Mapping[int, str] = field(default_factory=dict)
    holding: frozenset[str] = frozenset()
    faults: Faults = NO_FAULTS

    def known(self, series: IntensitySeries, start_at_s: float, end_at_s: float, step_s: float) -> list[Point]:
        """Past and running steps that begin in [start, end) and not after the data's now."""
        first_hidden_s = floor_s(self.data_now_s, step_s) + step_s
        return self._struck(_steps(series, start_at_s, min(end_at_s, first_hidden_s), step_s), step_s)

    def ahead(self, series: IntensitySeries, start_at_s: float, count: int, step_s: float) -> list[Point]:
        """`count` steps of a forecast from the step that contains the instant; fewer where the trace ends."""
        first_s = floor_s(start_at_s, step_s) + (step_s if "late_forecast" in self.holding else 0.0)
        return self._struck(_steps(series, first_s, first_s + count * step_s, step_s), step_s)

    def slots(self, series: IntensitySeries, start_at_s: float, end_at_s: float, step_s: float) -> list[Point]:
        """Steps that begin in [start, end), past or future."""
        late = "late_forecast" in self.holding and start_at_s <= self.now_s < end_at_s
        first_s = max(start_at_s, floor_s(self.now_s, step_s) + step_s) if late else start_at_s
        return self._struck(_steps(series, first_s, end_at_s, step_s), step_s)

    def other_zone(self, zone: str, zones: Mapping[str, IntensitySeries]) -> str:
        """The zone itself, or the next one by name where the service answers for the wrong zone."""
        if "wrong_zone" not in self.holding:
            return zone
        names = sorted(zones)
        return names[(names.index(zone) + 1) % len(names)] if zone in names else names[0]

    def _struck(self, points: list[Point], step_s: float) -> list[Point]:
        if "no_points" in self.holding:
            return []
        if "sandbox" in self.holding:
            points = [replace(point, value=SANDBOX_GCO2E_PER_KWH) for point in points]
        if "revised" in self.holding:
            points = [self._estimated(point) for point in points]
        if "gaps" in self.holding:
            points = [point for point in points if not _is_struck(point, step_s)]
        if "hole" in self.holding:
            points = [point for point in points if not HOLE_FROM_S <= point.start_at_s % DAY_S < HOLE_UNTIL_S]
        for name in self.holding & _STRIKES.keys():
            points = [_stricken(point, _STRIKES[name]) if _is_struck(point, step_s) else point for point in points]
        return points

    def _estimated(self, point: Point) -> Point:
        young = self.now_s - self.faults.revised_h * HOUR_S < point.start_at_s <= self.now_s
        return replace(point, value=point.value * REVISION_RATIO) if young else point


def by_signal(
    trace: Mapping[str, IntensitySeries], marginal: Mapping[str, IntensitySeries]
) -> tuple[dict[str, IntensitySeries], dict[str, IntensitySeries]]:
    """All average series, and all marginal ones, from a trace that may hold either kind beside a marginal trace."""
    everything = [*trace.items(), *marginal.items()]
    average = {zone: one for zone, one in everything if one.signal is Signal.AVERAGE}
    return average, {zone: one for zone, one in everything if one.signal is Signal.MARGINAL}


def as_reported(value: Json, digits: int, unit_ratio: float = 1.0) -> Json:
    """The number as a service writes it: times `unit_ratio`, rounded; what is no number stays what it is."""
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    return round(value * unit_ratio, digits) if digits else round(value * unit_ratio)


def number_or_none(point: Point) -> float | None:
    """The value where it is one."""
    return point.value if isinstance(point.value, float) and math.isfinite(point.value) else None


_STRIKES: Mapping[str, Callable[[float], Json]] = {
    "nulls": lambda _value: None,
    "not_a_number": lambda _value: math.nan,
    "negative": lambda value: -value - 1.0,
    "absurd": lambda value: value * ABSURD_RATIO + ABSURD_RATIO,
    "text_values": lambda _value: "n/a",
}


def _stricken(point: Point, strike: Callable[[float], Json]) -> Point:
    return replace(point, value=strike(point.value)) if isinstance(point.value, float) else point


def _is_struck(point: Point, step_s: float) -> bool:
    return int(point.start_at_s // step_s) % STRUCK_EVERY == 0


def _steps(series: IntensitySeries, start_at_s: float, end_at_s: float, step_s: float) -> list[Point]:
    """Whole steps of `step_s` since the epoch that begin in [start, end) and lie in the series; gaps are left out."""
    first = math.ceil(max(start_at_s, series.start_at_s) / step_s)
    last = min(math.ceil(end_at_s / step_s), math.floor(series.end_at_s / step_s))
    if last <= first:
        return []
    edges = np.arange(first, last + 1, dtype=np.float64) * step_s
    means = series.resampled(edges).gco2e_per_kwh
    return [
        Point(start_at_s=at_s, value=value)
        for at_s, value in zip(edges[:-1].tolist(), means.tolist(), strict=True)
        if not math.isnan(value)
    ]
