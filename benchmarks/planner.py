"""Fleet plans of real and drawn jobs: how far from the bound, who is refused, beside other planners, and in what time.

    python -m benchmarks.planner                   fleets of a week at 60 to 85 % load: a few minutes
    python -m benchmarks.planner all               those and all below, as in benchmarks/planner.md
    python -m benchmarks.planner crowded month     at 95 % load; of thirty days
    python -m benchmarks.planner drawn             of jobs drawn from distributions
    python -m benchmarks.planner week --jobs 35    only fleets of so many jobs

Real jobs have the lengths and GPUs of the Philly and PAI traces, up to 48 hours and 4 GPUs, submitted at the trace's
instants folded into the span, with 6 to 48 hours of slack; three of ten may pause. Drawn ones arrive at any time alike
with log-normal lengths. The GPUs follow from the load; loads that a small fleet cannot tell apart are one row. Times
are processor time, so that other work counts little. Exit code 1 when, of the fleets at 60 to 85 % load, the median gap
is above 2 % or the worst above 5 %, when any refuses more than the earliest deadline first has late, or when one is
worse than the greedy plan.
"""

from __future__ import annotations

import argparse
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
from scheduler.planning.whole_fleet.joint import FleetPlan, by_deadline, plan_fleet
from tests.real_data import data_folder

GRID = "carbon/avg_2022_hourly_34zones.csv.gz"
TRACES = {"Philly": "training_jobs/philly_2017_09_10.csv.gz", "PAI": "training_jobs/alibaba_pai_100k_1y_gaia.csv.gz"}
# Not from a trace: see `drawn_jobs`.
DRAWN = "drawn"
_TEN = ("DE", "US-CAL-CISO", "GB", "FR", "ES", "PL", "NL", "BE", "CH", "FI")
ZONES = {1: _TEN[:1], 3: _TEN[:3], 10: _TEN}
DAY_S, HOUR_S = 86400.0, 3600.0
WEEK_S = 7 * DAY_S
START_AT_S = 1_646_092_800.0  # 2022-03-01T00:00Z
SHORTEST_S, LONGEST_S = 600.0, 48 * HOUR_S
MEDIAN_S, SIGMA = 2 * HOUR_S, 1.2
# Wider jobs are one in a hundred; one of them would set the size of a small fleet, whatever its load.
WIDEST = 4
SLACKS_H = (6, 12, 24, 48)
POWER_W_PER_GPU, PUE = 300.0, 1.2
# Of every ten jobs, so many may pause.
PAUSING_OF_TEN = 3
MEDIAN_GAP_RATIO, WORST_GAP_RATIO = 0.02, 0.05
# Loads for which gaps have a target. A load is rounded to whole GPUs.
HELD_LOADS = (0.595, 0.855)

