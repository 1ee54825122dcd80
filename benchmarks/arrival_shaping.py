"""Arrival shaping on one modelled H100: energy per request and p99 latency of each hold rule, by load and on traces.

    python -m benchmarks.arrival_shaping
    python -m benchmarks.arrival_shaping --picture docs/pictures/arrival-shaping.png

Prints benchmarks/arrival_shaping.md, or draws. Every row is the daemon's own Shaper before the simulator's virtual
worker (an 8B model in 16 bit, 256 sequences), on the energy model as it ships; nothing is fitted to a row. Energy is
the GPU's, by request that was answered, with and without its idle time. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.arrival_runs import (
    BUDGET_S,
    PASS_THROUGH,
    SLEEPS,
    Outcome,
    adaptive,
    outcome,
    paced,
    poisson,
    trace,
    window,
)
from simulations.workloads import RequestTrace

RATES_PER_S = (0.1, 0.3, 1.0, 3.0, 10.0, 16.0, 20.0)
SATURATED_PER_S = 20.0
TRACES = ("azure_2023_code_1h", "azure_2023_conv_1h")
TRACE_BUDGETS_S = (5.0, 10.0, 20.0, 40.0)
DELAYS_S = (0.0, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0)
BATCHES = (None, 64)
PICTURE_BUDGETS_S = (4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0)
SAVED_AT_ONE, SAVED_WITH_SLEEP, MOST_AT_SATURATION_RATIO = 2.5, 8.0, 1.03
# Two runs of one trace differ by less than this when one request moves; a difference below it is none.
SAME_RATIO = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    what: str
    wanted: str
    got: str
    is_met: bool


def cells(*parts: object) -> str:
    return "| " + " | ".join(str(part) for part in parts) + " |"


def headed(*headings: str) -> list[str]:
    return [cells(*headings), "|" + " --- |" + " ---: |" * (len(headings) - 1)]


def numbers(found: Outcome) -> tuple[str, str, str, str]:
    return f"{found.energy_j:.1f}", f"{found.busy_j:.1f}", f"{found.p50_s:.1f}", f"{found.p99_s:.1f}"


# -- by load -----------------------------------------------------------------------------------------------------------


def by_load(targets: list[Target]) -> Iterator[str]:
    yield "## By load\n"
    yield f"Requests of 350 + 400 tokens, Poisson arrivals, each to be answered within {BUDGET_S:.0f} s.\n"
    yield from headed("requests/s", "rule", "J/request", "without idle", "p50 s", "p99 s", "at once / this")
    for rate_per_s in RATES_PER_S:
        sent = poisson(rate_per_s)
        at_once, shaped = outcome(sent, PASS_THROUGH), outcome(sent, adaptive())
        yield cells(f"{rate_per_s:g}", "pass-through", *numbers(at_once), "1.0")
        yield cells("", "adaptive", *numbers(shaped), f"{at_once.energy_j / shaped.energy_j:.1f}")
        targets.append(_latency(f"p99 latency at {rate_per_s:g}/s", shaped))
        if rate_per_s == 1.0:
            targets.append(_saving("adaptive at 1/s", at_once, shaped, SAVED_AT_ONE))
        if rate_per_s == SATURATED_PER_S:
            ratio = shaped.energy_j / at_once.energy_j
            targets.append(
                Target(
                    what=f"energy over pass-through's at {rate_per_s:g}/s",
                    wanted=f"at most {MOST_AT_SATURATION_RATIO}",
                    got=f"{ratio:.3f}",
                    is_met=ratio <= MOST_AT_SATURATION_RATIO,
                )
            )


def _latency(what: str, found: Outcome) -> Target:
    return Target(
        what=what, wanted=f"at most {BUDGET_S:.0f} s", got=f"{found.p99_s:.1f} s", is_met=found.p99_s <= BUDGET_S
    )


def _saving(what: str, before: Outcome, after: Outcome, least: float) -> Target:
    ratio = before.energy_j / after.energy_j
    return Target(what=what, wanted=f"at least {least:g} times less", got=f"{ratio:.2f}", is_met=ratio >= least)


def rules_at_one() -> Iterator[str]:
    yield "\n## All rules at one request a second\n"
    yield from headed("rule", "J/request", "without idle", "p50 s", "p99 s")
    sent = poisson(1.0)
    yield cells("pass-through", *numbers(outcome(sent, PASS_THROUGH)))
    for gap_s in (0.9, 1.1):
        yield cells(f"paced, one every {gap_s:g} s", *numbers(outcome(sent, paced(gap_s))))
    for delay_s in (1.0, 10.0, 50.0):
        yield cells(f"window, {delay_s:g} s", *numbers(outcome(sent, window(delay_s))))
    for grid in (25.0, 100.0, 400.0, 800.0):
        found = outcome(sent, adaptive(price_gco2e_per_h=30.0), grid_gco2e_per_kwh=grid)
        yield cells(f"adaptive, dear waiting (30 g/h), {grid:g} g/kWh", *numbers(found))
    yield cells("adaptive, 0.3 g/h", *numbers(outcome(sent, adaptive())))


def with_sleep(targets: list[Target]) -> Iterator[str]:
    yield "\n## With consolidation, at one request a second\n"
    yield from headed(
        "asleep the GPU draws, and wakes in", "J/request", "without idle", "p50 s", "p99 s", "at once / this"
    )
    sent = poisson(1.0)
    at_once = outcome(sent, PASS_THROUGH)
    for name, sleep in SLEEPS.items():
        found = outcome(sent, adaptive(), sleep=sleep)
        yield cells(name, *numbers(found), f"{at_once.energy_j / found.energy_j:.1f}")
        if name == next(iter(SLEEPS)):
            targets.append(_saving(f"with consolidation, {name}", at_once, found, SAVED_WITH_SLEEP))
            targets.append(_latency("p99 latency with consolidation", found))


# -- traces ------------------------------------------------------------------------------------------------------------


def on_traces(targets: list[Target]) -> Iterator[str]:
    for name in TRACES:
        sent = trace(name)
        yield f"\n## {name}\n"
        yield f"{len(sent)} requests. The last column is a fixed window's energy at the same p99 latency.\n"
        yield from headed("rule", "J/request", "without idle", "p50 s", "p99 s", "window, same p99")
        frontier = []
        for batch in BATCHES:
            for delay_s in DELAYS_S:
                found = outcome(sent, window(delay_s, batch))
                frontier.append(found)
                yield cells(f"window {delay_s:g} s, batch {batch or 'any'}", *numbers(found), "")
        yield from _adaptive_rows(sent, frontier, name, targets)


def _adaptive_rows(sent: RequestTrace, frontier: Sequence[Outcome], name: str, targets: list[Target]) -> Iterator[str]:
    mean_tokens = round(float(sent.output_tokens.mean()))
    variants: dict[str, list[float]] = {"known": [], "not known": [], "lanes": []}
    for budget_s in TRACE_BUDGETS_S:
        runs = {
            "known": outcome(sent, adaptive(), budget_s=budget_s),
            "not known": outcome(sent, adaptive(), budget_s=budget_s, expected_output_tokens=mean_tokens),
            "lanes": outcome(sent, adaptive(has_length_lanes=True), budget_s=budget_s),
        }
        labels = (f"adaptive {budget_s:g} s, lengths known", "... lengths not known", "... known, in lanes by length")
        for label, (kind, found) in zip(labels, runs.items(), strict=True):
            beside_j = at_p99(frontier, found.p99_s)
            variants[kind].append(found.energy_j / beside_j)
            yield cells(label, *numbers(found), f"{beside_j:.1f}")
    yield "\nEnergy over a window's at equal p99, worst and best of the budgets: " + "; ".join(
        f"{kind} {max(ratios):.3f}, {min(ratios):.3f}" for kind, ratios in variants.items()
    )
    ratios = variants["known"]
    targets.append(
        Target(
            what=f"{name}: energy over a window's at equal p99, lengths known, worst and best of the budgets",
            wanted="never above 1" + (", best below" if "code" in name else ""),
            got=f"{max(ratios):.3f}, {min(ratios):.3f}",
            is_met=max(ratios) <= 1.0 + SAME_RATIO and ("code" not in name or min(ratios) < 1.0 - SAME_RATIO),
        )
    )


def at_p99(frontier: Sequence[Outcome], p99_s: float) -> float:
    """Energy of the best window that is no slower, straight between neighbours of the frontier."""
    best: list[Outcome] = []
    for one in sorted(frontier, key=lambda found: (found.p99_s, found.energy_j)):
        if not best or one.energy_j < best[-1].energy_j:
            best.append(one)
    return float(np.interp(p99_s, [one.p99_s for one in best], [one.energy_j for one in best]))


# -- the picture -------------------------------------------------------------------------------------------------------


def draw(path: Path) -> None:
    """Energy per request and p99 latency against the budget, at one request a second. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sent = poisson(1.0)
    first = next(iter(SLEEPS.values()))
    found = [
        (outcome(sent, adaptive(), budget_s=one), outcome(sent, adaptive(), budget_s=one, sleep=first))
        for one in PICTURE_BUDGETS_S
    ]
    at_once = outcome(sent, PASS_THROUGH)
    figure, (energy, latency) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    energy.axhline(at_once.energy_j, color="0.5", label="served on arrival")
    energy.plot(PICTURE_BUDGETS_S, [shaped.energy_j for shaped, _ in found], "o-", color="#0b6e4f", label="adaptive")
    energy.plot(
        PICTURE_BUDGETS_S,
        [asleep.energy_j for _, asleep in found],
        "s--",
        color="#d1802c",
        label="and the GPU lent out between groups",
    )
    energy.plot(
        PICTURE_BUDGETS_S, [shaped.busy_j for shaped, _ in found], ":", color="#0b6e4f", label="adaptive, without idle"
    )
    energy.set(
        xlabel="budget, s", ylabel="J per request", xscale="log", yscale="log", title="Energy at one request a second"
    )
    latency.plot(PICTURE_BUDGETS_S, PICTURE_BUDGETS_S, color="0.5", label="budget")
    latency.plot(PICTURE_BUDGETS_S, [shaped.p99_s for shaped, _ in found], "o-", color="#0b6e4f", label="p99, adaptive")
    latency.plot(PICTURE_BUDGETS_S, [shaped.p50_s for shaped, _ in found], "o:", color="#0b6e4f", label="p50, adaptive")
    latency.set(xlabel="budget, s", ylabel="latency, s", xscale="log", yscale="log", title="Latency")
    for axes, ticks in ((energy, (40, 60, 100, 200, 400)), (latency, (5, 10, 20, 60, 120))):
        axes.set_xticks((5, 10, 20, 60, 120), ("5", "10", "20", "60", "120"), minor=False)
        axes.set_yticks(ticks, [str(one) for one in ticks], minor=False)
        axes.minorticks_off()
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str]) -> int:
    if "--picture" in arguments:
        draw(Path(arguments[arguments.index("--picture") + 1]))
        return 0
    targets: list[Target] = []
    print("# Arrival shaping, measured in the simulator\n")
    print("Made by `python -m benchmarks.arrival_shaping`, which says how; read with [shaping](../docs/shaping.md).\n")
    for part in (by_load(targets), rules_at_one(), with_sleep(targets), on_traces(targets)):
        for line in part:
            print(line, flush=True)
    print("\n## Targets\n")
    for line in headed("what", "wanted", "got", "met"):
        print(line)
    for target in targets:
        print(cells(target.what, target.wanted, target.got, "yes" if target.is_met else "**no**"))
    return 0 if all(target.is_met for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
