"""A suggestion that is printed works, and a smaller change of its kind does not; an explanation's grams are true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Interruption, Job
from scheduler.planning.open_jobs.choices import Choice, Grid
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Placement, Region, Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.reasons.explanation import LimitKind
from scheduler.planning.reasons.fleet_rooms import filled_room
from scheduler.planning.reasons.in_fleet import FleetReasons
from scheduler.planning.reasons.nearest_change import STEP_S, Change, ChangeKind, with_gpus
from scheduler.planning.reasons.suggestions import changes_beside
from scheduler.planning.whole_fleet.certificate import flaws
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import FleetPlan, plan_fleet
from tests.plan_cases import MIDNIGHT_S, a_job, a_region, a_series, integral_by_hand

HOURS = 12
QUARTER_S = 900.0


@st.composite
def jobs(draw: st.DrawFn, name: str, names: Sequence[str]) -> Job:
    duration_s = QUARTER_S * draw(st.integers(1, 16))
    return a_job(
        name,
        duration_s=duration_s,
        earliest_s=MIDNIGHT_S + QUARTER_S * draw(st.integers(0, 16)),
        within_s=max(QUARTER_S, duration_s + QUARTER_S * draw(st.integers(-4, 8))),
        gpus=draw(st.integers(1, 4)),
        power_w=1000.0,
        interruption=draw(st.sampled_from((None, None, Interruption()))),
        regions=draw(st.sampled_from(((), (names[0],), ("PL",)))),
    )


@st.composite
def cases(draw: st.DrawFn) -> FleetCase:
    names = ("DE", "FR")[: draw(st.integers(1, 2))]
    values = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)
    return FleetCase(
        jobs=[draw(jobs(f"job-{number}", names)) for number in range(draw(st.integers(1, 5)))],
        regions=[a_region(name, gpus=draw(st.integers(1, 3))) for name in names],
        forecasts={name: a_series(*draw(values), zone=name) for name in names},
    )


def planned(case: FleetCase) -> FleetPlan:
    return plan_fleet(case, np.random.default_rng(0))


def smaller(change: Change) -> Job | None:
    """One step back towards what was asked for; None where that is what was asked for."""
    asked, changed = change.asked, change.changed
    match change.kinds[-1]:
        case ChangeKind.FINISH_BY:
            one = replace(changed, deadline_at_s=changed.deadline_at_s - STEP_S)
            return one if one.deadline_at_s > asked.deadline_at_s else None
        case ChangeKind.EARLIEST_START:
            return replace(changed, earliest_start_at_s=changed.earliest_start_at_s + STEP_S)
        case ChangeKind.GPUS if changed.gpus + 1 < asked.gpus:
            return with_gpus(asked, changed.gpus + 1)
        case _:
            return None


@pytest.mark.slow
@given(case=cases())
@settings(max_examples=30)
def test_a_suggestion_beside_a_plan_of_a_file_works_and_a_smaller_one_does_not(case: FleetCase) -> None:
    found = planned(case)
    for name, changes in FleetReasons(found).changes().items():
        for change in changes:
            place = placed_beside(found, change.changed)
            assert place is not None
            with_it = replace(case, jobs=[change.changed if job.id == name else job for job in case.jobs])
            assert flaws(with_it, {**found.segments, name: place.segments}) == ()
            less = smaller(change)
            assert less is None or placed_beside(found, less) is None


@pytest.mark.slow
@given(case=cases())
@settings(max_examples=12)
def test_a_suggestion_taken_up_is_planned(case: FleetCase) -> None:
    found = planned(case)
    for name, changes in FleetReasons(found).changes().items():
        for change in changes:
            taken_up = replace(case, jobs=[change.changed if job.id == name else job for job in case.jobs])
            again = planned(taken_up)
            assert len(again.segments) >= len(found.segments)
            assert name in again.segments or len(again.segments) > len(found.segments)


def placed_beside(found: FleetPlan, job: Job) -> Choice | None:
    grid = Grid(regions=found.case.regions, forecasts=found.case.forecasts)
    return grid.cheapest(job, filled_room(found, found.case))


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=60)
def test_a_suggestion_beside_open_jobs_is_accepted_and_a_smaller_one_is_not(data: st.DataObject) -> None:
    regions = [a_region(name, gpus=data.draw(st.integers(1, 3))) for name in ("DE", "FR")]
    others = open_jobs([data.draw(jobs(f"other-{number}", ("DE", "FR"))) for number in range(4)], regions)
    job = replace(data.draw(jobs("new", ("DE", "FR"))), submitted_at_s=MIDNIGHT_S)
    if is_accepted(job, others, regions):
        return
    for change in changes_beside(job, others, regions, {}, MIDNIGHT_S):
        assert is_accepted(change.changed, others, regions)
        less = smaller(change)
        assert less is None or not is_accepted(less, others, regions)


def open_jobs(wanted: Sequence[Job], regions: Sequence[Region]) -> list[OpenJob]:
    plan = FleetPlanner().plan([OpenJob(job=job) for job in wanted], regions, {}, MIDNIGHT_S)
    return [OpenJob(job=job, planned=plan.placements.get(job.id)) for job in wanted]


def is_accepted(job: Job, others: Sequence[OpenJob], regions: Sequence[Region]) -> bool:
    return isinstance(FleetPlanner().place(OpenJob(job=job), others, regions, {}, MIDNIGHT_S), Placement)


@pytest.mark.slow
@given(case=cases())
@settings(max_examples=40)
def test_what_an_explanation_claims_holds_when_it_is_tried(case: FleetCase) -> None:
    """Every place it names can be had with just that limit lifted, and emits what it says."""
    found = planned(case)
    jobs = {job.id: job for job in case.jobs}
    for told in FleetReasons(found).explanations():
        job = jobs[told.job_id]
        assert told.emissions_gco2e == pytest.approx(by_hand(case, job, told.segments))
        for limit in told.limits:
            if limit.instead is None:
                continue
            grams = by_hand(case, job, limit.instead.segments)
            assert grams == pytest.approx(limit.instead.emissions_gco2e)
            assert limit.saves_gco2e == pytest.approx(by_hand(case, job, told.segments) - grams)
            assert_only_lifted(case, found, job, limit.kind, limit.instead.segments)


def assert_only_lifted(
    case: FleetCase, found: FleetPlan, job: Job, kind: LimitKind, segments: tuple[Segment, ...]
) -> None:
    lifted = {
        LimitKind.DEADLINE: replace(job, deadline_at_s=job.deadline_at_s + 86_400),
        LimitKind.EARLIEST_START: replace(job, earliest_start_at_s=job.earliest_start_at_s - 86_400),
        LimitKind.REGIONS: replace(job, regions=()),
        LimitKind.CAPACITY: job,
        LimitKind.PLAN: job,
    }[kind]
    others = {} if kind is LimitKind.CAPACITY else found.segments
    tried = replace(case, jobs=[lifted if one.id == job.id else one for one in case.jobs])
    assert flaws(tried, {**others, job.id: segments}) == ()
    is_free = flaws(case, {**found.segments, job.id: segments}) == ()
    assert is_free is (kind is LimitKind.PLAN)


def by_hand(case: FleetCase, job: Job, segments: Sequence[Segment]) -> float:
    zones = {region.name: region for region in case.regions}
    return sum(
        job.power_w
        / 3.6e6
        * zones[one.region].pue
        * integral_by_hand(case.forecasts[zones[one.region].zone], one.start_at_s, one.end_at_s)
        for one in segments
    )
