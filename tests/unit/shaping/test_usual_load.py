"""What times of day usually bring, on hand-made days. 2022-01-03 was a Monday."""

from __future__ import annotations

import math

from shaping.usual_load import SLOT_S, UsualRate
from tests.builders import DAY_S, HOUR_S, YEAR_2022_AT_S

MONDAY_S = YEAR_2022_AT_S + 2 * DAY_S
NINE_S = 9 * HOUR_S
# 100 arrivals in a quarter of an hour, less one deviation of such a sum: the second day weighs 1, the first 0.8.
AT_LEAST_PER_S = (180.0 - math.sqrt(180.0)) / 1.8 / SLOT_S


def after(days: int, *, arrivals: int = 100, from_s: float = MONDAY_S) -> UsualRate:
    """Each day the same arrivals in the quarter of an hour from nine, and nothing else; at midnight after them."""
    rate = UsualRate()
    rate.passed(from_s - SLOT_S)
    for day in range(days):
        for place in range(arrivals):
            rate.arrived(from_s + day * DAY_S + NINE_S + place * SLOT_S / arrivals)
    rate.passed(from_s + days * DAY_S)
    return rate


def test_two_days_make_a_habit_and_one_does_not() -> None:
    nine_s = MONDAY_S + 2 * DAY_S + NINE_S
    assert after(1).least_per_s(nine_s - DAY_S, nine_s - DAY_S) is None
    usual = after(2)
    assert math.isclose(usual.least_per_s(nine_s, nine_s) or 0.0, AT_LEAST_PER_S)
    assert usual.least_per_s(nine_s - 2 * SLOT_S, nine_s - SLOT_S) == 0.0


def test_the_busiest_slot_that_an_interval_touches_counts() -> None:
    nine_s = MONDAY_S + 2 * DAY_S + NINE_S
    usual = after(2)
    assert usual.least_per_s(nine_s - 60.0, nine_s - 1.0) == 0.0
    assert math.isclose(usual.least_per_s(nine_s - 60.0, nine_s) or 0.0, AT_LEAST_PER_S)


def test_weekends_have_habits_of_their_own() -> None:
    saturday_s = MONDAY_S + 5 * DAY_S
    assert after(5).least_per_s(saturday_s + NINE_S, saturday_s + NINE_S) is None


def test_a_rare_arrival_is_no_rate_to_count_on() -> None:
    nine_s = MONDAY_S + 2 * DAY_S + NINE_S
    usual = after(2, arrivals=1)
    assert (usual.least_per_s(nine_s, nine_s) or 0.0) < 0.5 / SLOT_S


def test_a_day_unlike_the_others_has_no_habits_until_it_is_like_them_again() -> None:
    usual, noon_s = after(3), MONDAY_S + 3 * DAY_S + 12 * HOUR_S
    usual.passed(noon_s - 2 * HOUR_S - 2 * SLOT_S)  # 09:30: nobody came
    assert usual.least_per_s(noon_s, noon_s) == 0.0  # the slot from 09:15 is empty on other days too
    usual = after(3)
    usual.passed(noon_s - 2 * HOUR_S - 3 * SLOT_S)  # 09:15
    assert usual.least_per_s(noon_s, noon_s) is None


def test_after_weeks_of_silence_nothing_is_known() -> None:
    usual = after(4)
    later_s = MONDAY_S + 21 * DAY_S + NINE_S
    usual.arrived(later_s)
    assert usual.least_per_s(later_s, later_s) is None


def test_the_first_slot_does_not_count_for_it_began_before_anybody_looked() -> None:
    usual = UsualRate()
    for day in range(2):
        usual.arrived(MONDAY_S + day * DAY_S + NINE_S + 800.0)
    usual.passed(MONDAY_S + 2 * DAY_S)
    assert usual.least_per_s(MONDAY_S + NINE_S, MONDAY_S + NINE_S) is None  # the first slot, and so one day only
