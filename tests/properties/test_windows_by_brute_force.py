"""The window search against every start on the minute, on random irregular grids with gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intensity_feeds.series import IntensitySeries
from scheduler.planning.curve import curve
from scheduler.planning.one_job.window import Window, cheapest_window
from tests.plan_cases import MIDNIGHT_S, best_on_the_minute, integral_by_hand


@st.composite
def irregular_series(draw: st.DrawFn, zone: str = "DE", *, gaps: bool = True) -> IntensitySeries:
    steps = draw(st.lists(st.integers(1, 90), min_size=1, max_size=12))
    value = st.one_of(st.floats(0, 1000), st.none()) if gaps else st.floats(0, 1000)
    values = [draw(value) for _ in steps]
    edges = [MIDNIGHT_S + 60.0 * sum(steps[:index]) for index in range(len(steps) + 1)]
    numbers = np.array([math.nan if one is None else one for one in values])
    return IntensitySeries(zone=zone, edges_at_s=np.array(edges), gco2e_per_kwh=numbers)


def search(
    series: list[IntensitySeries], pue: list[float], duration_s: float, earliest_s: float, deadline_s: float
) -> Window | None:
    curves = [
        curve(f"{one.zone}", one, factor, earliest_s, deadline_s) for one, factor in zip(series, pue, strict=True)
    ]
    return cheapest_window([one for one in curves if one is not None], duration_s, earliest_s, deadline_s)


pytestmark = pytest.mark.slow

minutes = st.integers(1, 120)


@given(irregular_series(), minutes, st.integers(-30, 120), st.integers(1, 300))
def test_equals_every_start_on_the_minute(
    series: IntensitySeries, minutes_long: int, from_m: int, within_m: int
) -> None:
    duration_s, earliest_s = 60.0 * minutes_long, MIDNIGHT_S + 60.0 * from_m
    deadline_s = earliest_s + 60.0 * within_m
    window = search([series], [1.0], duration_s, earliest_s, deadline_s)
    best = best_on_the_minute(series, duration_s, earliest_s, deadline_s)
    if window is None:
        assert best == math.inf
        return
    assert window.start_at_s >= earliest_s
    assert window.end_at_s <= deadline_s
    assert window.integral_g_s_per_kwh == pytest.approx(best, rel=1e-9, abs=1e-6)
    by_hand = integral_by_hand(series, window.start_at_s, window.end_at_s)
    assert window.integral_g_s_per_kwh == pytest.approx(by_hand, rel=1e-9, abs=1e-6)


@given(irregular_series("DE"), irregular_series("FR"), st.floats(1, 2), st.floats(1, 2), minutes, st.integers(1, 300))
def test_equals_the_best_zone_by_grams(
    one: IntensitySeries, other: IntensitySeries, pue: float, other_pue: float, minutes_long: int, within_m: int
) -> None:
    duration_s, deadline_s = 60.0 * minutes_long, MIDNIGHT_S + 60.0 * within_m
    window = search([one, other], [pue, other_pue], duration_s, MIDNIGHT_S, deadline_s)
    best = min(
        factor * best_on_the_minute(series, duration_s, MIDNIGHT_S, deadline_s)
        for series, factor in ((one, pue), (other, other_pue))
    )
    assert (window.integral_g_s_per_kwh if window else math.inf) == pytest.approx(best, rel=1e-9, abs=1e-6)


@given(irregular_series(gaps=False), st.floats(1, 5000), st.floats(0, 4000), st.floats(0, 9000))
def test_is_never_dirtier_than_the_minutes_at_odd_instants(
    series: IntensitySeries, duration_s: float, from_s: float, slack_s: float
) -> None:
    earliest_s = MIDNIGHT_S + from_s
    deadline_s = earliest_s + duration_s + slack_s
    window = search([series], [1.0], duration_s, earliest_s, deadline_s)
    best = best_on_the_minute(series, duration_s, earliest_s, deadline_s)
    if best < math.inf:
        assert window is not None
        assert window.integral_g_s_per_kwh <= best * (1 + 1e-9) + 1e-3


@given(irregular_series(), minutes, st.integers(1, 300), st.integers(0, 200))
def test_more_slack_never_hurts(series: IntensitySeries, minutes_long: int, within_m: int, more_m: int) -> None:
    less, more = (
        search([series], [1.0], 60.0 * minutes_long, MIDNIGHT_S, MIDNIGHT_S + 60.0 * within)
        for within in (within_m, within_m + more_m)
    )
    if less is not None:
        assert more is not None
        assert more.integral_g_s_per_kwh <= less.integral_g_s_per_kwh * (1 + 1e-9) + 1e-6


@given(irregular_series(), minutes, st.integers(1, 300), st.sampled_from([0.25, 0.5, 2.0, 1024.0]))
def test_scaling_all_intensities_changes_no_window(
    series: IntensitySeries, minutes_long: int, within_m: int, ratio: float
) -> None:
    # Powers of two, so that no rounding enters.
    before, after = (
        search([one], [1.0], 60.0 * minutes_long, MIDNIGHT_S, MIDNIGHT_S + 60.0 * within_m)
        for one in (series, series.scaled(ratio))
    )
    assert (before and before.start_at_s) == (after and after.start_at_s)


@given(irregular_series(), minutes, st.integers(1, 300), st.integers(-(10**6), 10**6))
def test_shifting_all_times_shifts_the_window(
    series: IntensitySeries, minutes_long: int, within_m: int, shift_s: int
) -> None:
    moved = IntensitySeries(
        zone=series.zone, edges_at_s=series.edges_at_s + float(shift_s), gco2e_per_kwh=series.gco2e_per_kwh
    )
    before, after = (
        search([one], [1.0], 60.0 * minutes_long, MIDNIGHT_S + by_s, MIDNIGHT_S + by_s + 60.0 * within_m)
        for one, by_s in ((series, 0.0), (moved, float(shift_s)))
    )
    assert (before and before.start_at_s + shift_s) == (after and after.start_at_s)
