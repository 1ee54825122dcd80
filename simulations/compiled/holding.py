"""The shaper of one pool in numbers: the twin of `shaping.shaper.Shaper`, as far as a simulated pool asks it.

Keeps who is held, in which order, and until when. Whether a lane goes is asked of `shaping.hold_arithmetic`, as the
daemon's shaper does. Interactive requests have one hold and one priority, so they are a plain queue; deferred ones are
in heaps.
"""

from __future__ import annotations

import math

from shaping.hold_arithmetic import (
    HOLD_OVER,
    LATEST_START,
    Line,
    adaptive,
    dense,
    dense_hold_end_s,
    paced,
    passed,
    window_hold_end_s,
    windowed,
)
from simulations.compiled.heap import NOWHERE, discard, first_key, put
from simulations.compiled.layout import (
    ADAPTIVE_RULE,
    BLOCKED_DEFERRED,
    BLOCKED_INTERACTIVE,
    BLOCKED_LATEST_START,
    FLEX,
    GROUP_RULE,
    INTERACTIVE,
    NOT_BLOCKED,
    PACED_RULE,
    PASS_THROUGH_RULE,
    WINDOW_RULE,
    State,
)
from simulations.compiled.lessons import answered, arrived, learnt, lived, released

# -- what happens ------------------------------------------------------------------------------------------------------


def offer(state: State, number: int, now_s: float) -> None:
    """Take a request in; its latest start and its lane are written on it."""
    pool, slot = state.pool[0], state.slots[number]
    pool.offered += 1
    pool.held += 1
    slot.sequence = pool.offered
    arrived(state, slot.lane, now_s)
    if slot.lane == INTERACTIVE:
        slot.hold_ends_at_s = hold_end_s(state, True, slot.arrived_at_s, slot.latest_at_s)
        pool.held_interactive += 1
        line_up(state, number)
    else:
        put(state.waiting, number, slot.not_before_s, slot.sequence)
        put(state.latest, number, slot.latest_at_s, slot.sequence)
    pool.is_asked, pool.blocked_by = False, NOT_BLOCKED


def finish(state: State, number: int, now_s: float) -> None:
    """A running request was answered; its capacity is free."""
    pool, slot = state.pool[0], state.slots[number]
    pool.running_kv_tokens -= slot.prompt_tokens + slot.expected_tokens
    answered(state, number, now_s)
    pool.running -= 1
    pool.finished += 1
    pool.is_asked, pool.blocked_by = False, NOT_BLOCKED


def release(state: State, intensity_gco2e_per_kwh: float, now_s: float) -> int:
    """How many go now: they are in `chosen_slots`, why in `chosen_reasons`, and count as running from here on."""
    pool = state.pool[0]
    pool.is_asked, pool.blocked_by, pool.chosen = True, NOT_BLOCKED, 0
    promote(state, now_s)
    for lane in range(2):
        # Asked before its overdue ones go ahead: they take the others along.
        state.lanes[lane].granted, state.lanes[lane].again_at_s = 0, math.inf
        state.lanes[lane].reason = HOLD_OVER
        if lane_ends_at_s(state, lane) <= now_s and is_served(state, lane):
            decide(state, lane, intensity_gco2e_per_kwh, now_s)
    number, reason, rule = next_due(state, intensity_gco2e_per_kwh, now_s)
    while number != NOWHERE:
        if not has_room_for(state, number):
            pool.blocked_by = rule
            break
        start(state, number, now_s)
        state.chosen_slots[pool.chosen], state.chosen_reasons[pool.chosen] = number, reason
        pool.chosen += 1
        number, reason, rule = next_due(state, intensity_gco2e_per_kwh, now_s)
    return pool.chosen


def next_wakeup_at_s(state: State) -> float:
    """When to ask `release` next if nothing else happens; infinite while only capacity or an arrival can help."""
    pool = state.pool[0]
    if pool.held == 0 or free_sequences(state) <= 0 or pool.blocked_by == BLOCKED_LATEST_START:
        return math.inf
    at_s = min(first_interactive_at_s(state), first_key(state.latest))
    if pool.blocked_by != BLOCKED_INTERACTIVE:
        at_s = min(at_s, first_key(state.waiting))
        for lane in range(2):
            if is_served(state, lane):
                at_s = min(at_s, state.lanes[lane].again_at_s)
    return at_s


