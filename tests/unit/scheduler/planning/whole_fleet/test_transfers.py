"""Data that follows its job: paid for, waited for, and only moved when that pays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.jobs import Job
from scheduler.planning.whole_fleet.choosing import ChosenPlan
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import run_now
from scheduler.planning.whole_fleet.objective import Objective, Site, Weights
from scheduler.planning.whole_fleet.rules.budgets import Budget, Budgets, Spent
from scheduler.planning.whole_fleet.rules.narrowing import Rule, plan_under
from scheduler.planning.whole_fleet.rules.transfers import Data, Link, Transfers
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

# A hundred gigabytes take an hour and draw one kWh.
LINK = Link(gb_per_s=100 / HOUR_S, kwh_per_gb=0.01, usd_per_gb=0.02)
SITES = {"DE": Site(usd_per_kwh=0.5), "FR": Site(usd_per_kwh=0.1)}


def planned(
    size_gb: float,
    *,
    job: Job | None = None,
    link: Link = LINK,
    weights: Weights | None = None,
    budget: Budget | None = None,
) -> ChosenPlan:
    """One job of 1 kW for an hour; its data lies in DE at 300 g, FR has 100 g and then 50 g."""
    one = a_job(within_s=4 * HOUR_S) if job is None else job
    case = FleetCase(
        jobs=[one],
        regions=[a_region("DE"), a_region("FR")],
        forecasts={"DE": a_series(300, 300, 300, 300), "FR": a_series(50, 100, 100, 100, zone="FR")},
    )
    objective = Objective(weights=weights or Weights(per_gco2e=1.0))
    moves = Transfers(case, SITES, objective.weights, {"job": Data(region="DE", size_gb=size_gb)}, link)
    rules: list[Rule] = [moves, Budgets(case, SITES, [] if budget is None else [budget], moves)]
    return plan_under(case, SITES, objective, rules, run_now(case), np.random.default_rng(0), moves)


def place(found: ChosenPlan) -> tuple[str, float]:
    (only,) = found.plan.segments["job"]
    return only.region, (only.start_at_s - MIDNIGHT_S) / HOUR_S


def test_a_small_move_is_paid_and_waited_for() -> None:
    found = planned(50)
    # Half an hour under way at 0.5 kWh and 300 g; it arrives within the clean hour, half of which is left.
    assert place(found) == ("FR", 0.5)
    cost = found.components
    assert (cost.transfer_kwh, cost.transfer_gco2e) == pytest.approx((0.5, 150))
    assert cost.transfer_usd == pytest.approx(0.5 * 0.5 + 50 * 0.02)
    assert cost.grid_gco2e == pytest.approx(75)
    assert found.proof.emissions_gco2e == pytest.approx(225)
    # The bound knows no moves: it is that of the clean hour in FR.
    assert found.proof.lower_bound_gco2e == pytest.approx(50)


def test_a_large_move_is_not_made() -> None:
    found = planned(90)
    assert place(found)[0] == "DE"
    assert found.components.transfer_kwh == 0
    assert found.proof.emissions_gco2e == pytest.approx(300)


def test_money_for_a_move_counts_when_dollars_do() -> None:
    weights = Weights(per_usd=2.0)
    # In DE 0.5 USD, in FR 0.1 USD and 0.02 USD for each GB and 0.005 USD for its energy.
    assert place(planned(15, weights=weights))[0] == "FR"
    assert place(planned(17, weights=weights))[0] == "DE"


def test_a_job_that_cannot_wait_for_its_data_stays_with_it() -> None:
    assert place(planned(10, job=a_job(within_s=HOUR_S + 300)))[0] == "DE"
    slow = replace(LINK, gb_per_s=LINK.gb_per_s / 100)
    assert place(planned(10, link=slow))[0] == "DE"


def test_a_job_that_may_not_run_where_its_data_lies_waits_for_it_or_is_refused() -> None:
    abroad = a_job(within_s=4 * HOUR_S, regions=("FR",))
    region, start_h = place(planned(200, job=abroad))
    assert region == "FR"
    assert start_h >= 2
    refused = planned(350, job=abroad)
    assert refused.plan.reasons == {"job": "region: its data arrives too late anywhere"}


def test_a_budget_knows_what_a_move_costs() -> None:
    assert not planned(50, budget=Budget(tenant="default", what=Spent.KWH, most_cost=1.6)).plan.reasons
    found = planned(50, budget=Budget(tenant="default", what=Spent.KWH, most_cost=1.4))
    assert found.plan.reasons["job"].startswith("budget: needs 1.5 kwh")


def test_run_at_once_stays_with_its_data() -> None:
    jobs = [a_job("far", regions=("FR",)), a_job("near"), a_job("none")]
    case = FleetCase(jobs=jobs, regions=[a_region("FR"), a_region("DE")], forecasts={})
    data = {name: Data(region="DE", size_gb=1.0) for name in ("far", "near")}
    moves = Transfers(case, SITES, Weights(per_gco2e=1.0), data, LINK)
    assert [job.regions for job in moves.at_home] == [("FR",), ("DE",), ()]
