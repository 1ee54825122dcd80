"""Why each job is where it is: what an explanation takes, for fleets of every kind of job on real jobs and grids.

`python -m benchmarks.explanations` prints the table of docs/planning.md; a number of jobs can be named.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace

import numpy as np

from benchmarks.kinds_of_jobs import KINDS, LOAD_RATIO, TRACE
from benchmarks.planner import GRID, ZONES, instance, real_jobs
from intensity_feeds.trace import read_trace
from scheduler.jobs import Interruption
from scheduler.planning.reasons.in_fleet import FleetReasons
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from tests.real_data import data_folder

SIZE, REGIONS = 100, (1, 3)
LEAST_RUN_S = 1800.0


def with_least_runs(case: FleetCase) -> FleetCase:
    """Every job that may pause does so for no less than half an hour of work."""
    pause = Interruption(min_run_s=LEAST_RUN_S)
    jobs = [job if job.interruption is None else replace(job, interruption=pause) for job in case.jobs]
    return replace(case, jobs=jobs)


def milliseconds(case: FleetCase) -> list[float]:
    """Of each job that is planned."""
    reasons = FleetReasons(plan_fleet(case, np.random.default_rng(0)))
    taken: list[float] = []
    begun_s = time.process_time()
    for _ in reasons.explanations():
        now_s = time.process_time()
        taken.append(1000.0 * (now_s - begun_s))
        begun_s = now_s
    return taken


def main() -> int:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE
    pool = list(real_jobs(TRACE))
    print("| kind | regions | median | 9 in 10 | worst |")
    print("| :--- | ---: | ---: | ---: | ---: |")
    for count in REGIONS:
        grid = read_trace(data_folder() / GRID, sorted(ZONES[count]))
        plain = instance(pool, size, LOAD_RATIO, {zone: grid[zone] for zone in ZONES[count]})
        for name, made in {**KINDS, "least runs of 30 min": with_least_runs}.items():
            if count == 1 and name == "unlike GPUs":
                continue
            taken_ms = sorted(milliseconds(made(plain)))
            shown = (statistics.median(taken_ms), taken_ms[int(0.9 * len(taken_ms))], taken_ms[-1])
            print(f"| {name} | {count} | {' | '.join(f'{one:.1f} ms' for one in shown)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
