"""What a fleet costs in every unit, chosen by one thing and by another: the trade-off of grams, dollars and litres.

    python -m benchmarks.objectives

Prints the table of benchmarks/objectives.md. The fleet is that of benchmarks/planner.py with the grids and the prices
of Germany, France and California in one week of March 2022; a number behind the command chooses how many jobs. Limits
lie between the two ends that the first rows find. Seconds are processor time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.planner import GRID, START_AT_S, TRACES, WEEK_S, instance, real_jobs
from intensity_feeds.price_trace import read_prices
from intensity_feeds.trace import read_trace
from scheduler.planning.whole_fleet.choosing import ChosenPlan, plan_for
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.objective import Limit, Limited, Objective, Site, Sites, Weights
from tests.real_data import data_folder

PRICES = "carbon/price_2022_2023_hourly_19zones.csv.gz"
# Water in electricity, L/kWh, country averages after the WRI method as carried by EcoLogits 0.11.3.
SOURCE_L_PER_KWH = {"DE": 1.947, "FR": 3.6737, "US-CAL-CISO": 3.1321}
# An H100 with its eighth of a server over four years: (273 + 712) kg.
GCO2E_PER_GPU_H = 985_000 / (4 * 8766)
WUE_L_PER_KWH = 0.36
JOBS, LOAD_RATIO = 60, 0.6
USD_PER_T = (100, 1000)


def fleet(jobs: int) -> tuple[FleetCase, Sites]:
    every = read_trace(data_folder() / GRID, tuple(SOURCE_L_PER_KWH))
    grid = {zone: series.between(START_AT_S, START_AT_S + WEEK_S) for zone, series in every.items()}
    prices = read_prices(data_folder() / PRICES, tuple(SOURCE_L_PER_KWH))
    sites = {
        zone: Site(
            usd_per_kwh=prices[zone],
            gco2e_per_gpu_h=GCO2E_PER_GPU_H,
            wue_l_per_kwh=WUE_L_PER_KWH,
            source_l_per_kwh=source_l_per_kwh,
        )
        for zone, source_l_per_kwh in SOURCE_L_PER_KWH.items()
    }
    case = instance(list(real_jobs(next(iter(TRACES)))), jobs, LOAD_RATIO, grid)
    return replace(case, regions=[replace(region, pue=1.2) for region in case.regions]), sites


def row(what: str, case: FleetCase, sites: Sites, objective: Objective) -> tuple[ChosenPlan, str]:
    before_s = time.process_time()
    found = plan_for(case, sites, objective, np.random.default_rng(0))
    took_s = time.process_time() - before_s
    cost = found.components
    assert cost.usd is not None and cost.water_l is not None
    gap = "" if found.proof.gap_ratio is None else f"{found.proof.gap_ratio:.2%}"
    cells = (f"{cost.gco2e / 1000:.2f}", f"{cost.usd:.2f}", f"{cost.water_l:.0f}", gap, f"{took_s:.1f}")
    return found, f"| {what} | {' | '.join(cells)} |"


def rows(case: FleetCase, sites: Sites) -> Iterator[str]:
    by_grams, line = row("fewest grams", case, sites, Objective())
    yield line
    by_usd, line = row("lowest bill", case, sites, Objective(weights=Weights(per_usd=1.0)))
    yield line
    for usd_per_t in USD_PER_T:
        weights = Weights(per_gco2e=usd_per_t / 1e6, per_usd=1.0)
        yield row(f"lowest bill, a tonne at {usd_per_t} USD", case, sites, Objective(weights=weights))[1]
    yield row("least water", case, sites, Objective(weights=Weights(per_l=1.0)))[1]
    least_usd, most_usd = by_usd.components.usd, by_grams.components.usd
    assert least_usd is not None and most_usd is not None
    for share_ratio in (0.1, 0.5):
        most_cost = round(least_usd + share_ratio * (most_usd - least_usd), 2)
        limit = Limit(what=Limited.USD, most_cost=most_cost)
        yield row(f"fewest grams for at most {most_cost} USD", case, sites, Objective(limit=limit))[1]
    grams = by_grams.components.gco2e, by_usd.components.gco2e
    most_kg = round((grams[0] + 0.2 * (grams[1] - grams[0])) / 1000, 1)
    limit = Limit(what=Limited.GCO2E, most_cost=1000 * most_kg)
    objective = Objective(weights=Weights(per_usd=1.0), limit=limit)
    yield row(f"lowest bill with at most {most_kg} kg", case, sites, objective)[1]


def main() -> int:
    case, sites = fleet(int(sys.argv[1]) if len(sys.argv) > 1 else JOBS)
    print(f"{len(case.jobs)} jobs, {len(case.regions)} regions of {case.regions[0].gpus} GPUs\n")
    print("| chosen by | kgCO2e | USD | l of water | gap | s |\n| :--- | ---: | ---: | ---: | ---: | ---: |")
    for line in rows(case, sites):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
