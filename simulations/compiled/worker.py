"""One worker on its token clock, in numbers: the twin of `simulations.workers.Worker`, step by step.

Decides which prompts are read together, how long the batch stays as it is and what that costs, and who is preempted.
Priorities are two, interactive and deferred. Knows no shaper.
"""

from __future__ import annotations

import math

from shaping.energy import Step, decode_step, prompt_step
from simulations.compiled.heap import NOWHERE
from simulations.compiled.layout import FLEX, Slot, State, WorkerState
from simulations.token_clock import STEP_TOLERANCE, steps_in, steps_in_room, sum_of_steps
from simulations.workers import CONTEXT_GRID_TOKENS, PREFILL_CHUNK_TOKENS, REFRESH_STEPS

# -- the line ----------------------------------------------------------------------------------------------------------


def queue(state: State, place: int, number: int) -> None:
    """Put a request behind those of its priority that wait on the worker."""
    worker, slot = state.workers[place], state.slots[number]
    slot.turn = worker.turns
    worker.turns += 1
    slot.behind = NOWHERE
    if yields(state, slot):
        if worker.yielding_first == NOWHERE:
            worker.yielding_first = number
        else:
            state.slots[worker.yielding_last].behind = number
        worker.yielding_last = number
        return
    if worker.waiting_first == NOWHERE:
        worker.waiting_first = number
    else:
        state.slots[worker.waiting_last].behind = number
    worker.waiting_last = number


def put_back(state: State, place: int, number: int) -> None:
    """It was preempted: all that wait in its priority came later than it."""
    worker, slot = state.workers[place], state.slots[number]
    if yields(state, slot):
        slot.behind = worker.yielding_first
        worker.yielding_first = number
        if slot.behind == NOWHERE:
            worker.yielding_last = number
        return
    slot.behind = worker.waiting_first
    worker.waiting_first = number
    if slot.behind == NOWHERE:
        worker.waiting_last = number


def first_in_line(worker: WorkerState) -> int:
    return worker.waiting_first if worker.waiting_first != NOWHERE else worker.yielding_first


def leave_line(state: State, worker: WorkerState, number: int) -> None:
    """The first in line goes."""
    slot = state.slots[number]
    if number == worker.waiting_first:
        worker.waiting_first = slot.behind
    else:
        worker.yielding_first = slot.behind
    slot.behind = NOWHERE


def yields(state: State, slot: Slot) -> bool:
    return state.settings.has_priorities and slot.lane == FLEX


# -- what happens ------------------------------------------------------------------------------------------------------


def accept(state: State, place: int, now_s: float) -> None:
    """Requests were queued; the first of them start when no prompts are being read and there is room."""
    worker = state.workers[place]
    if worker.prefilling == 0 and fits(state, worker, first_in_line(worker)):
        pass_time(state, place, now_s)
        plan(state, place, now_s)


def advance(state: State, place: int, now_s: float) -> int:
    """Move to `now_s`, at most the next change; how many finished, which are in `finished_slots`."""
    worker = state.workers[place]
    pass_time(state, place, now_s)
    count = 0
    if worker.prefill_steps <= STEP_TOLERANCE:
        count = take_first_tokens(state, place, now_s)
    while worker.decoding > 0 and state.decode_ends_steps[place, 0] <= worker.clock_steps + STEP_TOLERANCE:
        state.finished_slots[count] = pop_decoding(state, place)
        count += 1
    for number in range(count):
        slot = state.slots[state.finished_slots[number]]
        kv_tokens = slot.prompt_tokens + slot.output_tokens
        worker.context_tokens -= kv_tokens
        if not state.settings.preempts:
            worker.reserved_tokens -= kv_tokens
    state.loads[place] -= count
    plan(state, place, now_s)
    return count


