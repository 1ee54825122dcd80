"""Continuous batching of one worker in virtual time: which step comes next, how long it takes, whose joules it burns.

Decides admission (first come, first served, as far as sequences and KV memory go), what a prefix cache spares, chunked
prefill and decoding, by the energy model. Knows no wall clock and no socket: `advance` is told how far time has come
and answers what was made.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from shaping.attribution import step_shares_ratio
from shaping.energy import Deployment, Step, idle_energy_j, kv_capacity_tokens, step
from shaping.first_token import STEP_TOKENS
from shaping.prefixes import Prefix
from simulations.prompt_cache import PromptCache

PREFIX_BLOCK_TOKENS = 16  # vLLM's block


@dataclass(slots=True, kw_only=True)
class Sequence:
    """One prompt on its way through the worker. `prefix` names its blocks; `cached_tokens` were read for another.

    `received_tokens` of its prompt were read by another worker, whose KV cache is here.
    """

    id: str
    prompt_tokens: int
    output_tokens: int
    arrived_at_s: float
    prefix: Prefix = ()
    received_tokens: int = 0
    cached_tokens: int = 0
    prefilled_tokens: int = 0
    generated_tokens: int = 0
    energy_j: float = 0.0
    first_token_at_s: float | None = None
    finished_at_s: float | None = None
    is_cancelled: bool = False

    @property
    def context_tokens(self) -> int:
        return self.prefilled_tokens + self.generated_tokens

    @property
    def kv_tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class _PendingStep:
    """A step under way: its members are fixed, its outcome is not yet known to anyone."""

    made: Step
    ends_at_s: float
    decoding: list[Sequence]
    prefilling: list[tuple[Sequence, int]]


@dataclass(slots=True, kw_only=True)
class Progress:
    """What one call of `advance` made: new tokens by sequence, sequences that ended, new tokens of each step."""

    tokens: dict[str, int] = field(default_factory=dict)
    finished: list[Sequence] = field(default_factory=list)
    step_tokens: list[int] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Account:
    """Joules and seconds since the start. `energy_j` = idle + attributed to requests, cancelled ones included."""

    energy_j: float = 0.0
    idle_energy_j: float = 0.0
    cancelled_energy_j: float = 0.0
    busy_s: float = 0.0
    idle_s: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    steps: int = 0


class WorkerEngine:
    """One replica. `submit` and `cancel` between calls of `advance`; instants never go backwards."""

    def __init__(
        self, deployment: Deployment, *, max_sequences: int, started_at_s: float = 0.0, has_prefix_cache: bool = False
    ) -> None:
        self.deployment = deployment
        self.max_sequences = max_sequences
        self.kv_capacity_tokens = kv_capacity_tokens(deployment)
        self._cache = PromptCache(PREFIX_BLOCK_TOKENS if has_prefix_cache else 0, self.kv_capacity_tokens)
        self.account = Account()
        self.now_s = started_at_s
        self._waiting: deque[Sequence] = deque()
        self._running: dict[str, Sequence] = {}
        self._running_kv_tokens = self._running_output_tokens = 0
        self._pending: _PendingStep | None = None

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return sum(1 for sequence in self._waiting if not sequence.is_cancelled)

    @property
    def kv_usage_ratio(self) -> float:
        used = sum(sequence.context_tokens for sequence in self._running.values())
        return used / self.kv_capacity_tokens if self.kv_capacity_tokens else 0.0

    @property
    def next_step_ends_at_s(self) -> float | None:
        """When the step under way ends; None when there is none, so that only a submission changes anything."""
        return None if self._pending is None else self._pending.ends_at_s

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises ValueError when it could never fit."""
        if sequence.kv_tokens > self.kv_capacity_tokens:
            raise ValueError(f"{sequence.kv_tokens} tokens exceed the KV cache of {self.kv_capacity_tokens} tokens")
        self._waiting.append(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """Take a sequence out at the end of the step under way; what it burnt until then stays on the account."""
        sequence.is_cancelled = True

    def advance(self, until_s: float) -> Progress:
        """Finish every step that ends by `until_s`, and begin the next one."""
        progress = Progress()
        while self.now_s <= until_s:
            if self._pending is None:
                self._admit()
                if not self._running:
                    if not self._idle_until(until_s):
                        break
                    continue
                self._pending = self._composed()
            if self._pending.ends_at_s > until_s:
                break
            self._complete(self._pending, progress)
            self._pending = None
        return progress

    def _admit(self) -> None:
        while self._waiting:
            first = self._waiting[0]
            if not first.is_cancelled:
                is_full = len(self._running) >= self.max_sequences
                has_room = self._running_kv_tokens + first.kv_tokens <= self.kv_capacity_tokens
                if first.arrived_at_s > self.now_s or is_full or not has_room:
                    return
                self._running[first.id] = first
                self._running_kv_tokens += first.kv_tokens
                self._running_output_tokens += first.output_tokens
                self._spare(first)
            self._waiting.popleft()

    def _spare(self, sequence: Sequence) -> None:
        """What is in the cache of its prompt need not be read; the last token is, for the first of the answer."""
        spared_tokens = self._cache.spared_tokens(sequence.prefix, sequence.prompt_tokens)
        received_tokens = min(sequence.received_tokens, sequence.prompt_tokens - 1)
        sequence.cached_tokens = max(0, spared_tokens, received_tokens)
        sequence.prefilled_tokens = sequence.cached_tokens
        self.account.cached_tokens += sequence.cached_tokens

    def _idle_until(self, until_s: float) -> bool:
        """Idle to the next arrival or to `until_s`; whether there was an arrival."""
        has_arrival = bool(self._waiting) and self._waiting[0].arrived_at_s <= until_s
        end_s = max(self.now_s, self._waiting[0].arrived_at_s if has_arrival else until_s)
        idle_j = idle_energy_j(self.deployment, end_s - self.now_s)
        self.account.energy_j += idle_j
        self.account.idle_energy_j += idle_j
        self.account.idle_s += end_s - self.now_s
        self.now_s = end_s
        return has_arrival

    def _composed(self) -> _PendingStep:
        """The next step: one token for each decoding sequence, and prompts in order up to the budget."""
        decoding, prefilling = [], []
        budget_tokens = STEP_TOKENS
        for sequence in self._running.values():
            missing = sequence.prompt_tokens - sequence.prefilled_tokens
            if missing <= 0:
                decoding.append(sequence)
            elif budget_tokens > 0:
                chunk = min(missing, budget_tokens)
                budget_tokens -= chunk
                prefilling.append((sequence, chunk))
        made = self._costed(decoding, prefilling)
        return _PendingStep(made=made, ends_at_s=self.now_s + made.duration_s, decoding=decoding, prefilling=prefilling)

    def _costed(self, decoding: list[Sequence], prefilling: list[tuple[Sequence, int]]) -> Step:
        mean_context = sum(one.context_tokens for one in decoding) / len(decoding) if decoding else 0.0
        # Causal attention of a chunk: the square up to its end less the square up to its start.
        squared = sum((one.prefilled_tokens + chunk) ** 2 - one.prefilled_tokens**2 for one, chunk in prefilling)
        return step(self.deployment, len(decoding), mean_context, sum(chunk for _, chunk in prefilling), squared)

    def _complete(self, pending: _PendingStep, progress: Progress) -> None:
        self.now_s = pending.ends_at_s
        self.account.energy_j += pending.made.energy_j
        self.account.busy_s += pending.made.duration_s
        self.account.steps += 1
        self._attribute(pending)
        for sequence in pending.decoding:
            self._emit(sequence, progress)
        for sequence, chunk in pending.prefilling:
            sequence.prefilled_tokens += chunk
            self.account.prompt_tokens += chunk
            if sequence.prefilled_tokens == sequence.prompt_tokens:
                self._cache.keep(sequence.prefix, self._running_output_tokens)
                self._emit(sequence, progress)  # the last chunk of a prompt yields the first token
        progress.step_tokens.append(len(pending.decoding) + sum(chunk for _, chunk in pending.prefilling))
        self._retire(progress)

    def _attribute(self, pending: _PendingStep) -> None:
        contexts = [float(sequence.context_tokens) for sequence in pending.decoding]
        chunks = [float(chunk) for _, chunk in pending.prefilling]
        shares = step_shares_ratio(self.deployment, pending.made, contexts, chunks)
        members = [*pending.decoding, *(sequence for sequence, _ in pending.prefilling)]
        for sequence, share in zip(members, shares, strict=True):
            sequence.energy_j += share * pending.made.energy_j

    def _emit(self, sequence: Sequence, progress: Progress) -> None:
        if sequence.is_cancelled or sequence.generated_tokens >= sequence.output_tokens:
            return
        sequence.generated_tokens += 1
        self.account.generated_tokens += 1
        if sequence.first_token_at_s is None:
            sequence.first_token_at_s = self.now_s
        progress.tokens[sequence.id] = progress.tokens.get(sequence.id, 0) + 1

    def _retire(self, progress: Progress) -> None:
        done = [one for one in self._running.values() if one.is_cancelled or self._is_complete(one)]
        for sequence in done:
            del self._running[sequence.id]
            self._running_kv_tokens -= sequence.kv_tokens
            self._running_output_tokens -= sequence.output_tokens
            sequence.finished_at_s = self.now_s
            if sequence.is_cancelled:
                self.account.cancelled_energy_j += sequence.energy_j
            else:
                progress.finished.append(sequence)

    @staticmethod
    def _is_complete(sequence: Sequence) -> bool:
        is_read = sequence.prefilled_tokens >= sequence.prompt_tokens
        return is_read and sequence.generated_tokens >= sequence.output_tokens
