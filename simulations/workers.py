"""A virtual GPU worker: continuous batching on a token clock, with the power it draws.

Between two changes of its batch every running sequence advances one token per step, so the worker keeps the step count
as a clock and the finish points of its sequences on it: a request costs O(log n), not O(tokens). Within such a span a
step's duration and energy are linear in the context, which grows by one token a step; their sums are closed forms.

Prompts are processed in chunks beside the running decodes (chunked prefill). The waiting go by priority, then as they
came. KV memory is reserved for a request's full length, so that nothing is ever preempted; or, where the limits say so,
taken as tokens are generated: when it runs out, the running request of the lowest priority, of equals the last to come,
loses its memory, waits before all others of its priority, and is read once more with what it had generated.

Where this is coarser than an engine: a request that arrives while nothing is prefilled starts at once rather than at
the next step; memory is counted in tokens and not in blocks, and a prompt begins only where all of it has room. Blocks
of prompts stay where generated tokens leave room, and a prompt that begins with them is read from there on; memory that
prompts share is counted for each of them. Knows no policy, no grid and no clock of its own.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from shaping.first_token import STEP_TOKENS
from shaping.prefixes import Prefix
from simulations.power_trace import PowerTrace, Recorder
from simulations.prompt_cache import PromptCache
from simulations.token_clock import IDLE, STEP_TOLERANCE, Span, steps_in_room

# Prompt tokens per step, all prompts together.
PREFILL_CHUNK_TOKENS = STEP_TOKENS

# A span is cut after so many steps, so that costs that bend with the context (sliding windows, power limits) are
# followed; and the context at which costs are evaluated lies on a grid of this width, so that they can be kept.
REFRESH_STEPS = 1024.0
CONTEXT_GRID_TOKENS = 512


class StepCost(NamedTuple):
    """One iteration of the serving engine."""

    duration_s: float
    energy_j: float


class StepModel(Protocol):
    """What a worker must know of its GPU and model."""

    @property
    def idle_power_w(self) -> float: ...

    def step(
        self, sequences: int, mean_context_tokens: float, prefill_tokens: float, prefill_squared_tokens: float
    ) -> StepCost:
        """`prefill_squared_tokens` is the part of the prompts' squared lengths that falls on this step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """What one worker holds at once, and how many prompt tokens it reads in one step, of all prompts together.

    `prefix_block_tokens` is the block of its prefix cache; 0 where it has none. Where it `preempts`, KV memory is taken
    token by token and can run out.
    """

    sequences: int
    kv_tokens: float
    prefix_block_tokens: int = 0
    step_tokens: int = PREFILL_CHUNK_TOKENS
    preempts: bool = False


class Stay(NamedTuple):
    """The spans [first, last) of a worker's power trace in which a request ran, until it was preempted."""

    first_span: int
    last_span: int


@dataclass(slots=True, kw_only=True)
class Work:
    """One request on a worker. `index` is its caller's; spans count intervals of the worker's power trace.

    A lower `priority` goes first and is preempted last. `cached_tokens` of its prompt were read for another one before.
    `generated_tokens` were there when it was last preempted; `first_span` and `last_span` are of its stay since then.
    """

    index: int
    prompt_tokens: int
    output_tokens: int
    priority: int = 0
    prefix: Prefix = ()
    cached_tokens: int = 0
    generated_tokens: int = 0
    first_token_at_s: float = math.nan
    first_span: int = 0
    last_span: int = 0
    earlier_stays: tuple[Stay, ...] = ()
    turn: int = 0  # as it came to the worker

    @property
    def kv_tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens

    @property
    def read_tokens(self) -> int:
        """What has to be read before the next token: its prompt, and what it had generated when it was preempted."""
        return self.prompt_tokens + self.generated_tokens

    @property
    def rank(self) -> tuple[int, int]:
        """The least starts first, the greatest is preempted first."""
        return self.priority, self.turn