def pass_time(state: State, place: int, now_s: float) -> None:
    """Close the span under way: its steps, its energy, its share of the contexts' growth."""
    worker = state.workers[place]
    sequences = worker.prefilling + worker.decoding
    if sequences == 0:
        record_span(state, place, now_s, state.settings.idle_power_w * (now_s - worker.traced_to_s), 0)
        return
    steps = worker.span_steps
    if now_s < state.next_change_at_s[place]:
        steps = min(steps, steps_in(now_s - worker.traced_to_s, worker.step_s, worker.longer_s))
    spent_j = sum_of_steps(steps, worker.step_j, worker.more_j)
    worker.busy_energy_j += spent_j
    record_span(state, place, now_s, spent_j, sequences)
    worker.clock_steps += steps
    worker.prefill_steps -= steps
    worker.context_tokens += steps * worker.decoding
    worker.span_steps -= steps
    worker.step_s += worker.longer_s * steps
    worker.step_j += worker.more_j * steps


def record_span(state: State, place: int, end_at_s: float, energy_j: float, sequences: int) -> None:
    """One interval of power; one too short for the clock's resolution adds its energy to the next one."""
    worker = state.workers[place]
    if end_at_s <= worker.traced_to_s:
        worker.carried_j += energy_j
        return
    pool = state.pool[0]
    span = state.spans[pool.spans]
    pool.spans += 1
    span.worker, span.sequences, span.end_at_s = place, sequences, end_at_s
    span.energy_j = energy_j + worker.carried_j
    worker.traced_to_s, worker.carried_j = end_at_s, 0.0
    worker.spans += 1


def take_first_tokens(state: State, place: int, now_s: float) -> int:
    """The prompts of the batch are read and have their next token; those that wanted no more are finished."""
    worker = state.workers[place]
    count = 0
    number = worker.prefilling_first
    while number != NOWHERE:
        slot = state.slots[number]
        if slot.generated_tokens == 0:
            slot.first_token_at_s = now_s
        if slot.output_tokens - slot.generated_tokens == 1:
            state.finished_slots[count] = number
            count += 1
        else:
            push_decoding(state, place, worker.clock_steps + slot.output_tokens - slot.generated_tokens - 1, number)
        worker.context_tokens += read_tokens(slot) + 1
        if state.settings.preempts:
            worker.reserved_tokens -= read_tokens(slot)
        number = slot.behind
    worker.prefilling, worker.prefilling_first, worker.prefilling_last = 0, NOWHERE, NOWHERE
    return count


def read_tokens(slot: Slot) -> int:
    return slot.prompt_tokens + slot.generated_tokens


def reservation_tokens(state: State, slot: Slot) -> int:
    """Memory that is set aside when its prompt is read: for all of it, or while it is read."""
    return read_tokens(slot) if state.settings.preempts else slot.prompt_tokens + slot.output_tokens


def held_tokens(state: State, worker: WorkerState) -> float:
    if state.settings.preempts:
        return worker.reserved_tokens + worker.context_tokens
    return float(worker.reserved_tokens)


def fits(state: State, worker: WorkerState, number: int) -> bool:
    if worker.prefilling + worker.decoding >= state.settings.worker_sequences:
        return False
    wanted_tokens = held_tokens(state, worker) + reservation_tokens(state, state.slots[number])
    return wanted_tokens <= state.settings.worker_kv_tokens


def plan(state: State, place: int, now_s: float) -> None:
    """What runs until the next change, and when that is."""
    worker = state.workers[place]
    has_preempted = state.settings.preempts and make_room(state, place)
    if worker.prefilling == 0 and not has_preempted:
        begin_prefill(state, place)
    if worker.prefilling == 0 and worker.decoding == 0:
        worker.context_tokens = 0.0  # rounding of many sums ends here
        worker.span_steps = 0.0
        state.next_change_at_s[place] = math.inf
        return
    steps = min(worker.prefill_steps, REFRESH_STEPS)
    if worker.decoding > 0:
        steps = min(steps, state.decode_ends_steps[place, 0] - worker.clock_steps)
        if state.settings.preempts:
            room_tokens = state.settings.worker_kv_tokens - held_tokens(state, worker)
            steps = min(steps, steps_in_room(room_tokens, worker.decoding))
    worker.span_steps = steps
    if worker.prefilling > 0:
        plan_mixed(state, worker, steps)
    else:
        plan_decode(state, worker)
    state.next_change_at_s[place] = now_s + sum_of_steps(steps, worker.step_s, worker.longer_s)


