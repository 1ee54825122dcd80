"""What holds when a plan is made again: room and time as ever, never dirtier, and nothing moves without a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Job
from scheduler.planning.open_jobs import cleanest
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Plan
from scheduler.planning.planner import OpenJob
from tests.plan_cases import MIDNIGHT_S, held_by, most_taken
from tests.properties.test_fleet_plans import REGIONS, forecasts_of, rows, some_jobs

pytestmark = pytest.mark.slow

FREE = FleetPlanner(reserve_ratio=0.0)
margins = st.sampled_from([0.0, 0.05])


def again(jobs: list[Job], before: Plan, row: list[float], other: list[float], hysteresis_ratio: float = 0.0) -> Plan:
    open_jobs = [OpenJob(job=one, planned=before.placements.get(one.id)) for one in jobs]
    planner = replace(FREE, hysteresis_ratio=hysteresis_ratio)
    return planner.plan(open_jobs, REGIONS, forecasts_of(row, other), MIDNIGHT_S)


def first(jobs: list[Job], row: list[float], other: list[float]) -> Plan:
    return FREE.plan([OpenJob(job=one) for one in jobs], REGIONS, forecasts_of(row, other), MIDNIGHT_S)


def grams(plan: Plan) -> tuple[int, float]:
    """How many places nobody can price, and what the others emit."""
    every = [place.emissions_gco2e for place in plan.placements.values()]
    known = [one for one in every if one is not None]
    return len(every) - len(known), sum(known)


@settings(max_examples=40, deadline=None)
@given(some_jobs(), margins, rows, rows, rows)
def test_a_plan_made_again_on_a_revised_forecast_holds_all_that_a_plan_holds(
    jobs: list[Job], margin: float, row: list[float], other: list[float], revised: list[float]
) -> None:
    before = first(jobs, row, other)
    plan = again(jobs, before, revised, other, margin)
    held = held_by(plan, [OpenJob(job=one) for one in jobs])
    for region in REGIONS:
        assert most_taken(held, region.name) <= region.gpus
    assert len(plan.refusals) <= len(before.refusals)
    for job in jobs:
        place = plan.placements.get(job.id)
        assert place is None or (place.end_at_s > job.deadline_at_s + 1e-3) <= (job.id in plan.refusals)


@settings(max_examples=40, deadline=None)
@given(some_jobs(), margins, rows, rows)
def test_a_plan_made_again_on_the_same_forecast_is_no_dirtier_in_sum(
    jobs: list[Job], margin: float, row: list[float], other: list[float]
) -> None:
    before = first(jobs, row, other)
    if before.refusals:
        return
    was, is_now = (grams(plan) for plan in (before, again(jobs, before, row, other, margin)))
    assert is_now[0] <= was[0]
    assert is_now[0] < was[0] or is_now[1] <= was[1] * (1 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(some_jobs(), rows, rows, st.data())
def test_room_that_came_free_is_filled_within_what_there_is_and_makes_nobody_dirtier(
    jobs: list[Job], row: list[float], other: list[float], data: st.DataObject
) -> None:
    before = first(jobs, row, other)
    if not jobs or before.refusals:
        return
    gone = data.draw(st.sampled_from(jobs))
    left = [OpenJob(job=one, planned=before.placements[one.id]) for one in jobs if one is not gone]
    freed = [(piece, gone.gpus) for piece in before.placements[gone.id].segments]
    moved = FREE.refill(left, freed, REGIONS, forecasts_of(row, other), MIDNIGHT_S)
    after = replace(moved, placements={**before.placements, **moved.placements})
    after = replace(after, placements={one.job.id: after.placements[one.job.id] for one in left})
    for region in REGIONS:
        assert most_taken(held_by(after, left), region.name) <= region.gpus
    was = replace(before, placements={one.job.id: before.placements[one.job.id] for one in left})
    if grams(was)[0]:  # with somebody whom nobody can price everybody is planned again
        assert grams(after)[0] <= grams(was)[0]
        return
    for name, place in moved.placements.items():
        before_gco2e = was.placements[name].emissions_gco2e
        assert before_gco2e is not None
        assert place.emissions_gco2e is not None
        assert place.emissions_gco2e <= before_gco2e * (1 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(some_jobs(), rows, rows)
def test_a_plan_is_never_dirtier_than_each_job_in_turn_at_its_cheapest_place(
    jobs: list[Job], row: list[float], other: list[float]
) -> None:
    plan = first(jobs, row, other)
    with pytest.MonkeyPatch.context() as without_new_plans:
        without_new_plans.setattr(cleanest, "_MOST_SEARCHES", -1)
        greedy = first(jobs, row, other)
    assert plan.refusals.keys() <= greedy.refusals.keys()
    if plan.refusals == greedy.refusals:
        (unpriced, gco2e), (greedy_unpriced, greedy_gco2e) = grams(plan), grams(greedy)
        assert unpriced <= greedy_unpriced
        assert unpriced < greedy_unpriced or gco2e <= greedy_gco2e * (1 + 1e-9)
