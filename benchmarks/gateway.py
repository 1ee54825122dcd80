"""The gateway beside a bare aiohttp reverse proxy: requests per second, and latency added, in one run.

    python -m benchmarks.gateway [--rounds 5] [--seconds 4] [--litellm .venv-litellm/bin/litellm]

Three kinds of server stand before one instant worker: nothing, a bare proxy, the gateway (with shaping and accounting
on, first passing everything through, then with its default holds). Rounds alternate between them, so that what else
the machine does hits all alike; the ratio is the median of the ratios within a round. LiteLLM's proxy takes part where
it is named; it wants an environment of its own (pip install 'litellm[proxy]').
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.gateway_servers import CHAT, MODEL
from benchmarks.http_load import latencies_s, post, quantile, requests_per_s

CONNECTIONS = 64
# Of the rate at which the gateway is saturated: beyond it queueing drowns what is added.
LOAD_RATIO = 0.5
DIRECT, BARE, PASS_THROUGH, HOLDING = "worker alone", "bare proxy", "gateway", "gateway, holds of 20 ms"
LITELLM = "LiteLLM proxy"
_PEER_STARTS_IN_S = 120.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server process."""

    port: int
    process_id: int

    def cpu_s(self) -> float:
        """Processor time it has used so far, its own and the system's for it."""
        fields = Path(f"/proc/{self.process_id}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(role: str, core: int, *options: str) -> Iterator[Running]:
    """A server in a process and on a core of its own."""
    command = [sys.executable, "-m", "benchmarks.gateway_servers", role, *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, {core % (os.cpu_count() or 1)})
    try:
        assert process.stdout is not None
        yield Running(port=int(process.stdout.readline()), process_id=process.pid)
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def litellm(program: str, upstream: str, core: int) -> Iterator[Running]:
    """LiteLLM's proxy before the same worker: one process on one core, nothing logged, no database."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        settings = Path(folder, "litellm.yaml")
        settings.write_text(
            f"model_list:\n  - model_name: {MODEL}\n    litellm_params:\n      model: openai/{MODEL}\n"
            f"      api_base: {upstream}/v1\n      api_key: unused\n"
        )
        # Its table of prices otherwise comes from the network at each start, and it wants a key of its own.
        chosen = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        }
        address = ("--host", "127.0.0.1", "--port", str(port))
        command = [program, "--config", str(settings), *address, "--telemetry", "False"]
        with Path(folder, "log").open("w+") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **chosen}, stdout=log, stderr=subprocess.STDOUT, cwd=folder
            )
            os.sched_setaffinity(process.pid, {core % (os.cpu_count() or 1)})
            try:
                _until_it_listens(process, port, Path(log.name))
                yield Running(port=port, process_id=process.pid)
            finally:
                process.terminate()
                process.wait()


def _until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    given_up_at_s = time.monotonic() + _PEER_STARTS_IN_S
    while process.poll() is None and time.monotonic() < given_up_at_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.2)  # another program starts
        else:
            return
    raise RuntimeError(f"{LITELLM} did not start: {log.read_text()[-500:]}")


class Round(NamedTuple):
    """One measurement at full speed."""

    requests_per_s: float
    cpu_ms_per_request: float


@contextmanager
def all_servers(worker_role: str, litellm_program: str) -> Iterator[dict[str, Running]]:
    with ExitStack() as stack:
        worker = stack.enter_context(serving(worker_role, 1))
        upstream = ("--upstream", f"http://127.0.0.1:{worker.port}")
        servers = {
            DIRECT: worker,
            BARE: stack.enter_context(serving("bare", 0, *upstream)),
            PASS_THROUGH: stack.enter_context(serving("gateway", 0, *upstream, "--hold", "0")),
            HOLDING: stack.enter_context(serving("gateway", 0, *upstream, "--hold", "0.02")),
        }
        if litellm_program:
            servers[LITELLM] = stack.enter_context(litellm(litellm_program, upstream[1], 0))
        yield servers


def throughput(servers: dict[str, Running], rounds: int, lasts_s: float) -> dict[str, list[Round]]:
    """What each server does at full speed, round by round."""
    found: dict[str, list[Round]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            before_s = server.cpu_s()
            load = requests_per_s(server.port, REQUEST, connections=CONNECTIONS, lasts_s=lasts_s)
            answered, rate_per_s = asyncio.run(load)
            if not answered:
                raise RuntimeError(f"{name} answered nothing in {lasts_s:.0f} s")
            found[name].append(Round(rate_per_s, 1000 * (server.cpu_s() - before_s) / answered))
    return found


def latency(servers: dict[str, Running], rounds: int, lasts_s: float, arrivals_per_s: float) -> dict[str, list[float]]:
    """All latencies of each server at the same arrivals, sorted."""
    # Above what LiteLLM can do at all its latency would be that of its queue.
    servers = {name: server for name, server in servers.items() if name != LITELLM}
    taken: dict[str, list[float]] = {name: [] for name in servers}
    for seed in range(rounds):
        for name, server in servers.items():
            load = latencies_s(
                server.port, REQUEST, connections=CONNECTIONS, arrivals_per_s=arrivals_per_s, lasts_s=lasts_s, seed=seed
            )
            taken[name] += asyncio.run(load)
    return {name: sorted(values) for name, values in taken.items()}


def report(found: dict[str, list[Round]], taken: dict[str, list[float]], arrivals_per_s: float) -> str:
    lines = [
        "| server | requests/s | ratio to bare | CPU ms/request | bare's CPU to it | p50 ms | p99 ms | added p50 ms "
        "| added p99 ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    if LITELLM not in found:
        lines.insert(0, f"{LITELLM}: not run, none was named\n")
    direct_ms = [1000 * quantile(taken[DIRECT], share) for share in (0.5, 0.99)]
    for name, rounds in found.items():
        ratio = statistics.median(
            one.requests_per_s / bare.requests_per_s for one, bare in zip(rounds, found[BARE], strict=True)
        )
        rate = statistics.median(one.requests_per_s for one in rounds)
        cpu_ms = statistics.median(one.cpu_ms_per_request for one in rounds)
        cpu_ratio = statistics.median(
            bare.cpu_ms_per_request / one.cpu_ms_per_request for one, bare in zip(rounds, found[BARE], strict=True)
        )
        if name not in taken:
            lines.append(f"| {name} | {rate:.0f} | {ratio:.3f} | {cpu_ms:.2f} | {cpu_ratio:.2f} | | | | |")
            continue
        p50_ms, p99_ms = (1000 * quantile(taken[name], share) for share in (0.5, 0.99))
        lines.append(
            f"| {name} | {rate:.0f} | {ratio:.2f} | {cpu_ms:.2f} | {cpu_ratio:.2f} | {p50_ms:.2f} | {p99_ms:.2f}"
            f" | {p50_ms - direct_ms[0]:.2f} | {p99_ms - direct_ms[1]:.2f} |"
        )
    lines.append(
        f"\nRequests/s: closed loop, {CONNECTIONS} keep-alive connections, median of {len(found[BARE])} rounds. "
        f"Latency: Poisson arrivals at {arrivals_per_s:.0f}/s, from the intended send time. "
        f"{os.cpu_count()} cores, servers under test pinned to one, worker and load to the other."
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    parser.add_argument(
        "--worker",
        choices=["worker", "simulated"],
        default="worker",
        help="`worker` costs almost nothing; `simulated` is the one of `slacktide worker` in its instant mode",
    )
    parser.add_argument("--litellm", default="", help="LiteLLM's program, to measure it too")
    chosen = parser.parse_args()
    os.sched_setaffinity(0, {1 % (os.cpu_count() or 1)})
    with all_servers(chosen.worker, chosen.litellm) as servers:
        found = throughput(servers, chosen.rounds, chosen.seconds)
        arrivals_per_s = LOAD_RATIO * statistics.median(one.requests_per_s for one in found[PASS_THROUGH])
        taken = latency(servers, chosen.rounds, chosen.seconds, arrivals_per_s)
    print(report(found, taken, arrivals_per_s))


if __name__ == "__main__":
    main()
