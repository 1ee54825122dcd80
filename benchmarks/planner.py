"""Fleet plans of real jobs: how far from the bound, beside the greedy planner and running at once, and in what time.

    python -m benchmarks.planner

Prints the table of benchmarks/planner.md; numbers behind the command choose other sizes of the fleet. Jobs have the
lengths and GPUs of the Philly and PAI traces, up to 48 hours and 4 GPUs, submitted at the trace's instants folded into
one week of 2022, with 6 to 48 hours of slack; three of ten may pause. The GPUs follow from the load; loads that a small
fleet cannot tell apart are one row; the largest fleets have ten regions and one load. Times are processor time, so that
other work counts little. Exit code 1 when the median gap is above 2 % or the worst above 5 %.
"""

from __future__ import annotations

import csv
import gzip
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from intensity_feeds.series import IntensitySeries
from intensity_feeds.trace import read_trace
from scheduler.jobs import Interruption, Job, JobKind
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Plan, Region
from scheduler.planning.planner import OpenJob
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import FleetPlan, plan_fleet
from tests.real_data import data_folder

GRID = "carbon/avg_2022_hourly_34zones.csv.gz"
TRACES = {"Philly": "training_jobs/philly_2017_09_10.csv.gz", "PAI": "training_jobs/alibaba_pai_100k_1y_gaia.csv.gz"}
SIZES, LOADS = (100, 300, 1000), (0.60, 0.72, 0.85)
LARGE_SIZES, LARGE_REGIONS, LARGE_LOAD_RATIO = (3000, 10_000), 10, 0.72
_TEN = ("DE", "US-CAL-CISO", "GB", "FR", "ES", "PL", "NL", "BE", "CH", "FI")
ZONES = {1: _TEN[:1], 3: _TEN[:3], LARGE_REGIONS: _TEN}
WEEK_S, HOUR_S = 7 * 86400.0, 3600.0
START_AT_S = 1_646_092_800.0  # 2022-03-01T00:00Z
SHORTEST_S, LONGEST_S = 600.0, 48 * HOUR_S
# Wider jobs are one in a hundred; one of them would set the size of a small fleet, whatever its load.
WIDEST = 4
SLACKS_H = (6, 12, 24, 48)
POWER_W_PER_GPU, PUE = 300.0, 1.2
# Of every ten jobs, so many may pause.
PAUSING_OF_TEN = 3
MEDIAN_GAP_RATIO, WORST_GAP_RATIO = 0.02, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    trace: str
    jobs: int
    regions: int
    load_ratio: float
    gpus: int
    found: FleetPlan
    plan_s: float
    greedy: Plan
    greedy_s: float

    @property
    def gap_ratio(self) -> float:
        gap_ratio = self.found.certificate.gap_ratio
        assert gap_ratio is not None, "real grids emit"
        return gap_ratio

    @property
    def greedy_gco2e(self) -> float:
        """Of the jobs that the greedy planner has in time."""
        placed = self.greedy.placements.items()
        return sum(one.emissions_gco2e or 0.0 for name, one in placed if name not in self.greedy.refusals)

    def cells(self) -> tuple[str, ...]:
        now, proof = self.found.run_now, self.found.certificate
        return (
            self.trace,
            str(self.jobs),
            str(self.regions),
            f"{self.load_ratio:.0%}",
            str(self.gpus),
            f"{self.gap_ratio:.2%}",
            f"{self.plan_s:.1f}",
            f"{proof.emissions_gco2e / 1000:.1f}",
            str(len(self.found.reasons)),
            f"{self.greedy_gco2e / 1000:.1f}",
            str(len(self.greedy.refusals)),
            "not known" if now.emissions_gco2e is None else f"{now.emissions_gco2e / 1000:.1f}",
            str(now.late),
        )


HEADINGS = (
    *("trace", "jobs", "regions", "load", "GPUs each", "gap", "s"),
    *("plan kg", "refused", "greedy kg", "late", "at once kg", "late"),
)


