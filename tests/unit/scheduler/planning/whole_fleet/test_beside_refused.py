"""What is proved around refused jobs where fractions of jobs would fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.jobs import Interruption, Job
from scheduler.planning.whole_fleet.alone.beside_refused import least_refused_beside
from scheduler.planning.whole_fleet.alone.left_out import least_left_out
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series


def a_gang(length_h: float = 6, within_h: float = 12) -> Job:
    """On all GPUs, with pauses."""
    return a_job("gang", duration_s=length_h * HOUR_S, within_s=within_h * HOUR_S, gpus=4, interruption=Interruption())


def a_long_run(name: str = "long", length_h: float = 7, within_h: float = 12) -> Job:
    return a_job(name, duration_s=length_h * HOUR_S, within_s=within_h * HOUR_S)


def a_case(*jobs: Job, gpus: int = 4, regions: int = 1) -> FleetCase:
    names = ("DE", "FR", "GB")[:regions]
    hourly = {name: a_series(*[100.0] * 48, zone=name) for name in names}
    return FleetCase(jobs=jobs, regions=[a_region(name, gpus=gpus) for name in names], forecasts=hourly)


def test_a_gang_and_a_run_that_never_go_side_by_side_do_not_both_fit() -> None:
    # 6 h on all four GPUs and 7 h on one of them within 12 h; by GPU time there would be room for 17 more hours.
    case = a_case(a_gang(), a_long_run())
    assert least_left_out(case).fewest == 0
    assert least_refused_beside(case, [case.jobs[0]]) == 1


def test_nothing_is_proved_of_a_gang_and_a_run_that_just_fit() -> None:
    case = a_case(a_gang(), a_long_run(length_h=6))
    assert least_refused_beside(case, [case.jobs[0]]) == 0


def test_nothing_is_proved_without_effort() -> None:
    case = a_case(a_gang(), a_long_run())
    assert least_refused_beside(case, [case.jobs[0]], most_looked=0) == 0


def test_a_second_region_has_room_for_the_other() -> None:
    case = a_case(a_gang(), a_long_run(), regions=2)
    assert least_refused_beside(case, [case.jobs[0]]) == 0


def test_crowds_at_different_times_add_up() -> None:
    jobs = [a_gang(), a_long_run()]
    later = [
        replace(
            job,
            id=f"later-{job.id}",
            earliest_start_at_s=job.earliest_start_at_s + 24 * HOUR_S,
            deadline_at_s=job.deadline_at_s + 24 * HOUR_S,
        )
        for job in jobs
    ]
    case = a_case(*jobs, *later)
    assert least_refused_beside(case, [jobs[0], later[1]]) == 2


def test_jobs_held_to_other_regions_are_no_crowd() -> None:
    case = a_case(replace(a_gang(), regions=("FR",)), replace(a_long_run(), regions=("DE",)), regions=2)
    assert least_refused_beside(case, [case.jobs[0]]) == 0


@pytest.mark.slow
def test_the_plan_says_what_is_proved() -> None:
    found = plan_fleet(a_case(a_gang(), a_long_run()), np.random.default_rng(0))
    assert len(found.reasons) == found.fewest_refused == 1


def test_a_run_in_the_middle_of_its_window_cuts_the_time_that_is_left_to_a_gang() -> None:
    # The run holds a GPU from 3 h to 9 h at least; the gang, in one piece, has 3 h before or after it and needs 4.
    gang = a_job("gang", duration_s=4 * HOUR_S, within_s=12 * HOUR_S, gpus=4)
    run = a_job("run", duration_s=9 * HOUR_S, within_s=12 * HOUR_S)
    assert least_refused_beside(a_case(gang, run), [gang]) == 1
    assert least_refused_beside(a_case(replace(gang, duration_s=3 * HOUR_S), run), [gang]) == 0
    assert run.earliest_start_at_s == MIDNIGHT_S


def test_a_plan_in_the_later_halves_of_windows_is_not_overlooked() -> None:
    # The gang has to be done by 10 h, so the run can only come after it, in the last moments that it may start.
    gang = a_job("gang", duration_s=5 * HOUR_S, within_s=10 * HOUR_S, gpus=4)
    run = a_long_run(length_h=6.9)
    assert least_refused_beside(a_case(gang, run), [gang]) == 0
    assert least_refused_beside(a_case(gang, replace(run, duration_s=7.1 * HOUR_S)), [gang]) == 1


def test_a_plan_in_the_earlier_halves_of_windows_is_not_overlooked() -> None:
    # Likewise, with the gang no earlier than 2 h: the run can only come before it.
    gang = a_job("gang", duration_s=5 * HOUR_S, earliest_s=MIDNIGHT_S + 2 * HOUR_S, within_s=10 * HOUR_S, gpus=4)
    run = a_long_run(length_h=6.9)
    assert least_refused_beside(a_case(gang, run), [gang]) == 0
    assert least_refused_beside(a_case(gang, replace(run, duration_s=7.1 * HOUR_S)), [gang]) == 1
