from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scheduler.deferral import MIN_SAVINGS_RATIO, fluid_release_at_s, release_at_s
from tests.builders import HOUR_S, a_series

EVENING_THEN_NIGHT = a_series([400.0, 400.0, 100.0, 300.0])


def test_a_request_waits_for_the_cleanest_hour_before_its_deadline() -> None:
    assert release_at_s(EVENING_THEN_NIGHT, 600.0, 60.0, 3 * HOUR_S) == 2 * HOUR_S


def test_a_request_does_not_wait_past_its_deadline_for_a_cleaner_hour() -> None:
    assert release_at_s(EVENING_THEN_NIGHT, 600.0, 60.0, HOUR_S) == 600.0


def test_a_gain_within_the_forecasts_error_is_not_worth_a_wait() -> None:
    assert release_at_s(a_series([100.0, 99.0]), 0.0, 60.0, HOUR_S) == 0.0


def test_nothing_known_means_nothing_waited_for() -> None:
    assert release_at_s(None, 5.0, 60.0, HOUR_S) == 5.0
    assert release_at_s(a_series([100.0]), 2 * HOUR_S, 60.0, 9 * HOUR_S) == 2 * HOUR_S


def test_a_gap_in_the_forecast_is_not_a_clean_hour() -> None:
    assert release_at_s(a_series([400.0, np.nan, 300.0]), 0.0, 60.0, 3 * HOUR_S - 60) == 2 * HOUR_S


TWO_CLEAN_SPELLS = a_series([400.0, 100.0, 500.0, 120.0, 450.0, 110.0])


def test_work_that_can_be_left_off_goes_in_each_clean_spell_and_rests_between() -> None:
    def asked(now_h: float, left_h: float) -> float:
        return fluid_release_at_s(TWO_CLEAN_SPELLS, now_h * HOUR_S, left_h * HOUR_S, (6 - left_h) * HOUR_S) / HOUR_S

    assert asked(0, 3) == 1
    assert asked(1, 3) == 1
    assert asked(1.5, 2.5) == 1.5
    assert asked(2, 2) == 3
    assert asked(3.25, 1.75) == 3.25
    assert asked(4, 1) == 5
    # In one piece it would take a dirty hour along: 450 + 110 rather than 120 + 450.
    assert release_at_s(TWO_CLEAN_SPELLS, 2 * HOUR_S, 2 * HOUR_S, 4 * HOUR_S) == 4 * HOUR_S
    assert release_at_s(TWO_CLEAN_SPELLS, 0.0, 3 * HOUR_S, 3 * HOUR_S) == 3 * HOUR_S


def test_what_is_needed_of_a_step_is_needed_from_its_begin() -> None:
    assert fluid_release_at_s(TWO_CLEAN_SPELLS, 0.0, 1.5 * HOUR_S, 4.5 * HOUR_S) == HOUR_S
    assert fluid_release_at_s(TWO_CLEAN_SPELLS, 2 * HOUR_S, 0.5 * HOUR_S, 5.5 * HOUR_S) == 5 * HOUR_S


def test_fluid_work_waits_for_nothing_unknown_and_nothing_barely_cleaner() -> None:
    assert fluid_release_at_s(None, 5.0, 60.0, HOUR_S) == 5.0
    assert fluid_release_at_s(a_series([100.0, 99.0]), 0.0, 60.0, HOUR_S) == 0.0
    assert fluid_release_at_s(a_series([100.0]), 2 * HOUR_S, 60.0, 9 * HOUR_S) == 2 * HOUR_S
    assert fluid_release_at_s(a_series([400.0, np.nan, 300.0]), 0.0, 60.0, 3 * HOUR_S - 60) == 2 * HOUR_S
    assert fluid_release_at_s(TWO_CLEAN_SPELLS, 0.0, HOUR_S, 0.0) == 0.0


@given(
    st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=4, max_size=12),
    st.integers(1, 3),
    st.integers(0, 3),
)
def test_asked_hour_by_hour_fluid_work_emits_the_least_there_is(values: list[float], hours: int, spare: int) -> None:
    window = min(hours + spare, len(values))
    hours = min(hours, window)
    now, left, grams = 0, hours, 0.0
    while left:
        start = fluid_release_at_s(a_series(values), now * HOUR_S, left * HOUR_S, (window - left) * HOUR_S) / HOUR_S
        assert start == int(start) and start + left <= window
        now = int(start) + 1
        grams, left = grams + values[int(start)], left - 1
    least = sum(sorted(values[:window])[:hours])
    # Each time that all at once was barely dirtier may have cost so much.
    assert least <= grams <= least / (1 - MIN_SAVINGS_RATIO) ** hours + 1e-6


def test_a_wait_within_one_step_of_the_grid_is_no_wait() -> None:
    assert release_at_s(a_series([400.0, 100.0]), 10.0, 60.0, HOUR_S - 60.0) == 10.0
    assert release_at_s(a_series([400.0, 100.0]), 10.0, 60.0, HOUR_S) == HOUR_S


@given(st.floats(0.0, 3000.0), st.floats(0.5, 500.0), st.floats(1.0, 3000.0))
def test_of_equally_clean_instants_the_earliest_is_taken_whatever_sums_are_rounded_to(
    now_s: float, duration_s: float, later_s: float
) -> None:
    # A prefix sum of days is large beside the integral of a second.
    series = a_series([431.7] * 30 + [399.9, 271.3, 271.3], start_at_s=1_640_995_200.0)
    clean_at_s = series.start_at_s + 31 * HOUR_S
    at_s = clean_at_s - 3600.0 + now_s
    assert release_at_s(series, at_s, duration_s, clean_at_s + later_s) == clean_at_s
