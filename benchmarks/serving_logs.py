"""How close the iteration-level simulation comes to logs of real servers, on requests it was not calibrated on.

    python -m benchmarks.serving_logs              the shared log; prints the table in docs/reproductions.md
    python -m benchmarks.serving_logs --pack DIR   any other folder in its format, every system in it

Constants are calibrated on every other request in order of arrival. Exit code 1 when a mean of the whole log or of the
other half misses its target, or when one simulation takes too long.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from simulations.reproductions.logged_server import (
    CALIBRATED,
    HELD_OUT,
    Constants,
    ServerLog,
    calibrated,
    mean_error_ratio,
    simulate_log,
)
from simulations.reproductions.pack_files import read_pack
from simulations.reproductions.serving_logs import server_log
from tests.real_data import data_folder

TARGETS_RATIO = {"ttft_ms": 0.04, "tpot_ms": 0.02, "e2e_ms": 0.03}
WITHIN_S = 0.1
_ROUNDS = 5
_NAMES = {"ttft_ms": "TTFT", "tpot_ms": "TPOT", "e2e_ms": "latency"}

Missed = list[str]


def took_s(log: ServerLog, constants: Constants) -> float:
    """Of one simulation of the log, the best of some, by the processor."""
    found = []
    for _ in range(_ROUNDS):
        start_s = time.process_time()
        simulate_log(log, constants)
        found.append(time.process_time() - start_s)
    return min(found)


def rows(system: str, log: ServerLog, missed: Missed) -> Iterator[str]:
    constants = calibrated(log)
    ours = simulate_log(log, constants)
    fitted = f"host {1e3 * constants.host_s:.2f} ms"
    if log.exchange_s_per_token:
        fitted += f", link {constants.link_ratio:.2f} of nominal time"
    for metric, target_ratio in TARGETS_RATIO.items():
        real_ms = log.real.of(metric).mean()
        parts = [mean_error_ratio(log, ours, metric, part) for part in (CALIBRATED, HELD_OUT, slice(None))]
        errors = " | ".join(f"{100 * ratio:+.2f}%" for ratio in parts)
        yield f"| {system} | {_NAMES[metric]} | {real_ms:,.1f} ms | {errors} | {100 * target_ratio:.0f}% | {fitted} |"
        if max(abs(ratio) for ratio in parts[1:]) > target_ratio:
            missed.append(f"{system}: {_NAMES[metric]}")
    simulated_s = took_s(log, constants)
    yield f"| {system} | time of a simulation | | | | {simulated_s:.3f} s | {WITHIN_S} s | |"
    if simulated_s > WITHIN_S:
        missed.append(f"{system}: {simulated_s:.3f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, metavar="DIR", help="folder of logs")
    folder = parser.parse_args().pack or data_folder() / "reproductions/serving_logs"
    pack, missed = read_pack(folder), Missed()
    print("| system | mean | measured | calibrated half | other half | whole log | target | constants |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for system in [name for name in pack.table("systems")[0] if name != "system_id"]:
        for line in rows(system, server_log(pack, system), missed):
            print(line, flush=True)
    print("\nMissed: " + ("; ".join(missed) if missed else "nothing") + ".")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
