"""Where the fast loop keeps what: records and arrays of fixed kind, all allocated before it runs.

A slot is a request between its arrival and its last token; slots are used again, so memory follows the requests that
are there at once and not the length of the trace. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shaping.deployment import Rates
from shaping.learning import GAPS
from simulations.compiled.heap import NOWHERE, Heap, new_heap

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

INTERACTIVE, FLEX = 0, 1
LANES = 2
OCTAVES = 64  # of requests that run beside one: as many as a whole number has bits
RING = GAPS + 1

# Codes of the hold rules.
PASS_THROUGH_RULE, GROUP_RULE, WINDOW_RULE, PACED_RULE, ADAPTIVE_RULE = range(5)

# Which of the shaper's rules met a request that does not fit.
NOT_BLOCKED, BLOCKED_LATEST_START, BLOCKED_INTERACTIVE, BLOCKED_DEFERRED = range(4)


class Settings(NamedTuple):
    """What does not change during a run: policy, limits of one worker, and of the pool."""

    rule: int
    hold_s: float
    min_group: int
    group_size: int
    max_delay_s: float
    pace_gap_s: float
    interactive_price_gco2e_per_s: float
    flex_price_gco2e_per_s: float
    reserved_sequences: int
    workers: int
    worker_sequences: int
    worker_kv_tokens: int
    idle_power_w: float
    expected_output_tokens: int  # what the shaper believes of each output; 0 when it knows
    pool_kv_tokens: int  # what the shaper counts on
    preempts: bool
    has_priorities: bool


class PoolState:
    """The one record of the pool: shaper, occupancy, and how far the outputs are filled."""

    next_arrival: int
    offered: int
    held: int
    held_interactive: int
    running: int
    running_kv_tokens: int
    blocked_by: int
    is_asked: bool
    release_at_s: float
    paced_next_at_s: float
    chosen: int
    given: int
    orders: int
    free: int
    spans: int
    done: int
    stays: int
    ended: int
    ended_at_s: float
    finished: int
    # The adaptive rule.
    believed_workers: int
    clock_tokens: float
    request_s: float
    since_s: float
    energy_j: float
    busy_s: float
    metered_j: float
    points: int
    grid_place: int


class LaneState:
    """One latency class: how many wait in it, its first and last where it is a queue, and the rule's last word."""

    held: int
    granted: int
    reason: int
    again_at_s: float
    first: int
    last: int
    longest_first: int
    longest_last: int
    arrived: int


class WorkerState:
    """One worker: its token clock, what it reads and decodes, and the span under way."""

    clock_steps: float
    prefill_steps: float
    prefill_tokens: float
    prefill_squared_tokens: float
    context_tokens: float
    reserved_tokens: int
    decoding: int
    prefilling: int
    prefilling_first: int
    prefilling_last: int
    waiting_first: int
    waiting_last: int
    yielding_first: int  # those of the lower priority
    yielding_last: int
    turns: int
    span_steps: float
    step_s: float
    longer_s: float
    step_j: float
    more_j: float
    traced_to_s: float
    carried_j: float
    busy_energy_j: float
    spans: int


class Slot:
    """One request that is here."""

    index: int
    lane: int
    sequence: int
    prompt_tokens: int
    output_tokens: int
    expected_tokens: int
    arrived_at_s: float
    latest_at_s: float
    hold_ends_at_s: float
    not_before_s: float
    released_at_s: float
    before_request_s: float
    first_token_at_s: float
    first_span: int
    worker: int
    generated_tokens: int
    turn: int
    behind: int
    longer_before: int
    longer_behind: int


class Done:
    """One request that has its last token."""

    index: int
    worker: int
    first_span: int
    last_span: int
    prompt_tokens: int
    output_tokens: int
    arrived_at_s: float
    released_at_s: float
    first_token_at_s: float
    finished_at_s: float


class Stay:
    """Spans in which a request ran until it was preempted."""

    index: int
    first_span: int
    last_span: int


class Span:
    """One interval of a worker's power trace, up to `end_at_s`."""

    worker: int
    sequences: int
    end_at_s: float
    energy_j: float


class State(NamedTuple):
    """Everything that one pool is, between two calls of the loop."""

    settings: Settings
    rates: Rates
    pool: Sequence[PoolState]
    lanes: Sequence[LaneState]
    workers: Sequence[WorkerState]
    next_change_at_s: Floats  # (workers,)
    change_orders: Integers  # (workers,) which of equal instants was announced first
    loads: Integers  # (workers,)
    decode_ends_steps: Floats  # (workers, sequences) heap of finish points on the token clock
    decode_slots: Integers
    slots: Sequence[Slot]
    free_slots: Integers
    waiting: Heap  # deferred, by the instant before which they may not go
    in_line: Heap  # deferred that may go, as they were offered
    hold_ends: Heap
    latest: Heap
    longest: Heap
    ends: Heap  # running, the one that is expected to end last first
    arrived_at_s: Floats  # (lanes, ring)
    service_table: Floats  # (octaves, 4): decayed sums of beside, seconds, tokens, count
    beside_requests: Floats  # (points,)
    s_per_token: Floats  # (points,)
    chosen_slots: Integers
    chosen_reasons: Integers
    given_workers: Integers
    finished_slots: Integers
    spans: Sequence[Span]
    done: Sequence[Done]
    stays: Sequence[Stay]


