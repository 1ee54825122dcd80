"""Reads the fields of a provider's answer, or says which one is not what it should be.

Decides what a plausible intensity is. Knows no provider: the shape of an answer is the business of each client.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from intensity_feeds.feed import FeedAnswerError, NoDataError
from intensity_feeds.instants import parse_utc_s
from intensity_feeds.series import IntensitySeries, from_points

# The dirtiest plants emit about 1,500 g/kWh and marginal rates stay below that; anything beyond is a wrong unit.
MOST_GCO2E_PER_KWH = 3000.0

# Start of the interval in UTC epoch seconds; gCO2e/kWh, None where the source has a gap.
Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """Readers of one answer of `feed` for `zone`; each raises FeedAnswerError naming the field."""

    feed: str
    zone: str

    def wrong(self, what: str) -> FeedAnswerError:
        return FeedAnswerError(self.feed, self.zone, what)

    def mapping(self, value: object, where: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.wrong(f"{where} is {_named(value)}, expected an object")
        return value

    def rows(self, value: object, where: str) -> Sequence[Mapping[str, Any]]:
        """A list of objects."""
        if not isinstance(value, list):
            raise self.wrong(f"{where} is {_named(value)}, expected a list")
        return [self.mapping(row, f"{where}[{number}]") for number, row in enumerate(value)]

    def text(self, value: object, where: str) -> str:
        if not isinstance(value, str):
            raise self.wrong(f"{where} is {_named(value)}, expected a text")
        return value

    def instant_s(self, value: object, where: str) -> float:
        try:
            return parse_utc_s(self.text(value, where))
        except (ValueError, OverflowError):
            raise self.wrong(f"{where} is {_named(value)}, expected an instant with a time zone") from None

    def intensity(self, value: object, where: str, to_gco2e_per_kwh_ratio: float = 1.0) -> float | None:
        """In gCO2e/kWh; null is a gap, zero is data. Text, booleans and implausible numbers are refused."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(f"{where} is {_named(value)}, expected a number or null")
        if not 0 <= value <= MOST_GCO2E_PER_KWH / to_gco2e_per_kwh_ratio:
            raise self.wrong(
                f"{where} is {_named(value)}, which no grid emits (0 to {MOST_GCO2E_PER_KWH:.0f} gCO2e/kWh)"
            )
        return float(value * to_gco2e_per_kwh_ratio)

    def series(self, points: Iterable[Point], step_s: float | None, **labels: object) -> IntensitySeries:
        """The points as a series without leading and trailing gaps. Raises NoDataError when no number is left."""
        ordered = sorted(points, key=lambda point: point[0])
        known = [index for index, (_, value) in enumerate(ordered) if value is not None]
        if not known:
            raise NoDataError(self.feed, self.zone, "the answer holds no value")
        starts, values = zip(*ordered[known[0] : known[-1] + 1], strict=True)
        if step_s is None and len(set(starts)) < 2:
            raise self.wrong("one point and no step: how long it holds is unknown")
        return from_points(self.zone, starts, values, step_s, **labels)


def clipped(series: IntensitySeries, feed: str, start_at_s: float, end_at_s: float) -> IntensitySeries:
    """The part of the series inside the interval. Raises NoDataError when there is none."""
    start, end = max(start_at_s, series.start_at_s), min(end_at_s, series.end_at_s)
    if start >= end:
        raise NoDataError(feed, series.zone, "the source has nothing of the interval asked for")
    return series.between(start, end)


def running_since_s(series: IntensitySeries, now_s: float) -> float:
    """The start of the step that is running at `now_s`, or of the series where `now_s` lies before it."""
    index = int(np.searchsorted(series.edges_at_s, now_s, side="right")) - 1
    return float(series.edges_at_s[max(index, 0)])


def from_running_step(series: IntensitySeries, now_s: float) -> IntensitySeries:
    """The series from the step that is running at `now_s`; as it is where `now_s` lies outside."""
    since_s = running_since_s(series, now_s)
    return series.between(since_s, series.end_at_s) if series.start_at_s < since_s < series.end_at_s else series


def refuse_implausible(series: IntensitySeries, feed: str) -> None:
    """Raises FeedAnswerError when a value is negative or beyond any grid; gaps are allowed."""
    values = series.gco2e_per_kwh
    wrong = values[(values < 0) | (values > MOST_GCO2E_PER_KWH)]
    if len(wrong):
        raise FeedAnswerError(
            feed, series.zone, f"a value is {wrong[0]:g}, outside 0 to {MOST_GCO2E_PER_KWH:.0f} gCO2e/kWh"
        )


def _named(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, float) and not math.isfinite(value):
        return "no finite number"
    if isinstance(value, str | float | bool):
        return repr(value)[:60]
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else "a huge number"
    return f"a {type(value).__name__}"
