"""Order and budgets: kept by every plan, and no plan that keeps them is below the bound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduler.jobs import Job
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.certificate import flaws
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.joint import run_now
from scheduler.planning.whole_fleet.objective import Objective, Site, components
from scheduler.planning.whole_fleet.rules.budgets import Budget, Budgets, Per, Spent
from scheduler.planning.whole_fleet.rules.narrowing import plan_under
from scheduler.planning.whole_fleet.rules.precedence import Precedence, run_now_in_order
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

HOURS = 8
intensities = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)


@st.composite
def ordered_jobs(draw: st.DrawFn) -> tuple[list[Job], dict[str, tuple[str, ...]]]:
    count = draw(st.integers(2, 4))
    jobs = [
        a_job(
            f"job-{number}",
            duration_s=draw(st.integers(1, 2)) * HOUR_S,
            within_s=draw(st.integers(3, HOURS)) * HOUR_S,
        )
        for number in range(count)
    ]
    after = {}
    for number in range(1, count):
        before = draw(st.lists(st.integers(0, number - 1), max_size=2, unique=True))
        if before:
            after[f"job-{number}"] = tuple(f"job-{one}" for one in before)
    return jobs, after


def a_case(jobs: Sequence[Job], row: Sequence[float], gpus: int = 2) -> FleetCase:
    return FleetCase(jobs=jobs, regions=[a_region(gpus=gpus)], forecasts={"DE": a_series(*row)})


def least_in_order(case: FleetCase, after: Mapping[str, Sequence[str]], gpus: int = 2) -> float:
    """Over all plans on whole hours of all jobs that keep the order; infinite when there is none."""
    row, best = case.forecasts["DE"].gco2e_per_kwh.tolist(), math.inf
    lengths = {job.id: round(job.duration_s / HOUR_S) for job in case.jobs}
    lasts = [round((job.latest_start_at_s - MIDNIGHT_S) / HOUR_S) for job in case.jobs]
    for choice in product(*(range(last + 1) for last in lasts)):
        starts = dict(zip(lengths, choice, strict=True))
        if any(starts[one] + lengths[one] > starts[name] for name, every in after.items() for one in every):
            continue
        held = [hour for name, start in starts.items() for hour in range(start, start + lengths[name])]
        if max(map(held.count, held)) <= gpus:
            best = min(best, sum(row[hour] for hour in held))
    return best


def keeps_order(places: Assignment, after: Mapping[str, Sequence[str]]) -> bool:
    return all(
        one in places and places[one][-1].end_at_s <= places[name][0].start_at_s + 1e-3
        for name, every in after.items()
        if name in places
        for one in every
    )


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(ordered_jobs(), intensities)
def test_a_plan_keeps_the_order_and_its_bound_is_below_the_best_that_does(
    drawn: tuple[list[Job], dict[str, tuple[str, ...]]], row: list[float]
) -> None:
    jobs, after = drawn
    case = a_case(jobs, row)
    at_once = run_now_in_order(case, after)
    found = plan_under(case, {"DE": Site()}, Objective(), [Precedence(after)], at_once, np.random.default_rng(3))
    assert flaws(case, found.plan.segments) == ()
    assert keeps_order(found.plan.segments, after)
    assert keeps_order(at_once.segments, after)
    assert set(found.plan.segments) | set(found.plan.reasons) == {job.id for job in jobs}
    assume(not found.plan.reasons)
    least_gco2e = least_in_order(case, after)
    assert found.plan.certificate.lower_bound_gco2e <= least_gco2e + 1e-6
    assert found.plan.certificate.emissions_gco2e >= least_gco2e - 1e-6


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(ordered_jobs(), intensities)
def test_one_job_after_another_alone_is_planned_at_its_best(
    drawn: tuple[list[Job], dict[str, tuple[str, ...]]], row: list[float]
) -> None:
    chain = {after.id: (before.id,) for before, after in pairwise(drawn[0])}
    case = a_case(drawn[0], row)
    least_gco2e = least_in_order(case, chain)
    assume(least_gco2e < math.inf)
    at_once = run_now_in_order(case, chain)
    found = plan_under(case, {"DE": Site()}, Objective(), [Precedence(chain)], at_once, np.random.default_rng(3))
    assert not found.plan.reasons
    assert found.plan.certificate.emissions_gco2e == pytest.approx(least_gco2e)


@settings(max_examples=50, deadline=None)
@given(ordered_jobs(), intensities)
def test_without_an_order_running_at_once_is_what_it_was(
    drawn: tuple[list[Job], dict[str, tuple[str, ...]]], row: list[float]
) -> None:
    case = a_case(drawn[0], row)
    assert run_now_in_order(case, {}) == run_now(case)


def spent_by_day(case: FleetCase, sites: Mapping[str, Site], places: Assignment, tenant: str) -> dict[int, float]:
    """Kilowatt-hours of each day, minute by minute."""
    found: dict[int, float] = {}
    for job in case.jobs:
        for one in places.get(job.id, ()) if job.tenant == tenant else ():
            minutes = round(one.duration_s / 60)
            for number in range(minutes):
                piece = Segment(
                    start_at_s=one.start_at_s + 60 * number, end_at_s=one.start_at_s + 60 * (number + 1), region="DE"
                )
                day = datetime.fromtimestamp(piece.start_at_s, UTC).day
                found[day] = found.get(day, 0.0) + components(case, sites, job, (piece,)).energy_kwh
    return found


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.data(), st.floats(0.5, 6.0))
def test_no_day_is_above_its_budget_and_only_then_is_anyone_refused(data: st.DataObject, most_kwh: float) -> None:
    row = data.draw(st.lists(st.integers(1, 50).map(float), min_size=48, max_size=48))
    jobs = []
    for number in range(data.draw(st.integers(1, 5))):
        job = a_job(
            f"job-{number}",
            duration_s=data.draw(st.integers(30, 180)) * 60.0,
            earliest_s=MIDNIGHT_S + data.draw(st.integers(0, 30)) * HOUR_S,
            within_s=data.draw(st.integers(4, 18)) * HOUR_S,
            priority=data.draw(st.integers(0, 1)),
        )
        jobs.append(job)
    case, sites = a_case(jobs, row, gpus=8), {"DE": Site()}
    budget = Budget(tenant="default", what=Spent.KWH, most_cost=most_kwh, per=Per.DAY)
    rules = [Budgets(case, sites, [budget])]
    found = plan_under(case, sites, Objective(), rules, run_now(case), np.random.default_rng(3))
    by_day = spent_by_day(case, sites, found.plan.segments, "default")
    # A piece can end within a minute of midnight; what one such minute draws is 1/60 kWh.
    assert all(kwh <= most_kwh + 2 / 60 for kwh in by_day.values())
    assert all(reason.startswith("budget: ") for reason in found.plan.reasons.values())
    assert found.plan.certificate.lower_bound_gco2e <= found.plan.certificate.emissions_gco2e
