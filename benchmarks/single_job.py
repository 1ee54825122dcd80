"""One job at a time: how long the planner takes for each kind of job on a 5-minute grid.

    python -m benchmarks.single_job
    python -m benchmarks.single_job --start     how long the compiled loops take to load, or to compile

Prints a table; `--markdown` prints it as docs/planning.md has it. Processor time, best of three, over four weeks of a
recorded marginal signal and several lengths of work; pieces by the plain loops and, where numba is installed, by the
compiled ones. Exit code 1 when a row with a limit is above it at the median, or a choice is not exact.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from intensity_feeds.series import IntensitySeries
from intensity_feeds.trace import read_trace
from scheduler.jobs import Interruption
from scheduler.planning.curve import Curve, curve
from scheduler.planning.one_job.compiled_loops import compiled_loops
from scheduler.planning.one_job.elastic import ElasticJob, Scaling, cleanest_scaling
from scheduler.planning.one_job.piece_loops import Loops
from scheduler.planning.one_job.power_profile import Phase, cheapest_profiled_window
from scheduler.planning.one_job.preemptible import Work, cheapest_pieces
from scheduler.planning.one_job.window import cheapest_window
from tests.real_data import data_folder

TRACE = "carbon/marginal_2023-06_5min_caiso_north.csv.gz"
HOUR_S, DAY_S, MINUTE_S = 3600.0, 86400.0, 60.0
FIRST_DAYS = (0, 7, 14, 20)
WORKS_H = (4, 24, 60)
SCALING = Scaling(speeds=((1, 1.0), (2, 1.8), (4, 3.0), (8, 4.8)))
PHASES = (
    Phase(duration_s=10 * MINUTE_S, power_w=3e3),
    Phase(duration_s=2 * HOUR_S, power_w=10e3),
    Phase(duration_s=20 * MINUTE_S, power_w=5e3),
)

FIRST_ANSWER = """
from benchmarks import single_job
from scheduler.planning.one_job.compiled_loops import compiled_loops
week = single_job.weeks_of()[0]
single_job.pieces(week, single_job.Interruption(checkpoint_s=120, restore_s=180, min_run_s=1800), 24, compiled_loops())
"""

# A call that plans, and says whether its plan is exact.
Call = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`compiled` are the same calls by compiled loops, where there are any."""

    what: str
    calls: tuple[Call, ...]
    compiled: tuple[Call, ...] = ()
    limit_s: float | None = None


def curves_of(series: IntensitySeries, zones: int) -> list[Curve]:
    made = [
        curve(f"zone {number}", series, 1.0 + number / 100, series.start_at_s, series.end_at_s)
        for number in range(zones)
    ]
    return [one for one in made if one is not None]


def window(series: IntensitySeries, zones: int, work_h: int) -> bool:
    curves = curves_of(series, zones)
    return cheapest_window(curves, work_h * HOUR_S, series.start_at_s, series.end_at_s) is not None


def pieces(series: IntensitySeries, pause: Interruption, work_h: int, loops: Loops | None = None) -> bool:
    work = Work(work_s=work_h * HOUR_S, earliest_s=series.start_at_s, deadline_s=series.end_at_s, interruption=pause)
    found = cheapest_pieces(curves_of(series, 1), work, loops=loops)
    return found is not None and found.is_exact


def profiled(series: IntensitySeries) -> bool:
    curves = curves_of(series, 1)
    return cheapest_profiled_window(curves, PHASES, series.start_at_s, series.end_at_s) is not None


def elastic(series: IntensitySeries, zones: int, work_h: int) -> bool:
    job = ElasticJob(
        work_s=work_h * HOUR_S,
        power_w=700.0,
        earliest_s=series.start_at_s,
        deadline_s=series.end_at_s,
        scaling=SCALING,
    )
    return bool(cleanest_scaling(curves_of(series, zones), job).segments)


def weeks_of(days: int = 7) -> list[IntensitySeries]:
    whole = next(iter(read_trace(data_folder() / TRACE).values()))
    starts_s = [whole.start_at_s + day * DAY_S for day in FIRST_DAYS]
    return [whole.between(start_s, start_s + days * DAY_S) for start_s in starts_s]


