"""One job by any objective is no dearer than at any start tried; with grams alone nothing changes at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.prices import PriceSeries
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Region
from scheduler.planning.planner import OpenJob
from scheduler.planning.weighed.planner import WeighedPlanner
from scheduler.planning.whole_fleet.objective import GRAMS, Site, Weights
from tests.builders import HOUR_S, a_job, a_series

HOURS = 10
rows = st.lists(st.integers(1, 500).map(float), min_size=HOURS, max_size=HOURS)
price_rows = st.lists(st.integers(-50, 400).map(lambda cents: cents / 1000), min_size=HOURS, max_size=HOURS)
weights = st.builds(
    Weights,
    per_gco2e=st.sampled_from([0.0, 1.0]),
    per_usd=st.sampled_from([100.0, 2000.0]),
    per_l=st.sampled_from([0.0, 30.0]),
    per_waiting_kwh_h=st.sampled_from([0.0, 20.0]),
)


def a_site(usd_per_kwh: list[float], hire: float, embodied: float) -> Site:
    series = PriceSeries(
        zone="x", edges_at_s=HOUR_S * np.arange(HOURS + 1, dtype=np.float64), usd_per_kwh=np.array(usd_per_kwh)
    )
    return Site(
        usd_per_kwh=series, usd_per_gpu_h=hire, gco2e_per_gpu_h=embodied, wue_l_per_kwh=0.4, source_l_per_kwh=1.5
    )


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(rows, rows),
    st.tuples(price_rows, price_rows),
    st.tuples(st.sampled_from([0.0, 0.5]), st.sampled_from([0.0, 40.0])),
    weights,
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_no_start_on_a_fine_grid_is_cheaper(
    grids: tuple[list[float], list[float]],
    prices: tuple[list[float], list[float]],
    rates: tuple[float, float],
    objective: Weights,
    gpus: int,
    duration_h: int,
) -> None:
    regions = [Region(name="a", zone="A", gpus=4, pue=1.0), Region(name="b", zone="B", gpus=4, pue=1.5)]
    forecasts = {"A": a_series(grids[0], zone="A"), "B": a_series(grids[1], zone="B")}
    sites = {"a": a_site(prices[0], *rates), "b": a_site(prices[1], 0.0, 0.0)}
    job = a_job(duration_s=duration_h * HOUR_S, deadline_at_s=HOURS * HOUR_S, gpus=gpus, power_w=700.0 * gpus)
    one = WeighedPlanner(inner=FleetPlanner(), weights=objective, sites=sites)
    found = one.plan([OpenJob(job=job)], regions, forecasts, 0.0).placements["job"]

    def by_hand(start_h: int, place: int) -> float:
        pue, (hire, embodied) = (1.0, rates) if place == 0 else (1.5, (0.0, 0.0))
        total = 0.0
        for hour in range(start_h, start_h + duration_h):
            it_kwh = 0.7 * gpus
            grams = it_kwh * pue * grids[place][hour] + gpus * embodied
            usd = it_kwh * pue * prices[place][hour] + gpus * hire
            water = it_kwh * (0.4 + pue * 1.5)
            waited = it_kwh * (hour + 0.5 - duration_h / 2)
            total += objective.per_gco2e * grams + objective.per_usd * usd
            total += objective.per_l * water + objective.per_waiting_kwh_h * waited
        return total

    best = min(by_hand(start, place) for start in range(HOURS - duration_h + 1) for place in (0, 1))
    assert found.objective_cost == pytest.approx(best, rel=1e-6, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(rows, st.lists(st.tuples(st.integers(1, 4), st.integers(2, HOURS), st.integers(1, 3)), min_size=1, max_size=5))
def test_grams_alone_plan_as_the_planner_of_grams_does(row: list[float], shapes: list[tuple[int, int, int]]) -> None:
    regions, forecasts = [Region(name="a", zone="A", gpus=4, pue=1.1)], {"A": a_series(row, zone="A")}
    open_jobs = [
        OpenJob(job=a_job(id=f"job-{n}", gpus=g, deadline_at_s=w * HOUR_S, duration_s=d * HOUR_S * 0.7))
        for n, (g, w, d) in enumerate(shapes)
    ]
    plain = FleetPlanner().plan(open_jobs, regions, forecasts, 0.0)
    again = WeighedPlanner(inner=FleetPlanner(), weights=GRAMS, sites={"a": Site()}).plan(
        open_jobs, regions, forecasts, 0.0
    )
    assert plain.refusals == again.refusals
    for name, one in plain.placements.items():
        assert (one.segments, one.cause) == (again.placements[name].segments, again.placements[name].cause)
        assert again.placements[name].emissions_gco2e == pytest.approx(one.emissions_gco2e)
        assert again.placements[name].baseline_emissions_gco2e == pytest.approx(one.baseline_emissions_gco2e)
