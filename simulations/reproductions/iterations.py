"""A serving engine iteration by iteration: continuous batching, chunked prefill, paged KV memory with cached prefixes.

Decides what is in each batch, by the rules of vLLM as the pack of the logs states them. Asks how long a batch takes;
knows no hardware. Coarser than the engine in one place: which of the free blocks are overwritten first is known by
their order of release only, as if none were ever taken back out of the middle.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from simulations.reproductions.kernel_times import Batch
from simulations.reproductions.tables import PackError


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Settings of the engine and its KV memory."""

    batch_tokens: int
    sequences: int
    kv_blocks: int
    block_tokens: int = 16


@dataclass(slots=True, kw_only=True, eq=False)
class LoggedRequest:
    """A request and, once run, its instants."""

    queued_at_s: float
    prompt_tokens: int
    output_tokens: int
    prefix: Sequence[str] = ()  # ids of leading full blocks that other requests have too
    computed_tokens: int = 0
    generated_tokens: int = 0
    blocks: int = 0
    shared_blocks: int = 0  # of these, the leading ones that it may hold together with others
    is_registered: bool = False  # its beginning can be found by others
    released_from: int | None = None  # place of its first block in the order of release, when it was preempted
    first_token_at_s: float = 0.0
    finished_at_s: float = 0.0

    @property
    def pending_tokens(self) -> int:
        return self.prompt_tokens + self.generated_tokens - self.computed_tokens


# Requests of a batch, and how many tokens of each.
Chosen = list[tuple[LoggedRequest, int]]


