"""What happens next in one pool, until an instant: the twin of `simulations.serving.Pool` on a loop of its own.

Within an instant workers change first, in the order in which their changes were announced, then requests arrive, then
the shaper is asked. It stops when the outputs have to be emptied. Knows no file and no forecast but the one in force.
"""

from __future__ import annotations

import math

from simulations.compiled import worker
from simulations.compiled.heap import NOWHERE
from simulations.compiled.holding import finish, next_wakeup_at_s, offer, release
from simulations.compiled.layout import FLEX, INTERACTIVE, Arrivals, KnownGrid, State
from simulations.compiled.lessons import metered

# Why the loop stopped.
CAUGHT_UP, FULL = 0, 1

_SURE_S = 1.0  # intensity is known at an instant if it is for the second from then on


def run(state: State, arrivals: Arrivals, grid: KnownGrid, until_s: float) -> int:
    """Everything before `until_s`, and what workers finish at that very instant."""
    pool = state.pool[0]
    end = arrivals.first_index + len(arrivals.at_s)
    while True:
        if not has_room_for_outputs(state):
            return FULL
        place = earliest(state)
        change_at_s = state.next_change_at_s[place]
        arrive_at_s = math.inf
        if pool.next_arrival < end:
            arrive_at_s = arrivals.at_s[pool.next_arrival - arrivals.first_index]
        if change_at_s <= until_s and change_at_s <= arrive_at_s and change_at_s <= pool.release_at_s:
            if change_at_s == math.inf:
                return CAUGHT_UP
            change(state, place, change_at_s)
        elif arrive_at_s < until_s and arrive_at_s <= pool.release_at_s:
            arrive(state, arrivals, arrive_at_s)
        elif pool.release_at_s < until_s:
            ask(state, grid, pool.release_at_s)
        else:
            return CAUGHT_UP


def has_room_for_outputs(state: State) -> bool:
    """Whether any one event fits: a span of each worker, a full batch that finishes, all that run preempted."""
    pool, settings = state.pool[0], state.settings
    if settings.preempts and pool.stays + settings.workers * settings.worker_sequences > len(state.stays):
        return False
    has_spans = pool.spans + settings.workers < len(state.spans)
    return has_spans and pool.done + settings.worker_sequences < len(state.done)


def earliest(state: State) -> int:
    """The worker that changes next; of equals the one whose change was announced first."""
    best = 0
    for place in range(1, state.settings.workers):
        at_s, best_at_s = state.next_change_at_s[place], state.next_change_at_s[best]
        if at_s < best_at_s or (at_s == best_at_s and state.change_orders[place] < state.change_orders[best]):
            best = place
    return best


# -- arrivals ----------------------------------------------------------------------------------------------------------


def arrive(state: State, arrivals: Arrivals, now_s: float) -> None:
    pool, settings = state.pool[0], state.settings
    row = pool.next_arrival - arrivals.first_index
    index = pool.next_arrival
    pool.next_arrival += 1
    prompt_tokens, output_tokens = arrivals.prompt_tokens[row], arrivals.output_tokens[row]
    if prompt_tokens + output_tokens > settings.worker_kv_tokens:
        pool.ended += 1  # no worker could ever hold it
        pool.ended_at_s = now_s
        return
    pool.free -= 1
    number = state.free_slots[pool.free]
    slot = state.slots[number]
    slot.index, slot.prompt_tokens, slot.output_tokens = index, prompt_tokens, output_tokens
    slot.expected_tokens = settings.expected_output_tokens if settings.expected_output_tokens > 0 else output_tokens
    slot.lane = FLEX if arrivals.is_flex[row] else INTERACTIVE
    slot.arrived_at_s, slot.not_before_s = now_s, arrivals.not_before_s[row]
    slot.generated_tokens = 0
    slot.latest_at_s = arrivals.release_by_s[row]
    offer(state, number, now_s)
    pool.release_at_s = min(pool.release_at_s, now_s)