def begin_prefill(state: State, place: int) -> None:
    """The next prompts, first come first served: as many as fit into one step, or one longer than a step."""
    worker = state.workers[place]
    tokens, squared_tokens = 0, 0
    number = first_in_line(worker)
    while number != NOWHERE and fits(state, worker, number):
        slot = state.slots[number]
        new_tokens = read_tokens(slot)
        if worker.prefilling > 0 and tokens + new_tokens > PREFILL_CHUNK_TOKENS:
            break
        leave_line(state, worker, number)
        if worker.prefilling == 0:
            worker.prefilling_first = number
        else:
            state.slots[worker.prefilling_last].behind = number
        worker.prefilling_last = number
        worker.prefilling += 1
        tokens += new_tokens
        squared_tokens += new_tokens * new_tokens
        worker.reserved_tokens += reservation_tokens(state, slot)
        slot.first_span = worker.spans
        number = first_in_line(worker)
    worker.prefill_steps = max(1.0, tokens / PREFILL_CHUNK_TOKENS) if worker.prefilling > 0 else math.inf
    worker.prefill_tokens = float(min(tokens, PREFILL_CHUNK_TOKENS))
    worker.prefill_squared_tokens = squared_tokens / worker.prefill_steps


# -- preemption --------------------------------------------------------------------------------------------------------


def make_room(state: State, place: int) -> bool:
    """Preempt until the next step has room, but never the last one; whether anybody was."""
    worker, has_preempted = state.workers[place], False
    most_tokens = state.settings.worker_kv_tokens + STEP_TOLERANCE
    while held_tokens(state, worker) > most_tokens and worker.prefilling + worker.decoding > 1:
        preempt(state, place)
        has_preempted = True
    return has_preempted


def preempt(state: State, place: int) -> None:
    """The last in rank: its memory is free; it waits before the others of its priority, and is read once more."""
    worker = state.workers[place]
    reading = worker.prefilling_first
    before, last_before, last_reading = NOWHERE, NOWHERE, NOWHERE
    while reading != NOWHERE:
        if last_reading == NOWHERE or is_after(state, reading, last_reading):
            last_before, last_reading = before, reading
        before, reading = reading, state.slots[reading].behind
    last, last_place = last_reading, NOWHERE
    for heap_place in range(worker.decoding):
        number = state.decode_slots[place, heap_place]
        if last == NOWHERE or is_after(state, number, last):
            last, last_place = number, heap_place
    slot = state.slots[last]
    if last_place == NOWHERE:
        stop_reading(state, worker, last_before, last)
    else:
        left_steps = state.decode_ends_steps[place, last_place] - worker.clock_steps
        remove_decoding(state, place, last_place)
        worker.context_tokens -= slot.prompt_tokens + slot.output_tokens - left_steps
        # A token that is not complete is lost.
        slot.generated_tokens = slot.output_tokens - math.ceil(left_steps - STEP_TOLERANCE)
    stay, pool = state.stays[state.pool[0].stays], state.pool[0]
    pool.stays += 1
    stay.index, stay.first_span, stay.last_span = slot.index, slot.first_span, worker.spans
    put_back(state, place, last)


def is_after(state: State, number: int, other: int) -> bool:
    slot, other_slot = state.slots[number], state.slots[other]
    slot_yields, other_yields = yields(state, slot), yields(state, other_slot)
    if slot_yields != other_yields:
        return slot_yields
    return slot.turn > other_slot.turn


def stop_reading(state: State, worker: WorkerState, before: int, number: int) -> None:
    """Take one out of the prompts that are read: one of several shares their step, or it is the only one."""
    slot = state.slots[number]
    if before == NOWHERE:
        worker.prefilling_first = slot.behind
    else:
        state.slots[before].behind = slot.behind
    if slot.behind == NOWHERE:
        worker.prefilling_last = before
    worker.prefilling -= 1
    tokens = read_tokens(slot)
    worker.reserved_tokens -= tokens
    if worker.prefilling == 0:
        worker.prefill_steps = math.inf
    worker.prefill_tokens -= tokens
    worker.prefill_squared_tokens -= tokens * tokens


# -- costs -------------------------------------------------------------------------------------------------------------


