"""The gateway beside a bare aiohttp reverse proxy: requests per second, and latency added, in one run.

    python -m benchmarks.gateway [--rounds 10] [--seconds 2] [--litellm .venv-litellm/bin/litellm]

Writes benchmarks/gateway.md, and prints it. Three kinds of server stand before one instant worker: nothing, a bare
proxy, the gateway (with shaping and accounting on, first passing everything through, then with its default holds).
LiteLLM's proxy takes part where it is named. Exit code 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.gateway_rounds import (
    BARE,
    CONNECTIONS,
    DIRECT,
    HOLDING,
    OTHER_CORE,
    PASS_THROUGH,
    Round,
    all_servers,
    measured,
)
from benchmarks.http_load import quantile
from benchmarks.litellm_proxy import NAME as LITELLM
from benchmarks.paragraphs import paragraph
from benchmarks.processes import pin

PAGE = Path(__file__).with_suffix(".md")
LEAST_RATIO = {PASS_THROUGH: 0.8, HOLDING: 0.7}
ADDED_P99_MS = 5.0
TIMES_LITELLM = 8.0
HEAD = """# The gateway beside a bare proxy

    python -m benchmarks.gateway

Written by the command. A bare aiohttp reverse proxy (its client's costly defaults switched off, no header rules, no
streaming) and the gateway stand before one instant worker. The gateway reads and checks each request, shapes, accounts
for energy and counts. Servers under test have a core, worker and load another. A round takes every server at full
speed, then every server at half of what the gateway has just shown, each time in an order drawn anew, in slices of a
few seconds; every slice of the run is in the tables. What the tail is made of stands in
[decision 0047](../docs/decisions/0047-two-turns-of-the-loop-for-a-request.md).
"""
LATENCY_COLUMNS = (
    "p50 ms",
    "p99 ms, all",
    "p99 ms, median slice",
    "added p50 ms",
    "added p99 ms, all",
    "added p99 ms, median round",
    "busy",
    "ready, no core",
    "core stolen",
)


def rates(rounds: Sequence[Round]) -> str:
    lines = [
        "| server | requests/s | ratio to bare | lowest and highest ratio | CPU ms/request | bare's CPU to it |",
        "| :--- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in rounds[0].full_speed:
        ratios = rate_ratios(rounds, name, BARE)
        rate = median(one.full_speed[name].requests_per_s for one in rounds)
        cpu_ms = median(one.full_speed[name].cpu_ms_per_request for one in rounds)
        cpu_ratio = median(
            one.full_speed[BARE].cpu_ms_per_request / one.full_speed[name].cpu_ms_per_request for one in rounds
        )
        lines.append(
            f"| {name} | {rate:.0f} | {median(ratios):.3g} | {min(ratios):.3g} to {max(ratios):.3g} | {cpu_ms:.2f}"
            f" | {cpu_ratio:.2f} |"
        )
    return "\n".join(lines)


def rate_ratios(rounds: Sequence[Round], name: str, other: str) -> list[float]:
    """Within each round."""
    return [one.full_speed[name].requests_per_s / one.full_speed[other].requests_per_s for one in rounds]


def pooled_ms(rounds: Sequence[Round], name: str, share_ratio: float) -> float:
    """A quantile of all requests of the run."""
    return 1000 * quantile(sorted(took_s for one in rounds for took_s in one.slices[name].latencies_s), share_ratio)


def per_slice_ms(rounds: Sequence[Round], name: str, share_ratio: float) -> list[float]:
    return [1000 * quantile(one.slices[name].latencies_s, share_ratio) for one in rounds]


def added_per_round_ms(rounds: Sequence[Round], name: str, share_ratio: float) -> list[float]:
    """Beyond the worker alone, within each round."""
    pairs = zip(per_slice_ms(rounds, name, share_ratio), per_slice_ms(rounds, DIRECT, share_ratio), strict=True)
    return [with_it_ms - alone_ms for with_it_ms, alone_ms in pairs]


def latencies(rounds: Sequence[Round]) -> str:
    lines = [f"| server | {' | '.join(LATENCY_COLUMNS)} |", "| :--- |" + " ---: |" * len(LATENCY_COLUMNS)]
    for name in rounds[0].slices:
        p50_ms, p99_ms = pooled_ms(rounds, name, 0.5), pooled_ms(rounds, name, 0.99)
        slices = [one.slices[name] for one in rounds]
        lines.append(
            f"| {name} | {p50_ms:.2f} | {p99_ms:.2f} | {median(per_slice_ms(rounds, name, 0.99)):.2f}"
            f" | {p50_ms - pooled_ms(rounds, DIRECT, 0.5):.2f} | {p99_ms - pooled_ms(rounds, DIRECT, 0.99):.2f}"
            f" | {median(added_per_round_ms(rounds, name, 0.99)):.2f}"
            f" | {median(one.busy_ratio for one in slices):.0%} | {median(one.waited_ratio for one in slices):.1%}"
            f" | {median(one.stolen_ratio for one in slices):.1%} |"
        )
    return "\n".join(lines)


def every_round(rounds: Sequence[Round]) -> str:
    names = list(rounds[0].slices)
    lines = [
        f"| round | arrivals/s | {' | '.join(names)} |",
        "| ---: | ---: |" + " ---: |" * len(names),
    ]
    for number, one in enumerate(rounds, 1):
        cells = (
            f"{1000 * quantile(a_slice.latencies_s, 0.99):.1f} ({a_slice.waited_ratio:.0%}, {a_slice.stolen_ratio:.0%})"
            for a_slice in one.slices.values()
        )
        lines.append(f"| {number} | {one.arrivals_per_s:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def verdicts(rounds: Sequence[Round]) -> list[tuple[str, bool]]:
    """Each target in words, and whether it is met."""
    found = []
    for name, least_ratio in LEAST_RATIO.items():
        ratio = median(rate_ratios(rounds, name, BARE))
        found.append((f"{name}: {ratio:.2f} of the bare proxy's rate (target {least_ratio})", ratio >= least_ratio))
    for how, of in (("over all requests", pooled_added_p99_ms), ("in the median round", median_added_p99_ms)):
        added_ms, bare_ms = of(rounds, PASS_THROUGH), of(rounds, BARE)
        said = f"{added_ms:.1f} ms added at p99 {how}, the bare proxy {bare_ms:.1f} (target {ADDED_P99_MS:.0f})"
        found.append((said, added_ms < ADDED_P99_MS))
    if LITELLM in rounds[0].full_speed:
        times = median(rate_ratios(rounds, PASS_THROUGH, LITELLM))
        said = f"{times:.0f} times the rate of LiteLLM's proxy on the same core (target {TIMES_LITELLM:.0f})"
        found.append((said, times >= TIMES_LITELLM))
    return found


def pooled_added_p99_ms(rounds: Sequence[Round], name: str) -> float:
    return pooled_ms(rounds, name, 0.99) - pooled_ms(rounds, DIRECT, 0.99)


def median_added_p99_ms(rounds: Sequence[Round], name: str) -> float:
    return median(added_per_round_ms(rounds, name, 0.99))


def page_of(rounds: Sequence[Round], lasts_s: float, worker: str) -> str:
    targets = "\n".join(f"- {said}: {'met' if is_met else '**missed**'}" for said, is_met in verdicts(rounds))
    arrivals = [one.arrivals_per_s for one in rounds]
    requests = sum(len(one.slices[PASS_THROUGH].latencies_s) for one in rounds)
    # Over one, somebody else wanted the same processors.
    load_ratio = os.getloadavg()[1] / (os.cpu_count() or 1)
    of_litellm = "" if LITELLM in rounds[0].full_speed else f"{LITELLM}: not run, none was named."
    about_worker = "" if worker == "worker" else "The worker is the simulated one, in its instant mode."
    at_full_speed = f"""
        Closed loop over {CONNECTIONS} keep-alive connections, medians of {len(rounds)} slices of {lasts_s:g} s; a ratio
        is one of the same round. {of_litellm} {about_worker}
    """
    at_half = f"""
        Poisson arrivals, {min(arrivals):.0f} to {max(arrivals):.0f} a second: half of the gateway's rate of the same
        round, and the same instants for every server. Latency counts from the instant a request was due, {requests:,}
        requests for each server. *Added* is what lies beyond the worker alone. *Busy* is the share of a core that the
        server used, *ready, no core* the share of the time in which it could have run and another process had its core
        (the kernel's count for its main thread), *core stolen* that in which the machine beneath gave the core to
        others; all three are medians of slices. Holds wait for company on purpose: 20 ms at most, to form a group of
        eight.
    """
    each = """
        p99 in ms, and in brackets the shares of the slice in which the server was ready without a core, and its core
        stolen.
    """
    machine = f"{os.cpu_count()} cores with a load of {load_ratio:.1f} each, this benchmark's own included"
    return f"""{HEAD}
## Targets

{targets}

## At full speed

{paragraph(at_full_speed)}

{rates(rounds)}

## At half of the gateway's rate

{paragraph(at_half)}

{latencies(rounds)}

## Each round

{paragraph(each)}

{every_round(rounds)}

Measured on {machine}, Python {platform.python_version()}.
"""


def told_as_they_end(count: int) -> Callable[[Round], None]:
    """Who waits for some minutes sees that they pass."""
    ended = 0

    def tell(one: Round) -> None:
        nonlocal ended
        ended += 1
        p99_ms = 1000 * quantile(one.slices[PASS_THROUGH].latencies_s, 0.99)
        print(f"round {ended} of {count}: {PASS_THROUGH} {p99_ms:.1f} ms at p99", file=sys.stderr, flush=True)

    return tell


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a slice")
    parser.add_argument(
        "--worker",
        choices=["worker", "simulated"],
        default="worker",
        help="`worker` costs almost nothing; `simulated` is the one of `slacktide worker` in its instant mode",
    )
    parser.add_argument("--litellm", default="", help="LiteLLM's program, to measure it too")
    parser.add_argument("--print-only", action="store_true", help="leave the page as it is")
    chosen = parser.parse_args()
    pin(0, OTHER_CORE)
    with all_servers(chosen.worker, chosen.litellm) as servers:
        rounds = measured(servers, chosen.rounds, chosen.seconds, told_as_they_end(chosen.rounds))
    page = page_of(rounds, chosen.seconds, chosen.worker)
    print(page)
    if not chosen.print_only:
        PAGE.write_text(page)
    return 0 if all(is_met for _, is_met in verdicts(rounds)) else 1


if __name__ == "__main__":
    sys.exit(main())
