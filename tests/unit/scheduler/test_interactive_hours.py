"""What interactive traffic needed by the hour, and what that says of the hours to come."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from scheduler.interactive_hours import (
    HOUR_S,
    HOURS_OF_WEEK,
    NOTHING_LEARNED,
    ServingPool,
    Span,
    gpus_by_hour,
    hour_of_week,
    interactive_holds,
    learned_week,
    most_at_once,
)

WEEK_S = 7 * 86_400.0
# 2022-01-03 is a Monday.
MONDAY_S = datetime(2022, 1, 3, tzinfo=UTC).timestamp()


def spans(*pairs: tuple[float, float], region: str = "here", model: str = "m") -> list[Span]:
    return [Span(region=region, model=model, started_at_s=start, ended_at_s=end) for start, end in pairs]


def a_pool(**fields: object) -> ServingPool:
    defaults: dict[str, object] = {
        "region": "here",
        "models": ("m",),
        "workers": 3,
        "sequences_per_worker": 2,
        "gpus_per_worker": 4,
    }
    return ServingPool(**{**defaults, **fields})  # type: ignore[arg-type]


def test_hours_of_the_week_begin_on_monday_by_utc() -> None:
    assert [hour_of_week(MONDAY_S + hour * HOUR_S) for hour in (0, 0.99, 25, -1)] == [0, 0, 25, 167]


def test_an_hour_needs_the_workers_that_its_largest_crowd_fills() -> None:
    found = gpus_by_hour(spans((10, 30), (20, 40), (25, 50), (3590, 3700)), [a_pool()], 0.0, 3)
    # Three at once fill two workers of two; one, over the turn of the hour, is in both hours.
    assert found == {"here": [8, 4, 0]}


def test_no_more_is_needed_than_there_are_workers_and_pools_of_a_region_add_up() -> None:
    pools = [a_pool(workers=1), a_pool(models=("other",), workers=1, gpus_per_worker=2)]
    crowd = spans(*[(0.0, 10.0)] * 50)
    assert gpus_by_hour([*crowd, *spans((0, 10), model="other")], pools, 0.0, 1) == {"here": [6]}


def test_models_and_regions_without_a_pool_are_not_counted() -> None:
    assert gpus_by_hour([*spans((0, 10), model="old"), *spans((0, 10), region="away")], [a_pool()], 0.0, 1) == {
        "here": [0]
    }


def test_who_leaves_makes_room_for_who_comes() -> None:
    starts, ends = np.array([0.0, 10.0, 3600.0]), np.array([10.0, 3600.0, 3700.0])
    assert most_at_once(starts, ends, 0.0, 2) == [1, 1]
    assert most_at_once(np.empty(0), np.empty(0), 0.0, 2) == [0, 0]


def observed(weeks: int, gpus: int = 2, hour: int = 8) -> dict[float, int]:
    return {MONDAY_S + week * WEEK_S + hour * HOUR_S: gpus for week in range(weeks)}


def test_nine_weeks_are_a_quantile_of_nine_tenths_and_eight_are_not() -> None:
    assert learned_week(observed(9), 0.9)[8] == 2
    assert learned_week(observed(8), 0.9)[8] is None
    nine = {**observed(9), MONDAY_S + 8 * HOUR_S: 7}
    assert learned_week(nine, 0.9)[8] == 7
    assert learned_week({**nine, MONDAY_S + 9 * WEEK_S + 8 * HOUR_S: 2}, 0.8)[8] == 2


def test_until_then_the_same_hour_of_all_working_days_counts_and_weekends_stand_alone() -> None:
    two_weeks = {MONDAY_S + day * 86_400 + 8 * HOUR_S: (9 if day % 7 >= 5 else day % 7) for day in range(14)}
    week = learned_week(two_weeks, 0.9)
    # Ten working mornings: the tenth smallest of them.
    assert [week[24 * day + 8] for day in range(7)] == [4, 4, 4, 4, 4, None, None]


def test_a_week_is_kept_hour_by_hour_and_the_fixed_figure_where_nothing_is_known() -> None:
    week = tuple(3 if hour in (8, 9) else 0 if hour < 24 else None for hour in range(HOURS_OF_WEEK))
    found = interactive_holds(week, 1, MONDAY_S + 8.5 * HOUR_S, MONDAY_S + 26 * HOUR_S)
    shown = [((one.start_at_s - MONDAY_S) / HOUR_S, (one.end_at_s - MONDAY_S) / HOUR_S, one.gpus) for one in found]
    assert shown == [(8, 10, 3), (24, 26, 1)]


@pytest.mark.parametrize(("fixed", "count"), [(0, 0), (2, 1)])
def test_without_anything_learned_the_fixed_figure_holds_all_the_time(fixed: int, count: int) -> None:
    assert len(interactive_holds(NOTHING_LEARNED, fixed, MONDAY_S, MONDAY_S + WEEK_S)) == count