class Arrivals(NamedTuple):
    """Requests in order of arrival, on the calendar, each of shape (n,); `first_index` is the number of the first."""

    first_index: int
    at_s: Floats
    prompt_tokens: Integers
    output_tokens: Integers
    is_flex: NDArray[np.bool_]
    release_by_s: Floats
    not_before_s: Floats


class KnownGrid(NamedTuple):
    """The forecast in force: value i holds from edge i to edge i + 1; NaN is a gap, and nothing is known outside."""

    edges_at_s: Floats
    gco2e_per_kwh: Floats


_KINDS = {"float": "f8", "int": "i8", "bool": "?"}


def records(kind: type, count: int) -> Any:
    """An array (count,) of zeroed records with the fields of the class."""
    fields = [(name, _KINDS[text]) for name, text in kind.__annotations__.items()]
    return np.zeros(count, dtype=np.dtype((np.record, np.dtype(fields, align=True))))


def new_state(settings: Settings, rates: Rates, start_at_s: float, *, spans: int, done: int) -> State:
    """A pool at rest, with room for so many spans and finished requests between two emptyings."""
    workers, width = settings.workers, settings.worker_sequences
    state = State(
        settings=settings,
        rates=rates,
        pool=records(PoolState, 1),
        lanes=records(LaneState, LANES),
        workers=records(WorkerState, workers),
        next_change_at_s=np.full(workers, np.inf),
        change_orders=np.zeros(workers, dtype=np.int64),
        loads=np.zeros(workers, dtype=np.int64),
        decode_ends_steps=np.zeros((workers, width)),
        decode_slots=np.zeros((workers, width), dtype=np.int64),
        slots=records(Slot, 0),
        free_slots=np.zeros(0, dtype=np.int64),
        **{name: new_heap(0) for name in _HEAPS},
        arrived_at_s=np.zeros((LANES, RING)),
        service_table=np.zeros((OCTAVES, 4)),
        beside_requests=np.zeros(OCTAVES),
        s_per_token=np.zeros(OCTAVES),
        chosen_slots=np.zeros(workers * width, dtype=np.int64),
        chosen_reasons=np.zeros(workers * width, dtype=np.int64),
        given_workers=np.zeros(workers, dtype=np.int64),
        finished_slots=np.zeros(width, dtype=np.int64),
        spans=records(Span, spans),
        done=records(Done, done),
        stays=records(Stay, done + workers * width if settings.preempts else 0),
    )
    _rest(state, start_at_s)
    return state


_HEAPS = ("waiting", "in_line", "hold_ends", "latest", "longest", "ends")


def _rest(state: State, start_at_s: float) -> None:
    pool = state.pool[0]
    pool.is_asked, pool.release_at_s, pool.paced_next_at_s = True, np.inf, -np.inf
    pool.believed_workers, pool.ended_at_s = 1, start_at_s
    for lane in state.lanes:
        lane.first = lane.last = lane.longest_first = lane.longest_last = NOWHERE
        lane.again_at_s = np.inf
    for worker in state.workers:
        worker.waiting_first = worker.waiting_last = NOWHERE
        worker.yielding_first = worker.yielding_last = NOWHERE
        worker.prefilling_first = worker.prefilling_last = NOWHERE
        worker.prefill_steps, worker.traced_to_s = np.inf, start_at_s


def with_room(state: State, arrivals: int) -> State:
    """The same with free slots for so many more requests; what is here keeps its slot."""
    pool, before = state.pool[0], len(state.slots)
    if pool.free >= arrivals:
        return state
    after = max(2 * before, before + arrivals - pool.free)
    grown: dict[str, Any] = {"slots": _grown(state.slots, after), "free_slots": _grown(state.free_slots, after)}
    for name in _HEAPS:
        heap: Heap = getattr(state, name)
        places = np.full(after, NOWHERE, dtype=np.int64)
        places[:before] = heap.places
        grown[name] = Heap(
            _grown(heap.key_array, after), _grown(heap.ties, after), _grown(heap.slots, after), places, heap.size
        )
    state = state._replace(**grown)
    # The lowest goes first, so that few slots are used and stay in the processor's caches.
    new = np.arange(after - 1, before - 1, -1, dtype=np.int64)
    used = state.free_slots[: pool.free].copy()
    state.free_slots[: len(new)], state.free_slots[len(new) : len(new) + len(used)] = new, used
    pool.free += len(new)
    return state


def _grown(array: Any, count: int) -> Any:
    larger = np.zeros(count, dtype=array.dtype)
    larger[: len(array)] = array
    return larger
