"""Jobs in pieces on real grids: how long the exact plan takes over many of them, in one region and in several.

    python -m benchmarks.pieces

Prints a table; `--markdown` prints it as docs/planning.md has it. By compiled loops where numba is installed, unless
with `--plain`. Each instance is seven days of recorded grids drawn by a fixed seed, with a work of 1 to 100 hours, a
least run of up to 4 hours, a checkpoint and a restore of up to 15 minutes and, for one in four, grams per pause.
Processor time, the better of two. Exit code 1 when a plan is not exact.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.single_job import shown
from intensity_feeds.series import IntensitySeries
from intensity_feeds.trace import read_trace
from scheduler.jobs import Interruption
from scheduler.planning.curve import Curve, curve
from scheduler.planning.one_job.compiled_loops import compiled_loops
from scheduler.planning.one_job.piece_loops import Loops
from scheduler.planning.one_job.preemptible import Work, cheapest_pieces
from tests.real_data import data_folder

HOUR_S, WEEK_S = 3600.0, 7 * 86400.0
WORKS_H = (1, 2, 4, 8, 12, 24, 48, 60, 100)
# Checkpoint, restore and least run in seconds: on the 5 minutes of the grid, and off them.
PAUSES_ON_GRID = ((300, 300, 0), (300, 300, 1800), (600, 900, 3600), (0, 0, 1800), (300, 600, 14400), (0, 0, 14400))
PAUSES_IN_MINUTES = ((120, 180, 1800), (120, 180, 0), (60, 240, 7200), (60, 60, 600))
PAUSE_COSTS_H = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 50.0)  # grams per kWh for so many hours
INSTANCES, SEED = 200, 1

Traces = Sequence[IntensitySeries]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Instances of one kind. `shifted` regions are other weeks of the one series there is."""

    what: str
    traces: Callable[[], Traces]
    regions: int
    pauses: tuple[tuple[int, int, int], ...]
    instances: int = INSTANCES
    shifted: bool = False


def trace(name: str) -> Callable[[], Traces]:
    return lambda: list(read_trace(data_folder() / name).values())


CAISO = trace("carbon/marginal_2023-06_5min_caiso_north.csv.gz")
HOURLY = trace("carbon/avg_2022_hourly_34zones.csv.gz")
QUARTERS = trace("carbon/avg_2020_subhourly_DE_FR_GB.csv.gz")

ROWS = (
    Row(what="5 min grid, pauses on it", traces=CAISO, regions=1, pauses=PAUSES_ON_GRID),
    Row(what="5 min grid, pauses in minutes", traces=CAISO, regions=1, pauses=PAUSES_IN_MINUTES),
    Row(what="15 and 30 min grids, pauses on 5 min", traces=QUARTERS, regions=1, pauses=PAUSES_ON_GRID),
    Row(what="15 and 30 min grids, pauses in minutes", traces=QUARTERS, regions=1, pauses=PAUSES_IN_MINUTES),
    Row(what="hourly grids, pauses on 5 min", traces=HOURLY, regions=1, pauses=PAUSES_ON_GRID),
    Row(what="hourly grids, pauses in minutes", traces=HOURLY, regions=1, pauses=PAUSES_IN_MINUTES),
    Row(what="hourly grids, pauses on 5 min", traces=HOURLY, regions=3, pauses=PAUSES_ON_GRID, instances=60),
    Row(what="hourly grids, pauses on 5 min", traces=HOURLY, regions=10, pauses=PAUSES_ON_GRID, instances=60),
    Row(what="hourly grids, pauses in minutes", traces=HOURLY, regions=10, pauses=PAUSES_IN_MINUTES, instances=60),
    Row(what="5 min grid, pauses on it", traces=CAISO, regions=10, pauses=PAUSES_ON_GRID, instances=60, shifted=True),
    Row(
        what="5 min grid, pauses in minutes",
        traces=CAISO,
        regions=10,
        pauses=PAUSES_IN_MINUTES,
        instances=60,
        shifted=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    curves: list[Curve]
    work: Work


def drawn(row: Row, traces: Traces, draws: random.Random) -> Instance:
    """One instance: a week, its regions, and a job."""
    chosen = list(traces[:1]) * row.regions if row.shifted else draws.sample(list(traces), row.regions)
    hours = int((chosen[0].end_at_s - chosen[0].start_at_s - WEEK_S) // HOUR_S)
    start_at_s = chosen[0].start_at_s + HOUR_S * draws.randrange(hours)
    parts = []
    for series in chosen:
        begin_s = series.start_at_s + HOUR_S * draws.randrange(hours) if row.shifted else start_at_s
        part = series.between(begin_s, begin_s + WEEK_S)
        parts.append(replace(part, edges_at_s=part.edges_at_s + (start_at_s - begin_s)))
    pue_ratios = [1.0 + 0.3 * draws.random() for _ in parts]
    made = [
        curve(f"region {number}", part, pue_ratio, start_at_s, start_at_s + WEEK_S)
        for number, (part, pue_ratio) in enumerate(zip(parts, pue_ratios, strict=True))
    ]
    checkpoint_s, restore_s, min_run_s = draws.choice(row.pauses)
    work = Work(
        work_s=HOUR_S * draws.choice(WORKS_H),
        earliest_s=start_at_s,
        deadline_s=start_at_s + WEEK_S,
        interruption=Interruption(checkpoint_s=checkpoint_s, restore_s=restore_s, min_run_s=min_run_s),
        interruption_g_s_per_kwh=HOUR_S * draws.choice(PAUSE_COSTS_H),
    )
    return Instance(curves=[one for one in made if one is not None], work=work)


def seconds(instance: Instance, loops: Loops | None) -> tuple[float, bool]:
    """The better of two, and whether the plan is exact."""
    times_s, is_exact = [], True
    for _ in range(2):
        begun_s = time.process_time()
        found = cheapest_pieces(instance.curves, instance.work, loops=loops)
        times_s.append(time.process_time() - begun_s)
        is_exact &= found is not None and found.is_exact
    return min(times_s), is_exact


def measured(row: Row, loops: Loops | None) -> tuple[tuple[str, ...], bool]:
    traces, draws = row.traces(), random.Random(SEED)
    results = [seconds(drawn(row, traces, draws), loops) for _ in range(row.instances)]
    times_s = sorted(time_s for time_s, _ in results)
    exact = sum(is_exact for _, is_exact in results)
    ninth_s = times_s[min(len(times_s) - 1, int(0.9 * len(times_s)))]
    shares = f"{exact} of {len(results)}"
    cells = (row.what, str(row.regions), shares, *map(shown, (statistics.median(times_s), ninth_s, times_s[-1])))
    return cells, exact == len(results)


def main() -> int:
    loops = None if "--plain" in sys.argv else compiled_loops()
    lines, holds = [("grid and pauses", "regions", "exact", "median", "9 in 10", "worst")], True
    for row in ROWS:
        cells, is_exact = measured(row, loops)
        lines.append((cells[0], cells[1], cells[2], cells[3], cells[4], cells[5]))
        holds &= is_exact
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [
        " | ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    ]
    if "--markdown" in sys.argv:
        rule = " | ".join("-" * (width - 1) + ":" if column else "-" * width for column, width in enumerate(widths))
        text = [f"| {line} |" for line in (text[0], rule, *text[1:])]
    print("\n".join(text))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
