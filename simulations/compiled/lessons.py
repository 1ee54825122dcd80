"""What the adaptive rule learns while it serves, in numbers: the twin of `shaping.learning` and `shaping.adaptive`.

Keeps the sums; what they mean is the arithmetic of `shaping.learning`, the same that the daemon's rule uses.
Other rules learn nothing.
"""

from __future__ import annotations

import math

from shaping.hold_arithmetic import Learnt, Line
from shaping.learning import KEEP_RATIO, arrivals_per_s, octave_of, s_per_token_beside
from simulations.compiled.heap import discard, put
from simulations.compiled.layout import ADAPTIVE_RULE, INTERACTIVE, OCTAVES, RING, State


def arrived(state: State, lane: int, now_s: float) -> None:
    if state.settings.rule == ADAPTIVE_RULE:
        state.arrived_at_s[lane, state.lanes[lane].arrived % RING] = now_s
        state.lanes[lane].arrived += 1


def released(state: State, number: int, now_s: float) -> None:
    """A request begins to run; the pool does not count it yet."""
    if state.settings.rule == ADAPTIVE_RULE:
        lived(state, now_s)
        pool, slot = state.pool[0], state.slots[number]
        slot.before_request_s = pool.request_s
        put(state.ends, number, -(pool.clock_tokens + slot.expected_tokens), slot.sequence)


def answered(state: State, number: int, now_s: float) -> None:
    """A request has its answer; the pool still counts it as running."""
    if state.settings.rule != ADAPTIVE_RULE:
        return
    lived(state, now_s)
    slot = state.slots[number]
    discard(state.ends, number)
    took_s = now_s - slot.released_at_s
    if took_s > 0.0:
        beside = (state.pool[0].request_s - slot.before_request_s) / took_s - 1.0
        observe(state, took_s, slot.expected_tokens, max(0.0, beside))


def metered(state: State) -> None:
    """Read what the workers spent on requests since the last reading."""
    if state.settings.rule != ADAPTIVE_RULE:
        return
    pool = state.pool[0]
    spent_j = 0.0
    for place in range(state.settings.workers):
        spent_j += state.workers[place].busy_energy_j
    pool.energy_j = pool.energy_j * KEEP_RATIO + (spent_j - pool.metered_j)
    pool.busy_s *= KEEP_RATIO
    pool.metered_j = spent_j


def observe(state: State, took_s: float, output_tokens: int, beside_requests: float) -> None:
    sums = state.service_table[octave_of(beside_requests)]
    sums[0] = sums[0] * KEEP_RATIO + beside_requests
    sums[1] = sums[1] * KEEP_RATIO + took_s
    sums[2] = sums[2] * KEEP_RATIO + float(max(1, output_tokens))
    sums[3] = sums[3] * KEEP_RATIO + 1.0
    known = 0
    for octave in range(OCTAVES):
        if state.service_table[octave, 3] > 0.0:
            state.beside_requests[known] = state.service_table[octave, 0] / state.service_table[octave, 3]
            state.s_per_token[known] = state.service_table[octave, 1] / state.service_table[octave, 2]
            known += 1
    state.pool[0].points = known


def lived(state: State, now_s: float) -> None:
    """Time passed, and what runs has run."""
    pool = state.pool[0]
    passed_s = max(0.0, now_s - pool.since_s)
    if passed_s > 0.0 and pool.running > 0:
        s_per_token = beside(state, pool.running - 1.0)
        if s_per_token > 0.0:
            pool.clock_tokens += passed_s / s_per_token
        pool.request_s += pool.running * passed_s
        pool.busy_s += min(pool.running, pool.believed_workers) * passed_s
    pool.since_s = now_s


def learnt(state: State, lane: int, line: Line, intensity_gco2e_per_kwh: float, now_s: float) -> Learnt:
    pool, settings = state.pool[0], state.settings
    is_metered = pool.busy_s > 0.0 and pool.energy_j > 0.0
    is_interactive = lane == INTERACTIVE
    return Learnt(
        rate_per_s(state, lane, now_s),
        settings.interactive_price_gco2e_per_s if is_interactive else settings.flex_price_gco2e_per_s,
        beside(state, 0.0),
        beside(state, float(min(line.held + line.running, line.sequences))),
        pool.energy_j / pool.busy_s if is_metered else math.nan,
        settings.idle_power_w,
        intensity_gco2e_per_kwh,
        -state.ends.key_array[0] - pool.clock_tokens if state.ends.size[0] > 0 else 0.0,
    )


def rate_per_s(state: State, lane: int, now_s: float) -> float:
    count = state.lanes[lane].arrived
    seen = min(count, RING)
    if seen == 0:
        return math.nan
    first_at_s = state.arrived_at_s[lane, (count - seen) % RING]
    return arrivals_per_s(seen, first_at_s, state.arrived_at_s[lane, (count - 1) % RING], now_s)


def beside(state: State, requests: float) -> float:
    return s_per_token_beside(state.beside_requests, state.s_per_token, state.pool[0].points, requests)
