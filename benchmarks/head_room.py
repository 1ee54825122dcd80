"""What head-room for jobs not submitted yet is worth: missed deadlines and savings by load and reserve.

    python -m benchmarks.head_room
    python -m benchmarks.head_room 0.75

Recorded jobs between half an hour and a day, thinned to each mean load (GPU time asked over GPU time there is), on one
fleet with 12 h of slack each, Germany's hourly grid known four days ahead, a new plan every six hours. Prints late jobs
and savings beside running at once. Needs the recorded traces. docs/decisions/0003-head-room.md has what followed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from intensity_feeds.feed import Rung
from intensity_feeds.series import IntensitySeries
from intensity_feeds.trace import read_trace
from scheduler.engine import Engine
from scheduler.jobs import Job, JobKind
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Region
from scheduler.planning.planner import Planner
from simulations.fleet import Fleet, Timetable
from simulations.grid import Grid, perfect
from simulations.launcher import JobWork
from simulations.loop import Loop
from simulations.trace_files import read_job_trace
from tests.real_data import data_folder

START_S = 1_646_092_800.0  # 2022-03-01T00:00Z
DAY_S = 86400.0
GPUS, MOST_GPUS, POWER_PER_GPU_W = 16, 8, 700.0
SHORTEST_S, LONGEST_S, SLACK_S = 1800.0, DAY_S, 12 * 3600.0
FROM_DAY, DAYS = 44, 10  # of the trace: ten working days of steady demand
RESERVE_RATIOS = (0.0, 0.25, 0.375, 0.5, 1.0)
SEEDS = (1, 2)

GRID = "carbon/avg_2022_hourly_34zones.csv.gz"
JOBS = "training_jobs/philly_2017_09_10.csv.gz"


def thinned(load_ratio: float, seed: int) -> list[JobWork]:
    """Jobs drawn from the trace until they ask for the share of the fleet's GPU time, at their recorded instants."""
    trace = read_job_trace(data_folder() / JOBS)
    submit_s = trace.submit_s - trace.submit_s.min() - FROM_DAY * DAY_S
    fits = (trace.duration_s >= SHORTEST_S) & (trace.duration_s < LONGEST_S) & (trace.gpus <= MOST_GPUS)
    fits &= (submit_s >= 0) & (submit_s < DAYS * DAY_S)
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(fits))
    asked_s = np.cumsum(trace.duration_s[drawn] * trace.gpus[drawn])
    chosen = np.sort(drawn[: asked_s.searchsorted(load_ratio * GPUS * DAYS * DAY_S)]).tolist()
    return [
        work(place, float(submit_s[row]), float(trace.duration_s[row]), int(trace.gpus[row]))
        for place, row in enumerate(chosen)
    ]


def work(place: int, submit_s: float, duration_s: float, gpus: int) -> JobWork:
    submitted_at_s = START_S + submit_s
    job = Job(
        id=f"job-{place:05d}",
        kind=JobKind.FINE_TUNING,
        submitted_at_s=submitted_at_s,
        earliest_start_at_s=submitted_at_s,
        deadline_at_s=submitted_at_s + duration_s + SLACK_S,
        duration_s=duration_s,
        power_w=POWER_PER_GPU_W * gpus,
        gpus=gpus,
    )
    return JobWork(job=job, true_duration_s=duration_s)


def outcome(works: Sequence[JobWork], planner: Planner, series: IntensitySeries) -> tuple[int, float]:
    """How many jobs ended late, and what all of them emitted, gCO2e before PUE."""
    loop = Loop(START_S)
    grid = Grid(realised={"DE": series}, forecaster=perfect(4 * DAY_S), rung=Rung.LIVE)
    engine = Engine(regions=[Region(name="frankfurt", zone="DE", gpus=GPUS)], planner=planner)
    fleet = Fleet(loop, engine, works)
    Timetable(
        loop,
        fleet,
        lambda now_s: list(grid.forecasts(now_s)),
        renew_s=DAY_S,
        replan_s=DAY_S / 4,
        is_needed=lambda: fleet.can_go_on,
    )
    loop.run()
    jobs = {one.job.id: one.job for one in works}
    late = sum(fleet.finished_at_s[name] > job.deadline_at_s + 1.0 for name, job in jobs.items())
    grams = (
        series.emissions_gco2e(jobs[one.job_id].power_w, one.start_at_s, one.end_at_s)
        for one in fleet.launcher.stretches
    )
    return late, sum(grams)


def row(load_ratio: float, seed: int, series: IntensitySeries) -> str:
    works = thinned(load_ratio, seed)
    late, at_once_g = outcome(works, RunNowPlanner(), series)
    cells = [f"{load_ratio:.2f}", str(seed), str(len(works)), str(late)]
    for reserve_ratio in RESERVE_RATIOS:
        late, grams = outcome(works, FleetPlanner(reserve_ratio=reserve_ratio), series)
        cells.append(f"{late} late, {1 - grams / at_once_g:.1%}")
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    series = read_trace(data_folder() / GRID, ["DE"])["DE"]
    headings = ["load", "seed", "jobs", "late at once", *(f"reserve {one:g}" for one in RESERVE_RATIOS)]
    print("| " + " | ".join(headings) + " |")
    print("|" + " ---: |" * len(headings))
    for load_ratio in map(float, sys.argv[1:] or ("0.6", "0.7", "0.8", "0.9")):
        for seed in SEEDS:
            print(row(load_ratio, seed, series), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