def plan_mixed(state: State, worker: WorkerState, steps: float) -> None:
    """Prompts beside decoding: the mean over the steps, in which each sequence grows by one token a step."""
    prefill_tokens, squared_tokens = worker.prefill_tokens, worker.prefill_squared_tokens
    if worker.decoding > 0:
        decoding = float(worker.decoding)
        context_tokens = worker.context_tokens / decoding + max(0.0, steps - 1.0) / 2.0
        made = decode_step(state.rates, decoding, context_tokens, prefill_tokens, squared_tokens)
    else:
        made = prompt_step(state.rates, prefill_tokens, squared_tokens)
    worker.step_s, worker.longer_s, worker.step_j, worker.more_j = made.duration_s, 0.0, made.energy_j, 0.0


def plan_decode(state: State, worker: WorkerState) -> None:
    """Decoding alone: linear in the context between two points of a grid."""
    decoding = float(worker.decoding)
    # Half a token back, the integral over n steps is the sum over n steps.
    context_tokens = max(0.0, worker.context_tokens / decoding - 0.5)
    place = math.floor(context_tokens / CONTEXT_GRID_TOKENS)
    low, high = grid_cost(state, decoding, place), grid_cost(state, decoding, place + 1)
    worker.longer_s = (high.duration_s - low.duration_s) / CONTEXT_GRID_TOKENS
    worker.more_j = (high.energy_j - low.energy_j) / CONTEXT_GRID_TOKENS
    beyond_tokens = context_tokens - place * CONTEXT_GRID_TOKENS
    worker.step_s = low.duration_s + worker.longer_s * beyond_tokens
    worker.step_j = low.energy_j + worker.more_j * beyond_tokens


def grid_cost(state: State, decoding_sequences: float, place: int) -> Step:
    return decode_step(state.rates, decoding_sequences, float(place * CONTEXT_GRID_TOKENS), 0.0, 0.0)


# -- the heap of finish points; equal ones by the number of their request ----------------------------------------------


def push_decoding(state: State, worker: int, end_steps: float, slot: int) -> None:
    ends_steps, slots = state.decode_ends_steps[worker], state.decode_slots[worker]
    place = state.workers[worker].decoding
    state.workers[worker].decoding += 1
    while place > 0:
        above = (place - 1) >> 1
        if not ends_before(state, end_steps, slot, ends_steps[above], slots[above]):
            break
        ends_steps[place], slots[place] = ends_steps[above], slots[above]
        place = above
    ends_steps[place], slots[place] = end_steps, slot


def pop_decoding(state: State, worker: int) -> int:
    first = int(state.decode_slots[worker, 0])
    state.workers[worker].decoding -= 1
    sink_decoding(state, worker, 0)
    return first


def remove_decoding(state: State, worker: int, place: int) -> None:
    """Take one out of the middle."""
    size = state.workers[worker].decoding - 1
    state.workers[worker].decoding = size
    if place == size:
        return
    ends_steps, slots = state.decode_ends_steps[worker], state.decode_slots[worker]
    above = (place - 1) >> 1
    while place > 0 and ends_before(state, ends_steps[size], slots[size], ends_steps[above], slots[above]):
        ends_steps[place], slots[place] = ends_steps[above], slots[above]
        place, above = above, (above - 1) >> 1
    sink_decoding(state, worker, place)


def sink_decoding(state: State, worker: int, place: int) -> None:
    """Put what was the last entry at a free place, or as far below it as it belongs."""
    ends_steps, slots = state.decode_ends_steps[worker], state.decode_slots[worker]
    size = state.workers[worker].decoding
    end_steps, slot = ends_steps[size], slots[size]
    below = 2 * place + 1
    while below < size:
        other = below + 1
        if other < size and ends_before(state, ends_steps[other], slots[other], ends_steps[below], slots[below]):
            below = other
        if not ends_before(state, ends_steps[below], slots[below], end_steps, slot):
            break
        ends_steps[place], slots[place] = ends_steps[below], slots[below]
        place, below = below, 2 * below + 1
    ends_steps[place], slots[place] = end_steps, slot


def ends_before(state: State, end_steps: float, slot: int, other_steps: float, other: int) -> bool:
    if end_steps != other_steps:
        return end_steps < other_steps
    return state.slots[slot].index < state.slots[other].index
