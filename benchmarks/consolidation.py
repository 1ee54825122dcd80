"""What consolidation saves at one request a second by how many workers there were and what a sleeping one draws.

    python -m benchmarks.consolidation

One H100 a worker, 8B model, 350 + 400 tokens, Poisson arrivals at a request a second in all, each to be answered within
60 s. Served on arrival, requests go to the least loaded of all workers, which stay awake; consolidated, the adaptive
rule forms groups and the others sleep. Then the least that groups can reach on one GPU, by arithmetic: as large as the
budget allows, arrivals like a clock, and a GPU that sleeps whenever it does not serve and wakes in no time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.arrival_runs import (
    BARE_W,
    BUDGET_S,
    CONTEXT_W,
    DEPLOYMENT,
    LOADING_W,
    OUTPUT_TOKENS,
    PASS_THROUGH,
    PROMPT_TOKENS,
    Outcome,
    adaptive,
    outcome,
    poisson,
    sleeping,
)
from benchmarks.arrival_shaping import SAVED_WITH_SLEEP, cells, headed
from shaping.saturation import Traffic, static_batch
from simulations.roster import SleepSpec

RATE_PER_S = 1.0
WORKERS = (1, 2, 4, 8)
_TRAFFIC = Traffic(prompt_tokens=PROMPT_TOKENS, output_tokens=OUTPUT_TOKENS)
# Waking from off is never waited for where one stays awake; a process that ended loads its model in 30 s.
SLEEPS: dict[str, SleepSpec] = {
    "all may sleep, process kept, 121.7 W": sleeping(CONTEXT_W, 2.0),
    "all may sleep, no process, 71.8 W": sleeping(BARE_W, 30.0, LOADING_W),
    "one stays awake, others without a process, 71.8 W": sleeping(BARE_W, 30.0, LOADING_W, min_awake=1),
    "one stays awake, others off or given back": sleeping(0.0, 60.0, LOADING_W, min_awake=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One batch in its period: the arrivals of that long are served together."""

    requests: int
    serving_s: float
    busy_j: float  # per request

    @property
    def period_s(self) -> float:
        return self.requests / RATE_PER_S

    @property
    def idle_s(self) -> float:
        """Per request."""
        return (self.period_s - self.serving_s) / self.requests

    def energy_j(self, idle_w: float) -> float:
        """Per request, at this power while nothing is served."""
        return self.busy_j + idle_w * self.idle_s


def groups(budget_s: float = BUDGET_S) -> list[Group]:
    """Every size whose first member is answered in time when the group leaves with its last."""
    found = []
    for requests in range(1, round(RATE_PER_S * budget_s) + 1):
        made = static_batch(DEPLOYMENT, requests, _TRAFFIC)
        serving_s = made.step_s * OUTPUT_TOKENS
        if (requests - 1) / RATE_PER_S + serving_s <= budget_s and serving_s <= requests / RATE_PER_S:
            found.append(Group(requests=requests, serving_s=serving_s, busy_j=made.j_per_request))
    return found


def most_idle_w(energy_j: float, budget_s: float = BUDGET_S) -> float:
    """The most that a GPU may draw while it does not serve, for a request to cost no more than this in some group."""
    return max((energy_j - one.busy_j) / one.idle_s for one in groups(budget_s))


def table() -> Iterator[str]:
    yield from headed(
        "workers", "consolidated", "J/request", "p50 s", "p99 s", "at once on all / this", "at once on one / this"
    )
    sent = poisson(RATE_PER_S)
    on_one = outcome(sent, PASS_THROUGH)
    for workers in WORKERS:
        at_once = outcome(sent, PASS_THROUGH, workers=workers)
        yield _row(f"{workers}", "no: at once, all awake", at_once, at_once, on_one)
        yield _row("", "no: adaptive, all awake", outcome(sent, adaptive(), workers=workers), at_once, on_one)
        for name, sleep in SLEEPS.items():
            if workers > 1 or sleep.policy.min_awake == 0:
                yield _row("", name, outcome(sent, adaptive(), workers=workers, sleep=sleep), at_once, on_one)


def _row(workers: str, name: str, found: Outcome, on_all: Outcome, on_one: Outcome) -> str:
    ratios = (f"{one.energy_j / found.energy_j:.1f}" for one in (on_all, on_one))
    return cells(workers, name, f"{found.energy_j:.1f}", f"{found.p50_s:.1f}", f"{found.p99_s:.1f}", *ratios)


def limits(at_once_j: float) -> Iterator[str]:
    """The least on one GPU, by what it draws while it does not serve."""
    yield from headed("one GPU, not serving it draws", "requests in a group", "least J/request", "at once / this")
    for idle_w in (0.0, 10.0, BARE_W, CONTEXT_W):
        best = min(groups(), key=lambda one: one.energy_j(idle_w))
        least_j = best.energy_j(idle_w)
        yield cells(f"{idle_w:g} W", best.requests, f"{least_j:.1f}", f"{at_once_j / least_j:.1f}")
    wanted_j = at_once_j / SAVED_WITH_SLEEP
    best = min(groups(), key=lambda one: one.energy_j(BARE_W))
    between_w, between_j = most_idle_w(wanted_j), BARE_W * best.idle_s
    yield f"\n{SAVED_WITH_SLEEP:g} times less is {wanted_j:.1f} J/request: at most {between_w:.1f} W between groups."
    yield f"Between groups of {best.requests} a GPU without a process takes {between_j:.1f} J/request alone."


def main() -> None:
    for line in table():
        print(line, flush=True)
    print()
    for line in limits(outcome(poisson(RATE_PER_S), PASS_THROUGH).energy_j):
        print(line)


if __name__ == "__main__":
    main()
