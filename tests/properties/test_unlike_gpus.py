"""Fleets whose regions have unlike GPUs, beside every plan there is on half hours, recounted by independent code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Interruption, Job
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import flaws
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import FleetPlan, plan_fleet
from scheduler.planning.whole_fleet.rates import Rates
from tests.fleet_oracles import broken_limits, broken_windows, counted_gco2e, region_of
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

HOURS, STEP_S = 5, HOUR_S / 2
STEPS = 2 * HOURS

# Steps of one job: (step, region).
Steps = tuple[tuple[int, int], ...]

intensities = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)
speeds = st.sampled_from((0.5, 1.0, 2.0))
power_ratios = st.sampled_from((0.5, 1.0, 1.75))


def a_case(
    jobs: Sequence[Job],
    rows: Sequence[Sequence[float]],
    gpus: Sequence[tuple[float, float]],
    *,
    count: int = 2,
    cap_w: float | None = None,
) -> FleetCase:
    """`gpus` has speed and power ratio of each region; the last two regions share a zone."""
    zones = [f"Z{min(index, len(rows) - 1)}" for index in range(len(gpus))]
    return FleetCase(
        jobs=jobs,
        regions=[
            replace(a_region(f"R{index}", zone=zone, gpus=count, pue=1.25), speed=speed, power_ratio=power_ratio)
            for index, (zone, (speed, power_ratio)) in enumerate(zip(zones, gpus, strict=True))
        ],
        forecasts={f"Z{index}": a_series(*row, zone=f"Z{index}") for index, row in enumerate(rows)},
        power_caps_w={} if cap_w is None else {"R0": cap_w},
    )


def planned(case: FleetCase) -> FleetPlan:
    return plan_fleet(case, np.random.default_rng(7))


@st.composite
def hour_jobs(draw: st.DrawFn, *, pauses: bool) -> list[Job]:
    jobs = []
    for number in range(draw(st.integers(1, 3))):
        duration_h = draw(st.integers(1, 3))
        earliest_h = draw(st.integers(0, HOURS - 1))
        jobs.append(
            a_job(
                f"job-{number}",
                duration_s=duration_h * HOUR_S,
                earliest_s=MIDNIGHT_S + earliest_h * HOUR_S,
                within_s=draw(st.integers(1, HOURS - earliest_h)) * HOUR_S,
                gpus=draw(st.integers(1, 2)),
                power_w=draw(st.sampled_from((500.0, 1000.0))),
                interruption=Interruption() if pauses else None,
                regions=draw(st.sampled_from(((), (), ("R0",), ("R1", "R2")))),
            )
        )
    return jobs


def choices(case: FleetCase, job: Job) -> Iterator[Steps]:
    """Every way to run a job on half hours; one that may pause may rest or run anywhere in each."""
    first, last = (
        round((instant_s - MIDNIGHT_S) / STEP_S) for instant_s in (job.earliest_start_at_s, job.deadline_at_s)
    )
    allowed = [index for index, one in enumerate(case.regions) if not job.regions or one.name in job.regions]
    if job.interruption is None:
        for index in allowed:
            length = round(job.duration_s / case.regions[index].speed / STEP_S)
            for start in range(first, last - length + 1):
                yield tuple((step, index) for step in range(start, start + length))
    else:
        for owners in product((-1, *allowed), repeat=last - first):
            work_s = sum(STEP_S * case.regions[owner].speed for owner in owners if owner >= 0)
            if work_s == job.duration_s:
                yield tuple((first + step, owner) for step, owner in enumerate(owners) if owner >= 0)


def step_gco2e(case: FleetCase, job: Job, step: int, index: int) -> float:
    region = case.regions[index]
    kwh = job.power_w / 1000.0 * region.power_ratio * region.pue * STEP_S / HOUR_S
    return kwh * float(case.forecasts[region.zone].gco2e_per_kwh[step // 2])


def least_gco2e(case: FleetCase) -> float:
    def search(number: int, taken: dict[tuple[int, int], int]) -> float:
        if number == len(case.jobs):
            return 0.0
        job, best = case.jobs[number], math.inf
        for steps in choices(case, job):
            if any(taken.get(step, 0) + job.gpus > case.regions[step[1]].gpus for step in steps):
                continue
            own = sum(step_gco2e(case, job, *step) for step in steps)
            held = {**taken, **{step: taken.get(step, 0) + job.gpus for step in steps}}
            best = min(best, own + search(number + 1, held))
        return best

    return search(0, {})


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    hour_jobs(pauses=False),
    st.lists(intensities, min_size=2, max_size=2),
    st.lists(st.tuples(speeds, power_ratios), min_size=3, max_size=3),
)
def test_the_bound_is_below_the_best_plan_there_is_and_the_plan_close_to_it(
    jobs: list[Job], rows: list[list[float]], gpus: list[tuple[float, float]]
) -> None:
    case = a_case(jobs, rows, gpus)
    found = planned(case)
    assert bool(found.reasons) == math.isinf(least_gco2e(case))
    only = replace(case, jobs=[job for job in jobs if job.id in found.segments])
    least = least_gco2e(only)
    assert found.certificate.lower_bound_gco2e <= least + 1e-6
    assert lower_bound(only.jobs, Rates.of(case)).lower_bound_gco2e <= least + 1e-6
    assert least - 1e-6 <= found.certificate.emissions_gco2e <= 1.05 * least + 1e-6


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    hour_jobs(pauses=True).map(lambda jobs: jobs[:2]),
    st.lists(intensities, min_size=1, max_size=1),
    st.lists(st.tuples(speeds, power_ratios), min_size=2, max_size=2),
)
def test_pieces_on_unlike_gpus_are_no_worse_than_any_on_half_hours_and_the_bound_is_below(
    jobs: list[Job], rows: list[list[float]], gpus: list[tuple[float, float]]
) -> None:
    jobs = [replace(job, regions=()) for job in jobs]
    case = a_case(jobs, rows, gpus)
    least = least_gco2e(case)
    found = planned(case)
    if math.isinf(least):
        return
    assert not found.reasons
    assert found.certificate.lower_bound_gco2e <= least + 1e-6
    if len(jobs) == 1:
        assert found.certificate.emissions_gco2e <= least + 1e-6
    assert found.certificate.emissions_gco2e <= 1.05 * least + 1e-6


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    st.data(),
    st.lists(intensities, min_size=2, max_size=2),
    st.lists(st.tuples(st.floats(0.3, 3.0), st.floats(0.3, 3.0)), min_size=3, max_size=3),
    st.sampled_from((None, 900.0, 2500.0)),
)
def test_plans_keep_every_limit_and_are_what_they_say(
    data: st.DataObject, rows: list[list[float]], gpus: list[tuple[float, float]], cap_w: float | None
) -> None:
    jobs = data.draw(any_jobs())
    case = a_case(jobs, rows, gpus, count=3, cap_w=cap_w)
    found = planned(case)
    assert flaws(case, found.segments) == ()
    assert [*broken_limits(case, found.segments), *broken_windows(case, found.segments)] == []
    assert set(found.segments) | set(found.reasons) == {job.id for job in jobs}
    assert found.certificate.emissions_gco2e == pytest.approx(counted_gco2e(case, found.segments))
    assert found.certificate.lower_bound_gco2e <= found.certificate.emissions_gco2e + 1e-6
    for job in jobs:
        pieces = found.segments.get(job.id, ())
        done_s = sum(one.duration_s * region_of(case, one).speed for one in pieces)
        assert not pieces or done_s == pytest.approx(job.duration_s, abs=0.01)
        assert job.interruption is not None or len(pieces) <= 1


@st.composite
def any_jobs(draw: st.DrawFn) -> list[Job]:
    jobs = []
    for number in range(draw(st.integers(1, 7))):
        duration_s = draw(st.floats(60.0, 2.5 * HOUR_S))
        jobs.append(
            a_job(
                f"job-{number}",
                duration_s=duration_s,
                earliest_s=MIDNIGHT_S + draw(st.floats(0.0, (HOURS - 1) * HOUR_S)),
                within_s=draw(st.floats(0.3, 2.0)) * duration_s + 60.0,
                gpus=draw(st.integers(1, 3)),
                power_w=draw(st.floats(0.0, 1500.0)),
                interruption=draw(st.sampled_from((None, Interruption(), Interruption(min_run_s=600.0)))),
                regions=draw(st.sampled_from(((), ("R0",), ("R2", "R1")))),
            )
        )
    return jobs
