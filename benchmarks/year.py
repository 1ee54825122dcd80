"""How long `slacktide simulate` takes for a year of 50 zones by the hour with 100,000 training jobs, both sides.

    python -m benchmarks.year                 5, 30 and 365 days; prints benchmarks/year.md
    python -m benchmarks.year --days 5 30     shorter, with as many jobs a day

Fifty regions of 16 GPUs on made-up grids of four kinds, jobs of up to 8 GPUs with a day of slack, a perfect forecast,
the shipped policy with its plans every six hours. Each row is the whole command, in a process of its own: processor
time beside wall time, for a machine that does other things too. Exit code 1 when the target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ZONES, KINDS = 50, ("solar", "wind", "hydro", "coal")
JOBS_A_YEAR, YEAR_DAYS = 100_000, 365
WANTED_WITHIN_S = 60.0
_LIMIT_S = 3600.0
# Time for what was submitted last to run to its end.
_DAYS_AFTER = 15
_KIB_PER_GIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """One run of the command, and what it said was saved."""

    days: int
    jobs: int
    wall_s: float
    processor_s: float
    peak_gib: float
    savings_ratio: float


def scenario_text(days: int, jobs: int) -> str:
    kinds = ", ".join(f'Z{place:02d} = "{KINDS[place % len(KINDS)]}"' for place in range(ZONES))
    regions = "".join(
        f'[[region]]\nname = "z{place:02d}"\nzone = "Z{place:02d}"\ngpus = 16\n' for place in range(ZONES)
    )
    return (
        f'name = "year"\nstart = "2025-01-06T00:00Z"\nseed = 1\n'
        f'[grid]\nspan_s = "{days + _DAYS_AFTER}d"\narchetypes = {{ {kinds} }}\n'
        f'[forecast]\nkind = "perfect"\n{regions}'
        f'[[jobs]]\nname = "training"\ncount = {jobs}\nspan_s = "{days}d"\nslack_s = "24h"\nmax_gpus = 8\n'
    )


def measured(days: int) -> Took:
    """The command once; the peak is that of the largest run so far, so ask for growing ones."""
    jobs = round(JOBS_A_YEAR * days / YEAR_DAYS)
    with tempfile.TemporaryDirectory() as folder:
        scenario, results = Path(folder, "year.toml"), Path(folder, "results.json")
        scenario.write_text(scenario_text(days, jobs))
        command = [sys.executable, "-m", "slacktide.main", "simulate", str(scenario), "--json", str(results)]
        before, started_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=_LIMIT_S)
        wall_s, after = time.perf_counter() - started_s, resource.getrusage(resource.RUSAGE_CHILDREN)
        savings_ratio = float(json.loads(results.read_text())["savings_ratio"])
    return Took(
        days=days,
        jobs=jobs,
        wall_s=wall_s,
        processor_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        peak_gib=after.ru_maxrss / _KIB_PER_GIB,
        savings_ratio=savings_ratio,
    )


def row(took: Took) -> str:
    each_ms = 1000.0 * took.processor_s / took.jobs
    return (
        f"| {took.days} | {took.jobs:,} | {took.wall_s:.1f} | {took.processor_s:.1f} | {each_ms:.2f} "
        f"| {took.peak_gib:.2f} | {took.savings_ratio:.1%} |"
    )


def verdict(took: Took) -> str:
    if took.processor_s <= WANTED_WITHIN_S:
        return "Missed: nothing."
    ratio = took.processor_s / WANTED_WITHIN_S
    return f"Missed: the year takes {took.processor_s:.0f} s of processor time, {ratio:.1f} times the 60 s wanted."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, nargs="+", default=[5, 30, YEAR_DAYS])
    print("# A year of fifty zones\n\n    python -m benchmarks.year\n")
    print(f"Made on {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__};", end=" ")
    print("others used the machine at the same time: by the wall it may take less.\n")
    print("Both sides, run-now and policy, through `slacktide simulate`, start of the process included.\n")
    print("| days | jobs | wall, s | processor, s | ms/job | GiB | saved |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    last = None
    for days in sorted(parser.parse_args().days):
        last = measured(days)
        print(row(last), flush=True)
    if last is None or last.days < YEAR_DAYS:
        return 0
    print(f"\n{verdict(last)}")
    return 0 if last.processor_s <= WANTED_WITHIN_S else 1


if __name__ == "__main__":
    sys.exit(main())
