"""How many jobs a fleet refuses, beside trying every start of every job.

All times are whole hours, so some plan with the most jobs in time starts every run on the hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Job
from scheduler.planning.plan import Hold
from scheduler.planning.whole_fleet.alone.left_out import least_left_out
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

HOURS, GPUS = 8, 3


@st.composite
def tight_jobs(draw: st.DrawFn) -> list[Job]:
    jobs = []
    for number in range(draw(st.integers(3, 8))):
        length = draw(st.integers(1, 5))
        earliest = draw(st.integers(0, HOURS - length))
        within = draw(st.integers(length, min(length + 3, HOURS - earliest)))
        jobs.append(
            a_job(
                f"job-{number}",
                duration_s=length * HOUR_S,
                earliest_s=MIDNIGHT_S + earliest * HOUR_S,
                within_s=within * HOUR_S,
                gpus=draw(st.integers(1, GPUS)),
            )
        )
    return jobs


def fewest_refused(jobs: Sequence[Job], free: Sequence[Sequence[int]] = ((GPUS,) * HOURS,)) -> int:
    """By every choice for every job: nowhere, or any start with room in any region."""
    if not jobs:
        return 0
    job, rest = jobs[0], jobs[1:]
    found = 1 + fewest_refused(rest, free)
    first, length = (round(one / HOUR_S) for one in (job.earliest_start_at_s - MIDNIGHT_S, job.duration_s))
    last = round((job.deadline_at_s - MIDNIGHT_S) / HOUR_S) - length
    for row, start in product(range(len(free)), range(first, last + 1)):
        if found == 0:
            break
        if min(free[row][start : start + length]) >= job.gpus:
            held = [one - job.gpus * (start <= hour < start + length) for hour, one in enumerate(free[row])]
            found = min(found, fewest_refused(rest, [*free[:row], held, *free[row + 1 :]]))
    return found


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(tight_jobs())
def test_what_is_proved_is_no_more_than_what_the_best_plan_refuses(jobs: list[Job]) -> None:
    assert least_left_out(a_case(jobs), rounds=60).fewest <= fewest_refused(jobs)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, derandomize=True)
@given(tight_jobs(), tight_jobs(), st.integers(1, GPUS))
def test_what_is_proved_of_regions_and_of_crowds_is_no_more_than_the_best_plan_refuses(
    jobs: list[Job], later: list[Job], held: int
) -> None:
    some = [*jobs[:5], *(replace(job, id=f"later-{job.id}") for job in later[:3])]
    hours_out = (Hold(start_at_s=MIDNIGHT_S + 2 * HOUR_S, end_at_s=MIDNIGHT_S + 4 * HOUR_S, gpus=held),)
    regions = [a_region("DE", gpus=2), a_region("FR", gpus=2), replace(a_region("GB", gpus=GPUS), held=hours_out)]
    free = [[2] * HOURS, [2] * HOURS, [GPUS - held * (2 <= hour < 4) for hour in range(HOURS)]]
    hourly = {zone: a_series(*range(100, 100 + HOURS), zone=zone) for zone in ("DE", "FR", "GB")}
    case = FleetCase(jobs=some, regions=regions, forecasts=hourly)
    assert least_left_out(case, rounds=60).fewest <= fewest_refused(some, free)


def test_crowds_far_apart_are_each_counted_as_whole_jobs() -> None:
    # In each crowd two runs of 3 h within 4 h: half a job too many, twice.
    jobs = [
        a_job(f"{name}-{day}", duration_s=3 * HOUR_S, within_s=4 * HOUR_S, earliest_s=MIDNIGHT_S + day * 24 * HOUR_S)
        for day in range(3)
        for name in ("a", "b")
    ]
    case = FleetCase(jobs=jobs, regions=[a_region()], forecasts={"DE": a_series(*[100.0] * 72)})
    assert least_left_out(case).fewest == 3


@pytest.mark.slow
@settings(max_examples=12, deadline=None, derandomize=True)
@given(tight_jobs())
def test_small_fleets_refuse_as_few_jobs_as_any_plan(jobs: list[Job]) -> None:
    found = plan_fleet(a_case(jobs), np.random.default_rng(0))
    assert found.fewest_refused <= len(found.reasons) == fewest_refused(jobs)


def a_case(jobs: Sequence[Job]) -> FleetCase:
    hourly = a_series(300, 100, 200, 400, 250, 150, 350, 500)
    return FleetCase(jobs=jobs, regions=[a_region(gpus=GPUS)], forecasts={"DE": hourly})
