"""A fleet plan beside every plan there is: the bound is a bound, the plan keeps its limits and beats the rules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Interruption, Job
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import flaws, recomputed_gco2e
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import FleetPlan, plan_fleet
from scheduler.planning.whole_fleet.rates import Rates
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

HOURS = 6

# An hour of one job: (hour, region).
Hours = tuple[tuple[int, int], ...]

intensities = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)


def a_case(
    jobs: Sequence[Job], *rows: Sequence[float], gpus: int = 1, pue: float = 1.0, cap_w: float | None = None
) -> FleetCase:
    names = [f"Z{index}" for index in range(len(rows))]
    return FleetCase(
        jobs=jobs,
        regions=[a_region(name, gpus=gpus, pue=pue) for name in names],
        forecasts={name: a_series(*row, zone=name) for name, row in zip(names, rows, strict=True)},
        power_caps_w={} if cap_w is None else {names[0]: cap_w},
    )


def planned(case: FleetCase) -> FleetPlan:
    return plan_fleet(case, np.random.default_rng(7))


@st.composite
def whole_hour_jobs(draw: st.DrawFn) -> list[Job]:
    jobs = []
    for number in range(draw(st.integers(1, 3))):
        duration_h = draw(st.integers(1, 3))
        earliest_h = draw(st.integers(0, HOURS - duration_h))
        within_h = draw(st.integers(duration_h, HOURS - earliest_h))
        jobs.append(
            a_job(
                f"job-{number}",
                duration_s=duration_h * HOUR_S,
                earliest_s=MIDNIGHT_S + earliest_h * HOUR_S,
                within_s=within_h * HOUR_S,
                gpus=draw(st.integers(1, 2)),
                power_w=draw(st.sampled_from((500.0, 1000.0))),
                interruption=draw(st.sampled_from((None, Interruption()))),
                regions=draw(st.sampled_from(((), ("Z0",), ("Z1",)))),
            )
        )
    return jobs


@st.composite
def any_jobs(draw: st.DrawFn) -> list[Job]:
    jobs = []
    for number in range(draw(st.integers(1, 8))):
        duration_s = draw(st.floats(60.0, 2.5 * HOUR_S))
        earliest_s = draw(st.floats(0.0, HOURS * HOUR_S - duration_s))
        jobs.append(
            a_job(
                f"job-{number}",
                duration_s=duration_s,
                earliest_s=MIDNIGHT_S + earliest_s,
                within_s=duration_s + draw(st.floats(0.0, HOURS * HOUR_S)),
                gpus=draw(st.integers(1, 3)),
                power_w=draw(st.floats(0.0, 2000.0)),
                interruption=draw(st.sampled_from((None, Interruption()))),
                regions=draw(st.sampled_from(((), ("Z0",), ("Z1", "Z0")))),
            )
        )
    return jobs


def choices(case: FleetCase, job: Job) -> Iterator[Hours]:
    """Every way to run a job on whole hours."""
    first, last = (
        round((instant_s - MIDNIGHT_S) / HOUR_S) for instant_s in (job.earliest_start_at_s, job.deadline_at_s)
    )
    length = round(job.duration_s / HOUR_S)
    allowed = [
        index
        for index, region in enumerate(case.regions)
        if (not job.regions or region.name in job.regions) and job.gpus <= region.gpus
    ]
    if job.interruption is None:
        for start, index in product(range(first, last - length + 1), allowed):
            yield tuple((hour, index) for hour in range(start, start + length))
    else:
        for hours in combinations(range(first, last), length):
            for regions in product(allowed, repeat=length):
                yield tuple(zip(hours, regions, strict=True))


def least_gco2e(case: FleetCase) -> float:
    """Over all plans on whole hours, which hold an optimum when all times are whole hours; infinite when none fits."""
    rows = [case.forecasts[region.zone].gco2e_per_kwh.tolist() for region in case.regions]

    def search(number: int, taken: dict[tuple[int, int], int]) -> float:
        if number == len(case.jobs):
            return 0.0
        job, best = case.jobs[number], math.inf
        for hours in choices(case, job):
            if any(taken.get(hour, 0) + job.gpus > case.regions[hour[1]].gpus for hour in hours):
                continue
            own = sum(job.power_w / 1000.0 * case.regions[index].pue * rows[index][hour] for hour, index in hours)
            held = {**taken, **{hour: taken.get(hour, 0) + job.gpus for hour in hours}}
            best = min(best, own + search(number + 1, held))
        return best

    return search(0, {})


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(whole_hour_jobs(), intensities, intensities)
def test_the_bound_is_below_the_best_plan_there_is_and_the_plan_above(
    jobs: list[Job], row: list[float], other: list[float]
) -> None:
    found = planned(a_case(jobs, row, other, gpus=2, pue=1.25))
    only = replace(found.case, jobs=[job for job in jobs if job.id in found.segments])
    least = least_gco2e(only)
    assert found.certificate.lower_bound_gco2e <= least + 1e-6
    assert found.certificate.emissions_gco2e >= least - 1e-6
    again = lower_bound(only.jobs, Rates.of(found.case))
    assert again.lower_bound_gco2e <= least + 1e-6


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(whole_hour_jobs(), intensities, intensities)
def test_no_job_is_refused_when_all_fit(jobs: list[Job], row: list[float], other: list[float]) -> None:
    case = a_case(jobs, row, other, gpus=2)
    found = planned(case)
    assert bool(found.reasons) == math.isinf(least_gco2e(case))


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(any_jobs(), intensities, intensities, st.sampled_from((None, 900.0, 2500.0)))
def test_a_plan_keeps_every_limit_and_its_bound_holds_off_the_grid(
    jobs: list[Job], row: list[float], other: list[float], cap_w: float | None
) -> None:
    case = a_case(jobs, row, other, gpus=3, pue=1.1, cap_w=cap_w)
    found = planned(case)
    assert flaws(case, found.segments) == ()
    assert set(found.segments) | set(found.reasons) == {job.id for job in jobs}
    again = sum(recomputed_gco2e(case, job, found.segments[job.id]) for job in jobs if job.id in found.segments)
    assert found.certificate.emissions_gco2e == pytest.approx(again)
    assert found.certificate.lower_bound_gco2e <= again + 1e-6


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(any_jobs(), intensities, intensities)
def test_a_plan_is_never_later_or_dirtier_than_running_at_once_or_the_greedy_rule(
    jobs: list[Job], row: list[float], other: list[float]
) -> None:
    case = a_case(jobs, row, other, gpus=3)
    found = planned(case)
    now_s = min(job.earliest_start_at_s for job in jobs)
    planner = FleetPlanner(reserve_ratio=0.0)
    greedy = planner.plan([OpenJob(job=job) for job in jobs], case.regions, case.forecasts, now_s)
    unknown = sum(one.emissions_gco2e is None for one in greedy.placements.values())
    assert len(found.reasons) <= len(greedy.refusals) + unknown
    if found.run_now.late == 0 and found.run_now.emissions_gco2e is not None:
        assert found.certificate.emissions_gco2e <= found.run_now.emissions_gco2e * (1 + 1e-9) + 1e-6
    emissions = [one.emissions_gco2e for one in greedy.placements.values()]
    if not greedy.refusals and None not in emissions:
        total = sum(one for one in emissions if one is not None)
        assert found.certificate.emissions_gco2e <= total * (1 + 1e-9) + 1e-6


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(any_jobs(), intensities, st.sampled_from((1e-3, 0.1, 10.0, 1e4)))
def test_no_step_of_the_prices_however_wrong_makes_the_bound_too_high(
    jobs: list[Job], row: list[float], first_step_ratio: float
) -> None:
    case = a_case(jobs, row, row, gpus=3)
    found = planned(case)
    only = [job for job in jobs if job.id in found.segments]
    bound = lower_bound(only, Rates.of(case), 60, first_step_ratio)
    assert bound.lower_bound_gco2e <= found.certificate.emissions_gco2e + 1e-6


@pytest.mark.slow
def test_equal_files_give_equal_plans() -> None:
    jobs = [a_job(f"job-{number}", duration_s=HOUR_S * (1 + number % 2), within_s=6 * HOUR_S) for number in range(5)]
    case = a_case(jobs, [500, 100, 300, 200, 400, 250], gpus=2)
    assert planned(case).segments == planned(case).segments


def test_no_segment_of_a_plan_is_without_length() -> None:
    jobs = [a_job("one", duration_s=1.5 * HOUR_S, within_s=6 * HOUR_S, interruption=Interruption())]
    segments: tuple[Segment, ...] = planned(a_case(jobs, [500, 100, 300, 50, 400, 250])).segments["one"]
    assert [one.duration_s for one in segments] == [HOUR_S / 2, HOUR_S]
