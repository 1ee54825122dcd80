"""What running costs in each unit, worked by hand, and that a case with an objective is a plain case again."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from intensity_feeds.prices import PriceSeries
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.certificate import recomputed_gco2e
from scheduler.planning.whole_fleet.choosing import LimitUnreachableError, bound_cost_of, plan_for
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.objective import (
    GRAMS,
    Components,
    Limit,
    Limited,
    Objective,
    Site,
    Weights,
    components,
    effective,
    total,
    value_of,
)
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series


def at(from_h: float, to_h: float, region: str = "DE") -> Segment:
    return Segment(start_at_s=MIDNIGHT_S + from_h * HOUR_S, end_at_s=MIDNIGHT_S + to_h * HOUR_S, region=region)


def a_price(*usd_per_kwh: float, step_s: float = HOUR_S) -> PriceSeries:
    edges = MIDNIGHT_S + step_s * np.arange(len(usd_per_kwh) + 1, dtype=np.float64)
    return PriceSeries(zone="DE", edges_at_s=edges, usd_per_kwh=np.array(usd_per_kwh))


def a_case(*values: float | None, jobs: int = 1, pue: float = 1.5) -> FleetCase:
    """One region of 1 GPU, jobs of 1 kW and an hour."""
    series = a_series(*values)
    within_s = HOUR_S * len(values)
    return FleetCase(
        jobs=[a_job(f"job-{number}", within_s=within_s) for number in range(jobs)],
        regions=[a_region(pue=pue)],
        forecasts={"DE": series},
    )


FULL = Site(
    usd_per_kwh=a_price(0.1, 0.3),
    usd_per_gpu_h=2.0,
    gco2e_per_gpu_h=28.0,
    wue_l_per_kwh=0.36,
    source_l_per_kwh=2.0,
)


def chosen(case: FleetCase, site: Site, objective: Objective) -> list[int]:
    """The hours in which the jobs start."""
    found = plan_for(case, {"DE": site}, objective, np.random.default_rng(0))
    return sorted(round((one[0].start_at_s - MIDNIGHT_S) / HOUR_S) for one in found.plan.segments.values())


def test_components_are_what_the_accounting_says() -> None:
    case = a_case(300, 100)
    cost = components(case, {"DE": FULL}, case.jobs[0], (at(0.5, 1.5),))
    # 1 kWh of IT energy is 1.5 kWh of the facility, half of it at 300 g and 0.1 USD, half at 100 g and 0.3 USD.
    assert cost.energy_kwh == pytest.approx(1.5)
    assert cost.grid_gco2e == pytest.approx(1.5 * 200)
    assert cost.embodied_gco2e == pytest.approx(28)
    assert cost.electricity_usd == pytest.approx(1.5 * 0.2)
    assert cost.hire_usd == pytest.approx(2)
    # Water on site is by IT energy and knows no PUE, water in electricity is by what the facility draws.
    assert cost.water_l == pytest.approx(0.36 + 1.5 * 2)


def test_the_objective_of_a_plain_case_is_the_sum_of_its_components() -> None:
    case = a_case(300, 100)
    weights = Weights(per_gco2e=0.5, per_usd=30.0, per_l=7.0)
    plain = effective(case, {"DE": FULL}, weights)
    cost = components(case, {"DE": FULL}, case.jobs[0], (at(0.25, 1.25),))
    assert cost.usd is not None and cost.water_l is not None
    by_hand = 0.5 * cost.gco2e + 30 * cost.usd + 7 * cost.water_l
    assert value_of(weights, cost) == pytest.approx(by_hand)
    assert recomputed_gco2e(plain, case.jobs[0], (at(0.25, 1.25),)) == pytest.approx(by_hand)


def test_grams_alone_leave_the_case_as_it_is() -> None:
    case = a_case(300, 100)
    assert effective(case, {"DE": Site()}, GRAMS) is case


def test_prices_of_a_finer_step_cut_the_forecast_where_they_change() -> None:
    case = a_case(300, 100)
    site = Site(usd_per_kwh=a_price(0.4, 0.1, 0.1, 0.1, step_s=HOUR_S / 2))
    plain = effective(case, {"DE": site}, Weights(per_gco2e=1.0, per_usd=100.0))
    hours = (plain.forecasts["DE"].edges_at_s - MIDNIGHT_S) / HOUR_S
    assert hours.tolist() == [0, 0.5, 1, 1.5, 2]
    assert plain.forecasts["DE"].gco2e_per_kwh.tolist() == [340, 310, 110, 110]


def test_two_regions_of_one_zone_pay_their_own_prices() -> None:
    case = FleetCase(
        jobs=[a_job()],
        regions=[a_region("east", zone="DE"), a_region("west", zone="DE")],
        forecasts={"DE": a_series(300, 300)},
    )
    sites = {"east": Site(usd_per_kwh=0.3), "west": Site(usd_per_kwh=0.2)}
    found = plan_for(case, sites, Objective(weights=Weights(per_usd=1.0)), np.random.default_rng(0))
    assert found.plan.segments["job"][0].region == "west"


def test_time_without_a_price_holds_no_work_when_dollars_count() -> None:
    case = a_case(100, 200, 300)
    site = Site(usd_per_kwh=a_price(float("nan"), 0.2, 0.3))
    assert chosen(case, site, Objective()) == [0]
    assert chosen(case, site, Objective(weights=Weights(per_usd=1.0))) == [1]
    assert components(case, {"DE": site}, case.jobs[0], (at(0, 1),)).usd is None


def test_time_without_an_intensity_holds_no_work_whatever_counts() -> None:
    site = Site(usd_per_kwh=a_price(0.1, 0.2, 0.3))
    assert chosen(a_case(None, 200, 300), site, Objective(weights=Weights(per_usd=1.0))) == [1]


def test_negative_prices_are_earned() -> None:
    case = a_case(100, 200, 300)
    found = plan_for(
        case,
        {"DE": Site(usd_per_kwh=a_price(0.1, -0.2, 0.3))},
        Objective(weights=Weights(per_usd=1.0)),
        np.random.default_rng(0),
    )
    assert found.plan.segments["job-0"] == (at(1, 2),)
    assert found.components.usd == pytest.approx(-0.3)
    assert found.proof.emissions_gco2e == pytest.approx(-0.3)
    assert found.proof.gap_ratio is None
    assert found.proof.lower_bound_gco2e == pytest.approx(-0.3)


def test_negative_intensities_draw_the_work_and_run_it_no_longer() -> None:
    found = plan_for(a_case(100, -50, -80), {"DE": Site()}, Objective(), np.random.default_rng(0))
    assert found.plan.segments["job-0"] == (at(2, 3),)
    assert found.plan.certificate.emissions_gco2e == pytest.approx(-120)
    assert found.plan.certificate.lower_bound_gco2e <= -120


def test_hire_and_embodied_carbon_send_a_job_elsewhere() -> None:
    case = FleetCase(
        jobs=[a_job()],
        regions=[a_region("DE"), a_region("FR")],
        forecasts={"DE": a_series(300, 300), "FR": a_series(290, 290, zone="FR")},
    )
    for dear in (Site(gco2e_per_gpu_h=28.0, usd_per_kwh=0.0), Site(usd_per_gpu_h=1.0, usd_per_kwh=0.0)):
        sites = {"DE": Site(usd_per_kwh=0.0), "FR": dear}
        weights = Weights(per_gco2e=1.0, per_usd=20.0)
        found = plan_for(case, sites, Objective(weights=weights), np.random.default_rng(0))
        assert found.plan.segments["job"][0].region == "DE"
        assert found.proof.emissions_gco2e == pytest.approx(300)


def test_waiting_that_costs_more_than_it_saves_is_not_done() -> None:
    case = a_case(300, 250, 100, pue=1.0)
    # The third hour saves 200 g for two hours of waiting of one kWh, the second 50 g for one.
    for per_waiting_kwh_h, hour in ((0.0, 2), (99.0, 2), (101.0, 0)):
        weights = Weights(per_gco2e=1.0, per_waiting_kwh_h=per_waiting_kwh_h)
        found = plan_for(case, {"DE": Site()}, Objective(weights=weights), np.random.default_rng(0))
        assert found.plan.segments["job-0"] == (at(hour, hour + 1),)
        assert found.components.waiting_kwh_h == pytest.approx(hour)
        value = (300, 250, 100)[hour] + per_waiting_kwh_h * hour
        assert found.proof.emissions_gco2e == pytest.approx(value)
        assert found.proof.lower_bound_gco2e == pytest.approx(value)


def test_waiting_is_that_of_the_work_whatever_the_facility_draws_beside_it() -> None:
    for pue in (1.0, 2.0):
        case = a_case(300, 250, 100, pue=pue)
        assert components(case, {"DE": Site()}, case.jobs[0], (at(1, 2),)).waiting_kwh_h == pytest.approx(1)
    weights = Weights(per_waiting_kwh_h=7.0)
    assert effective(case, {"DE": Site()}, weights).forecasts["DE"].gco2e_per_kwh.tolist() == [1.75, 5.25, 8.75]


def test_a_limit_on_dollars_is_kept_with_the_fewest_grams() -> None:
    # Two jobs; the clean hours are dear. Grams 100, 200, 300, 400; dollars 4, 3, 2, 1; at most 5 dollars in all.
    case = a_case(100, 200, 300, 400, jobs=2, pue=1.0)
    site = Site(usd_per_kwh=a_price(4, 3, 2, 1))
    objective = Objective(limit=Limit(what=Limited.USD, most_cost=5.0))
    found = plan_for(case, {"DE": site}, objective, np.random.default_rng(0))
    assert found.components.usd == pytest.approx(5)
    assert found.components.gco2e == pytest.approx(500)
    # Grams plus 100 g a dollar cost 500 in each hour, so two jobs at least 1000, less 5 dollars at 100 g.
    assert found.proof.lower_bound_gco2e == pytest.approx(500, rel=1e-3)


def test_the_bound_within_a_limit_is_that_of_the_line_between_the_plans_around_it() -> None:
    # One job: 100 g for 4 dollars, or 400 g for 1. At most 3 dollars leaves 400 g. A dollar less costs 100 g on the
    # line between the two, on which 3 dollars are 200 g; no multiplier proves more.
    site = Site(usd_per_kwh=a_price(4, 1))
    objective = Objective(limit=Limit(what=Limited.USD, most_cost=3.0))
    found = plan_for(a_case(100, 400, pue=1.0), {"DE": site}, objective, np.random.default_rng(0))
    assert found.proof.emissions_gco2e == pytest.approx(400)
    assert found.proof.lower_bound_gco2e == pytest.approx(200)


def test_a_bound_counts_waiting_from_when_the_job_might_have_run() -> None:
    late = a_job("late", earliest_s=MIDNIGHT_S + HOUR_S, within_s=2 * HOUR_S)
    case = replace(a_case(100, 300, 100), jobs=[a_job("soon", within_s=HOUR_S), late], regions=[a_region()])
    weights = Weights(per_gco2e=1.0, per_waiting_kwh_h=150.0)
    # The first runs at once for 100 g; the other waits an hour for 100 g, 250 in all, and saves the 300 g at once.
    assert bound_cost_of(case, {"DE": Site()}, weights) == pytest.approx(350)


def test_a_limit_that_does_not_bind_changes_nothing() -> None:
    case = a_case(100, 200, 300, 400, jobs=2, pue=1.0)
    site = Site(usd_per_kwh=a_price(4, 3, 2, 1))
    objective = Objective(limit=Limit(what=Limited.USD, most_cost=7.0))
    assert chosen(case, site, objective) == chosen(case, site, Objective()) == [0, 1]


def test_a_limit_that_no_plan_keeps_is_said_with_its_proof() -> None:
    case = a_case(100, 200, 300, 400, jobs=2, pue=1.0)
    objective = Objective(limit=Limit(what=Limited.USD, most_cost=2.9))
    with pytest.raises(LimitUnreachableError) as problem:
        plan_for(case, {"DE": Site(usd_per_kwh=a_price(4, 3, 2, 1))}, objective, np.random.default_rng(0))
    assert problem.value.least_cost == pytest.approx(3)
    assert 2.9 < problem.value.bound_cost <= 3


@pytest.mark.parametrize("weights", [{}, {"per_usd": -1.0}, {"per_l": math.nan}, {"per_gco2e": math.inf}])
def test_weights_that_say_nothing_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weights are numbers from 0"):
        Weights(**weights)


def test_a_sum_with_something_unknown_is_not_known() -> None:
    known, unknown = Components(electricity_usd=1.0, water_l=2.0), Components(electricity_usd=None)
    assert total([known, unknown]).electricity_usd is None
    assert total([known, unknown]).water_l == 2
    assert total([]) == Components()
    assert math.isnan(value_of(Weights(per_usd=1.0), unknown))
