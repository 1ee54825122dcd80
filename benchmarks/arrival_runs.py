"""One run of the arrival-shaping benchmark: a trace, a hold rule, a budget, and what came of it. Prints nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intensity_feeds.series import Floats, IntensitySeries
from shaping.consolidation import ConsolidationPolicy
from shaping.policy import Holding, ShapingPolicy
from shaping.profiles import deployment
from simulations.loop import Loop
from simulations.roster import SleepSpec
from simulations.serving import Pool, PoolSpec, Traffic
from simulations.trace_files import read_request_trace
from simulations.workloads import RequestTrace
from tests.real_data import data_folder

BUDGET_S = 60.0
MARGIN_S = 1.0  # kept free of the budget, beyond service; a twentieth of shorter budgets
PROMPT_TOKENS, OUTPUT_TOKENS = 350, 400
SEQUENCES = 256
GRID_GCO2E_PER_KWH = 380.0  # constant: the hour plays no part here
START_S = 1_646_092_800.0
SPAN_S = 1800.0  # of the Poisson arrivals; long enough for thirty groups
FEWEST, MOST = 400, 20_000
TRACE_S = 1800.0  # of the real traces, from their beginning
SEED = 1
_ANY_HOLD_S = 1e6  # the budget is each request's own
DEPLOYMENT = deployment(gpu="h100-sxm", model="llama-3.1-8b")
CONTEXT_W, BARE_W, LOADING_W = 121.7, 71.8, 76.0

PASS_THROUGH = ShapingPolicy(interactive_hold_s=0.0, min_group=1, holding=Holding.PASS_THROUGH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Means and quantiles over the answered requests; every request is answered."""

    energy_j: float
    busy_j: float  # without idle time
    p50_s: float
    p99_s: float


def sleeping(
    asleep_power_w: float, wakes_in_s: float, waking_power_w: float = CONTEXT_W, *, min_awake: int = 0
) -> SleepSpec:
    # A second in reserve, and no patience: what a group waits for is known, and so is how long.
    policy = ConsolidationPolicy(wake_s=wakes_in_s + 1.0, patience_s=5.0, min_awake=min_awake)
    return SleepSpec(policy=policy, wakes_in_s=wakes_in_s, asleep_power_w=asleep_power_w, waking_power_w=waking_power_w)


SLEEPS = {
    "nothing (the GPU does other work or is given back), 2 s": sleeping(0.0, 2.0),
    "a GPU without a process, 71.8 W, 2 s": sleeping(BARE_W, 2.0),
    "a process that keeps its context, 121.7 W, 2 s": sleeping(CONTEXT_W, 2.0),
    "nothing, 30 s (the model is loaded from disk)": sleeping(0.0, 30.0, LOADING_W),
    "a GPU without a process, 71.8 W, 30 s": sleeping(BARE_W, 30.0, LOADING_W),
}


def window(delay_s: float, batch: int | None = None) -> ShapingPolicy:
    return ShapingPolicy(
        interactive_hold_s=_ANY_HOLD_S, min_group=1, holding=Holding.WINDOW, max_delay_s=delay_s, max_group=batch
    )


def paced(gap_s: float) -> ShapingPolicy:
    return ShapingPolicy(interactive_hold_s=_ANY_HOLD_S, min_group=1, holding=Holding.PACED, pace_gap_s=gap_s)


def adaptive(price_gco2e_per_h: float = 0.3, *, has_length_lanes: bool = False) -> ShapingPolicy:
    return ShapingPolicy(
        interactive_hold_s=_ANY_HOLD_S,
        min_group=1,
        holding=Holding.ADAPTIVE,
        latency_price_gco2e_per_h=price_gco2e_per_h,
        has_length_lanes=has_length_lanes,
    )


def poisson(rate_per_s: float) -> RequestTrace:
    count = int(min(MOST, max(FEWEST, rate_per_s * SPAN_S)))
    gaps_s = np.random.default_rng(SEED).exponential(1.0 / rate_per_s, count)
    return alike(np.cumsum(gaps_s))


def alike(arrival_s: Floats) -> RequestTrace:
    """Requests that differ in when they come only."""
    count = len(arrival_s)
    return RequestTrace(
        arrival_s=arrival_s,
        prompt_tokens=np.full(count, PROMPT_TOKENS),
        output_tokens=np.full(count, OUTPUT_TOKENS),
    )


def trace(name: str) -> RequestTrace:
    whole = read_request_trace(data_folder() / f"llm_requests/{name}.csv.gz")
    kept = whole.arrival_s < TRACE_S
    return RequestTrace(
        arrival_s=whole.arrival_s[kept],
        prompt_tokens=whole.prompt_tokens[kept],
        output_tokens=whole.output_tokens[kept],
    )


def outcome(
    sent: RequestTrace,
    policy: ShapingPolicy,
    *,
    budget_s: float = BUDGET_S,
    grid_gco2e_per_kwh: float = GRID_GCO2E_PER_KWH,
    sleep: SleepSpec | None = None,
    expected_output_tokens: int | None = None,
    workers: int = 1,
) -> Outcome:
    """Everything sent to so many workers, metered until the last answer, at least a minute beyond the last arrival."""
    traffic = Traffic(
        trace=sent,
        start_at_s=START_S,
        is_flex=np.full(len(sent), True),
        flex_deadline_s=budget_s,
        flex_margin_s=min(MARGIN_S, budget_s / 20.0),
    )
    pool = answered(
        traffic,
        policy,
        metered_s=float(sent.arrival_s[-1]) + BUDGET_S,
        grid_gco2e_per_kwh=grid_gco2e_per_kwh,
        sleep=sleep,
        expected_output_tokens=expected_output_tokens,
        workers=workers,
    )
    return _outcome(pool, pool.record.finished_at_s - (START_S + sent.arrival_s))


def answered(
    traffic: Traffic,
    policy: ShapingPolicy,
    *,
    metered_s: float = 0.0,
    grid_gco2e_per_kwh: float = GRID_GCO2E_PER_KWH,
    sleep: SleepSpec | None = None,
    expected_output_tokens: int | None = None,
    workers: int = 1,
    sequences: int = SEQUENCES,
) -> Pool:
    """The pool after its last answer, metered until then and at least so long from the start."""
    start_s = traffic.start_at_s
    loop = Loop(start_s)
    spec = PoolSpec(
        name="benchmark",
        region="here",
        zone="here",
        deployment=DEPLOYMENT,
        workers=workers,
        max_sequences=sequences,
        sleep=sleep,
        expected_output_tokens=expected_output_tokens,
    )
    grid = IntensitySeries.flat("here", start_s, start_s + 30 * 86400.0, grid_gco2e_per_kwh)
    pool = Pool(loop, spec, traffic, policy, forecast=lambda: grid)
    loop.run()
    pool.close(max(loop.now_s, start_s + metered_s))
    return pool


def _outcome(pool: Pool, latencies_s: Floats) -> Outcome:
    assert np.isfinite(latencies_s).all(), "a request was not answered"
    power = pool.record.power
    count = len(latencies_s)
    energy_j = sum(float(one.energy_j.sum()) for one in power)
    idle_j = sum(float(one.energy_j[one.sequences == 0].sum()) for one in power)
    p50_s, p99_s = (float(value) for value in np.percentile(latencies_s, [50, 99]))
    return Outcome(energy_j=energy_j / count, busy_j=(energy_j - idle_j) / count, p50_s=p50_s, p99_s=p99_s)