def rows() -> Iterator[Row]:
    two_days, weeks = weeks_of(2), weeks_of()
    for zones, limit_s in ((1, 100e-6), (10, 1e-3)):
        yield Row(
            what=f"one piece, 48 h, {zones} zone{'s' if zones > 1 else ''}",
            calls=tuple(partial(window, series, zones, work_h) for series in two_days for work_h in (1, 4, 12)),
            limit_s=limit_s,
        )
    yield Row(what="power profile of 3 phases, 48 h", calls=tuple(partial(profiled, series) for series in two_days))
    for checkpoint_s, restore_s, min_run_s in ((0, 0, 0), (300, 300, 0), (300, 300, 1800), (600, 900, 3600)):
        yield _pieces_row(weeks, checkpoint_s, restore_s, min_run_s, 10e-3 if checkpoint_s else None)
    yield _pieces_row(weeks, 0, 0, 1800, None)
    yield _pieces_row(weeks, 120, 180, 1800, 10e-3)
    for zones in (1, 3):
        yield Row(
            what=f"elastic, 4 counts, 7 days, {zones} zone{'s' if zones > 1 else ''}",
            calls=tuple(partial(elastic, series, zones, work_h) for series in weeks for work_h in WORKS_H),
        )


def _pieces_row(
    weeks: list[IntensitySeries], checkpoint_s: float, restore_s: float, min_run_s: float, limit_s: float | None
) -> Row:
    pause, loops = Interruption(checkpoint_s=checkpoint_s, restore_s=restore_s, min_run_s=min_run_s), compiled_loops()
    minutes = (f"{length_s / MINUTE_S:.0f}" for length_s in (checkpoint_s, restore_s, min_run_s))
    return Row(
        what="pieces, 7 days: checkpoint {}, restore {}, least run {} min".format(*minutes),
        calls=tuple(partial(pieces, series, pause, work_h) for series in weeks for work_h in WORKS_H),
        compiled=tuple(
            partial(pieces, series, pause, work_h, loops) for series in weeks for work_h in WORKS_H if loops is not None
        ),
        limit_s=limit_s,
    )


def seconds(call: Call) -> float:
    """Best of three; a call of microseconds is repeated until it can be measured."""
    times_s = []
    for _ in range(3):
        count, begun_s = 0, time.process_time()
        while (spent_s := time.process_time() - begun_s) < 2e-3:
            call()
            count += 1
        times_s.append(spent_s / count)
    return min(times_s)


def shown(time_s: float) -> str:
    return f"{time_s * 1e6:.0f} us" if time_s < 1e-3 else f"{time_s * 1e3:.1f} ms"


def start_s() -> float:
    """Processor time that a new process takes longer for its first answer with compiled loops than without."""
    return _process_s(FIRST_ANSWER) - _process_s(FIRST_ANSWER.replace("compiled_loops()", "None"))


def _process_s(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def print_starts() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder
        print(f"to compile: {start_s():.1f} s, once for each version of the kernels")
        print(f"to load: {min(start_s() for _ in range(3)):.1f} s in each process")


def measured(row: Row) -> tuple[tuple[str, ...], bool]:
    is_exact = all(call() for call in (*row.calls, *row.compiled))
    times_s, compiled_s = ([seconds(call) for call in calls] for calls in (row.calls, row.compiled))
    median_s = statistics.median(times_s)
    shown_compiled = (shown(statistics.median(compiled_s)), shown(max(compiled_s))) if compiled_s else ("", "")
    limit = "" if row.limit_s is None else shown(row.limit_s)
    is_kept = is_exact and (row.limit_s is None or median_s <= row.limit_s)
    return (row.what, shown(median_s), shown(max(times_s)), *shown_compiled, limit), is_kept


def main() -> int:
    if "--start" in sys.argv:
        print_starts()
        return 0
    results = [measured(row) for row in rows()]
    lines = [("job", "median", "worst", "compiled", "worst", "limit"), *(cells for cells, _ in results)]
    columns = range(len(lines[0]))
    widths = [max(len(line[column]) for line in lines) for column in columns]
    text = [
        " | ".join(cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    ]
    if "--markdown" in sys.argv:
        rule = " | ".join("-" * width if not column else "-" * (width - 1) + ":" for column, width in enumerate(widths))
        text = [f"| {line} |" for line in (text[0], rule, *text[1:])]
    print("\n".join(text))
    return 0 if all(is_kept for _, is_kept in results) else 1


if __name__ == "__main__":
    sys.exit(main())