# -- the order ---------------------------------------------------------------------------------------------------------


def promote(state: State, now_s: float) -> None:
    """Deferred requests whose instant has come line up."""
    while state.waiting.size[0] > 0 and state.waiting.key_array[0] <= now_s:
        number = state.waiting.slots[0]
        discard(state.waiting, number)
        slot = state.slots[number]
        since_s = max(slot.arrived_at_s, slot.not_before_s)
        slot.hold_ends_at_s = hold_end_s(state, False, since_s, slot.latest_at_s)
        put(state.in_line, number, 0.0, slot.sequence)
        put(state.hold_ends, number, slot.hold_ends_at_s, slot.sequence)
        put(state.longest, number, -float(slot.expected_tokens), slot.sequence)
        state.lanes[FLEX].held += 1


def hold_end_s(state: State, is_interactive: bool, since_s: float, budget_ends_at_s: float) -> float:
    """The longest hold of a request that could go since then."""
    rule = state.settings.rule
    if rule == PASS_THROUGH_RULE:
        return since_s
    if rule == GROUP_RULE:
        return dense_hold_end_s(is_interactive, since_s, budget_ends_at_s)
    if rule == WINDOW_RULE:
        return window_hold_end_s(since_s, state.settings.max_delay_s, budget_ends_at_s)
    return math.inf if rule == PACED_RULE else budget_ends_at_s


def next_due(state: State, intensity_gco2e_per_kwh: float, now_s: float) -> tuple[int, int, int]:
    """The request that goes next, whether or not it fits, why, and which of the shaper's rules says so."""
    number = first_overdue(state, now_s)
    if number != NOWHERE:
        if state.slots[number].lane == FLEX:
            return number, LATEST_START, BLOCKED_LATEST_START
        lane_state = state.lanes[INTERACTIVE]
        return number, lane_state.reason if lane_state.granted > 0 else HOLD_OVER, BLOCKED_LATEST_START
    for lane in range(2):
        if is_served(state, lane):
            lane_state = state.lanes[lane]
            if lane_state.granted <= 0:
                decide(state, lane, intensity_gco2e_per_kwh, now_s)
            if lane_state.granted > 0:
                first = lane_state.first if lane == INTERACTIVE else state.in_line.slots[0]
                return first, lane_state.reason, BLOCKED_INTERACTIVE if lane == INTERACTIVE else BLOCKED_DEFERRED
    return NOWHERE, HOLD_OVER, NOT_BLOCKED


def first_overdue(state: State, now_s: float) -> int:
    """Who has reached its latest start, the most overdue first and of equals the first offered."""
    interactive_at_s = first_interactive_at_s(state)
    deferred_at_s = first_key(state.latest)
    if min(interactive_at_s, deferred_at_s) > now_s:
        return NOWHERE
    number = state.lanes[INTERACTIVE].first
    if deferred_at_s > interactive_at_s:
        return number
    deferred = int(state.latest.slots[0])
    if interactive_at_s == deferred_at_s and state.slots[number].sequence < state.slots[deferred].sequence:
        return number
    return deferred


def first_interactive_at_s(state: State) -> float:
    number = state.lanes[INTERACTIVE].first
    return math.inf if number == NOWHERE else state.slots[number].latest_at_s


def start(state: State, number: int, now_s: float) -> None:
    """It leaves the shaper for a worker."""
    pool, slot = state.pool[0], state.slots[number]
    pool.held -= 1
    state.lanes[slot.lane].granted -= 1
    if slot.lane == INTERACTIVE:
        pool.held_interactive -= 1
        leave_line(state)
    else:
        discard(state.waiting, number)
        discard(state.latest, number)
        if discard(state.in_line, number):
            discard(state.hold_ends, number)
            discard(state.longest, number)
            state.lanes[FLEX].held -= 1
    slot.released_at_s = now_s
    released(state, number, now_s)
    pool.running += 1
    pool.running_kv_tokens += slot.prompt_tokens + slot.expected_tokens
    pool.paced_next_at_s = now_s + state.settings.pace_gap_s


