"""Models at low rate that share one H100, beside one H100 each: energy per request and p99 latency.

    python -m benchmarks.sharing

Every model is an 8B model in 16 bit with Poisson arrivals of its own (350 + 400 tokens, 256 sequences), each request to
be answered within the budget. One worker is awake at a time; a swap takes two seconds at the power of a process that
keeps its context (121.7 W). Energy is that of all GPUs, idle time and swaps included, by request answered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.arrival_runs import (
    GRID_GCO2E_PER_KWH,
    MARGIN_S,
    OUTPUT_TOKENS,
    PASS_THROUGH,
    PROMPT_TOKENS,
    SEQUENCES,
    START_S,
    adaptive,
)
from intensity_feeds.series import IntensitySeries
from shaping.policy import ShapingPolicy
from shaping.profiles import deployment
from shaping.sharing import SharingPolicy
from simulations.loop import Loop
from simulations.serving import Pool, PoolSpec, Traffic
from simulations.shared_gpus import SharedGpus, SwapSpec
from simulations.workloads import RequestTrace

SPAN_S = 3600.0
_DEPLOYMENT = deployment(gpu="h100-sxm", model="llama-3.1-8b")
_CONTEXT_W = 121.7
SWAPS_IN_S = 2.0
_GRID = IntensitySeries.flat("here", START_S, START_S + 30 * 86400.0, GRID_GCO2E_PER_KWH)
_SWAP = SwapSpec(
    policy=SharingPolicy(swap_s=SWAPS_IN_S + 0.5, stay_s=30.0, patience_s=60.0),
    swaps_in_s=SWAPS_IN_S,
    asleep_power_w=_CONTEXT_W,
    swapping_power_w=_CONTEXT_W,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of all models together; every request is answered."""

    energy_j: float  # per request
    busy_j: float
    p50_s: float
    p99_s: float
    late_ratio: float
    swaps_per_h: float


def sent(rate_per_s: float, seed: int) -> RequestTrace:
    count = max(50, round(rate_per_s * SPAN_S))
    gaps_s = np.random.default_rng([7, seed]).exponential(1.0 / rate_per_s, count)
    return RequestTrace(
        arrival_s=np.cumsum(gaps_s),
        prompt_tokens=np.full(count, PROMPT_TOKENS),
        output_tokens=np.full(count, OUTPUT_TOKENS),
    )


def outcome(models: int, rate_per_s: float, policy: ShapingPolicy, budget_s: float, *, is_shared: bool) -> Outcome:
    """Each model with this many requests a second, all on one GPU or each on its own."""
    loop = Loop(START_S)
    shared = SharedGpus(loop, _SWAP, pools=models) if is_shared else None
    pools, traces = [], [sent(rate_per_s, seed) for seed in range(models)]
    for place, trace in enumerate(traces):
        spec = PoolSpec(
            name=str(place),
            region="here",
            zone="here",
            deployment=_DEPLOYMENT,
            workers=1,
            max_sequences=SEQUENCES,
        )
        traffic = Traffic(
            trace=trace,
            start_at_s=START_S,
            is_flex=np.full(len(trace), True),
            flex_deadline_s=budget_s,
            flex_margin_s=min(MARGIN_S, budget_s / 20.0),
        )
        pools.append(Pool(loop, spec, traffic, policy, forecast=lambda: _GRID, shared=shared))
    loop.run()
    for pool in pools:
        pool.close(loop.now_s)
    latencies_s = np.concatenate(
        [pool.record.finished_at_s - START_S - one.arrival_s for pool, one in zip(pools, traces, strict=True)]
    )
    assert np.isfinite(latencies_s).all(), "a request was not answered"
    power = [trace for pool in pools for trace in pool.record.power]
    count = len(latencies_s)
    energy_j = sum(float(one.energy_j.sum()) for one in power)
    idle_j = sum(float(one.energy_j[one.sequences == 0].sum()) for one in power)
    p50_s, p99_s = (float(value) for value in np.percentile(latencies_s, [50, 99]))
    return Outcome(
        energy_j=energy_j / count,
        busy_j=(energy_j - idle_j) / count,
        p50_s=p50_s,
        p99_s=p99_s,
        late_ratio=float((latencies_s > budget_s).mean()),
        swaps_per_h=0.0 if shared is None else shared.swaps * 3600.0 / (loop.now_s - START_S),
    )


def _row(*parts: object) -> None:
    print("| " + " | ".join(str(part) for part in parts) + " |", flush=True)


def _rows(models: int, rate_per_s: float, budget_s: float) -> None:
    at_once = outcome(models, rate_per_s, PASS_THROUGH, budget_s, is_shared=False)
    for is_shared in (False, True):
        for rule, policy in RULES.items():
            found = outcome(models, rate_per_s, policy, budget_s, is_shared=is_shared)
            _row(
                models,
                f"{rate_per_s:g}",
                f"{budget_s:g}",
                1 if is_shared else models,
                rule,
                f"{found.energy_j:.1f}",
                f"{found.busy_j:.1f}",
                f"{found.p50_s:.1f}",
                f"{found.p99_s:.1f}",
                f"{found.late_ratio:.2%}",
                f"{found.swaps_per_h:.0f}",
                f"{at_once.energy_j / found.energy_j:.1f}",
            )


RULES = {"pass-through": PASS_THROUGH, "adaptive": adaptive()}
HEADINGS = (
    "models",
    "requests/s each",
    "budget s",
    "GPUs",
    "rule",
    "J/request",
    "without idle",
    "p50 s",
    "p99 s",
    "late",
    "swaps/h",
    "at once, a GPU each / this",
)
# Models, requests a second of each, budget in seconds.
CASES = (
    (2, 0.02, 60.0),
    (2, 0.1, 20.0),
    (2, 0.1, 60.0),
    (2, 1.0, 60.0),
    (4, 1.0, 60.0),
    (6, 1.0, 60.0),
    (6, 1.0, 120.0),
)


def main() -> None:
    _row(*HEADINGS)
    _row(*("---" if heading == "rule" else "---:" for heading in HEADINGS))
    for case in CASES:
        _rows(*case)


if __name__ == "__main__":
    main()
