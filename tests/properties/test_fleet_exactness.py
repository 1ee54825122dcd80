"""Fleet plans beside an exact solver: HiGHS on a time-indexed model, over starts on the quarter of an hour.

With every time a multiple of a quarter of an hour and a forecast that is constant within it, some optimal plan starts
every run on a quarter, so the solver's optimum is the true one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Interruption, Job
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import recomputed_gco2e
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from scheduler.planning.whole_fleet.rates import Rates
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

highspy = pytest.importorskip("highspy", reason="highspy is not installed: the exact solver is not asked")

HOURS, STEP_S = 12, 900.0
intensities = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)


@st.composite
def quarter_hour_jobs(draw: st.DrawFn) -> list[Job]:
    jobs = []
    for number in range(draw(st.integers(4, 12))):
        length = draw(st.integers(1, 16))
        earliest = draw(st.integers(0, HOURS * 4 - length))
        within = draw(st.integers(length, HOURS * 4 - earliest))
        gpus = draw(st.integers(1, 2))
        jobs.append(
            a_job(
                f"job-{number}",
                duration_s=length * STEP_S,
                earliest_s=MIDNIGHT_S + earliest * STEP_S,
                within_s=within * STEP_S,
                gpus=gpus,
                power_w=300.0 * gpus,
                interruption=draw(st.sampled_from((None, None, Interruption()))),
            )
        )
    return jobs


def a_case(jobs: Sequence[Job], row: Sequence[float], other: Sequence[float]) -> FleetCase:
    return FleetCase(
        jobs=jobs,
        regions=[a_region("Z0", gpus=3, pue=1.2), a_region("Z1", gpus=2)],
        forecasts={"Z0": a_series(*row, zone="Z0"), "Z1": a_series(*other, zone="Z1")},
        gpu_rate_gco2e_per_s={"Z1": 0.002},
    )


def slots_of(job: Job) -> range:
    first = round((job.earliest_start_at_s - MIDNIGHT_S) / STEP_S)
    return range(first, round((job.deadline_at_s - MIDNIGHT_S) / STEP_S))


def cost_gco2e(case: FleetCase, job: Job, region: str, slot: int, length: int) -> float:
    start_at_s = MIDNIGHT_S + slot * STEP_S
    one = Segment(start_at_s=start_at_s, end_at_s=start_at_s + length * STEP_S, region=region)
    return recomputed_gco2e(case, job, (one,))


def least_gco2e(case: FleetCase) -> float:
    """The optimum over all plans of all jobs; infinite when there is none."""
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("mip_rel_gap", 0.0)
    held: dict[tuple[str, int], list[tuple[Any, int]]] = {}
    for job in case.jobs:
        length, slots = round(job.duration_s / STEP_S), slots_of(job)
        pieces = 1 if job.interruption is not None else length
        chosen: list[Any] = []
        busy: dict[int, list[Any]] = {slot: [] for slot in slots}
        for region in case.regions:
            for slot in range(slots.start, slots.stop - pieces + 1):
                is_here = solver.addBinary(obj=cost_gco2e(case, job, region.name, slot, pieces))
                chosen.append(is_here)
                for at in range(slot, slot + pieces):
                    held.setdefault((region.name, at), []).append((is_here, job.gpus))
                    busy[at].append(is_here)
        solver.addConstr(sum(chosen[1:], start=chosen[0] + 0.0) == length // pieces)
        for ones in busy.values() if pieces == 1 else ():
            solver.addConstr(sum(ones[1:], start=ones[0] + 0.0) <= 1)
    gpus = {region.name: region.gpus for region in case.regions}
    for (name, _), ones in held.items():
        (first, wide), *rest = ones
        solver.addConstr(sum((one * many for one, many in rest), start=first * wide + 0.0) <= gpus[name])
    solver.run()
    is_solved = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(solver.getInfo().objective_function_value) if is_solved else float("inf")


@pytest.mark.slow
@settings(max_examples=12, deadline=None, derandomize=True)
@given(quarter_hour_jobs(), intensities, intensities)
def test_the_exact_optimum_lies_between_the_bound_and_the_plan(
    jobs: list[Job], row: list[float], other: list[float]
) -> None:
    case = a_case(jobs, row, other)
    found = plan_fleet(case, np.random.default_rng(3))
    only = FleetCase(
        jobs=[job for job in jobs if job.id in found.segments],
        regions=case.regions,
        forecasts=case.forecasts,
        gpu_rate_gco2e_per_s=case.gpu_rate_gco2e_per_s,
    )
    least = least_gco2e(only)
    assert found.certificate.lower_bound_gco2e <= least * (1 + 1e-6)
    assert lower_bound(only.jobs, Rates.of(only)).lower_bound_gco2e <= least * (1 + 1e-6)
    assert least <= found.certificate.emissions_gco2e * (1 + 1e-6)
    # Small fleets are hardest: one job is a large share of the whole.
    assert found.certificate.emissions_gco2e <= 1.01 * least


def test_the_exact_solver_agrees_with_two_jobs_by_hand() -> None:
    # One GPU's worth each in Z1, 1 h: the cleanest hour twice over two GPUs, and the charge of 7.2 g an hour.
    jobs = [a_job(name, within_s=2 * HOUR_S, power_w=1000.0, regions=()) for name in ("a", "b")]
    case = a_case(jobs, [500.0] * HOURS, [100.0, 50.0] + [500.0] * (HOURS - 2))
    assert least_gco2e(case) == pytest.approx(2 * (50.0 + 7.2))
