"""What was expected of jobs when they first started, sorted beside what was used for them."""

from __future__ import annotations

import pytest

from scheduler.first_plans import FirstPlan, KeptPlan, PlannedBy, compared, first_plan
from scheduler.ledger import EnergyBasis, EnergyUse, Subject
from scheduler.planning.plan import Cause, Placement, Segment
from tests.builders import a_job

DAY_S = 86_400.0


def a_placement(emissions_gco2e: float | None = 300.0) -> Placement:
    segment = Segment(start_at_s=0.0, end_at_s=3600.0, region="here", gpus=1)
    return Placement(
        job_id="job",
        segments=(segment,),
        cause=next(iter(Cause)),
        emissions_gco2e=emissions_gco2e,
        baseline_emissions_gco2e=400.0,
    )


def a_use(job_id: str) -> EnergyUse:
    return EnergyUse(
        subject=Subject.JOB,
        subject_id=job_id,
        category="production",
        tenant="red",
        region="here",
        zone="DE",
        started_at_s=0.0,
        ended_at_s=3600.0,
        energy_kwh=1.0,
        basis=EnergyBasis.MODELLED,
        pue=1.0,
        at_once_at_s=0.0,
        at_once_zone="DE",
        at_once_pue=1.0,
    )


def a_kept(job_id: str, *, tenant: str = "red", model: str = "", ended_at_s: float = 10.0) -> KeptPlan:
    plan = FirstPlan(
        job_id=job_id,
        tenant=tenant,
        model=model,
        planned_at_s=0.0,
        emissions_gco2e=1.0,
        at_once_emissions_gco2e=2.0,
    )
    return KeptPlan(plan=plan, ended_at_s=ended_at_s)


def test_the_forecast_of_a_first_start_is_kept_with_the_model_that_the_job_names() -> None:
    job = a_job(tenant="red", arguments=(("model", "small"), ("seed", "1")))
    kept = first_plan(job, a_placement(), 0.0, 7.0)
    assert kept is not None
    assert (kept.job_id, kept.tenant, kept.model, kept.planned_at_s) == ("job", "red", "small", 7.0)
    assert (kept.emissions_gco2e, kept.at_once_emissions_gco2e) == (300.0, 400.0)


def test_a_later_piece_and_a_place_whose_grid_nobody_knows_promise_nothing() -> None:
    assert first_plan(a_job(), a_placement(), 1800.0, 0.0) is None
    assert first_plan(a_job(), a_placement(None), 0.0, 0.0) is None
    assert first_plan(a_job(), None, 0.0, 0.0) is None


@pytest.mark.parametrize(
    ("by", "names"),
    [
        (PlannedBy.DAY, {"1970-01-01": ["a"], "1970-01-02": ["b"], "1970-02-10": ["c"]}),
        (PlannedBy.MONTH, {"1970-01": ["a", "b"], "1970-02": ["c"]}),
        (PlannedBy.TENANT, {"blue": ["c"], "red": ["a", "b"]}),
        (PlannedBy.MODEL, {"": ["a", "c"], "small": ["b"]}),
        (None, {"": ["a", "b", "c"]}),
    ],
)
def test_plans_are_sorted_by_the_end_of_their_job_its_tenant_and_its_model(
    by: PlannedBy | None, names: dict[str, list[str]]
) -> None:
    kept = [
        a_kept("a"),
        a_kept("b", model="small", ended_at_s=DAY_S),
        a_kept("c", tenant="blue", ended_at_s=40 * DAY_S),
    ]
    found = compared(kept, [a_use(name) for name in "abc"], by)
    assert {name: [plan.job_id for plan in one.plans] for name, one in found.items()} == names
    assert {name: [use.subject_id for use in one.uses] for name, one in found.items()} == names


def test_a_plan_of_whose_job_nothing_was_booked_is_held_beside_nothing() -> None:
    found = compared([a_kept("a"), a_kept("b")], [a_use("a"), a_use("a")])
    assert [plan.job_id for plan in found[""].plans] == ["a"]
    assert len(found[""].uses) == 2
