"""Open jobs by dollars, water, GPU hire and waiting, on hours worked by hand; what is told stays true grams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from intensity_feeds.prices import PriceSeries
from scheduler.engine import Engine
from scheduler.events import ForecastUpdated, JobSubmitted
from scheduler.placement_text import explain
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Cause, Forecasts, Placement, Region
from scheduler.planning.planner import OpenJob
from scheduler.planning.reasons.by_objective import explain_by_objective
from scheduler.planning.reasons.explanation import LimitKind
from scheduler.planning.reasons.explanation_text import as_json, sentences
from scheduler.planning.weighed.planner import WeighedPlanner, reserve_ratio_of, unit_of
from scheduler.planning.whole_fleet.objective import GRAMS, Site, Weights
from tests.builders import HOUR_S, a_job, a_region, a_series

DIRTY_FIRST: Forecasts = {"DE": a_series([500, 400, 100, 300])}


def prices(*usd_per_kwh: float, zone: str = "DE") -> PriceSeries:
    edges = HOUR_S * np.arange(len(usd_per_kwh) + 1, dtype=np.float64)
    return PriceSeries(zone=zone, edges_at_s=edges, usd_per_kwh=np.array(usd_per_kwh))


def planner(weights: Weights, **sites: Site) -> WeighedPlanner:
    return WeighedPlanner(inner=FleetPlanner(), weights=weights, sites=sites)


def placed(one: WeighedPlanner, *regions: Region, forecasts: Forecasts = DIRTY_FIRST, **job: Any) -> Placement:
    open_job = OpenJob(job=a_job(**{"deadline_at_s": 4 * HOUR_S, **job}))
    return one.plan([open_job], regions or (a_region(),), forecasts, 0.0).placements["job"]


def test_dollars_alone_find_the_cheap_hour_and_grams_are_told_as_they_are() -> None:
    found = placed(planner(Weights(per_usd=1.0), here=Site(usd_per_kwh=prices(0.3, 0.1, 0.4, 0.5))))
    assert (found.start_at_s, found.cause) == (HOUR_S, Cause.CLEANEST)
    # 1 kW for an hour: 400 g beside 500 g at once, 10 cents beside 30.
    assert (found.emissions_gco2e, found.baseline_emissions_gco2e) == (400, 500)
    assert [found.objective_cost, found.baseline_cost] == pytest.approx([0.1, 0.3])
    assert explain(found, None).endswith("best window by the objective, saves 67% against starting at once")


def test_a_carbon_price_weighs_grams_against_dollars() -> None:
    site = Site(usd_per_kwh=prices(0.3, 0.1, 0.2, 0.5))
    # The clean hour saves 300 g for 10 cents more: worth it above 333 dollars a tonne.
    for usd_per_t, start_h in ((300.0, 1), (400.0, 2)):
        weights = Weights(per_gco2e=usd_per_t / 1e6, per_usd=1.0)
        assert placed(planner(weights, here=site)).start_at_s == start_h * HOUR_S


def test_hire_and_embodied_carbon_are_paid_for_each_gpu_hour_in_its_region() -> None:
    regions = (a_region(), a_region(name="away", zone="FR"))
    forecasts = {"DE": a_series([100] * 4), "FR": a_series([90] * 4, zone="FR")}
    for gpus, region in ((1, "away"), (4, "here")):
        sites = {"here": Site(), "away": Site(gco2e_per_gpu_h=5.0)}
        found = placed(planner(GRAMS, **sites), *regions, forecasts=forecasts, gpus=gpus)
        assert found.region == region
    assert (found.emissions_gco2e, found.objective_cost) == (100, 100)


def test_water_counts_by_it_energy_and_by_the_facilitys() -> None:
    regions = (a_region(), a_region(name="away", zone="FR", pue=2.0))
    forecasts = {"DE": a_series([100] * 4), "FR": a_series([1] * 4, zone="FR")}
    sites = {
        "here": Site(wue_l_per_kwh=1.0, source_l_per_kwh=1.0),
        "away": Site(wue_l_per_kwh=0.5, source_l_per_kwh=1.0),
    }
    found = placed(planner(Weights(per_l=1.0), **sites), *regions, forecasts=forecasts)
    # 1 + 1 * 1 litres here, 0.5 + 2 * 1 there.
    assert (found.region, found.objective_cost) == ("here", 2)


def test_a_price_of_waiting_brings_work_forward() -> None:
    for weight, start_h in ((100.0, 2), (250.0, 0)):
        weights = Weights(per_gco2e=1.0, per_waiting_kwh_h=weight)
        found = placed(planner(weights, here=Site()))
        assert found.start_at_s == start_h * HOUR_S
        assert found.emissions_gco2e is not None
        assert found.objective_cost == found.emissions_gco2e + start_h * weight


def test_an_unknown_price_is_never_assumed_cheap() -> None:
    found = placed(planner(Weights(per_usd=1.0), here=Site()))
    assert (found.start_at_s, found.cause, found.objective_cost) == (0, Cause.NO_FORECAST, None)
    half = placed(planner(Weights(per_usd=1.0), here=Site(usd_per_kwh=prices(0.3, 0.2, float("nan"), 0.25))))
    assert half.start_at_s == HOUR_S


def test_negative_prices_are_taken_at_their_word() -> None:
    found = placed(planner(Weights(per_usd=1.0), here=Site(usd_per_kwh=prices(0.1, 0.2, 0.1, -0.05))))
    assert [found.start_at_s, found.objective_cost] == pytest.approx([3 * HOUR_S, -0.05])
    assert found.objective_savings_ratio == pytest.approx(1.5)


def an_engine(one: WeighedPlanner) -> Engine:
    engine = Engine(regions=(a_region(),), planner=one)
    engine.decide([ForecastUpdated(at_s=0, zone="DE", series=DIRTY_FIRST["DE"])], 0)
    engine.decide([JobSubmitted(at_s=0, job=a_job(deadline_at_s=2.5 * HOUR_S))], 0)
    return engine


def test_what_starting_at_once_costs_stays_what_it_was_at_the_first_plan() -> None:
    engine = an_engine(planner(Weights(per_usd=1.0), here=Site(usd_per_kwh=prices(0.3, 0.1, 0.05, 0.5))))
    engine.decide([ForecastUpdated(at_s=600, zone="DE", series=a_series([900, 800, 700, 600]))], 600)
    found = engine.placement("job")
    assert found is not None
    assert [found.baseline_emissions_gco2e, found.baseline_cost] == pytest.approx([500, 0.3])
    assert found.start_at_s == 1.5 * HOUR_S


def test_an_explanation_names_the_limit_that_costs_most_dollars() -> None:
    one = planner(Weights(per_usd=1.0), here=Site(usd_per_kwh=prices(0.3, 0.1, 0.5, 0.05)))
    engine = an_engine(one)
    found = explain_by_objective("job", engine.open_jobs(0), one, engine.regions, engine.forecasts, {}, 0, 0.0)
    assert found is not None and found.binds is LimitKind.DEADLINE
    assert found.limits[0].saves_gco2e == pytest.approx(0.05)
    assert "0.05 USD (50.0%) less in here" in dict(sentences(found))["held by"]
    plain = as_json(found)
    assert (plain["unit"], plain["value"], plain["saves_value"]) == ("USD", pytest.approx(0.1), pytest.approx(0.2))
    assert not any("gco2e" in key for key in plain)
    assert explain_by_objective("nobody", [], one, engine.regions, engine.forecasts, {}, 0, 0.0) is None


def test_an_explanation_of_waiting_saves_what_the_plan_saves() -> None:
    one = planner(Weights(per_gco2e=1.0, per_waiting_kwh_h=50.0), here=Site())
    engine = an_engine(one)
    found = explain_by_objective("job", engine.open_jobs(0), one, engine.regions, engine.forecasts, {}, 0, 0.0)
    placement = engine.placement("job")
    assert found is not None and placement is not None and placement.objective_cost is not None
    assert found.unit == "weighted"
    assert found.saves_gco2e == pytest.approx((placement.baseline_cost or 0.0) - placement.objective_cost)
    assert LimitKind.PLAN not in {one.kind for one in found.limits}


def test_units_and_the_reserve_are_told() -> None:
    assert [unit_of(one) for one in (GRAMS, Weights(per_usd=1.0), Weights(per_l=1.0))] == ["gCO2e", "USD", "weighted"]
    assert reserve_ratio_of(planner(GRAMS)) == reserve_ratio_of(FleetPlanner()) > 0
