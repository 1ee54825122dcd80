"""The gateway beside a bare aiohttp reverse proxy: requests per second, and latency added, in one run.

    python -m benchmarks.gateway [--rounds 5] [--seconds 4]

Three kinds of server stand before one instant worker: nothing, a bare proxy, the gateway (with shaping and accounting
on, first passing everything through, then with its default holds). Rounds alternate between them, so that what else
the machine does hits all alike; the ratio is the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.gateway_servers import CHAT, MODEL
from benchmarks.http_load import latencies_s, post, quantile, requests_per_s

CONNECTIONS = 64
# Far enough below saturation that queueing does not drown what is added.
LOAD_RATIO = 0.4
DIRECT, BARE, PASS_THROUGH, HOLDING = "worker alone", "bare proxy", "gateway", "gateway, holds of 20 ms"
REQUEST = post(
    CHAT,
    json.dumps(
        {
            "model": MODEL,
            "messages": [
                {"role": "system", "content": "You are a careful assistant. " * 10},
                {"role": "user", "content": "When is the grid in Germany cleanest, and why? " * 10},
            ],
            "max_tokens": 120,
            "temperature": 0.2,
        }
    ).encode(),
)


@contextmanager
def serving(role: str, core: int, *options: str) -> Iterator[int]:
    """A server in a process and on a core of its own; its port."""
    command = [sys.executable, "-m", "benchmarks.gateway_servers", role, *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, {core % (os.cpu_count() or 1)})
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def all_servers() -> Iterator[dict[str, int]]:
    with ExitStack() as stack:
        worker = stack.enter_context(serving("worker", 1))
        upstream = ("--upstream", f"http://127.0.0.1:{worker}")
        yield {
            DIRECT: worker,
            BARE: stack.enter_context(serving("bare", 0, *upstream)),
            PASS_THROUGH: stack.enter_context(serving("gateway", 0, *upstream, "--hold", "0")),
            HOLDING: stack.enter_context(serving("gateway", 0, *upstream, "--hold", "0.02")),
        }


def throughput(ports: dict[str, int], rounds: int, lasts_s: float) -> dict[str, list[float]]:
    """Requests per second of each server, round by round."""
    rates: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(rounds):
        for name, port in ports.items():
            load = requests_per_s(port, REQUEST, connections=CONNECTIONS, lasts_s=lasts_s, warm_up_s=0.5)
            rates[name].append(asyncio.run(load))
    return rates


def latency(ports: dict[str, int], rounds: int, lasts_s: float, arrivals_per_s: float) -> dict[str, list[float]]:
    """All latencies of each server at the same arrivals, sorted."""
    taken: dict[str, list[float]] = {name: [] for name in ports}
    for seed in range(rounds):
        for name, port in ports.items():
            load = latencies_s(
                port, REQUEST, connections=CONNECTIONS, arrivals_per_s=arrivals_per_s, lasts_s=lasts_s, seed=seed
            )
            taken[name] += asyncio.run(load)
    return {name: sorted(values) for name, values in taken.items()}


def report(rates: dict[str, list[float]], taken: dict[str, list[float]], arrivals_per_s: float) -> str:
    lines = [
        "| server | requests/s | ratio to bare | p50 ms | p99 ms | added p50 ms | added p99 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    direct_ms = [1000 * quantile(taken[DIRECT], share) for share in (0.5, 0.99)]
    for name in rates:
        ratio = statistics.median(one / bare for one, bare in zip(rates[name], rates[BARE], strict=True))
        p50_ms, p99_ms = (1000 * quantile(taken[name], share) for share in (0.5, 0.99))
        lines.append(
            f"| {name} | {statistics.median(rates[name]):.0f} | {ratio:.2f} | {p50_ms:.2f} | {p99_ms:.2f}"
            f" | {p50_ms - direct_ms[0]:.2f} | {p99_ms - direct_ms[1]:.2f} |"
        )
    lines.append(
        f"\nRequests/s: closed loop, {CONNECTIONS} keep-alive connections, median of {len(rates[BARE])} rounds. "
        f"Latency: Poisson arrivals at {arrivals_per_s:.0f}/s, from the intended send time. "
        f"{os.cpu_count()} cores, servers under test pinned to one, worker and load to the other."
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    chosen = parser.parse_args()
    os.sched_setaffinity(0, {1 % (os.cpu_count() or 1)})
    with all_servers() as ports:
        rates = throughput(ports, chosen.rounds, chosen.seconds)
        arrivals_per_s = LOAD_RATIO * statistics.median(rates[PASS_THROUGH])
        taken = latency(ports, chosen.rounds, chosen.seconds, arrivals_per_s)
    print(report(rates, taken, arrivals_per_s))


if __name__ == "__main__":
    main()
