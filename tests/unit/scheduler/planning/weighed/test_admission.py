"""Whether budgets can pay for a job: now, in a later period, or not at all; worked by hand in kilowatt-hours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from scheduler.jobs import Job
from scheduler.planning.plan import Cause, Obstacle, Placement, Refusal, Segment
from scheduler.planning.weighed.admission import Admitted, BudgetStanding, Overdrawn, admitted, planned
from scheduler.planning.whole_fleet.objective import Components
from scheduler.planning.whole_fleet.rules.budgets import Budget, Per, Spent
from tests.builders import DAY_S, HOUR_S, YEAR_2022_AT_S, a_job

TODAY = datetime(2022, 1, 1, tzinfo=UTC)


def bill(job: Job, segments: Sequence[Segment]) -> Components:
    """A PUE of 1."""
    return Components(energy_kwh=sum(job.power_w / 1000 * one.duration_s / 3600 for one in segments))


def at_once(job: Job) -> Placement | Refusal:
    """At its earliest start, where there is time."""
    start_at_s, end_at_s = job.earliest_start_at_s, job.earliest_start_at_s + job.duration_s
    if end_at_s > job.deadline_at_s:
        return Refusal(job_id=job.id, obstacle=Obstacle.DEADLINE, what="no time")
    return Placement(
        job_id=job.id,
        segments=(Segment(start_at_s=start_at_s, end_at_s=end_at_s, region="here"),),
        cause=Cause.CLEANEST,
    )


def here(start_h: float, *, within_h: float = 60, hours: float = 1.0, tenant: str = "red") -> Job:
    start_s = YEAR_2022_AT_S + start_h * HOUR_S
    return a_job(
        earliest_start_at_s=start_s, deadline_at_s=start_s + within_h * HOUR_S, duration_s=hours * HOUR_S, tenant=tenant
    )


def a_standing(most_kwh: float, settled_kwh: float = 0.0, per: Per = Per.DAY, **planned_kwh: float) -> BudgetStanding:
    """`planned_kwh` by day of the year: d1, d2."""
    days = {TODAY + timedelta(days=int(day[1:]) - 1): {"other": kwh} for day, kwh in planned_kwh.items()}
    budget = Budget(tenant="red", what=Spent.KWH, most_cost=most_kwh, per=per)
    return BudgetStanding(budget=budget, begin=per.begin(YEAR_2022_AT_S), settled_cost=settled_kwh, planned=days)


def asked(job: Job, *standings: BudgetStanding) -> Admitted | Overdrawn | Refusal:
    return admitted(job, at_once, standings, bill)


def test_a_budget_with_room_pays_at_once_and_the_job_stays_as_it_was() -> None:
    job = here(8)
    found = asked(job, a_standing(3.0, settled_kwh=1.0, d1=1.0))
    assert isinstance(found, Admitted)
    assert found.job is job


def test_a_job_waits_for_the_first_day_whose_budget_can_pay() -> None:
    found = asked(here(8), a_standing(3.0, settled_kwh=2.5, d2=2.5))
    assert isinstance(found, Admitted)
    assert found.job.earliest_start_at_s == found.placement.start_at_s == YEAR_2022_AT_S + 2 * DAY_S
    assert found.job.asked_earliest_start_at_s == YEAR_2022_AT_S + 8 * HOUR_S


def test_a_job_that_cannot_wait_is_told_how_much_is_too_much() -> None:
    found = asked(here(8, within_h=10), a_standing(3.0, settled_kwh=2.0, d1=0.5))
    assert isinstance(found, Overdrawn)
    assert found.text == "budget: needs 1 kwh in 2022-01-01, where red has used or planned 2.5 of 3: 0.5 too much"


def test_a_run_over_midnight_is_paid_by_both_days() -> None:
    over = here(22, hours=4, within_h=5)
    assert isinstance(asked(over, a_standing(2.0)), Admitted)
    found = asked(over, a_standing(2.0, d2=0.5))
    assert isinstance(found, Overdrawn)
    assert found.begin.day == 2
    assert found.own_cost == pytest.approx(2.0)


def test_every_budget_of_the_tenant_must_pay_and_nobody_elses() -> None:
    month = a_standing(4.0, settled_kwh=3.5, per=Per.MONTH)
    found = asked(here(8), a_standing(9.0), month)
    assert isinstance(found, Overdrawn)
    assert "in 2022-01," in found.text
    assert isinstance(asked(here(8, tenant="blue"), month), Admitted)
    until_february = asked(here(8, within_h=32 * 24), month)
    assert isinstance(until_february, Admitted)
    assert until_february.job.earliest_start_at_s == YEAR_2022_AT_S + 31 * DAY_S


def test_what_is_not_known_cannot_be_paid() -> None:
    found = asked(here(8, within_h=10), a_standing(9.0, settled_kwh=math.inf))
    assert isinstance(found, Overdrawn)
    assert found.text == "budget: what red has used in 2022-01-01 is not known in kwh"
    unknown = Components(energy_kwh=math.nan)
    dark = admitted(here(8, within_h=10), at_once, [a_standing(9.0)], lambda job, segments: unknown)
    assert isinstance(dark, Overdrawn)
    assert dark.text == "budget: what the job costs in 2022-01-01 is not known in kwh"


def test_a_job_without_a_place_is_refused_for_that_and_not_for_money() -> None:
    found = asked(here(8, within_h=0.5), a_standing(0.0))
    assert isinstance(found, Refusal)
    assert found.obstacle is Obstacle.DEADLINE


def test_what_is_planned_is_by_period_and_tenant() -> None:
    budget = Budget(tenant="red", what=Spent.KWH, most_cost=1.0)
    piece = Segment(start_at_s=YEAR_2022_AT_S + 23 * HOUR_S, end_at_s=YEAR_2022_AT_S + 26 * HOUR_S, region="here")
    found = planned(budget, [(here(0), (piece,)), (here(0, tenant="blue"), (piece,))], bill)
    assert found == {TODAY: {"job": 1.0}, TODAY + timedelta(days=1): {"job": 2.0}}
