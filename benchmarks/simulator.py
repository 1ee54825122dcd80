"""How fast the simulator serves request traces: requests a second, growth, starts, and a week of a large service.

    python -m benchmarks.simulator                     all but the longest run; prints benchmarks/simulator.md
    python -m benchmarks.simulator --streamed 50000000 as printed there

Every run is one pool of modelled H100s with an 8B model behind the daemon's own adaptive shaper. Processor time beside
wall time, for a machine that does other things too. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import event_loop, vidur_peer
from benchmarks.simulator_runs import (
    ADAPTIVE,
    DAYS,
    PASS_THROUGH,
    POISSON,
    Took,
    alone,
    plain,
    short_of_memory,
    warm,
    write_parquet,
)

WANTED_PER_S = 1e6
STREAMED, STREAMED_WITHIN_S, STREAMED_WITHIN_BYTES = 50_000_000, 120.0, 4 * 2**30
GROWTH = (10**4, 10**5, 10**6, 10**7)
_PLAIN_REQUESTS = 20_000
_GIB = 2**30

ROWS = (
    (POISSON, ADAPTIVE, 1),
    (POISSON, PASS_THROUGH, 1),
    ("ServeGen day", ADAPTIVE, 1),
    ("Azure 2023 conversation hour", ADAPTIVE, 1),
    ("Azure 2023 code hour", ADAPTIVE, 2),
)

Missed = list[str]


def cells(*parts: object) -> str:
    return "| " + " | ".join(str(part) for part in parts) + " |"


def headed(*headings: str) -> list[str]:
    return [cells(*headings), "|" + " --- |" + " ---: |" * (len(headings) - 1)]


def rates(missed: Missed) -> Iterator[str]:
    yield "\n## Requests a second\n"
    yield "A million requests in memory, one core, compiled code loaded; real traces are repeated, period after period."
    yield "Best of three rounds. Plain Python: the first 20,000 of the same trace.\n"
    yield from headed("trace", "rule", "workers", "by the wall", "by the processor", "plain Python", "ratio")
    for name, policy, workers in ROWS:
        fast = warm(name, policy, workers, 1_000_000)
        slow = plain(name, policy, workers, _PLAIN_REQUESTS)
        ratio = fast.cpu_per_s / slow.cpu_per_s
        shown = (f"{fast.wall_per_s:,.0f}", f"{fast.cpu_per_s:,.0f}", f"{slow.cpu_per_s:,.0f}", f"{ratio:,.0f}")
        yield cells(name, policy.holding, workers, *shown)
        if policy is ADAPTIVE and fast.cpu_per_s < WANTED_PER_S:
            missed.append(f"{name}: {fast.cpu_per_s:,.0f} requests/s of {WANTED_PER_S:,.0f}")


def growth(missed: Missed) -> Iterator[str]:
    yield "\n## Growth\n"
    yield "Poisson, adaptive; each row in a process of its own. Kept: every request's record and every span of power."
    yield "Streamed: from Parquet into sums. Memory is the process's most, some 0.2 GiB of it libraries.\n"
    yield from headed("requests", "kept, s", "us/request", "GiB", "streamed, s", "us/request", "GiB")
    for requests in GROWTH:
        kept = alone("kept", str(requests))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.parquet"
            write_parquet(path, POISSON, requests)
            yield cells(f"{requests:,}", *_growth_cells(kept), *_growth_cells(alone("parquet", str(path))))


def _growth_cells(took: Took) -> tuple[str, str, str]:
    return f"{took.wall_s:.2f}", f"{took.cpu_s / took.requests * 1e6:.2f}", f"{took.peak_bytes / _GIB:.2f}"


def starts(missed: Missed) -> Iterator[str]:
    yield "\n## First start\n"
    yield "From an imported library to the first thousand requests served, in a process of its own.\n"
    yield from headed("code", "wall, s", "processor, s")
    with tempfile.TemporaryDirectory() as folder:
        for what in ("compiled anew", "loaded from the cache"):
            took = alone("start", "", cache=folder)
            yield cells(what, f"{took.wall_s:.1f}", f"{took.cpu_s:.1f}")


def long_run(requests: int, missed: Missed) -> Iterator[str]:
    yield "\n## A week of a large service\n"
    yield "The ServeGen day repeated, streamed from Parquet, adaptive; reading decodes on the second core.\n"
    yield from headed("requests", "wall, s", "processor, s", "requests/s by the wall", "GiB", "processes waiting")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.parquet"
        write_parquet(path, "ServeGen day", requests)
        took = alone("parquet", str(path))
    shown = (f"{took.wall_s:.1f}", f"{took.cpu_s:.1f}", f"{took.wall_per_s:,.0f}", f"{took.peak_bytes / _GIB:.2f}")
    yield cells(f"{requests:,}", *shown, f"{os.getloadavg()[0]:.0f}")
    if requests >= STREAMED and (took.wall_s > STREAMED_WITHIN_S or took.peak_bytes > STREAMED_WITHIN_BYTES):
        missed.append(f"{requests:,} streamed in {took.wall_s:.0f} s and {took.peak_bytes / _GIB:.1f} GiB")


def preempting(missed: Missed) -> Iterator[str]:
    yield "\n## Memory that runs out\n"
    yield "A million requests, Poisson at 10/s, on L4s whose KV memory holds 42,000 tokens; five are too few for the"
    yield "load, six just enough. Reserved: a request starts where all of it has room. Preempting: memory is taken"
    yield "token by token.\n"
    yield from headed("memory", "workers", "requests/s by the processor", "preemptions", "mean latency, s")
    for workers in (5, 6):
        for name, preempts in (("reserved", False), ("preempting", True)):
            took, found = short_of_memory(workers, preempts, 1_000_000)
            yield cells(
                name, workers, f"{took.cpu_per_s:,.0f}", f"{found.preemptions:,}", f"{found.latency.mean_s:,.1f}"
            )


def beside_simpy(missed: Missed) -> Iterator[str]:
    yield "\n## Beside SimPy\n"
    yield "The event loop of jobs on an M/M/1 queue, with the same arrivals and services; `benchmarks.event_loop`.\n"
    yield from event_loop.lines()


def beside_vidur(interpreter: Path | None) -> Iterator[str]:
    yield "\n## Beside Vidur\n"
    yield "A logged server once more, iteration by iteration, from the same arrivals, lengths, kernel times and limits"
    yield "(`benchmarks.vidur_peer`); Vidur with its Sarathi scheduler, which cuts prompts into chunks. Errors are"
    yield "of means, against the log; one constant, the host's time, is calibrated on half of it with ours. Only the"
    yield "loops are timed.\n"
    yield from vidur_peer.lines(interpreter)


SECTIONS: tuple[Callable[[Missed], Iterator[str]], ...] = (rates, preempting, growth, starts, beside_simpy)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streamed", type=int, default=0, metavar="N", help="also stream a trace of so many requests")
    parser.add_argument("--vidur", type=Path, metavar="PYTHON", help="an interpreter that has vidur 0.0.26")
    asked = parser.parse_args()
    missed: Missed = []
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}"
    print("# How fast the simulator is\n\n    python -m benchmarks.simulator --streamed 50000000\n")
    print(f"Made on {machine}; others used the machine at the same time. Traces: {', '.join((POISSON, *DAYS))}.")
    for section in SECTIONS:
        for line in section(missed):
            print(line, flush=True)
    for line in beside_vidur(asked.vidur):
        print(line, flush=True)
    if asked.streamed:
        for line in long_run(asked.streamed, missed):
            print(line, flush=True)
    print("\nMissed: " + ("; ".join(missed) if missed else "nothing") + ".")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