class Worker:
    """`accept` gives it work, `next_change_at_s` says when to call `advance`, which returns what has finished."""

    def __init__(self, model: StepModel, limits: WorkerLimits, start_at_s: float) -> None:
        self._model, self._limits = model, limits
        self._waiting: list[tuple[tuple[int, int], Work]] = []  # heap by rank
        self._turns = 0
        self._prefilling: list[Work] = []
        self._decoding: list[tuple[float, int, Work]] = []  # heap by finish point on the step clock
        self._clock_steps = 0.0
        self._prefill_steps = math.inf
        self._prefill_tokens = self._prefill_squared_tokens = 0.0
        self._context_tokens = 0.0  # of those that decode; a step later each has one more
        self._reserved_tokens = 0
        self._output_tokens = 0  # of the running ones, at their end
        self._cache = PromptCache(limits.prefix_block_tokens, limits.kv_tokens)
        self.cached_tokens = 0  # of all prompts so far
        self._known: dict[tuple[int, int], StepCost] = {}
        self._trace = Recorder(start_at_s)
        self._span = IDLE
        self._idle_power_w = model.idle_power_w
        self.next_change_at_s = math.inf
        self.busy_energy_j = 0.0  # up to the last change, while it had requests

    # -- asking -----------------------------------------------------------------------------------------------------

    @property
    def load(self) -> int:
        """Requests on it, running and waiting."""
        return len(self._waiting) + len(self._prefilling) + len(self._decoding)

    def can_ever_hold(self, work: Work) -> bool:
        return work.kv_tokens <= self._limits.kv_tokens

    def power_trace(self, end_at_s: float) -> PowerTrace:
        """From its start to `end_at_s`, which must not lie before the last change."""
        self._pass_time(end_at_s)
        return self._trace.finished()

    # -- doing ------------------------------------------------------------------------------------------------------

    def accept(self, works: Sequence[Work], now_s: float) -> None:
        """Queue requests that come together; each starts when its prompt's turn comes and its KV memory is free."""
        for work in works:
            work.turn, self._turns = self._turns, self._turns + 1
            heapq.heappush(self._waiting, (work.rank, work))
        if not self._prefilling and self._fits(self._waiting[0][1]):
            self._pass_time(now_s)
            self._plan(now_s)

    def idle_at(self, power_w: float, now_s: float) -> None:
        """From now on it draws so much without work: it falls asleep, or wakes up."""
        if self.load == 0:
            self._pass_time(now_s)
        self._idle_power_w = power_w

    def advance(self, now_s: float) -> list[Work]:
        """Move to `now_s`, at most `next_change_at_s`; what finished by then, in order of finish."""
        self._pass_time(now_s)
        finished = self._take_first_tokens(now_s) if self._prefill_steps <= STEP_TOLERANCE else []
        while self._decoding and self._decoding[0][0] <= self._clock_steps + STEP_TOLERANCE:
            finished.append(heapq.heappop(self._decoding)[2])
        for work in finished:
            self._leave(work)
        self._plan(now_s)
        return finished

    # -- inside -----------------------------------------------------------------------------------------------------

    def _pass_time(self, now_s: float) -> None:
        """Close the span under way: its steps, its energy, its share of the contexts' growth."""
        sequences = len(self._prefilling) + len(self._decoding)
        if sequences == 0:
            self._trace.add(now_s, self._idle_power_w * (now_s - self._trace.end_at_s), 0)
            return
        span = self._span
        steps = span.steps if now_s >= self.next_change_at_s else span.steps_within(now_s - self._trace.end_at_s)
        spent_j = span.energy_j(steps)
        self.busy_energy_j += spent_j
        self._trace.add(now_s, spent_j, sequences)
        self._clock_steps += steps
        self._prefill_steps -= steps
        self._context_tokens += steps * len(self._decoding)
        self._span = span.after(steps)

    def _take_first_tokens(self, now_s: float) -> list[Work]:
        """The prompts of the batch are done and have their next token; those that wanted no more are finished."""
        finished = []
        for work in self._prefilling:
            if work.generated_tokens == 0:
                work.first_token_at_s = now_s
            if work.output_tokens - work.generated_tokens == 1:
                finished.append(work)
            else:
                end_steps = self._clock_steps + work.output_tokens - work.generated_tokens - 1
                heapq.heappush(self._decoding, (end_steps, work.index, work))
            self._context_tokens += work.read_tokens + 1
            if self._limits.preempts:
                self._reserved_tokens -= work.read_tokens
            self._cache.keep(work.prefix, self._output_tokens)
        self._prefilling = []
        return finished

    def _leave(self, work: Work) -> None:
        self._context_tokens -= work.kv_tokens
        if not self._limits.preempts:
            self._reserved_tokens -= work.kv_tokens
        self._output_tokens -= work.output_tokens
        work.last_span = self._trace.spans

    def _reservation_tokens(self, work: Work) -> int:
        """Memory that is set aside when its prompt is read: for all of it, or while it is read."""
        return work.read_tokens if self._limits.preempts else work.kv_tokens

    @property
    def _held_tokens(self) -> float:
        return self._reserved_tokens + self._context_tokens if self._limits.preempts else self._reserved_tokens

    def _fits(self, work: Work) -> bool:
        running = len(self._prefilling) + len(self._decoding)
        has_room = self._held_tokens + self._reservation_tokens(work) <= self._limits.kv_tokens
        return running < self._limits.sequences and has_room

    def _plan(self, now_s: float) -> None:
        """What runs until the next change, and when that is."""
        has_preempted = self._limits.preempts and self._make_room()
        if not self._prefilling and not has_preempted:
            self._begin_prefill()
        if not self._prefilling and not self._decoding:
            self._context_tokens = 0.0  # rounding of many sums ends here
            self._span, self.next_change_at_s = IDLE, math.inf
            return
        steps = min(self._prefill_steps, REFRESH_STEPS)
        if self._decoding:
            steps = min(steps, self._decoding[0][0] - self._clock_steps)
            if self._limits.preempts:
                steps = min(steps, steps_in_room(self._limits.kv_tokens - self._held_tokens, len(self._decoding)))
        self._span = self._mixed_span(steps) if self._prefilling else self._decode_span(steps)
        self.next_change_at_s = now_s + self._span.duration_s(steps)

    def _begin_prefill(self) -> None:
        """The next prompts, first come first served: as many as fit into one step, or one longer than a step."""
        tokens, squared, step_tokens = 0, 0, self._limits.step_tokens
        while self._waiting and self._fits(work := self._waiting[0][1]):
            work.cached_tokens = self._cache.spared_tokens(work.prefix, work.prompt_tokens)
            new_tokens = work.read_tokens - work.cached_tokens
            if self._prefilling and tokens + new_tokens > step_tokens:
                break
            heapq.heappop(self._waiting)
            self._prefilling.append(work)
            self.cached_tokens += work.cached_tokens
            tokens += new_tokens
            # New tokens look back on the cached ones as well.
            squared += work.read_tokens**2 - work.cached_tokens**2
            self._reserved_tokens += self._reservation_tokens(work)
            self._output_tokens += work.output_tokens
            work.first_span = self._trace.spans
        self._prefill_steps = max(1.0, tokens / step_tokens) if self._prefilling else math.inf
        self._prefill_tokens = min(tokens, step_tokens)
        self._prefill_squared_tokens = squared / self._prefill_steps

    # -- preemption -------------------------------------------------------------------------------------------------

    def _make_room(self) -> bool:
        """Preempt until the next step has room, but never the last one; whether anybody was."""
        has_preempted = False
        while self._held_tokens > self._limits.kv_tokens + STEP_TOLERANCE:
            running = [*self._prefilling, *(entry[2] for entry in self._decoding)]
            if len(running) == 1:
                break
            self._preempt(max(running, key=lambda work: work.rank))
            has_preempted = True
        return has_preempted

    def _preempt(self, work: Work) -> None:
        """Its memory is free; it waits before the others of its priority, and is read once more."""
        entry = next((entry for entry in self._decoding if entry[2] is work), None)
        if entry is None:
            self._stop_reading(work)
        else:
            self._decoding.remove(entry)
            heapq.heapify(self._decoding)
            left_steps = entry[0] - self._clock_steps
            self._context_tokens -= work.kv_tokens - left_steps
            # A token that is not complete is lost.
            work.generated_tokens = work.output_tokens - math.ceil(left_steps - STEP_TOLERANCE)
        self._output_tokens -= work.output_tokens
        work.earlier_stays += (Stay(work.first_span, self._trace.spans),)
        heapq.heappush(self._waiting, (work.rank, work))

    def _stop_reading(self, work: Work) -> None:
        """Take one out of the prompts that are read: one of several shares their step, or it is the only one."""
        self._prefilling = [one for one in self._prefilling if one is not work]
        self._reserved_tokens -= work.read_tokens
        if not self._prefilling:
            self._prefill_steps = math.inf
        self._prefill_tokens -= work.read_tokens - work.cached_tokens
        self._prefill_squared_tokens -= work.read_tokens**2 - work.cached_tokens**2

    # -- costs ------------------------------------------------------------------------------------------------------

    def _mixed_span(self, steps: float) -> Span:
        decoding = len(self._decoding)
        # The mean over the steps of the span: each of its sequences grows by one token a step.
        context_tokens = self._context_tokens / decoding + max(0.0, steps - 1.0) / 2.0 if decoding else 0.0
        cost = self._model.step(decoding, context_tokens, self._prefill_tokens, self._prefill_squared_tokens)
        return Span(steps, cost.duration_s, 0.0, cost.energy_j, 0.0)

    def _decode_span(self, steps: float) -> Span:
        decoding = len(self._decoding)
        # Half a token back, the integral over n steps is the sum over n steps.
        context_tokens = max(0.0, self._context_tokens / decoding - 0.5)
        place = int(context_tokens // CONTEXT_GRID_TOKENS)
        low, high = self._cost(decoding, place), self._cost(decoding, place + 1)
        longer_s = (high.duration_s - low.duration_s) / CONTEXT_GRID_TOKENS
        more_j = (high.energy_j - low.energy_j) / CONTEXT_GRID_TOKENS
        beyond_tokens = context_tokens - place * CONTEXT_GRID_TOKENS
        return Span(
            steps, low.duration_s + longer_s * beyond_tokens, longer_s, low.energy_j + more_j * beyond_tokens, more_j
        )

    def _cost(self, decoding: int, place: int) -> StepCost:
        key = (decoding, place)
        if key not in self._known:
            self._known[key] = self._model.step(decoding, float(place * CONTEXT_GRID_TOKENS), 0.0, 0.0)
        return self._known[key]
