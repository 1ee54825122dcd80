"""How many jobs must be refused whatever the plan, and that those are given up that hold the most room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from scheduler.jobs import Interruption, Job
from scheduler.planning.whole_fleet.alone.left_out import LeftOut, least_left_out
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series


def a_case(jobs: Sequence[Job], *, gpus: int = 1) -> FleetCase:
    return FleetCase(jobs=jobs, regions=[a_region(gpus=gpus)], forecasts={"DE": a_series(300, 100, 200, 400)})


def left_out(jobs: Sequence[Job], *, gpus: int = 1) -> LeftOut:
    return least_left_out(a_case(jobs, gpus=gpus))


def without_slack(job_id: str, hour: int, *, lasts_h: int = 1, priority: int = 0) -> Job:
    lasts_s = lasts_h * HOUR_S
    return a_job(job_id, duration_s=lasts_s, within_s=lasts_s, earliest_s=MIDNIGHT_S + hour * HOUR_S, priority=priority)


def the_long_one_and_four_short() -> list[Job]:
    return [without_slack("long", 0, lasts_h=4), *(without_slack(f"{h}", h) for h in range(4))]


def test_nobody_has_to_be_refused_where_all_fit() -> None:
    assert left_out([a_job("a", within_s=2 * HOUR_S), a_job("b", within_s=2 * HOUR_S)]).fewest == 0


@pytest.mark.parametrize("interruption", [None, Interruption()])
def test_of_three_jobs_for_the_same_hour_two_are_refused_by_every_plan(interruption: Interruption | None) -> None:
    jobs = [a_job(name, within_s=HOUR_S, interruption=interruption) for name in ("a", "b", "c")]
    assert left_out(jobs).fewest == 2


def test_part_of_a_job_too_many_is_a_whole_job_refused() -> None:
    # Two runs of 3 h within 4 h ask for 6 of 4 hours.
    jobs = [a_job(name, duration_s=3 * HOUR_S, within_s=4 * HOUR_S) for name in ("a", "b")]
    assert left_out(jobs).fewest == 1


def test_two_wide_jobs_do_not_run_side_by_side_in_shares() -> None:
    # 12 of 12.5 GPU hours, but two of 4 GPUs on 5 take turns: 3 of 2.5 hours.
    jobs = [a_job(name, gpus=4, duration_s=1.5 * HOUR_S, within_s=2.5 * HOUR_S) for name in ("a", "b")]
    assert left_out(jobs, gpus=5).fewest == 1
    assert left_out(jobs, gpus=8).fewest == 0


def test_the_job_that_holds_the_most_room_stays_out_first() -> None:
    found = left_out(the_long_one_and_four_short())
    assert (found.fewest, found.first[0].id) == (1, "long")


@pytest.mark.slow
def test_a_plan_gives_up_one_long_job_and_not_four_short_ones() -> None:
    found = plan_fleet(a_case(the_long_one_and_four_short()), np.random.default_rng(0))
    assert set(found.reasons) == {"long"}
    assert found.fewest_refused == 1


@pytest.mark.slow
def test_of_two_that_hold_as_much_the_one_of_lower_priority_is_given_up() -> None:
    jobs = [without_slack("low", 0, lasts_h=2), without_slack("high", 1, lasts_h=2, priority=1)]
    found = plan_fleet(a_case(jobs), np.random.default_rng(0))
    assert set(found.segments) == {"high"}
    assert found.fewest_refused == 1


@pytest.mark.slow
def test_a_job_that_could_never_run_counts_among_the_fewest() -> None:
    jobs = [a_job("a", within_s=HOUR_S), a_job("b", within_s=HOUR_S), a_job("wide", gpus=2)]
    found = plan_fleet(a_case(jobs), np.random.default_rng(0))
    assert (len(found.reasons), found.fewest_refused) == (2, 2)
