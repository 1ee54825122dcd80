"""The bound by windows beside every plan there is, and beside prices alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Job
from scheduler.planning.plan import Hold, Segment
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.alone.grams_proof import least_gco2e_by_windows
from scheduler.planning.whole_fleet.certificate import recomputed_gco2e
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

HOURS, LOOKED = 7, 3_000_000
intensities = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)


@st.composite
def hourly_jobs(draw: st.DrawFn) -> list[Job]:
    jobs = []
    for number in range(draw(st.integers(2, 4))):
        length = draw(st.integers(1, 4))
        earliest = draw(st.integers(0, HOURS - length))
        within = draw(st.integers(length, HOURS - earliest))
        gpus = draw(st.integers(1, 4))
        jobs.append(
            a_job(
                f"job-{number}",
                duration_s=length * HOUR_S,
                earliest_s=MIDNIGHT_S + earliest * HOUR_S,
                within_s=within * HOUR_S,
                gpus=gpus,
                power_w=draw(st.sampled_from((300.0, 450.0, 700.0))) * gpus,
            )
        )
    return jobs


def a_case(jobs: Sequence[Job], row: Sequence[float], other: Sequence[float], cap_w: float = 3000.0) -> FleetCase:
    return FleetCase(
        jobs=jobs,
        regions=[a_region("Z0", gpus=4, pue=1.25), a_region("Z1", gpus=5)],
        forecasts={"Z0": a_series(*row, zone="Z0"), "Z1": a_series(*other, zone="Z1")},
        power_caps_w={"Z1": cap_w},
        gpu_rate_gco2e_per_s={"Z1": 0.002},
    )


def least_gco2e(case: FleetCase) -> float:
    """Over every start on an hour, which is where some best plan has them; infinite when not all jobs fit."""
    starts = [list(starts_of(case, job)) for job in case.jobs]
    return min((sum(one[2] for one in some) for some in product(*starts) if gets_along(case, some)), default=np.inf)


def starts_of(case: FleetCase, job: Job) -> list[tuple[int, int, float]]:
    """Region, hour, and what it emits."""
    first = round((job.earliest_start_at_s - MIDNIGHT_S) / HOUR_S)
    last = round((job.deadline_at_s - job.duration_s - MIDNIGHT_S) / HOUR_S)
    found = []
    for row, hour in product(case.allowed(job), range(first, last + 1)):
        start_at_s = MIDNIGHT_S + hour * HOUR_S
        run = Segment(start_at_s=start_at_s, end_at_s=start_at_s + job.duration_s, region=case.regions[row].name)
        found.append((row, hour, recomputed_gco2e(case, job, (run,))))
    return found


def gets_along(case: FleetCase, some: Sequence[tuple[int, int, float]]) -> bool:
    gpus, power_w = np.zeros((2, HOURS)), np.zeros((2, HOURS))
    for job, (row, hour, _) in zip(case.jobs, some, strict=True):
        hours = slice(hour, hour + round(job.duration_s / HOUR_S))
        gpus[row, hours] += job.gpus
        power_w[row, hours] += job.power_w * case.regions[row].facility_ratio
    has_gpus = all((gpus[row] <= region.gpus).all() for row, region in enumerate(case.regions))
    return has_gpus and bool((power_w[1] <= case.power_caps_w["Z1"] + 1e-9).all())


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(hourly_jobs(), intensities, intensities)
def test_no_plan_emits_less_than_windows_prove(jobs: list[Job], row: list[float], other: list[float]) -> None:
    case = a_case(jobs, row, other)
    jobs = [job for job in jobs if case.allowed(job)]
    least = least_gco2e(a_case(jobs, row, other))
    if np.isinf(least) or not jobs:
        return
    for enough_gco2e in (least, 1.5 * least):
        proved = least_gco2e_by_windows(jobs, Rates.of(a_case(jobs, row, other)), enough_gco2e, LOOKED, 0)
        assert proved is not None
        assert proved <= least * (1 + 1e-9)


@pytest.mark.slow
def test_where_prices_prove_three_quarters_windows_prove_all() -> None:
    jobs = [
        a_job("a", duration_s=4 * HOUR_S, within_s=6 * HOUR_S, gpus=4, power_w=1200.0),
        a_job("b", duration_s=3 * HOUR_S, within_s=7 * HOUR_S, gpus=4, power_w=1800.0),
        a_job(
            "c",
            duration_s=4 * HOUR_S,
            earliest_s=MIDNIGHT_S + 2 * HOUR_S,
            within_s=4 * HOUR_S,
            gpus=2,
            power_w=1400.0,
        ),
    ]
    case = a_case(jobs, [140, 160, 380, 320, 210, 180, 410], [110, 170, 90, 150, 40, 140, 40])
    least, rates = least_gco2e(case), Rates.of(case)
    assert lower_bound(jobs, rates).lower_bound_gco2e < 0.75 * least
    proved = least_gco2e_by_windows(jobs, rates, 1.5 * least, LOOKED, 0)
    assert proved is not None
    assert 0.999 * least < proved <= least * (1 + 1e-9)


def test_a_fleet_of_other_kinds_of_jobs_is_not_asked() -> None:
    case = a_case([a_job()], [100.0] * HOURS, [100.0] * HOURS)
    held = replace(case.regions[0], held=(Hold(start_at_s=MIDNIGHT_S, end_at_s=MIDNIGHT_S + HOUR_S, gpus=1),))
    case = replace(case, regions=[held, case.regions[1]])
    assert least_gco2e_by_windows(case.jobs, Rates.of(case), 1e9, LOOKED, LOOKED) is None
