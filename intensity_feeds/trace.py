"""Recorded grids: what the columns of a trace file mean, and a feed that replays them.

Decides which column is which signal, and that a later record of the same interval holds. How a file is opened is the
business of trace_rows.py.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from intensity_feeds.answers import clipped, from_running_step, running_since_s
from intensity_feeds.feed import NoDataError
from intensity_feeds.series import (
    Basis,
    IntensitySeries,
    MalformedSeriesError,
    Quality,
    Signal,
    from_points,
    refuse_mixture,
)
from intensity_feeds.trace_columns import COLUMNS
from intensity_feeds.trace_rows import Columns, Points, Rows, TraceError, gather, opened

__all__ = ["COLUMNS", "NAME", "TraceError", "TraceFeed", "read_forecast_trace", "read_trace"]

NAME = "trace"

FORECAST_COLUMN = "forecast_gco2e_per_kwh"
# When a line was obtained: of several records of one interval, the one obtained last holds.
_OBTAINED_COLUMN = "scraped_at"


def read_trace(
    path: Path | str, zones: Collection[str] | None = None, *, column: str | None = None
) -> dict[str, IntensitySeries]:
    """The series of each zone in the file, or of `zones` only; `column` is one of COLUMNS.

    Raises TraceError, also when a zone asked for is not in the file.
    """
    with opened(Path(path)) as rows:
        rows.require("timestamp", "zone")
        chosen = _chosen_column(rows, column)
        obtained = _OBTAINED_COLUMN if _OBTAINED_COLUMN in rows.header else ""
        gathered = gather(rows, Columns(value=chosen, obtained=obtained), zones)
    _refuse_absent(rows.path, [zone for zone, _ in gathered], zones)
    signal, basis = COLUMNS[chosen]
    return {
        zone: _series(rows.path, zone, points, signal=signal, basis=basis)
        for (zone, _), points in sorted(gathered.items())
    }


def read_forecast_trace(
    path: Path | str,
    zones: Collection[str] | None = None,
    *,
    basis: Basis = Basis.DIRECT,
    column: str = FORECAST_COLUMN,
) -> dict[str, tuple[IntensitySeries, ...]]:
    """The recorded forecasts of each zone, by time of issue; `column` may name a quantile of them.

    Raises TraceError as `read_trace` does.
    """
    with opened(Path(path)) as rows:
        gathered = gather(rows, Columns(value=column, issued="issued_at"), zones)
    _refuse_absent(rows.path, [zone for zone, _ in gathered], zones)
    forecasts: dict[str, list[IntensitySeries]] = {}
    for (zone, issued_at_s), points in sorted(gathered.items()):
        labels = {"basis": basis, "quality": Quality.FORECAST, "issued_at_s": issued_at_s}
        forecasts.setdefault(zone, []).append(_series(rows.path, zone, points, **labels))
    return {zone: tuple(issues) for zone, issues in forecasts.items()}


class TraceFeed:
    """Replays a trace: the past as history; as forecast the recorded one, else the trace itself, labelled as perfect.

    `horizon_s` limits how far a perfect forecast sees; None is to the end of the trace. All series answer the same
    question; raises MixedSignalsError otherwise.
    """

    name = NAME

    def __init__(
        self,
        series_by_zone: Mapping[str, IntensitySeries],
        forecasts: Mapping[str, Sequence[IntensitySeries]] | None = None,
        *,
        horizon_s: float | None = None,
    ) -> None:
        refuse_mixture(series_by_zone.values())
        first = next(iter(series_by_zone.values()), None)
        self.signal = first.signal if first else Signal.AVERAGE
        self.basis = first.basis if first else Basis.LIFECYCLE
        self._series_by_zone, self._horizon_s = series_by_zone, horizon_s
        self._forecasts = {zone: sorted(issues, key=_issued_at_s) for zone, issues in (forecasts or {}).items()}

    def forecast(self, zone: str, now_s: float) -> IntensitySeries:
        """See Feed. A zone with recorded forecasts gets those and never a look into the future."""
        if zone in self._forecasts:
            return from_running_step(self._recorded(zone, now_s), now_s)
        series = self._series(zone)
        end_s = series.end_at_s if self._horizon_s is None else min(series.end_at_s, now_s + self._horizon_s)
        if not series.start_at_s <= now_s < end_s:
            raise NoDataError(NAME, zone, "the trace does not reach this instant")
        start_s = running_since_s(series, now_s)
        source = f"{series.source} (perfect forecast)".strip()
        return replace(series.between(start_s, end_s), quality=Quality.FORECAST, issued_at_s=now_s, source=source)

    def history(self, zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries:
        """See Feed."""
        return clipped(self._series(zone), NAME, start_at_s, end_at_s)

    def _series(self, zone: str) -> IntensitySeries:
        if zone not in self._series_by_zone:
            raise NoDataError(NAME, zone, f"the trace has {_some(self._series_by_zone)}")
        return self._series_by_zone[zone]

    def _recorded(self, zone: str, now_s: float) -> IntensitySeries:
        issued = bisect_right(self._forecasts[zone], now_s, key=_issued_at_s)
        newest = self._forecasts[zone][issued - 1] if issued else None
        if newest is None or newest.end_at_s <= now_s:
            raise NoDataError(NAME, zone, "no forecast was issued by now that still holds")
        return newest


def _issued_at_s(forecast: IntensitySeries) -> float:
    return forecast.start_at_s if forecast.issued_at_s is None else forecast.issued_at_s


def _chosen_column(rows: Rows, column: str | None) -> str:
    if column is not None:
        if column not in COLUMNS:
            raise TraceError(rows.path, None, column, f"holds no intensities; choose one of {', '.join(COLUMNS)}")
        rows.require(column)
        return column
    for known in COLUMNS:
        if known in rows.header:
            return known
    raise TraceError(rows.path, 1, "", f"no column of intensities; call one of them {' or '.join(COLUMNS)}")


def _series(path: Path, zone: str, points: Points, **labels: object) -> IntensitySeries:
    starts = np.array(points.starts_at_s)
    values = np.array(points.array)
    if points.obtained_at_s:
        order = np.argsort(points.obtained_at_s, kind="stable")
        starts, values = starts[order], values[order]
    try:
        return from_points(zone, starts, values, None, source=path.name, **labels)
    except MalformedSeriesError as error:
        raise TraceError(path, None, "", f"{error}; a trace needs two points of each zone") from None


def _refuse_absent(path: Path, found: Collection[str], zones: Collection[str] | None) -> None:
    if not found and zones is None:
        raise TraceError(path, None, "", "the file has no data lines")
    absent = [zone for zone in zones or () if zone not in found]
    if absent:
        with opened(path) as rows:
            zone_at = rows.header.index("zone")
            present = {line[zone_at] for line in rows.lines if len(line) > zone_at}
        raise TraceError(path, None, "zone", f"no line of {absent[0]}; the file has {_some(present)}")


def _some(zones: Collection[str]) -> str:
    names = sorted(zones)
    return f"{', '.join(names[:12])}{' and others' if len(names) > 12 else ''}" if names else "no zone"
