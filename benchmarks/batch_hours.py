"""What a batch of `/v1/batches` emits when its lines rest between clean spells, beside one spell for all of them.

    python -m benchmarks.batch_hours

The daemon's own rule (scheduler/batch_flow.py) is asked every five minutes for a simulated worker that answers sixteen
lines at once in five minutes each, always at full density. One batch a week is created at another hour each time, its
window and its share of the worker's time as in the table. The grid is the recorded one and known ahead. What is saved
beside running at once; `cleanest` takes the cleanest hours of the window and leaves no time for safety. Fails when a
batch is late, or when resting saves less over all rows. Needs the recorded traces.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from intensity_feeds.series import IntensitySeries
from intensity_feeds.trace import read_trace
from scheduler.batch_flow import Backlog, Pace, decide
from scheduler.deferral import fluid_release_at_s, release_at_s
from tests.real_data import data_folder

GRID = "carbon/avg_2022_hourly_34zones.csv.gz"
ZONES = ("DE", "GB", "US-CAL-CISO", "PL", "FR")
HOUR_S, LINE_S, PLACES = 3600.0, 300.0, 16
WINDOWS_H, LOAD_RATIOS = (12, 24, 48), (0.125, 0.25, 0.5)
STEP_OF_STARTS_H = 7 * 24 + 5
KNOWN_AHEAD_S = 96 * HOUR_S

# (series, now_s, duration_s, release_by_s) -> instant
Rule = Callable[[IntensitySeries | None, float, float, float], float]


def emitted(series: IntensitySeries, rule: Rule, from_s: float, deadline_s: float, lines: int) -> float:
    """The mean intensity of the lines, from when each is sent to its answer; NaN for a batch that is late."""
    now_s, left, paid_g_per_kwh = from_s, lines, 0.0
    goes_until_s, waits_until_s = float("-inf"), None
    pace = Pace(LINE_S)
    while left and now_s + LINE_S <= deadline_s:
        backlog = Backlog(
            batch_id="batch",
            deadline_at_s=deadline_s,
            open_lines=left,
            goes_until_s=goes_until_s,
            waits_until_s=waits_until_s,
        )
        (verdict,) = decide(
            [backlog],
            pace=pace,
            places=PLACES,
            now_s=now_s,
            cleanest_start=lambda duration_s, by_s, at_s=now_s: rule(series, at_s, duration_s, by_s),  # type: ignore[misc]
        )
        goes_until_s, waits_until_s = verdict.goes_until_s, verdict.waits_until_s
        paid_g_per_kwh += verdict.lines * series.mean_gco2e_per_kwh(now_s, now_s + LINE_S)
        left -= verdict.lines
        now_s += LINE_S
    return float("nan") if left else paid_g_per_kwh / lines


def at_once(series: IntensitySeries | None, now_s: float, duration_s: float, release_by_s: float) -> float:
    return now_s


def cleanest(series: IntensitySeries, from_s: float, deadline_s: float, lines: int) -> float:
    edges, values = series.steps_between(from_s, deadline_s)
    order = values.argsort()
    lengths_s, need_s = np.diff(edges)[order], lines / PLACES * LINE_S
    taken_s = np.clip(need_s - (np.cumsum(lengths_s) - lengths_s), 0.0, lengths_s)
    return float(taken_s @ values[order]) / need_s


def cases(series: IntensitySeries, window_h: int, load_ratio: float) -> Iterator[tuple[float, float, int]]:
    """When each batch is created, its deadline, and its lines."""
    lines = round(load_ratio * window_h * HOUR_S / LINE_S) * PLACES
    first_s = series.start_at_s
    while first_s + KNOWN_AHEAD_S < series.end_at_s:
        yield first_s, first_s + window_h * HOUR_S, lines
        first_s += STEP_OF_STARTS_H * HOUR_S


def main() -> int:
    every = read_trace(data_folder() / GRID)
    lates, sums = 0, np.zeros(4)
    print("| zone | window | busy | one spell | resting | cleanest | late |")
    print("| ---- | -----: | ---: | --------: | ------: | -------: | ---: |")
    for zone, window_h, load_ratio in product(ZONES, WINDOWS_H, LOAD_RATIOS):
        rows = []
        for from_s, deadline_s, lines in cases(every[zone], window_h, load_ratio):
            known = every[zone].between(from_s, from_s + KNOWN_AHEAD_S)
            asked = (from_s, deadline_s, lines)
            found = [emitted(known, rule, *asked) for rule in (at_once, release_at_s, fluid_release_at_s)]
            rows.append([*found, cleanest(known, *asked)])
        table = np.array(rows)
        late = int(np.isnan(table).any(axis=1).sum())
        now, spell, resting, least = np.nansum(table, axis=0)
        saved = [f"{1 - one / now:.1%}" for one in (spell, resting, least)]
        print(f"| {zone} | {window_h} h | {load_ratio:.1%} | {' | '.join(saved)} | {late} |", flush=True)
        lates, sums = lates + late, sums + np.array([1.0, spell / now, resting / now, least / now])
    spell, resting, least = 1 - sums[1:] / sums[0]
    print(f"\nin the mean of the rows: one spell {spell:.1%}, resting {resting:.1%}, cleanest {least:.1%}")
    return 0 if lates == 0 and resting >= spell else 1


if __name__ == "__main__":
    sys.exit(main())
