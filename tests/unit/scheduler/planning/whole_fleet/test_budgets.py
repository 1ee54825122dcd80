"""Budgets of tenants: what counts when, who moves, who is refused and by how much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.jobs import Job
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.choosing import ChosenPlan
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import run_now
from scheduler.planning.whole_fleet.objective import Objective, Site
from scheduler.planning.whole_fleet.rules.budgets import Budget, Budgets, Per, Spent
from scheduler.planning.whole_fleet.rules.narrowing import plan_under
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

DAY_S = 24 * HOUR_S


def a_tenants_job(name: str, tenant: str = "vision", *, within_s: float = DAY_S, priority: int = 0) -> Job:
    return replace(a_job(name, within_s=within_s, priority=priority), tenant=tenant)


def planned(jobs: list[Job], *budgets: Budget, days: int = 2) -> ChosenPlan:
    """The first day is clean, 100 g; the others 200 g. Each job draws 1 kW for an hour, 1.5 kWh with PUE."""
    series = a_series(*([100] * 24 + [200] * 24 * (days - 1)))
    case = FleetCase(jobs=jobs, regions=[a_region(gpus=8, pue=1.5)], forecasts={"DE": series})
    sites = {"DE": Site(usd_per_kwh=0.2)}
    rules = [Budgets(case, sites, budgets)]
    return plan_under(case, sites, Objective(), rules, run_now(case), np.random.default_rng(0))


@pytest.mark.parametrize(("what", "most_cost"), [(Spent.KWH, 3.1), (Spent.GCO2E, 310.0), (Spent.USD, 0.61)])
def test_the_last_job_over_a_daily_budget_is_refused(what: Spent, most_cost: float) -> None:
    jobs = [a_tenants_job(name) for name in ("a", "b", "c")]
    found = planned(jobs, Budget(tenant="vision", what=what, most_cost=most_cost))
    assert set(found.plan.segments) == {"a", "b"}
    assert found.plan.reasons["c"].startswith("budget: needs ")


def test_the_reason_says_how_much_is_too_much() -> None:
    jobs = [a_tenants_job(name) for name in ("a", "b", "c")]
    found = planned(jobs, Budget(tenant="vision", what=Spent.KWH, most_cost=4.0))
    assert found.plan.reasons["c"] == (
        "budget: needs 1.5 kwh in 2022-03-01, where vision has spent 3 of 4: 0.5 too much"
    )


def test_a_job_that_may_wait_moves_to_the_next_day() -> None:
    jobs = [a_tenants_job(name, within_s=2 * DAY_S) for name in ("a", "b", "c")]
    found = planned(jobs, Budget(tenant="vision", what=Spent.KWH, most_cost=3.0))
    assert not found.plan.reasons
    starts_s = {name: one[0].start_at_s for name, one in found.plan.segments.items()}
    assert starts_s["c"] >= MIDNIGHT_S + DAY_S
    assert max(starts_s["a"], starts_s["b"]) < MIDNIGHT_S + DAY_S
    assert found.plan.certificate.emissions_gco2e == pytest.approx(150 + 150 + 300)
    # The bound is one on all plans of these jobs, with or without the budget.
    assert found.plan.certificate.lower_bound_gco2e == pytest.approx(450, rel=1e-3)


def test_the_job_of_least_priority_gives_way() -> None:
    jobs = [a_tenants_job("low", priority=-1), a_tenants_job("a"), a_tenants_job("b")]
    found = planned(jobs, Budget(tenant="vision", what=Spent.KWH, most_cost=3.0))
    assert set(found.plan.reasons) == {"low"}


def test_a_job_that_is_too_large_leaves_the_small_ones_alone() -> None:
    large = replace(a_tenants_job("large"), power_w=5000.0)
    found = planned(
        [a_tenants_job("a"), large, a_tenants_job("b")], Budget(tenant="vision", what=Spent.KWH, most_cost=4)
    )
    assert set(found.plan.reasons) == {"large"}


def test_other_tenants_are_not_counted() -> None:
    jobs = [a_tenants_job("a"), a_tenants_job("b", "speech"), a_tenants_job("c", "speech")]
    assert not planned(jobs, Budget(tenant="vision", what=Spent.KWH, most_cost=1.5)).plan.reasons


def test_a_month_counts_all_its_days() -> None:
    jobs = [a_tenants_job(name, within_s=2 * DAY_S) for name in ("a", "b", "c")]
    found = planned(jobs, Budget(tenant="vision", what=Spent.KWH, most_cost=3.0, per=Per.MONTH))
    assert "in 2022-03, where vision has spent 3 of 3: 1.5 too much" in found.plan.reasons["c"]


def test_a_run_over_midnight_counts_on_both_days() -> None:
    job = a_tenants_job("a")
    case = FleetCase(jobs=[job], regions=[a_region()], forecasts={"DE": a_series(*[100] * 24, *[200] * 24)})
    budget = Budget(tenant="vision", what=Spent.GCO2E, most_cost=1.0)
    start_at_s = MIDNIGHT_S + DAY_S - HOUR_S / 4
    place = (Segment(start_at_s=start_at_s, end_at_s=start_at_s + HOUR_S, region="DE"),)
    ledger = Budgets(case, {"DE": Site()}, [budget]).ledger(budget, case.jobs, {"a": place})
    assert [begin.day for begin in sorted(ledger)] == [1, 2]
    assert [ledger[begin]["a"] for begin in sorted(ledger)] == pytest.approx([25, 150])


def test_spending_that_is_not_known_is_over_every_budget() -> None:
    case = FleetCase(jobs=[a_tenants_job("a")], regions=[a_region()], forecasts={"DE": a_series(*[100] * 24)})
    budgets = [Budget(tenant="vision", what=Spent.USD, most_cost=1e9)]
    sites = {"DE": Site()}
    found = plan_under(
        case, sites, Objective(), [Budgets(case, sites, budgets)], run_now(case), np.random.default_rng(0)
    )
    assert set(found.plan.reasons) == {"a"}
