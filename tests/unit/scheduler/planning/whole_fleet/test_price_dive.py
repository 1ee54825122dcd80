"""Stages from large jobs to small ones, and the prices of what is left between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.planning.whole_fleet.alone.bound import Capacity, lower_bound
from scheduler.planning.whole_fleet.certificate import flaws
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.slots.plan import SlotPlan
from scheduler.planning.whole_fleet.slots.price_dive import Way, dive
from tests.plan_cases import HOUR_S, a_job, a_region, a_series

WAY = Way(slack_ratio=0.5, damped_ratio=0.9)


def a_case() -> FleetCase:
    """One GPU for four hours, of which the middle two are clean: a long job wants both, and the short ones one each."""
    jobs = [a_job("long", duration_s=2 * HOUR_S, within_s=4 * HOUR_S)]
    jobs += [a_job(f"short-{number}", within_s=4 * HOUR_S) for number in range(2)]
    return FleetCase(jobs=jobs, regions=[a_region()], forecasts={"DE": a_series(300, 100, 100, 200)})


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_the_long_job_gets_the_clean_hours_and_the_short_ones_go_around_it(stages: int) -> None:
    case = a_case()
    carbon = Rates.of(case)
    plan = SlotPlan(case, carbon)
    dive(plan, lower_bound(case.jobs, carbon, 50).rates, WAY, stages, rounds=10)
    assert flaws(case, plan.assignment()) == ()
    assert plan.refused == 0
    assert plan.rank[1] == pytest.approx(700.0)


def test_a_more_urgent_job_goes_before_a_larger_one() -> None:
    case = a_case()
    case = replace(case, jobs=[*case.jobs[:-1], replace(case.jobs[-1], priority=1)])
    plan = SlotPlan(case, Rates.of(case))
    asks = sorted(plan.asks, key=lambda ask: WAY.order(ask, plan.grid.slot_s))
    assert [ask.job.id for ask in asks] == ["short-1", "long", "short-0"]


def test_what_is_left_is_counted_in_the_mean_of_each_cell() -> None:
    case = replace(a_case(), power_caps_w={"DE": 2500.0})
    rates = Rates.of(case)
    plan = SlotPlan(case, rates)
    half = plan.grid.slots // 4 // 2
    plan.put(plan.asks[1], plan.window_at(plan.asks[1], 0, half))
    left = plan.room_left(rates)
    np.testing.assert_allclose(left.gpus, [[0.5, 0.5, 1.0, 1.0]])
    np.testing.assert_allclose(left.caps_w, [[2000.0, 2000.0, 2500.0, 2500.0]])


def test_regions_without_a_cap_have_watts_without_end() -> None:
    case = a_case()
    rates = Rates.of(case)
    assert np.isinf(SlotPlan(case, rates).room_left(rates).caps_w).all()


def test_prices_of_what_is_left_keep_a_job_out_of_hours_that_are_taken() -> None:
    case = replace(a_case(), jobs=[a_job(within_s=4 * HOUR_S)])
    rates = Rates.of(case)
    taken = Capacity(gpus=np.array([[1.0, 0.0, 0.0, 1.0]]), caps_w=np.array([[np.inf]]))
    bound = lower_bound(case.jobs, rates, 70, capacity=taken)
    # 1 kWh in the last hour: at a price of 100 g or more on the clean hours nothing is cheaper.
    assert bound.lower_bound_gco2e == pytest.approx(200.0, rel=1e-2)
    assert bound.lower_bound_gco2e <= 200.0