# What a job of a trace is: instant of submission in seconds, length in seconds, GPUs.
Drawn = tuple[float, float, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleets:
    """Fleets of each of these sizes in each number of regions, at each load that their GPUs can tell apart."""

    traces: Sequence[str] = tuple(TRACES)
    days: int = 7
    sizes: Sequence[int]
    regions: Sequence[int]
    loads: Sequence[float]


GROUPS = {
    "week": (
        Fleets(sizes=(35, 100, 300, 1000), regions=(1, 3), loads=(0.60, 0.72, 0.85)),
        Fleets(sizes=(3000, 10_000), regions=(10,), loads=(0.72,)),
    ),
    "crowded": (
        Fleets(sizes=(100, 300, 1000), regions=(1, 3), loads=(0.95,)),
        Fleets(sizes=(3000,), regions=(10,), loads=(0.85, 0.95)),
    ),
    "month": (
        Fleets(days=30, sizes=(1000,), regions=(1, 3), loads=(0.72,)),
        Fleets(days=30, sizes=(3000, 10_000), regions=(10,), loads=(0.72,)),
    ),
    "drawn": (
        Fleets(traces=(DRAWN,), sizes=(35, 300), regions=(1, 3), loads=(0.72, 0.85)),
        Fleets(traces=(DRAWN,), sizes=(1000,), regions=(3,), loads=(0.60, 0.72, 0.85)),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    trace: str
    days: int
    load_ratio: float
    found: FleetPlan
    plan_s: float
    greedy: Plan
    by_deadline_late: int

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
        case, now, proof = self.found.case, self.found.run_now, self.found.certificate
        return (
            self.trace,
            str(self.days),
            str(len(case.jobs)),
            str(len(case.regions)),
            f"{self.load_ratio:.0%}",
            str(case.regions[0].gpus),
            f"{self.gap_ratio:.2%}",
            f"{self.plan_s:.1f}",
            f"{proof.emissions_gco2e / 1000:.1f}",
            str(len(self.found.reasons)),
            str(self.found.fewest_refused),
            str(self.by_deadline_late),
            f"{self.greedy_gco2e / 1000:.1f}",
            str(len(self.greedy.refusals)),
            "not known" if now.emissions_gco2e is None else f"{now.emissions_gco2e / 1000:.1f}",
            str(now.late),
        )

    @property
    def failures(self) -> Iterator[str]:
        """What must not be, whatever the load."""
        refused = len(self.found.reasons)
        if refused > self.by_deadline_late:
            yield "refuses more than the earliest deadline first has late"
        late = len(self.greedy.refusals)
        if late < refused or (
            late == refused and self.greedy_gco2e < (1 - 1e-9) * self.found.certificate.emissions_gco2e
        ):
            yield "is worse than the greedy plan"


HEADINGS = (
    *("trace", "days", "jobs", "regions", "load", "GPUs each", "gap", "s"),
    *("plan kg", "refused", "at least", "late by deadline", "greedy kg", "late", "at once kg", "late"),
)


def real_jobs(trace: str, span_s: float = WEEK_S) -> Iterator[Drawn]:
    """PAI counts processors, so its jobs hold one GPU each."""
    with gzip.open(data_folder() / TRACES[trace], "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            duration_s = float(row["duration_s"])
            gpus = int(row.get("gpus") or 1)
            if SHORTEST_S <= duration_s <= LONGEST_S and gpus <= WIDEST:
                yield float(row["submit_s"]) % span_s, duration_s, gpus


def drawn_jobs(span_s: float, count: int = 20_000) -> Iterator[Drawn]:
    """Half of them on one GPU, a quarter on two, a quarter on four."""
    generator = np.random.default_rng(0)
    lengths_s = np.clip(MEDIAN_S * generator.lognormal(0.0, SIGMA, count), SHORTEST_S, LONGEST_S).tolist()
    gpus = generator.choice((1, 1, 2, WIDEST), count).tolist()
    yield from zip(generator.uniform(0.0, span_s, count).tolist(), lengths_s, gpus, strict=True)


def instance(
    pool: Sequence[Drawn], count: int, load_ratio: float, grid: dict[str, IntensitySeries], span_s: float = WEEK_S
) -> FleetCase:
    """`count` jobs of the pool, and in each zone the GPUs that make the load, but no fewer than the widest job has."""
    generator = np.random.default_rng(count)
    picked = [pool[number] for number in generator.choice(len(pool), count, replace=False)]
    jobs = [a_job(number, one, generator, span_s) for number, one in enumerate(picked)]
    held_s = sum(job.gpus * job.duration_s for job in jobs)
    gpus = max(round(held_s / (load_ratio * span_s * len(grid))), *(job.gpus for job in jobs))
    regions = [Region(name=zone, zone=zone, gpus=gpus, pue=PUE) for zone in grid]
    return FleetCase(jobs=jobs, regions=regions, forecasts=grid)


def a_job(number: int, one: Drawn, generator: np.random.Generator, span_s: float) -> Job:
    """Submitted at the trace's instant, drawn together so that every job has time before the span is over."""
    in_span_s, duration_s, gpus = one
    earliest_s = START_AT_S + in_span_s * (1 - (duration_s + min(SLACKS_H) * HOUR_S) / span_s)
    slack_s = float(generator.choice(SLACKS_H)) * HOUR_S
    return Job(
        id=f"job-{number}",
        kind=JobKind.FINE_TUNING,
        submitted_at_s=earliest_s,
        earliest_start_at_s=earliest_s,
        deadline_at_s=min(earliest_s + duration_s + slack_s, START_AT_S + span_s),
        duration_s=duration_s,
        power_w=POWER_W_PER_GPU * gpus,
        gpus=gpus,
        interruption=Interruption() if generator.integers(10) < PAUSING_OF_TEN else None,
    )


def measured(trace: str, days: int, case: FleetCase) -> Row:
    before_s = time.process_time()
    found = plan_fleet(case, np.random.default_rng(0))
    plan_s = time.process_time() - before_s
    now_s = min(job.earliest_start_at_s for job in case.jobs)
    open_jobs = [OpenJob(job=job) for job in case.jobs]
    held_s = sum(job.gpus * job.duration_s for job in case.jobs)
    return Row(
        trace=trace,
        days=days,
        load_ratio=held_s / (sum(region.gpus for region in case.regions) * days * DAY_S),
        found=found,
        plan_s=plan_s,
        greedy=FleetPlanner(reserve_ratio=0.0).plan(open_jobs, case.regions, case.forecasts, now_s),
        by_deadline_late=len(case.jobs) - len(by_deadline(case)),
    )


def rows(groups: Sequence[str], sizes: Sequence[int]) -> Iterator[Row]:
    grid = read_trace(data_folder() / GRID, sorted(_TEN))
    for fleets in (one for group in groups for one in GROUPS[group]):
        span_s = fleets.days * DAY_S
        pools = {one: list(drawn_jobs(span_s) if one == DRAWN else real_jobs(one, span_s)) for one in fleets.traces}
        for trace, count, regions in product(fleets.traces, fleets.sizes, fleets.regions):
            if sizes and count not in sizes:
                continue
            here = {zone: grid[zone] for zone in ZONES[regions]}
            cases = [instance(pools[trace], count, load_ratio, here, span_s) for load_ratio in fleets.loads]
            for case in {one.regions[0].gpus: one for one in cases}.values():
                yield measured(trace, fleets.days, case)


def _group(name: str) -> str:
    """Not by `choices`, which would be asked of the default as well."""
    if name not in (*GROUPS, "all"):
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(GROUPS)}, all")
    return name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", type=_group, metavar="GROUP", help=f"{', '.join(GROUPS)} or all; week")
    parser.add_argument("--jobs", nargs="*", type=int, default=[], help="only fleets of so many jobs")
    asked = parser.parse_args()
    groups = list(GROUPS) if "all" in asked.groups else asked.groups or ["week"]
    print(f"| {' | '.join(HEADINGS)} |")
    print("| :--- |" + " ---: |" * (len(HEADINGS) - 1))
    gap_ratios, failures = [], []
    for row in rows(groups, asked.jobs):
        if HELD_LOADS[0] <= row.load_ratio <= HELD_LOADS[1]:
            gap_ratios.append(row.gap_ratio)
        failures += [f"{' '.join(row.cells()[:6])}: {what}" for what in row.failures]
        print(f"| {' | '.join(row.cells())} |", flush=True)
    median_ratio, worst_ratio = statistics.median(gap_ratios or [0.0]), max(gap_ratios or [0.0])
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of the whole run: {peak_mib:.0f} MiB.")
    print(f"Gap at 60 to 85 % load: median {median_ratio:.2%}, worst {worst_ratio:.2%} of {len(gap_ratios)} fleets.")
    print("\n".join(failures))
    return int(median_ratio > MEDIAN_GAP_RATIO or worst_ratio > WORST_GAP_RATIO or bool(failures))


if __name__ == "__main__":
    sys.exit(main())
