"""Fleets of every kind of job on real jobs and grids: how long a plan takes, and how far from its bound it is.

`python -m benchmarks.kinds_of_jobs` prints the table of kinds_of_jobs.md; numbers of jobs can be named.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.planner import GRID, ZONES, instance, real_jobs
from intensity_feeds.trace import read_trace
from scheduler.planning.one_job.elastic import Scaling
from scheduler.planning.one_job.power_profile import Phase
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from tests.real_data import data_folder

TRACE, REGIONS, LOAD_RATIO = "Philly", 3, 0.6
SIZES = (100, 1000)
# Speed and power beside the GPU that jobs were measured on, by region.
UNLIKE = ((1.0, 1.0), (2.2, 1.75), (0.5, 0.6))
# Shares of a run and of its power: warm-up, training, evaluation.
PHASES = ((0.1, 0.5), (0.8, 1.1), (0.1, 0.7))
# Of twice as many GPUs.
DOUBLE_SPEED = 1.8


def as_they_are(case: FleetCase) -> FleetCase:
    return case


def unlike_gpus(case: FleetCase) -> FleetCase:
    every = zip(case.regions, UNLIKE, strict=True)
    return replace(case, regions=[replace(one, speed=speed, power_ratio=ratio) for one, (speed, ratio) in every])


def in_phases(case: FleetCase) -> FleetCase:
    """Every job that runs in one piece."""
    whole = [job for job in case.jobs if job.interruption is None]
    phases = {
        job.id: [Phase(duration_s=share * job.duration_s, power_w=ratio * job.power_w) for share, ratio in PHASES]
        for job in whole
    }
    return replace(case, phases=phases)


def elastic(case: FleetCase) -> FleetCase:
    """Every job that a region has room for twice."""
    narrow = [job for job in case.jobs if 2 * job.gpus <= case.regions[0].gpus]
    scalings = {job.id: Scaling(speeds=((job.gpus, 1.0), (2 * job.gpus, DOUBLE_SPEED))) for job in narrow}
    return replace(case, scalings=scalings)


KINDS: dict[str, Callable[[FleetCase], FleetCase]] = {
    "as they are": as_they_are,
    "unlike GPUs": unlike_gpus,
    "in phases": in_phases,
    "elastic": elastic,
}


def main() -> int:
    sizes = [int(one) for one in sys.argv[1:]] or SIZES
    grid = read_trace(data_folder() / GRID, sorted(ZONES[REGIONS]))
    pool = list(real_jobs(TRACE))
    print("| jobs | kind | planned | kg | gap | s |")
    print("| ---: | :--- | ---: | ---: | ---: | ---: |")
    for size in sizes:
        plain = instance(pool, size, LOAD_RATIO, {zone: grid[zone] for zone in ZONES[REGIONS]})
        for name, made in KINDS.items():
            before_s = time.process_time()
            found = plan_fleet(made(plain), np.random.default_rng(0))
            plan_s = time.process_time() - before_s
            proof = found.certificate
            gap = "unknown" if proof.gap_ratio is None else f"{proof.gap_ratio:.1%}"
            planned, emitted_kg = len(found.segments), proof.emissions_gco2e / 1000
            print(f"| {size} | {name} | {planned} | {emitted_kg:.1f} | {gap} | {plan_s:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
