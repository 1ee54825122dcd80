"""First tokens of interactive requests while deferred ones fill the batch, with a budget for them and without.

    python -m benchmarks.interference

One virtual worker (H100, 8B model in 16 bit, 256 sequences) serves two interactive requests a second (1,000 + 200
tokens, Poisson, half an hour); after five minutes 1,500 deferred ones of 6,000 + 200 tokens may go. The Shaper is the
daemon's own. First tokens are of the interactive requests of the seven minutes from then on, energy is the GPU's over
half an hour, by request of both kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from intensity_feeds.series import IntensitySeries
from shaping.policy import Holding, ShapingPolicy
from shaping.profiles import deployment
from simulations.loop import Loop
from simulations.serving import Pool, PoolSpec, Traffic
from simulations.workers import PREFILL_CHUNK_TOKENS
from simulations.workloads import RequestTrace

START_S = 1_646_092_800.0
SPAN_S, CROWD_AT_S, DAY_S = 1800.0, 300.0, 86_400.0
WATCHED_S = 420.0  # from the crowd on
RATE_PER_S, PROMPT_TOKENS, OUTPUT_TOKENS = 2.0, 1_000, 200
CROWD, CROWD_PROMPT_TOKENS = 1_500, 6_000
SEQUENCES, RESERVED = 256, 64
SEED = 1
BUDGETS_S = (None, 5.0, 2.0, 1.0, 0.5)
STEPS_TOKENS = (512, 8192)  # beside the engine's default of 2,048
_DEPLOYMENT = deployment(gpu="h100-sxm", model="llama-3.1-8b")
_POLICY = ShapingPolicy(interactive_hold_s=0.0, min_group=1, holding=Holding.PASS_THROUGH, reserved_sequences=RESERVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    p50_s: float
    p99_s: float
    longest_s: float
    energy_j: float
    crowd_took_s: float  # from its release to its last answer


def traffic(crowd: int) -> Traffic:
    arrivals_s = np.cumsum(np.random.default_rng(SEED).exponential(1.0 / RATE_PER_S, int(RATE_PER_S * SPAN_S)))
    is_flex = np.concatenate((np.zeros(len(arrivals_s), np.bool_), np.ones(crowd, np.bool_)))
    whole_s = np.concatenate((arrivals_s, np.full(crowd, CROWD_AT_S)))
    order = np.argsort(whole_s, kind="stable")
    trace = RequestTrace(
        arrival_s=whole_s[order],
        prompt_tokens=np.where(is_flex, CROWD_PROMPT_TOKENS, PROMPT_TOKENS)[order],
        output_tokens=np.full(len(order), OUTPUT_TOKENS),
    )
    return Traffic(trace=trace, start_at_s=START_S, is_flex=is_flex[order], flex_deadline_s=DAY_S, flex_margin_s=0.0)


def outcome(crowd: int, budget_s: float | None, step_tokens: int = PREFILL_CHUNK_TOKENS) -> Outcome:
    loop, sent = Loop(START_S), traffic(crowd)
    spec = PoolSpec(
        name="benchmark", region="here", zone="here", deployment=_DEPLOYMENT, workers=1, max_sequences=SEQUENCES
    )
    spec = replace(spec, step_tokens=step_tokens)
    grid = IntensitySeries.flat("here", START_S, START_S + 30 * DAY_S, 380.0)
    pool = Pool(loop, spec, sent, replace(_POLICY, first_token_budget_s=budget_s), forecast=lambda: grid)
    loop.run()
    pool.close(max(pool.ended_at_s, START_S + SPAN_S))
    arrival_s = sent.trace.arrival_s
    is_watched = ~sent.is_flex & (arrival_s >= CROWD_AT_S) & (arrival_s < CROWD_AT_S + WATCHED_S)
    waits_s = (pool.record.first_token_at_s - (START_S + arrival_s))[is_watched]
    assert np.isfinite(waits_s).all(), "a request was not answered"
    p50_s, p99_s = (float(value) for value in np.percentile(waits_s, [50, 99]))
    ends_s = pool.record.finished_at_s[sent.is_flex] - (START_S + CROWD_AT_S)
    return Outcome(
        p50_s=p50_s,
        p99_s=p99_s,
        longest_s=float(waits_s.max()),
        energy_j=sum(float(one.energy_j.sum()) for one in pool.record.power) / len(sent.trace),
        crowd_took_s=float(ends_s.max()) if crowd else 0.0,
    )


def row(label: str, found: Outcome) -> str:
    waits = f"{found.p50_s:.2f} | {found.p99_s:.2f} | {found.longest_s:.2f}"
    last = f"{found.crowd_took_s:.0f}" if found.crowd_took_s else ""
    return f"| {label} | {waits} | {found.energy_j:.1f} | {last} |"


def main() -> None:
    print("| deferred requests | first token p50 s | p99 s | longest s | J/request | the last after s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    print(row("none", outcome(0, None)))
    for budget_s in BUDGETS_S:
        limit = "no limit" if budget_s is None else f"`first_token_budget_s = {budget_s:g}`"
        print(row(limit, outcome(CROWD, budget_s)), flush=True)
    for tokens in STEPS_TOKENS:
        for budget_s, limit in ((None, "no limit"), (1.0, "1 s")):
            label = f"{limit}, {tokens:,} prompt tokens a step"
            print(row(label, outcome(CROWD, budget_s, tokens)), flush=True)


if __name__ == "__main__":
    main()
