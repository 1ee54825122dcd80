"""The cheapest 48-hour window: Slacktide beside the search of climate-aware-task-scheduler, on the same forecast.

    python -m benchmarks.window_search

Prints a table; `--markdown` prints it as benchmarks/README.md has it. The other search is called as a library. It joins
data points by straight lines and tries one start for each data point, Slacktide reads steps and tries every start that
can be best; both choices are priced on the steps. Exit code 1 when Slacktide is less than 100 times faster, or dirtier.
"""

from __future__ import annotations

import sys
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
from cats.forecast import PointEstimate, WindowedForecast

from intensity_feeds.series import IntensitySeries
from intensity_feeds.trace import read_trace
from scheduler.planning.curve import curve
from scheduler.planning.one_job.window import Window, cheapest_window
from tests.real_data import data_folder

HORIZON_S, STEP_S = 48 * 3600.0, 300.0
DURATIONS_MIN = (60, 240, 720)
LEAST_RATIO = 100.0
TRACE = "carbon/marginal_2023-06_5min_caiso_north.csv.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    zones: int
    duration_min: int
    own_s: float
    own_mean_gco2e_per_kwh: float
    other_s: float | None = None
    other_mean_gco2e_per_kwh: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.other_s is None else self.other_s / self.own_s


def grid() -> tuple[IntensitySeries, str]:
    """48 hours at 5 minutes: recorded where the traces are at hand, else a generated day and night."""
    path = data_folder() / TRACE
    if path.is_file():
        series = next(iter(read_trace(path).values()))
        start_at_s = series.start_at_s + 6 * 86400.0
        return series.between(start_at_s, start_at_s + HORIZON_S), f"CAISO, 5 minutes, from {TRACE.split('/')[1]}"
    hours = np.arange(0, 48, STEP_S / 3600)
    values = 300 + 120 * np.cos(2 * np.pi * hours / 24) + np.random.default_rng(1).normal(0, 15, len(hours))
    return IntensitySeries.regular("generated", 1_686_787_200.0, STEP_S, values), "generated, 5 minutes"


def own_search(series: IntensitySeries, duration_s: float, zones: int) -> Window:
    start_at_s, deadline_s = series.start_at_s, series.end_at_s
    curves = [curve(f"zone {index}", series, 1.0 + index / 100, start_at_s, deadline_s) for index in range(zones)]
    found = cheapest_window([one for one in curves if one], duration_s, start_at_s, deadline_s)
    assert found is not None
    return found


def other_search(points: list[PointEstimate], duration_min: int) -> float:
    """Start of the best window, epoch seconds."""
    forecast = WindowedForecast(points, duration_min, start=points[0].datetime)
    return float(min(forecast).start.timestamp())


def seconds_each(call: Callable[[], object]) -> float:
    """Processor time, so that other work on the machine counts little: best of five rounds of a fifth of a second."""
    timer = timeit.Timer(call, timer=time.process_time)
    number, _ = timer.autorange()
    return min(timer.repeat(5, number)) / number


def measured(series: IntensitySeries) -> list[Row]:
    points = [
        PointEstimate(value=float(value), datetime=datetime.fromtimestamp(float(at_s), UTC))
        for at_s, value in zip(series.edges_at_s[:-1], series.gco2e_per_kwh, strict=True)
    ]
    rows = []
    for duration_min in DURATIONS_MIN:
        duration_s = 60.0 * duration_min
        window = own_search(series, duration_s, 1)
        start_at_s = other_search(points, duration_min)
        rows.append(
            Row(
                zones=1,
                duration_min=duration_min,
                own_s=seconds_each(partial(own_search, series, duration_s, 1)),
                own_mean_gco2e_per_kwh=window.integral_g_s_per_kwh / duration_s,
                other_s=seconds_each(partial(other_search, points, duration_min)),
                other_mean_gco2e_per_kwh=series.mean_gco2e_per_kwh(start_at_s, start_at_s + duration_s),
            )
        )
    ten_s = seconds_each(partial(own_search, series, 4 * 3600.0, 10))
    mean = own_search(series, 4 * 3600.0, 10).integral_g_s_per_kwh / (4 * 3600.0)
    return [*rows, Row(zones=10, duration_min=240, own_s=ten_s, own_mean_gco2e_per_kwh=mean)]


HEADINGS = ("zones", "job", "slacktide", "cats", "ratio", "slacktide g/kWh", "cats g/kWh")


def cells(row: Row) -> tuple[str, ...]:
    return (
        str(row.zones),
        f"{row.duration_min // 60} h",
        f"{row.own_s * 1e6:.0f} us",
        "one zone only" if row.other_s is None else f"{row.other_s * 1e3:.1f} ms",
        "" if row.ratio is None else f"{row.ratio:.0f}",
        f"{row.own_mean_gco2e_per_kwh:.2f}",
        "" if row.other_mean_gco2e_per_kwh is None else f"{row.other_mean_gco2e_per_kwh:.2f}",
    )


def as_text(rows: list[Row], *, markdown: bool) -> str:
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = [" | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    if not markdown:
        return "\n".join(text)
    rule = " | ".join("-" * (width - 1) + ":" for width in widths)
    return "\n".join(f"| {line} |" for line in (text[0], rule, *text[1:]))


def holds(row: Row) -> bool:
    """Whether a row is fast enough and no dirtier than the other search."""
    if row.ratio is None or row.other_mean_gco2e_per_kwh is None:
        return True
    return row.ratio >= LEAST_RATIO and row.own_mean_gco2e_per_kwh <= row.other_mean_gco2e_per_kwh * (1 + 1e-9)


def main() -> int:
    series, origin = grid()
    rows = measured(series)
    print(f"48 h: {origin}; {len(series.gco2e_per_kwh)} steps\n")
    print(as_text(rows, markdown="--markdown" in sys.argv))
    return 0 if all(holds(row) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