# -- releases ----------------------------------------------------------------------------------------------------------


def ask(state: State, grid: KnownGrid, now_s: float) -> None:
    """Ask the shaper, give what goes to workers, and note when to ask again."""
    pool = state.pool[0]
    pool.release_at_s = math.inf
    if release(state, intensity_gco2e_per_kwh(state, grid, now_s), now_s) > 0:
        dispatch(state, now_s)
    wake_at_s = next_wakeup_at_s(state)
    if wake_at_s < math.inf:
        pool.release_at_s = max(wake_at_s, now_s)


def intensity_gco2e_per_kwh(state: State, grid: KnownGrid, now_s: float) -> float:
    """Of the forecast in force; NaN where it does not say, or has a gap within the next second."""
    pool, edges_at_s = state.pool[0], grid.edges_at_s
    last = len(edges_at_s) - 1
    if last < 1 or now_s < edges_at_s[0] or now_s + _SURE_S > edges_at_s[last]:
        return math.nan
    place = min(pool.grid_place, last - 1)
    while edges_at_s[place] > now_s:
        place -= 1
    while edges_at_s[place + 1] <= now_s:
        place += 1
    pool.grid_place = place
    found = grid.gco2e_per_kwh[place]
    while place + 1 < last and edges_at_s[place + 1] < now_s + _SURE_S:
        place += 1
        if math.isnan(grid.gco2e_per_kwh[place]):
            return math.nan
    return float(found)


def dispatch(state: State, now_s: float) -> None:
    """Group by group, each to the worker with the fewest requests, the first of equals."""
    pool, reasons = state.pool[0], state.chosen_reasons
    pool.given = 0
    met = 0
    for first in range(pool.chosen):
        bit = 1 << reasons[first]
        if met & bit:
            continue
        met |= bit
        for number in range(first, pool.chosen):
            if reasons[number] == reasons[first]:
                give(state, state.chosen_slots[number])
    for number in range(pool.given):
        place = state.given_workers[number]
        before_s = state.next_change_at_s[place]
        worker.accept(state, place, now_s)
        if state.next_change_at_s[place] != before_s:
            announce(state, place)


def give(state: State, number: int) -> None:
    pool, loads = state.pool[0], state.loads
    best = 0
    for place in range(1, state.settings.workers):
        if loads[place] < loads[best]:
            best = place
    loads[best] += 1
    state.slots[number].worker = best
    worker.queue(state, best, number)
    for given in range(pool.given):
        if state.given_workers[given] == best:
            return
    state.given_workers[pool.given] = best
    pool.given += 1


# -- workers -----------------------------------------------------------------------------------------------------------


def announce(state: State, place: int) -> None:
    state.pool[0].orders += 1
    state.change_orders[place] = state.pool[0].orders


def change(state: State, place: int, now_s: float) -> None:
    """A worker's batch changes; what has its last token leaves."""
    pool = state.pool[0]
    count = worker.advance(state, place, now_s)
    for number in range(count):
        leave(state, place, state.finished_slots[number], now_s)
    announce(state, place)
    if count > 0:
        metered(state)
        pool.ended += count
        pool.ended_at_s = now_s
        if pool.held > 0:
            pool.release_at_s = min(pool.release_at_s, now_s)


def leave(state: State, place: int, number: int, now_s: float) -> None:
    pool, slot = state.pool[0], state.slots[number]
    finish(state, number, now_s)
    done = state.done[pool.done]
    pool.done += 1
    done.index, done.worker = slot.index, slot.worker
    done.first_span, done.last_span = slot.first_span, state.workers[place].spans
    done.prompt_tokens, done.output_tokens = slot.prompt_tokens, slot.output_tokens
    done.arrived_at_s, done.released_at_s = slot.arrived_at_s, slot.released_at_s
    done.first_token_at_s, done.finished_at_s = slot.first_token_at_s, now_s
    slot.behind = NOWHERE
    state.free_slots[pool.free] = number
    pool.free += 1