@dataclass(slots=True, kw_only=True)
class Engine:
    """`run` plays all requests, which come in order of their arrival."""

    limits: EngineLimits
    iteration_s: Callable[[Batch], float]
    waiting: deque[LoggedRequest] = field(default_factory=deque)
    running: list[LoggedRequest] = field(default_factory=list)
    now_s: float = 0.0
    preemptions: int = 0
    free_blocks: int = 0
    _taken: int = 0  # blocks ever taken from the front of the queue of free ones
    _released: int = 0  # blocks ever put at its end
    _holders: dict[str, int] = field(default_factory=dict)  # prefix block -> running requests that hold it
    _cached: dict[str, int] = field(default_factory=dict)  # the same, held by nobody -> place in the order of release

    def run(self, requests: Sequence[LoggedRequest]) -> None:
        self.empty(requests)
        for request in requests:
            self.run_until(request.queued_at_s)
            self.queue(request)
        self.run_until(math.inf)

    def empty(self, requests: Sequence[LoggedRequest]) -> None:
        """All memory is free. Raises PackError for a request among those to come that it can never hold."""
        self._refuse_too_long(requests)
        self.free_blocks = self._released = self.limits.kv_blocks

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def queue(self, request: LoggedRequest) -> None:
        """A request has come; everything before was run."""
        if not self.has_work:
            self.now_s = max(self.now_s, request.queued_at_s)
        self.waiting.append(request)

    def run_until(self, at_s: float) -> None:
        """All iterations that begin before an instant, at which somebody comes."""
        while self.now_s < at_s and self.has_work:
            if quiet := self._quiet_iterations():
                is_full = len(self.running) == self.limits.sequences
                self.now_s = self._decode(quiet, self.now_s, math.inf if is_full else at_s)
            else:
                chosen = self.choose()
                self.now_s += self.iteration_s(self.batch(chosen))
                self.absorb(chosen)

    def _refuse_too_long(self, requests: Sequence[LoggedRequest]) -> None:
        most_tokens = self.limits.kv_blocks * self.limits.block_tokens
        longest = max((one.prompt_tokens + one.output_tokens for one in requests), default=0)
        if longest > most_tokens:
            raise PackError(f"a request of {longest} tokens can never be held: the KV memory has {most_tokens}")

    def _quiet_iterations(self) -> int:
        """How many iterations of nothing but decoding lie ahead, if nobody arrives for whom there is room."""
        is_full = len(self.running) == self.limits.sequences
        if not self.running or (self.waiting and not is_full):
            return 0
        if any(one.pending_tokens != 1 or not one.generated_tokens for one in self.running):
            return 0
        ahead = min(one.output_tokens - one.generated_tokens for one in self.running) - 1
        most_blocks = len(self.running) * (ahead // self.limits.block_tokens + 1)
        return ahead if most_blocks <= self.free_blocks else 0

    def _decode(self, most: int, now_s: float, arrival_at_s: float) -> float:
        """Up to `most` iterations of the running requests at once, until somebody arrives."""
        count = len(self.running)
        context_tokens = sum(one.computed_tokens for one in self.running) / count
        made = 0
        while made < most and now_s < arrival_at_s:
            now_s += self.iteration_s(Batch(0, 0.0, count, context_tokens + made, count))
            made += 1
        for one in self.running:
            self._take(one, made)
            one.computed_tokens += made
            one.generated_tokens += made
        return now_s

    def absorb(self, chosen: Chosen) -> None:
        """What was chosen is computed by now."""
        for request, tokens in chosen:
            request.computed_tokens += tokens
            if request.computed_tokens == request.prompt_tokens + request.generated_tokens:
                self._emit(request, self.now_s)

    # -- choosing ------------------------------------------------------------------------------------------------------

    def choose(self) -> Chosen:
        """Who is computed next, and how many tokens of each."""
        budget, preempted = self.limits.batch_tokens, self.preemptions
        block_tokens = self.limits.block_tokens
        chosen: Chosen = []
        index = 0
        while index < len(self.running) and budget > 0:
            request = self.running[index]
            computed = request.computed_tokens
            tokens = request.prompt_tokens + request.generated_tokens - computed
            if tokens > budget:
                tokens = budget
            if computed + tokens <= request.blocks * block_tokens or self._make_room(request, tokens):
                chosen.append((request, tokens))
                budget -= tokens
            index += 1
        if self.preemptions == preempted:
            self._admit(chosen, budget)
        return chosen

    def _make_room(self, request: LoggedRequest, tokens: int) -> bool:
        """Blocks for a running request, if need be those of the most recently admitted; False if that is itself."""
        while not self._take(request, tokens):
            last = self.running.pop()
            self._preempt(last)
            if last is request:
                return False
        return True

    def _admit(self, chosen: Chosen, budget: int) -> None:
        while self.waiting and budget > 0 and len(self.running) < self.limits.sequences:
            request = self.waiting[0]
            tokens = self._begin(request, budget)
            if tokens == 0:
                return
            self.running.append(self.waiting.popleft())
            chosen.append((request, tokens))
            budget -= tokens

    def batch(self, chosen: Chosen) -> Batch:
        chunk = context = prompts = decodes = decode_context = emitted = 0
        for request, tokens in chosen:
            if tokens == 1 and request.generated_tokens and request.pending_tokens == 1:
                decodes += 1
                decode_context += request.computed_tokens
                emitted += 1
            else:
                chunk += tokens
                context += request.computed_tokens
                prompts += 1
                emitted += request.pending_tokens == tokens
        return Batch(chunk, context / max(prompts, 1), decodes, decode_context / max(decodes, 1), emitted)

    # -- memory --------------------------------------------------------------------------------------------------------

    def _take(self, request: LoggedRequest, tokens: int) -> bool:
        wanted = -(-(request.computed_tokens + tokens) // self.limits.block_tokens) - request.blocks
        if wanted > self.free_blocks:
            return False
        self.free_blocks -= wanted
        self._taken += wanted
        request.blocks += wanted
        return True

    def _begin(self, request: LoggedRequest, budget: int) -> int:
        """Takes blocks for a first chunk after what is cached, and says how long it is; 0 where they are too few."""
        found = self._cached_blocks(request)
        shared = min(found, len(request.prefix))
        computed = found * self.limits.block_tokens
        tokens = min(request.prompt_tokens + request.generated_tokens - computed, budget)
        idle = sum(block not in self._holders for block in request.prefix[:shared])
        wanted = -(-(computed + tokens) // self.limits.block_tokens) - shared
        if wanted + idle > self.free_blocks:
            return 0
        self.free_blocks -= idle
        for block in request.prefix[:shared]:
            self._holders[block] = self._holders.get(block, 0) + 1
        request.blocks = request.shared_blocks = shared
        request.computed_tokens = computed
        self._take(request, tokens)
        return tokens

    def _register(self, request: LoggedRequest) -> None:
        """What it computed of a beginning can be found from now on, unless another request was there first."""
        for block in request.prefix[request.shared_blocks :]:
            if block in self._holders:
                break
            self._holders[block] = 1
            request.shared_blocks += 1
        request.is_registered = True

    def _release(self, request: LoggedRequest) -> None:
        """The last block first, so that the beginnings of prompts are overwritten last."""
        self._give_back(request.blocks - request.shared_blocks)
        for block in reversed(request.prefix[: request.shared_blocks]):
            self._holders[block] -= 1
            if self._holders[block] == 0:
                del self._holders[block]
                self._give_back(1)
                self._cached[block] = self._released - 1
        request.blocks = request.shared_blocks = 0
        request.is_registered = False

    def _give_back(self, blocks: int) -> None:
        self.free_blocks += blocks
        self._released += blocks

    def _preempt(self, request: LoggedRequest) -> None:
        self.preemptions += 1
        request.released_from = self._released + request.blocks - 1
        self._release(request)
        request.computed_tokens = 0
        self.waiting.appendleft(request)

    def _cached_blocks(self, request: LoggedRequest) -> int:
        """Full leading blocks that are still there; at least one token is always computed."""
        own = 0 if request.released_from is None else max(0, request.released_from - self._taken + 1)
        found = 0
        for block in request.prefix:
            if block not in self._holders and self._cached.get(block, -1) < self._taken:
                break
            found += 1
        if found == len(request.prefix):
            found = max(found, own)
        known_tokens = request.prompt_tokens + request.generated_tokens
        return min(found, (known_tokens - 1) // self.limits.block_tokens)

    def _emit(self, request: LoggedRequest, now_s: float) -> None:
        if not request.is_registered:
            self._register(request)
        request.generated_tokens += 1
        if request.generated_tokens == 1:
            request.first_token_at_s = now_s
        if request.generated_tokens == request.output_tokens:
            request.finished_at_s = now_s
            self.running.remove(request)
            self._release(request)
