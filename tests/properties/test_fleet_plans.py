"""What holds for every joint plan: room, time, and indifference to what must not matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption, Job
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Placement, Plan, Region, Segment
from scheduler.planning.planner import OpenJob, Planner
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, held_by, most_taken

pytestmark = pytest.mark.slow

REGIONS = (a_region("DE", gpus=4), a_region("FR", gpus=2, pue=1.3))
PAUSES = st.sampled_from([None, Interruption(), Interruption(checkpoint_s=600, restore_s=300, min_run_s=1800)])

rows = st.lists(st.integers(1, 900).map(float), min_size=1, max_size=36)


@st.composite
def some_jobs(draw: st.DrawFn, *, interruptible: bool = True) -> list[Job]:
    count = draw(st.integers(0, 9))
    return [
        a_job(
            f"job {index}",
            duration_s=60.0 * draw(st.integers(5, 400)),
            earliest_s=MIDNIGHT_S + 60.0 * draw(st.integers(0, 200)),
            within_s=60.0 * draw(st.integers(5, 1500)),
            gpus=draw(st.integers(0, 4)),
            interruption=draw(PAUSES) if interruptible else None,
            regions=draw(st.sampled_from([(), ("DE",), ("FR", "DE")])),
            priority=draw(st.integers(0, 1)),
            submitted_at_s=MIDNIGHT_S - index,
        )
        for index in range(count)
    ]


def forecasts_of(row: list[float], other: list[float]) -> dict[str, IntensitySeries]:
    return {
        "DE": IntensitySeries.regular("DE", MIDNIGHT_S, HOUR_S, row),
        "FR": IntensitySeries.regular("FR", MIDNIGHT_S, 900.0, other),
    }


def planned(jobs: Sequence[Job], planner: Planner, row: list[float], other: list[float]) -> Plan:
    return planner.plan([OpenJob(job=one) for one in jobs], REGIONS, forecasts_of(row, other), MIDNIGHT_S)


PLANNERS: list[Planner] = [FleetPlanner(), FleetPlanner(reserve_ratio=0.0), RunNowPlanner()]
planners = st.sampled_from(PLANNERS)


@settings(max_examples=40, deadline=None)
@given(some_jobs(), planners, rows, rows)
def test_no_region_is_ever_used_beyond_its_gpus(
    jobs: list[Job], planner: Planner, row: list[float], other: list[float]
) -> None:
    plan = planned(jobs, planner, row, other)
    held = held_by(plan, [OpenJob(job=one) for one in jobs])
    for region in REGIONS:
        assert most_taken(held, region.name) <= region.gpus


@settings(max_examples=40, deadline=None)
@given(some_jobs(), planners, rows, rows)
def test_every_job_runs_whole_in_its_time_or_is_refused(
    jobs: list[Job], planner: Planner, row: list[float], other: list[float]
) -> None:
    plan = planned(jobs, planner, row, other)
    for job in jobs:
        place = plan.placements.get(job.id)
        if place is None:
            assert job.id in plan.refusals
            continue
        overhead_s = job.interruption.overhead_s if job.interruption else 0.0
        expected_s = job.duration_s + overhead_s * (len(place.segments) - 1)
        assert sum(one.duration_s for one in place.segments) == pytest.approx(expected_s, abs=1e-3)
        assert place.start_at_s >= job.earliest_start_at_s
        assert all(one.region in (job.regions or ("DE", "FR")) for one in place.segments)
        assert job.interruption is not None or len(place.segments) == 1
        assert (place.end_at_s > job.deadline_at_s + 1e-3) <= (job.id in plan.refusals)


@settings(max_examples=40, deadline=None)
@given(some_jobs(interruptible=False), rows, rows)
def test_nothing_is_late_when_earliest_deadline_first_meets_all(
    jobs: list[Job], row: list[float], other: list[float]
) -> None:
    if late_by_deadline_order(jobs, REGIONS) == 0:
        assert planned(jobs, FleetPlanner(), row, other).refusals == {}


@settings(max_examples=40, deadline=None)
@given(some_jobs(interruptible=False), rows, rows)
def test_nothing_is_late_that_running_at_once_would_have_met(
    jobs: list[Job], row: list[float], other: list[float]
) -> None:
    at_once = planned(jobs, RunNowPlanner(), row, other)  # through the same queue: priorities count on both sides
    assert len(planned(jobs, FleetPlanner(), row, other).refusals) <= len(at_once.refusals)


@settings(max_examples=40, deadline=None)
@given(some_jobs(interruptible=False), rows, rows, st.randoms(use_true_random=False))
def test_of_those_that_running_at_once_met_all_along_never_more_are_late_than_when_it_begins_now(
    jobs: list[Job], row: list[float], other: list[float], draw: Random
) -> None:
    met = {one.id for one in jobs if draw.random() < 0.5}
    open_jobs = [OpenJob(job=one, met_at_once=one.id in met) for one in jobs]
    policy, at_once = (
        planner.plan(open_jobs, REGIONS, forecasts_of(row, other), MIDNIGHT_S)
        for planner in (FleetPlanner(), RunNowPlanner())
    )
    assert len(met & set(policy.refusals)) <= len(met & set(at_once.refusals))


@settings(max_examples=40, deadline=None)
@given(some_jobs(), planners, rows, rows, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    jobs: list[Job], planner: Planner, row: list[float], other: list[float], random: Random
) -> None:
    shuffled = list(jobs)
    random.shuffle(shuffled)
    assert planned(jobs, planner, row, other) == planned(shuffled, planner, row, other)


@settings(max_examples=40, deadline=None)
@given(some_jobs(interruptible=False), planners, rows, rows, st.integers(-1000, 1000))
def test_shifting_all_times_shifts_the_plan(
    jobs: list[Job], planner: Planner, row: list[float], other: list[float], hours: int
) -> None:
    shift_s = hours * HOUR_S
    moved = [
        replace(
            one,
            submitted_at_s=one.submitted_at_s + shift_s,
            earliest_start_at_s=one.earliest_start_at_s + shift_s,
            deadline_at_s=one.deadline_at_s + shift_s,
        )
        for one in jobs
    ]
    forecasts = {
        zone: replace(one, edges_at_s=one.edges_at_s + shift_s) for zone, one in forecasts_of(row, other).items()
    }
    before = planned(jobs, planner, row, other)
    after = planner.plan([OpenJob(job=one) for one in moved], REGIONS, forecasts, MIDNIGHT_S + shift_s)
    assert {name: _places(one, shift_s) for name, one in before.placements.items()} == {
        name: _places(one, 0.0) for name, one in after.placements.items()
    }


@settings(max_examples=40, deadline=None)
@given(some_jobs(), planners, rows, rows, st.sampled_from([0.5, 4.0]))
def test_scaling_all_intensities_changes_no_place(
    jobs: list[Job], planner: Planner, row: list[float], other: list[float], ratio: float
) -> None:
    before = planned(jobs, planner, row, other)
    after = planned(jobs, planner, [ratio * one for one in row], [ratio * one for one in other])
    assert {name: _places(one, 0.0) for name, one in before.placements.items()} == {
        name: _places(one, 0.0) for name, one in after.placements.items()
    }


@settings(max_examples=40, deadline=None)
@given(rows, rows, st.integers(5, 400), st.integers(5, 1000), st.integers(0, 1000))
def test_more_slack_never_hurts_one_job(
    row: list[float], other: list[float], duration_m: int, within_m: int, more_m: int
) -> None:
    less, more = (
        planned([a_job(duration_s=60.0 * duration_m, within_s=60.0 * within)], FleetPlanner(), row, other)
        for within in (max(within_m, duration_m), max(within_m, duration_m) + more_m)
    )
    tight, loose = (plan.placements["job"].emissions_gco2e for plan in (less, more))
    if tight is not None:
        assert loose is not None
        assert loose <= tight * (1 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(some_jobs(), some_jobs(), planners, rows, rows)
def test_a_newcomer_fits_beside_the_plan_it_joins(
    jobs: list[Job], more: list[Job], planner: Planner, row: list[float], other: list[float]
) -> None:
    plan = planned(jobs, planner, row, other)
    others = [OpenJob(job=one, planned=plan.placements.get(one.id)) for one in jobs]
    held = held_by(plan, others)
    for job in more[:1]:
        answer = planner.place(OpenJob(job=job), others, REGIONS, forecasts_of(row, other), MIDNIGHT_S)
        if isinstance(answer, Placement):
            held += [(one, job.gpus) for one in answer.segments]
            assert answer.end_at_s <= job.deadline_at_s + 1e-3
    for region in REGIONS:
        assert most_taken(held, region.name) <= region.gpus


def _places(place: Placement, shift_s: float) -> list[tuple[float, float, str]]:
    return [(one.start_at_s + shift_s, one.end_at_s + shift_s, one.region) for one in place.segments]


def late_by_deadline_order(jobs: Sequence[Job], regions: Sequence[Region]) -> int:
    """Earliest deadline first, each job at the first instant with room, found by trying every end of another."""
    held: list[tuple[Segment, int]] = []
    late = 0
    for job in sorted(jobs, key=lambda one: (one.deadline_at_s, one.submitted_at_s, one.id)):
        names = job.regions or tuple(region.name for region in regions)
        choices = [
            (_first_room(job, next(one for one in regions if one.name == name), held), rank, name)
            for rank, name in enumerate(names)
        ]
        start_at_s, _, name = min(choices)
        if start_at_s + job.duration_s > job.deadline_at_s + 1e-6:
            late += 1  # takes no room from the others
            continue
        held.append((Segment(start_at_s=start_at_s, end_at_s=start_at_s + job.duration_s, region=name), job.gpus))
    return late


def _first_room(job: Job, region: Region, held: Sequence[tuple[Segment, int]]) -> float:
    beside = [(one, gpus) for one, gpus in held if one.region == region.name]
    for start_at_s in sorted({job.earliest_start_at_s, *(one.end_at_s for one, _ in beside)}):
        mine = Segment(start_at_s=start_at_s, end_at_s=start_at_s + job.duration_s, region=region.name)
        overlapping = [(one, gpus) for one, gpus in beside if one.end_at_s > mine.start_at_s + 1e-6]
        overlapping = [(one, gpus) for one, gpus in overlapping if one.start_at_s < mine.end_at_s - 1e-6]
        if start_at_s >= job.earliest_start_at_s and _fits(mine, job.gpus, overlapping, region):
            return start_at_s
    return math.inf


def _fits(mine: Segment, gpus: int, beside: Sequence[tuple[Segment, int]], region: Region) -> bool:
    cut = [
        (
            replace(one, start_at_s=max(one.start_at_s, mine.start_at_s), end_at_s=min(one.end_at_s, mine.end_at_s)),
            taken,
        )
        for one, taken in beside
    ]
    return most_taken([*cut, (mine, gpus)], region.name) <= region.gpus