def real_jobs(trace: str) -> Iterator[tuple[float, float, int]]:
    """(instant in the week, length in seconds, GPUs). PAI counts processors, so its jobs hold one GPU each."""
    with gzip.open(data_folder() / TRACES[trace], "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            duration_s = float(row["duration_s"])
            gpus = int(row.get("gpus") or 1)
            if SHORTEST_S <= duration_s <= LONGEST_S and gpus <= WIDEST:
                yield float(row["submit_s"]) % WEEK_S, duration_s, gpus


def instance(
    pool: Sequence[tuple[float, float, int]], count: int, load_ratio: float, grid: dict[str, IntensitySeries]
) -> FleetCase:
    """`count` jobs of the pool, and in each zone the GPUs that make the load, but no fewer than the widest job has."""
    generator = np.random.default_rng(count)
    picked = [pool[number] for number in generator.choice(len(pool), count, replace=False)]
    jobs = [a_job(number, one, generator) for number, one in enumerate(picked)]
    held_s = sum(job.gpus * job.duration_s for job in jobs)
    gpus = max(round(held_s / (load_ratio * WEEK_S * len(grid))), *(job.gpus for job in jobs))
    regions = [Region(name=zone, zone=zone, gpus=gpus, pue=PUE) for zone in grid]
    return FleetCase(jobs=jobs, regions=regions, forecasts=grid)


def a_job(number: int, one: tuple[float, float, int], generator: np.random.Generator) -> Job:
    """Submitted at the trace's instant, drawn together so that every job has time before the week is over."""
    in_week_s, duration_s, gpus = one
    earliest_s = START_AT_S + in_week_s * (1 - (duration_s + min(SLACKS_H) * HOUR_S) / WEEK_S)
    slack_s = float(generator.choice(SLACKS_H)) * HOUR_S
    return Job(
        id=f"job-{number}",
        kind=JobKind.FINE_TUNING,
        submitted_at_s=earliest_s,
        earliest_start_at_s=earliest_s,
        deadline_at_s=min(earliest_s + duration_s + slack_s, START_AT_S + WEEK_S),
        duration_s=duration_s,
        power_w=POWER_W_PER_GPU * gpus,
        gpus=gpus,
        interruption=Interruption() if generator.integers(10) < PAUSING_OF_TEN else None,
    )


def measured(trace: str, case: FleetCase) -> Row:
    before_s = time.process_time()
    found = plan_fleet(case, np.random.default_rng(0))
    plan_s = time.process_time() - before_s
    now_s = min(job.earliest_start_at_s for job in case.jobs)
    before_s = time.process_time()
    open_jobs = [OpenJob(job=job) for job in case.jobs]
    greedy = FleetPlanner(reserve_ratio=0.0).plan(open_jobs, case.regions, case.forecasts, now_s)
    gpus = case.regions[0].gpus
    held_s = sum(job.gpus * job.duration_s for job in case.jobs)
    return Row(
        trace=trace,
        jobs=len(case.jobs),
        regions=len(case.regions),
        load_ratio=held_s / (gpus * len(case.regions) * WEEK_S),
        gpus=gpus,
        found=found,
        plan_s=plan_s,
        greedy=greedy,
        greedy_s=time.process_time() - before_s,
    )


def rows(sizes: Sequence[int]) -> Iterator[Row]:
    grid = read_trace(data_folder() / GRID, sorted({zone for zones in ZONES.values() for zone in zones}))
    pools = {trace: list(real_jobs(trace)) for trace in TRACES}
    small = product(TRACES, sorted({*sizes} - {*LARGE_SIZES}), [one for one in ZONES if one < LARGE_REGIONS], [LOADS])
    large = product(TRACES, sorted({*sizes} & {*LARGE_SIZES}), [LARGE_REGIONS], [(LARGE_LOAD_RATIO,)])
    for trace, count, regions, load_ratios in (*small, *large):
        here = {zone: grid[zone] for zone in ZONES[regions]}
        cases = [instance(pools[trace], count, load_ratio, here) for load_ratio in load_ratios]
        for case in {one.regions[0].gpus: one for one in cases}.values():
            yield measured(trace, case)


def main() -> int:
    sizes = [int(one) for one in sys.argv[1:]] or [*SIZES, *LARGE_SIZES]
    print(f"| {' | '.join(HEADINGS)} |")
    print("| :--- |" + " ---: |" * (len(HEADINGS) - 1))
    gap_ratios = []
    for row in rows(sizes):
        gap_ratios.append(row.gap_ratio)
        print(f"| {' | '.join(row.cells())} |", flush=True)
    median_ratio, worst_ratio = statistics.median(gap_ratios), max(gap_ratios)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of the whole run: {peak_mib:.0f} MiB.")
    print(f"Gap: median {median_ratio:.2%}, worst {worst_ratio:.2%} of {len(gap_ratios)} fleets.")
    return int(median_ratio > MEDIAN_GAP_RATIO or worst_ratio > WORST_GAP_RATIO)


if __name__ == "__main__":
    sys.exit(main())
