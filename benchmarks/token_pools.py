"""Pools of tokens beside recorded jobs: how far jobs and pools together are from the best there is, and what it takes.

    python -m benchmarks.token_pools
    python -m benchmarks.token_pools 100

The fleets of benchmarks.planner (Philly and PAI jobs of a week, zones of 2022) with room for a fifth more than the jobs
need at each load, and three pools that ask for half of what is left: one with the whole week, one with three days in
the middle, one for a day in the first zone alone. `jobs first` pours them beside the plan of the jobs as it is, `moved`
is what is planned. Fails when a token is short, or a gap is above 5%. Needs the recorded traces.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from itertools import product

import numpy as np

from benchmarks.planner import GRID, START_AT_S, TRACES, WEEK_S, WORST_GAP_RATIO, ZONES, instance, real_jobs
from intensity_feeds.trace import read_trace
from scheduler.planning.whole_fleet.choosing import ChosenPlan, plan_for
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.objective import Objective, Site
from scheduler.planning.whole_fleet.token_filling.planned import plan_with_pools
from scheduler.planning.whole_fleet.token_filling.pouring import poured
from scheduler.planning.whole_fleet.token_pools import Density, Pool
from tests.real_data import data_folder

SIZES, LOAD_RATIOS, REGIONS = (100, 300, 1000), (0.5, 0.7), (1, 3)
DENSITIES = (Density(tokens_per_s=9000.0, power_w=690.0), Density(tokens_per_s=2500.0, power_w=450.0))
ASKED_RATIO, DAY_S = 0.5, 86400.0


def pools(case: FleetCase, load_ratio: float) -> list[Pool]:
    """Half of what the jobs leave in the mean, a third of it for each."""
    free_gpus = (1 - load_ratio) * sum(region.gpus for region in case.regions)
    spans = ((0.0, WEEK_S), (2 * DAY_S, 5 * DAY_S), (3 * DAY_S, 4 * DAY_S))
    found = []
    for number, (first_s, last_s) in enumerate(spans):
        density = DENSITIES[number % 2]
        share = free_gpus / (len(case.regions) if number == 2 else 1)
        gpu_s = ASKED_RATIO / 3 * share * (last_s - first_s)
        found.append(
            Pool(
                name=f"pool-{number}",
                tokens=gpu_s * density.tokens_per_s,
                earliest_start_at_s=START_AT_S + first_s,
                deadline_at_s=START_AT_S + last_s,
                densities={region.name: density for region in case.regions},
                regions=(case.regions[0].name,) if number == 2 else (),
            )
        )
    return found


def measured(trace: str, case: FleetCase, asked: list[Pool]) -> tuple[ChosenPlan, str]:
    sites = {region.name: Site() for region in case.regions}
    before_s = time.process_time()
    alone = plan_for(case, sites, Objective(), np.random.default_rng(0))
    jobs_s = time.process_time() - before_s
    full = replace(case, pools=asked)
    before_s = time.process_time()
    first = poured(full, alone.plan.segments)
    pour_s = time.process_time() - before_s
    before_s = time.process_time()
    found = plan_with_pools(alone, asked, sites, may_move=True)
    pools_s = time.process_time() - before_s
    proof, first_gco2e = found.plan.certificate, first.cost + alone.plan.certificate.emissions_gco2e
    at_once_gco2e = found.plan.run_now.emissions_gco2e or float("nan")
    cells = (
        trace,
        str(len(case.jobs)),
        str(len(case.regions)),
        str(case.regions[0].gpus),
        share(alone.plan.certificate.gap_ratio),
        f"{first_gco2e / proof.lower_bound_gco2e - 1:.2%}",
        share(proof.gap_ratio),
        f"{1 - proof.emissions_gco2e / at_once_gco2e:.1%}",
        f"{jobs_s:.1f} s",
        f"{1000 * pour_s:.0f} ms",
        f"{pools_s:.1f} s",
    )
    return found, f"| {' | '.join(cells)} |"


def share(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2%}"


def main() -> int:
    sizes = [int(one) for one in sys.argv[1:]] or SIZES
    grid = read_trace(data_folder() / GRID, sorted({zone for zones in ZONES.values() for zone in zones}))
    head = "| trace | jobs | regions | GPUs each | gap of jobs | jobs first | moved | saved | jobs | pour | pools |"
    print(f"{head}\n|{' --- |' * 11}")
    is_well = True
    for trace, count, regions, load_ratio in product(TRACES, sizes, REGIONS, LOAD_RATIOS):
        case = instance(list(real_jobs(trace)), count, load_ratio, {zone: grid[zone] for zone in ZONES[regions]})
        found, row = measured(trace, case, pools(case, load_ratio))
        print(row, flush=True)
        is_short = any(one.short_tokens for one in found.plan.pools.values())
        is_well = is_well and not is_short and (found.plan.certificate.gap_ratio or 0.0) <= WORST_GAP_RATIO
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
