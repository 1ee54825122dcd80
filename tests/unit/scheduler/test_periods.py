from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from scheduler.jobs import Interruption
from scheduler.launch_settings import LaunchSettings
from scheduler.periods import due_periods, job_of, next_tick_at_s
from scheduler.quantities import format_instant, parse_instant_s
from tests.builders import DAY_S, HOUR_S


def a_launch(**fields: Any) -> LaunchSettings:
    """02:30 in Berlin every night, two hours, to finish by 07:00."""
    defaults: dict[str, Any] = {
        "name": "nightly",
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "command": ("python", "train.py"),
        "duration_s": 2 * HOUR_S,
        "finish_by": "07:00",
    }
    return LaunchSettings(**{**defaults, **fields})


def keys(launch: LaunchSettings, after: str, until: str) -> list[str]:
    return [period.key for period in due_periods(launch, parse_instant_s(after), parse_instant_s(until))]


def test_a_launch_that_may_pause_says_what_a_pause_costs_and_how_short_a_piece_may_be() -> None:
    launch = a_launch(interruptible=True, checkpoint_s=120.0, restore_s=180.0, min_run_s=1800.0)
    (period,) = due_periods(launch, parse_instant_s("2022-06-01T00:00Z"), parse_instant_s("2022-06-02T00:00Z"))
    interruption = job_of(launch, period, parse_instant_s("2022-06-01T00:00Z")).interruption
    assert interruption == Interruption(checkpoint_s=120.0, restore_s=180.0, min_run_s=1800.0)


def test_each_night_is_one_period() -> None:
    assert keys(a_launch(), "2022-06-01T00:00Z", "2022-06-03T00:00Z") == ["2022-06-01T02:30", "2022-06-02T02:30"]


def test_half_past_two_comes_twice_in_the_autumn_night_and_is_launched_once() -> None:
    assert keys(a_launch(), "2022-10-29T22:00Z", "2022-10-30T22:00Z") == ["2022-10-30T02:30"]


def test_half_past_two_that_never_comes_in_the_spring_night_is_launched_once() -> None:
    assert len(keys(a_launch(), "2022-03-26T23:00Z", "2022-03-27T22:00Z")) == 1


@pytest.mark.parametrize(
    "night", [("2022-03-27T00:00Z", "2022-03-27T04:00Z"), ("2022-10-30T00:00Z", "2022-10-30T04:00Z")]
)
def test_a_look_every_minute_finds_the_tick_of_a_night_of_changing_clocks_once(night: tuple[str, str]) -> None:
    start_s, end_s = (parse_instant_s(text) for text in night)
    minutes_s = [start_s + 60.0 * number for number in range(int((end_s - start_s) / 60.0) + 1)]
    found = [period for since_s, now_s in pairwise(minutes_s) for period in due_periods(a_launch(), since_s, now_s)]

    assert [period.key[11:] for period in found] == ["02:30"]


def test_every_minute_of_the_repeated_hour_is_a_period_once() -> None:
    hourly = a_launch(cron="*/30 * * * *", within_s=HOUR_S, finish_by="", duration_s=60.0)

    assert keys(hourly, "2022-10-29T23:59Z", "2022-10-30T02:00Z") == [
        "2022-10-30T02:00",
        "2022-10-30T02:30",
        "2022-10-30T03:00",
    ]


def test_finish_by_is_the_next_such_time_on_the_local_clock() -> None:
    evening = a_launch(cron="0 22 * * *")
    period = next(due_periods(evening, parse_instant_s("2022-10-29T12:00Z"), parse_instant_s("2022-10-29T21:00Z")))

    assert format_instant(period.finish_by_s) == "2022-10-30T06:00:00Z"  # 07:00 after the change to winter time


def test_within_counts_from_the_tick() -> None:
    launch = a_launch(within_s=6 * HOUR_S, finish_by="")
    period = next(due_periods(launch, parse_instant_s("2022-06-01T00:00Z"), parse_instant_s("2022-06-01T12:00Z")))

    assert format_instant(period.finish_by_s) == "2022-06-01T06:30:00Z"


def test_the_job_of_a_period_is_the_same_whoever_submits_it() -> None:
    now_s = parse_instant_s("2022-06-01T01:00Z")
    period = next(due_periods(a_launch(), now_s - DAY_S / 4, now_s))

    assert job_of(a_launch(), period, now_s).id == "nightly-2022-06-01T0230"


def test_a_period_caught_up_too_late_gets_the_time_it_needs() -> None:
    tick_s = parse_instant_s("2022-06-01T00:30Z")
    period = next(due_periods(a_launch(), tick_s - 1, tick_s))
    late_s = tick_s + 4 * HOUR_S

    assert job_of(a_launch(), period, late_s).deadline_at_s == late_s + 2 * HOUR_S


def test_the_next_tick_is_told() -> None:
    assert next_tick_at_s(a_launch(), parse_instant_s("2022-06-01T01:00Z")) == parse_instant_s("2022-06-02T00:30Z")
