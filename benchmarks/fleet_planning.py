"""How long a joint plan of many jobs takes, and the place of one more beside them.

    python -m benchmarks.fleet_planning

Prints a table; `--markdown` prints it as benchmarks/README.md has it. Jobs that may not be interrupted, with recorded
durations and GPUs, all open at once, on one grid of hourly steps. With room: as many GPUs as the jobs would fill to 70%
until the deadlines. Crowded: a quarter of that, so that many are late. Exit code 1 when a plan with room takes longer
than its limit.
"""

from __future__ import annotations

import sys
import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from intensity_feeds.series import IntensitySeries
from intensity_feeds.trace import read_trace
from scheduler.jobs import Job, JobKind
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Region
from scheduler.planning.planner import OpenJob
from simulations.trace_files import read_job_trace
from simulations.workloads import JobTrace
from tests.real_data import data_folder

START_S = 1_646_092_800.0  # 2022-03-01T00:00Z
HORIZON_S, DAY_S = 96 * 3600.0, 86400.0
SLACK_S = 36 * 3600.0
POWER_PER_GPU_W = 700.0
LOAD_RATIO, CROWDED_LOAD_RATIO = 0.7, 2.8
BESIDE = 300
CROWDED = (300, 1000)

# What a plan with room may take, by its number of jobs: a replan must not hold up the gateway in the same process.
# Up to some hundred jobs three plans are made and the best is taken; a thousand get one.
LIMITS_S = {50: 0.030, 300: 0.150, 1000: 0.250}

GRID = "carbon/avg_2022_hourly_34zones.csv.gz"
JOBS = "training_jobs/philly_2017_09_10.csv.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    what: str
    gpus: int
    late: int
    took_s: float
    limit_s: float | None = None

    @property
    def holds(self) -> bool:
        return self.limit_s is None or self.took_s <= self.limit_s


def grid() -> tuple[IntensitySeries, str]:
    """96 hours of Germany: recorded where the traces are at hand, else a generated day and night."""
    path = data_folder() / GRID
    if path.is_file():
        return read_trace(path)["DE"].between(START_S, START_S + HORIZON_S), f"DE from {GRID.split('/')[1]}"
    hours = np.arange(0, HORIZON_S / 3600)
    values = 400 + 120 * np.cos(2 * np.pi * hours / 24) + np.random.default_rng(1).normal(0, 15, len(hours))
    return IntensitySeries.regular("DE", START_S, 3600.0, values), "generated, hourly"


def trace() -> tuple[JobTrace, str]:
    """Jobs of less than a day, so that a forecast of four days reaches past every deadline."""
    path = data_folder() / JOBS
    if path.is_file():
        whole, origin = read_job_trace(path), JOBS.split("/")[1]
    else:
        drawn = np.random.default_rng(2)
        durations, gpus = drawn.lognormal(8.0, 1.8, 5000), drawn.choice([1, 1, 1, 2, 4, 8], 5000)
        whole, origin = JobTrace(submit_s=np.arange(5000.0), duration_s=durations, gpus=gpus), "generated"
    short = whole.duration_s < DAY_S
    return replace(
        whole, submit_s=whole.submit_s[short], duration_s=whole.duration_s[short], gpus=whole.gpus[short]
    ), origin


def open_jobs(jobs: JobTrace, count: int) -> list[OpenJob]:
    """So many jobs from all over the trace, those of a smaller count among them."""
    chosen = np.random.default_rng(1).permutation(len(jobs))[:count].tolist()
    return [
        OpenJob(
            job=Job(
                id=f"job-{place:05d}",
                kind=JobKind.FINE_TUNING,
                submitted_at_s=START_S - count + place,
                earliest_start_at_s=START_S,
                deadline_at_s=START_S + float(jobs.duration_s[index]) + SLACK_S,
                duration_s=float(jobs.duration_s[index]),
                power_w=POWER_PER_GPU_W * int(jobs.gpus[index]),
                gpus=int(jobs.gpus[index]),
            )
        )
        for place, index in enumerate(chosen)
    ]


def region_for(jobs: Sequence[OpenJob], load_ratio: float) -> Region:
    """As many GPUs as make the jobs so much load until the deadlines, and no fewer than the largest needs."""
    gpu_s = sum(one.job.gpus * one.job.duration_s for one in jobs)
    gpus = max(round(gpu_s / SLACK_S / load_ratio), *(one.job.gpus for one in jobs))
    return Region(name="frankfurt", zone="DE", gpus=gpus, pue=1.2)


def seconds_each(call: Callable[[], object]) -> float:
    """Processor time, so that other work on the machine counts little: best of five."""
    return min(timeit.repeat(call, timer=time.process_time, number=1, repeat=5))


def planned(what: str, jobs: Sequence[OpenJob], load_ratio: float, series: IntensitySeries) -> Row:
    region = region_for(jobs, load_ratio)
    plan = partial(FleetPlanner().plan, jobs, [region], {"DE": series}, START_S)
    limit_s = LIMITS_S.get(len(jobs)) if load_ratio == LOAD_RATIO else None
    return Row(what=what, gpus=region.gpus, late=len(plan().refusals), took_s=seconds_each(plan), limit_s=limit_s)


def placed(jobs: Sequence[OpenJob], newcomer: OpenJob, series: IntensitySeries) -> Row:
    region, planner = region_for(jobs, LOAD_RATIO), FleetPlanner()
    plan = planner.plan(jobs, [region], {"DE": series}, START_S)
    others = [replace(one, planned=plan.placements[one.job.id]) for one in jobs]
    took_s = seconds_each(partial(planner.place, newcomer, others, [region], {"DE": series}, START_S))
    return Row(what=f"place beside {len(jobs)}", gpus=region.gpus, late=len(plan.refusals), took_s=took_s)


def measured(series: IntensitySeries, jobs: JobTrace) -> list[Row]:
    most = open_jobs(jobs, BESIDE + 1)
    rows = [placed(most[:-1], most[-1], series)]
    rooms = [("with room", LOAD_RATIO, count) for count in LIMITS_S]
    crowds = [("crowded", CROWDED_LOAD_RATIO, count) for count in CROWDED]
    return rows + [
        planned(f"plan {count}, {what}", open_jobs(jobs, count), load_ratio, series)
        for what, load_ratio, count in rooms + crowds
    ]


HEADINGS = ("what", "GPUs", "late", "ms", "limit, ms")


def cells(row: Row) -> tuple[str, ...]:
    limit = "" if row.limit_s is None else f"{row.limit_s * 1e3:.0f}"
    return row.what, str(row.gpus), str(row.late), f"{row.took_s * 1e3:.1f}", limit


def as_text(rows: Sequence[Row], *, markdown: bool) -> str:
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [" | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    if not markdown:
        return "\n".join(text)
    rule = " | ".join("-" * (width - 1) + ":" for width in widths)
    return "\n".join(f"| {line} |" for line in (text[0], rule, *text[1:]))


def main() -> int:
    (series, grid_origin), (jobs, jobs_origin) = grid(), trace()
    print(f"grid: {grid_origin}; jobs: {jobs_origin}\n")
    rows = measured(series, jobs)
    print(as_text(rows, markdown="--markdown" in sys.argv))
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
