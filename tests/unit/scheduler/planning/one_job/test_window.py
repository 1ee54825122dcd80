"""The cheapest window of a job in one piece, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from intensity_feeds.series import IntensitySeries
from scheduler.planning.curve import curve, overlap
from scheduler.planning.one_job.window import Window, cheapest_window, least_integrals_g_s_per_kwh
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_curve, a_series


def found(series: IntensitySeries, duration_h: float, within_h: float = 24, from_h: float = 0) -> Window | None:
    earliest_s = MIDNIGHT_S + from_h * HOUR_S
    return cheapest_window([a_curve(series)], duration_h * HOUR_S, earliest_s, earliest_s + within_h * HOUR_S)


def hours(window: Window | None) -> tuple[float, float]:
    assert window is not None
    return (window.start_at_s - MIDNIGHT_S) / HOUR_S, (window.end_at_s - MIDNIGHT_S) / HOUR_S


def test_takes_the_clean_hours() -> None:
    assert hours(found(a_series(300, 100, 100, 300), 2)) == (1, 3)


def test_a_window_of_part_of_a_step_leans_on_the_cleaner_neighbour() -> None:
    # 90 minutes around the hour of 100: half an hour of 200 on the left beats 300 on the right.
    window = found(a_series(200, 100, 300), 1.5)
    assert hours(window) == (0.5, 2)
    assert window is not None
    assert window.integral_g_s_per_kwh == pytest.approx(200 * 1800 + 100 * 3600)


def test_the_earliest_of_equal_windows_wins() -> None:
    assert hours(found(a_series(100, 100, 100, 100), 1)) == (0, 1)
    assert hours(found(a_series(300, 100, 300, 100), 1)) == (1, 2)


def test_the_first_region_of_equal_ones_wins() -> None:
    curves = [a_curve(a_series(100, 100), region=name) for name in ("one", "two")]
    window = cheapest_window(curves, HOUR_S, MIDNIGHT_S, MIDNIGHT_S + 2 * HOUR_S)
    assert window is not None
    assert window.region == "one"


def test_compares_grams_and_not_grams_per_kwh_of_the_grid() -> None:
    wasteful, thrifty = a_curve(a_series(100), pue=1.6, region="wasteful"), a_curve(a_series(120), region="thrifty")
    window = cheapest_window([wasteful, thrifty], HOUR_S, MIDNIGHT_S, MIDNIGHT_S + HOUR_S)
    assert window is not None
    assert window.region == "thrifty"


def test_never_ends_after_the_deadline_nor_starts_before_the_earliest() -> None:
    assert hours(found(a_series(1, 300, 200, 100, 1), 1, within_h=3, from_h=1)) == (3, 4)


def test_a_window_over_a_gap_is_no_candidate() -> None:
    assert hours(found(a_series(50, None, 300, 200), 2)) == (2, 4)


def test_time_outside_the_forecast_is_never_assumed_clean() -> None:
    assert hours(found(a_series(300, 300), 1, within_h=24)) == (0, 1)
    assert found(a_series(300, 300), 3, within_h=24) is None
    assert found(a_series(300, 300), 1, from_h=5) is None


def test_no_time_means_no_window() -> None:
    assert found(a_series(300, 300, 300), 2, within_h=1) is None


def test_a_window_as_long_as_the_time_left_survives_rounding() -> None:
    series = IntensitySeries.regular("DE", MIDNIGHT_S, HOUR_S, [100.0] * 48)
    earliest_s, duration_s = MIDNIGHT_S + 0.1, 3 * HOUR_S + 0.7
    deadline_s = earliest_s + duration_s - 1e-7
    window = cheapest_window([a_curve(series)], duration_s, earliest_s, deadline_s)
    assert window is not None
    assert window.start_at_s == earliest_s
    assert window.end_at_s <= deadline_s


def test_stays_inside_the_free_stretches() -> None:
    free = {"DE": ((MIDNIGHT_S, MIDNIGHT_S + HOUR_S), (MIDNIGHT_S + 1.5 * HOUR_S, MIDNIGHT_S + 3 * HOUR_S))}
    one = a_curve(a_series(300, 100, 200, 10))
    window = cheapest_window([one], HOUR_S, MIDNIGHT_S, MIDNIGHT_S + 4 * HOUR_S, free)
    assert hours(window) == (1.5, 2.5)


def test_a_region_without_free_time_is_no_candidate() -> None:
    assert cheapest_window([a_curve(a_series(1))], HOUR_S, MIDNIGHT_S, MIDNIGHT_S + HOUR_S, {}) is None


def test_negative_intensity_attracts_as_any_lower_number() -> None:
    assert hours(found(a_series(10, -50, 10), 1)) == (1, 2)


def test_a_curve_of_unknown_time_does_not_exist() -> None:
    series = a_series(None, 100, None)
    assert curve("DE", series, 1.0, MIDNIGHT_S - HOUR_S, MIDNIGHT_S) is None
    assert curve("DE", series, 1.0, MIDNIGHT_S, MIDNIGHT_S + HOUR_S) is None
    known = curve("DE", series, 1.0, MIDNIGHT_S, MIDNIGHT_S + 3 * HOUR_S)
    assert known is not None
    assert known.known == ((MIDNIGHT_S + HOUR_S, MIDNIGHT_S + 2 * HOUR_S),)
    assert known.knows(MIDNIGHT_S + HOUR_S, MIDNIGHT_S + 2 * HOUR_S)
    assert not known.knows(MIDNIGHT_S, MIDNIGHT_S + 2 * HOUR_S)


def test_overlap_keeps_what_both_have() -> None:
    assert overlap(((0, 4), (6, 9)), ((1, 2), (3, 7), (8, 20))) == ((1, 2), (3, 4), (6, 7), (8, 9))
    assert overlap(((0, 1),), ((1, 2),)) == ()


def test_the_least_integrals_of_many_rows_are_those_of_the_cheapest_windows() -> None:
    series = a_series(200, 100, 300, 50, 400)
    whole_s, first_s = np.array((5400.0, 1800.0, 1800.0)), MIDNIGHT_S + np.array((0.0, 0.0, 2 * HOUR_S))
    last_s = MIDNIGHT_S + np.array((2 * HOUR_S, 2 * HOUR_S, 2 * HOUR_S))
    # An hour of 100 and half an hour of 200; half an hour of 100; half an hour of 300, which may not wait.
    expected = (360_000 + 360_000, 180_000, 540_000)
    assert least_integrals_g_s_per_kwh(series, whole_s, first_s, last_s) == pytest.approx(expected)


def test_a_region_that_cannot_be_cleaner_does_not_hide_one_that_is() -> None:
    dirty, clean = a_curve(a_series(100, 900), region="dirty"), a_curve(a_series(900, 99), region="clean")
    window = cheapest_window([dirty, clean], HOUR_S, MIDNIGHT_S, MIDNIGHT_S + 2 * HOUR_S)
    assert window is not None
    assert window.region == "clean"