# -- room --------------------------------------------------------------------------------------------------------------


def free_sequences(state: State) -> int:
    return state.settings.workers * state.settings.worker_sequences - state.pool[0].running


def has_room_for(state: State, number: int) -> bool:
    if free_sequences(state) <= 0:
        return False
    slot = state.slots[number]
    kv_tokens = state.pool[0].running_kv_tokens + slot.prompt_tokens + slot.expected_tokens
    return kv_tokens <= state.settings.pool_kv_tokens


def is_served(state: State, lane: int) -> bool:
    """Whether it is the lane's turn: deferred ones wait until sequences are left over for them."""
    if state.lanes[lane].held == 0:
        return False
    if lane == INTERACTIVE:
        return True
    return free_sequences(state) - max(state.pool[0].held_interactive, state.settings.reserved_sequences) > 0


# -- the rule ----------------------------------------------------------------------------------------------------------


def decide(state: State, lane: int, intensity_gco2e_per_kwh: float, now_s: float) -> None:
    """Ask the hold rule for one lane and keep its word."""
    pool, settings, lane_state = state.pool[0], state.settings, state.lanes[lane]
    line = Line(
        lane_state.held,
        lane_ends_at_s(state, lane),
        pool.running,
        settings.workers * settings.worker_sequences,
        settings.workers,
        longest_tokens(state, lane),
    )
    is_interactive = lane == INTERACTIVE
    if settings.rule == ADAPTIVE_RULE:
        pool.believed_workers = line.workers
        lived(state, now_s)
        goes, reason, again_at_s = adaptive(line, learnt(state, lane, line, intensity_gco2e_per_kwh, now_s), now_s)
    elif settings.rule == PASS_THROUGH_RULE:
        goes, reason, again_at_s = passed(line, is_interactive)
    elif settings.rule == GROUP_RULE:
        goes, reason, again_at_s = dense(line, is_interactive, now_s, settings.hold_s, settings.min_group)
    elif settings.rule == WINDOW_RULE:
        goes, reason, again_at_s = windowed(line, now_s, settings.group_size)
    else:
        goes, reason, again_at_s = paced(pool.paced_next_at_s, now_s)
    lane_state.granted, lane_state.reason, lane_state.again_at_s = goes, reason, again_at_s


def lane_ends_at_s(state: State, lane: int) -> float:
    """When the first hold of a lane ends; infinite when it is empty."""
    if lane == FLEX:
        return first_key(state.hold_ends)
    first = state.lanes[INTERACTIVE].first
    return math.inf if first == NOWHERE else state.slots[first].hold_ends_at_s


def longest_tokens(state: State, lane: int) -> int:
    """The longest output that one of a lane is expected to have."""
    if lane == FLEX:
        return state.slots[state.longest.slots[0]].expected_tokens if state.longest.size[0] > 0 else 0
    number = state.lanes[INTERACTIVE].longest_first
    return 0 if number == NOWHERE else state.slots[number].expected_tokens


# -- the queue of interactive requests, and of those in it that are longer than all behind them ------------------------


def line_up(state: State, number: int) -> None:
    lane, slots = state.lanes[INTERACTIVE], state.slots
    slot = slots[number]
    lane.held += 1
    slot.behind = NOWHERE
    if lane.first == NOWHERE:
        lane.first = number
    else:
        slots[lane.last].behind = number
    lane.last = number
    back = lane.longest_last
    while back != NOWHERE and slots[back].expected_tokens <= slot.expected_tokens:
        back = slots[back].longer_before
    slot.longer_before, slot.longer_behind = back, NOWHERE
    if back == NOWHERE:
        lane.longest_first = number
    else:
        slots[back].longer_behind = number
    lane.longest_last = number


def leave_line(state: State) -> None:
    """The first leaves the queue."""
    lane, slots = state.lanes[INTERACTIVE], state.slots
    number = lane.first
    lane.held -= 1
    lane.first = slots[number].behind
    if lane.longest_first == number:
        lane.longest_first = slots[number].longer_behind
        if lane.longest_first == NOWHERE:
            lane.longest_last = NOWHERE
        else:
            slots[lane.longest_first].longer_before = NOWHERE
