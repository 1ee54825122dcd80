"""What was expected of jobs when they started, kept for those that succeed."""

from __future__ import annotations

import pytest

from scheduler.daemon.dashboard import first_plans
from scheduler.daemon.dashboard.first_plans import FirstPlans
from scheduler.jobs import Job
from scheduler.planning.plan import Cause, Placement, Segment
from tests.builders import a_job


def a_plan(job: Job, emissions_gco2e: float | None = 300.0) -> Placement:
    segment = Segment(start_at_s=0.0, end_at_s=3600.0, region="here", gpus=1)
    return Placement(
        job_id=job.id,
        segments=(segment,),
        cause=next(iter(Cause)),
        emissions_gco2e=emissions_gco2e,
        baseline_emissions_gco2e=400.0,
    )


def test_the_plan_of_the_first_start_counts_once_the_job_has_succeeded() -> None:
    plans, job = FirstPlans(), a_job(tenant="red")
    plans.started(job, a_plan(job, 300.0), 0.0)
    assert plans.known(None) == []
    plans.started(job, a_plan(job, 100.0), 1800.0)  # the second piece of it
    plans.succeeded(job)
    (one,) = plans.known("red")
    assert (one.emissions_gco2e, one.at_once_emissions_gco2e) == (300.0, 400.0)
    assert plans.known("blue") == []


def test_a_place_whose_grid_nobody_knew_promised_nothing() -> None:
    plans, job = FirstPlans(), a_job()
    plans.started(job, a_plan(job, None), 0.0)
    plans.succeeded(job)
    assert plans.known(None) == []


def test_the_oldest_under_way_are_forgotten_where_too_many_never_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_plans, "MAX_JOBS", 2)
    plans, jobs = FirstPlans(), [a_job(id=name) for name in ("a", "b", "c")]
    for job in jobs:
        plans.started(job, a_plan(job), 0.0)
    for job in jobs:
        plans.succeeded(job)
    assert [one.job_id for one in plans.known(None)] == ["b", "c"]
