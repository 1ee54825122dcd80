"""The planner on recorded grids, against every start on the minute and against published reference numbers."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from intensity_feeds.series import IntensitySeries
from intensity_feeds.trace import read_trace
from scheduler.planning.curve import Curve, curve
from scheduler.planning.one_job.preemptible import Work, cheapest_pieces
from scheduler.planning.one_job.window import cheapest_window
from tests.plan_cases import HOUR_S, best_on_the_minute_fast
from tests.real_data import real_data

pytestmark = pytest.mark.slow

HOURLY = "carbon/avg_2022_hourly_34zones.csv.gz"
SUBHOURLY = "carbon/avg_2020_subhourly_DE_FR_GB.csv.gz"
FIVE_MINUTES = "carbon/marginal_2023-06_5min_caiso_north.csv.gz"

# 2020-10-30T12:00Z: half an hour a step in Great Britain until midnight of the 31st, a quarter after it.
STEP_CHANGES_AT_S = 1_604_059_200.0
DAY_S = 86_400.0


@cache
def series_of(name: str) -> dict[str, IntensitySeries]:
    return dict(read_trace(real_data(name)))


def known(series: IntensitySeries, earliest_s: float, deadline_s: float, pue: float = 1.0) -> Curve:
    made = curve(series.zone, series, pue, earliest_s, deadline_s)
    assert made is not None
    return made


def integral(series: IntensitySeries, duration_s: float, earliest_s: float, deadline_s: float) -> float:
    window = cheapest_window([known(series, earliest_s, deadline_s)], duration_s, earliest_s, deadline_s)
    assert window is not None
    by_series = series.integral_g_s_per_kwh(window.start_at_s, window.end_at_s)
    assert window.integral_g_s_per_kwh == pytest.approx(by_series, rel=1e-9)
    return window.integral_g_s_per_kwh


@pytest.mark.parametrize("zone", ["DE", "FR", "US-CAL-CISO", "AU-NSW", "SG"])
def test_hourly_grids_equal_every_start_on_the_minute(zone: str) -> None:
    series = series_of(HOURLY)[zone]
    random = np.random.default_rng(7)
    for _ in range(12):
        earliest_s = series.start_at_s + 60.0 * float(random.integers(0, 360 * 1440))
        duration_s = 60.0 * float(random.integers(1, 900))
        deadline_s = earliest_s + duration_s + 60.0 * float(random.integers(0, 4 * 1440))
        best = best_on_the_minute_fast(series, duration_s, earliest_s, deadline_s)
        assert integral(series, duration_s, earliest_s, deadline_s) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("zone", ["DE", "FR", "GB"])
@pytest.mark.parametrize("duration_m", [7, 100, 240])
def test_subhourly_grids_equal_every_start_on_the_minute_where_the_step_changes(zone: str, duration_m: int) -> None:
    series = series_of(SUBHOURLY)[zone]
    for offset_m in (0, 13, 600):
        earliest_s = STEP_CHANGES_AT_S + 60.0 * offset_m
        deadline_s = earliest_s + 2 * DAY_S
        best = best_on_the_minute_fast(series, 60.0 * duration_m, earliest_s, deadline_s)
        assert integral(series, 60.0 * duration_m, earliest_s, deadline_s) == pytest.approx(best, rel=1e-9)


def test_the_step_of_great_britain_does_change_there() -> None:
    series = series_of(SUBHOURLY)["GB"]
    inside = (series.edges_at_s >= STEP_CHANGES_AT_S) & (series.edges_at_s <= STEP_CHANGES_AT_S + 2 * DAY_S)
    assert set(np.diff(series.edges_at_s[inside]).tolist()) == {900.0, 1800.0}


@pytest.mark.parametrize("duration_m", [3, 45, 240])
def test_five_minute_grids_equal_every_start_on_the_minute(duration_m: int) -> None:
    (series,) = series_of(FIVE_MINUTES).values()
    for day in (0, 9, 20):
        earliest_s = series.start_at_s + DAY_S * day + 60.0 * 37
        best = best_on_the_minute_fast(series, 60.0 * duration_m, earliest_s, earliest_s + 2 * DAY_S)
        assert integral(series, 60.0 * duration_m, earliest_s, earliest_s + 2 * DAY_S) == pytest.approx(best, rel=1e-9)


def test_several_zones_equal_the_best_of_each_by_grams() -> None:
    pue = {"DE": 1.3, "FR": 1.5, "GB": 1.1}
    series = series_of(SUBHOURLY)
    deadline_s = STEP_CHANGES_AT_S + 2 * DAY_S
    curves = [known(series[zone], STEP_CHANGES_AT_S, deadline_s, factor) for zone, factor in pue.items()]
    window = cheapest_window(curves, 4 * HOUR_S, STEP_CHANGES_AT_S, deadline_s)
    assert window is not None
    best = min(
        factor * best_on_the_minute_fast(series[zone], 4 * HOUR_S, STEP_CHANGES_AT_S, deadline_s)
        for zone, factor in pue.items()
    )
    assert window.integral_g_s_per_kwh == pytest.approx(best, rel=1e-9)


def test_free_pauses_equal_the_cheapest_minutes() -> None:
    series = series_of(SUBHOURLY)["GB"]
    deadline_s = STEP_CHANGES_AT_S + DAY_S
    work = Work(work_s=247 * 60.0, earliest_s=STEP_CHANGES_AT_S, deadline_s=deadline_s)
    pieces = cheapest_pieces([known(series, STEP_CHANGES_AT_S, deadline_s)], work)
    assert pieces is not None
    minutes = sorted(series.at(STEP_CHANGES_AT_S + 60.0 * minute) for minute in range(1440))
    assert pieces.integral_g_s_per_kwh == pytest.approx(60.0 * sum(minutes[:247]), rel=1e-9)


@pytest.mark.parametrize(("zone", "percent"), [("DE", 21.9), ("US-CAL-CISO", 31.3), ("PL", 11.7), ("SG", 2.6)])
def test_a_year_of_four_hour_jobs_saves_what_the_reference_says(zone: str, percent: float) -> None:
    """Every hour of 2022, 24 hours of slack, best of 25 starts: on an hourly grid these are the only kinks.

    Source: reference numbers of the trace collection, to one decimal.
    """
    series = series_of(HOURLY)[zone]
    best = at_once = 0.0
    for hour in range(8760 - 28 + 1):
        earliest_s = series.start_at_s + HOUR_S * hour
        best += integral(series, 4 * HOUR_S, earliest_s, earliest_s + 28 * HOUR_S)
        at_once += series.integral_g_s_per_kwh(earliest_s, earliest_s + 4 * HOUR_S)
    assert 100 * (1 - best / at_once) == pytest.approx(percent, abs=0.06)
