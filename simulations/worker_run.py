"""One simulated worker on a running clock: advances the engine in virtual time and hands new tokens to who waits.

At large speed-ups several steps pass during one sleep; virtual time and energy stay exact, only delivery is late by the
sleep's granularity. Decides nothing about batching (worker_engine) or content (worker_answers).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shaping.energy import Deployment
from shaping.prefixes import Prefix
from shaping.profiles import DEFAULT_STACK
from simulations.worker_engine import Sequence, WorkerEngine
from simulations.worker_metrics import WorkerMetrics
from simulations.worker_requests import BadBody

_SHORTEST_SLEEP_S = 0.001  # what an event loop can tell apart; shorter steps are taken several at a time

Monotonic = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What one simulated worker is. `speed` is virtual seconds per real second.

    `served_name` is the model name that clients use, the profile's own when None. With `is_instant` every answer comes
    at once, short and fixed in length, and no energy is named: for measuring a gateway, not for accounting.
    """

    model: str = "llama-3.1-8b"
    gpu: str = "h100-sxm"
    gpus: int = 1
    stack: str = DEFAULT_STACK
    max_sequences: int = 256
    speed: float = 1.0
    seed: int = 0
    served_name: str | None = None
    is_instant: bool = False
    has_prefix_cache: bool = False
    kv_bytes_per_s: float = 25e9  # of KV caches that come from another worker
    wake_s: float = 1.0  # virtual time from the call to the first step, as for weights kept in main memory

    def __post_init__(self) -> None:
        if not self.speed > 0.0:
            raise ValueError(f"speed is a positive factor, not {self.speed}")
        if self.max_sequences < 1:
            raise ValueError(f"max_sequences is at least 1, not {self.max_sequences}")

    @property
    def name(self) -> str:
        return self.served_name or self.model


class SimulatedWorker:
    """The engine on a running clock, and a mailbox for each sequence."""

    def __init__(self, options: WorkerOptions, made: Deployment, monotonic_s: Monotonic, sleep_s: Sleep) -> None:
        self.options = options
        self.engine = WorkerEngine(made, max_sequences=options.max_sequences, has_prefix_cache=options.has_prefix_cache)
        self.metrics = WorkerMetrics(options.name)
        self.is_sleeping = False
        self._monotonic_s, self._sleep_s = monotonic_s, sleep_s
        self._started_s = monotonic_s()
        self._mailboxes: dict[str, asyncio.Queue[tuple[int, bool]]] = {}
        self._has_work = asyncio.Event()
        self._numbers = itertools.count(1)

    @property
    def now_s(self) -> float:
        """Virtual seconds since the start."""
        return (self._monotonic_s() - self._started_s) * self.options.speed

    @contextmanager
    def submitted(
        self, sizes_tokens: Iterable[tuple[int, int, Prefix]], received_tokens: int = 0
    ) -> Iterator[list[Sequence]]:
        """Queue sequences of (prompt tokens, output tokens, blocks); on leaving, those unfinished are cancelled.

        The KV cache of so many tokens of each has come from another worker.

        Raises BadBody when one exceeds the KV cache.
        """
        self.catch_up()
        sequences: list[Sequence] = []
        try:
            for prompt_tokens, output_tokens, prefix in sizes_tokens:
                sequences.append(self._submit(prompt_tokens, output_tokens, prefix, received_tokens))
            self._has_work.set()
            yield sequences
        finally:
            for sequence in sequences:
                del self._mailboxes[sequence.id]
                if sequence.finished_at_s is None:
                    self.engine.cancel(sequence)

    async def wake_up(self) -> None:
        """Take requests again, once the weights are back on the GPU."""
        if self.is_sleeping:
            await self._sleep_s(self.options.wake_s / self.options.speed)
            self.is_sleeping = False

    async def fetch(self, tokens: int) -> None:
        """Wait for the KV cache of so many tokens to come from the worker that read them."""
        size_bytes = tokens * self.engine.deployment.model.kv_bytes_per_token
        await self._sleep_s(size_bytes / self.options.kv_bytes_per_s / self.options.speed)

    async def tokens(self, sequence: Sequence) -> AsyncIterator[int]:
        """How many new tokens came, as they come, until the sequence ends."""
        mailbox = self._mailboxes[sequence.id]
        is_last = False
        while not is_last:
            count, is_last = await mailbox.get()
            yield count

    def catch_up(self) -> None:
        """Bring the engine to the present and deliver what it made."""
        progress = self.engine.advance(self.now_s)
        self.metrics.observe(progress)
        for sequence_id, count in progress.tokens.items():
            self._deliver(sequence_id, count, is_last=False)
        for sequence in progress.finished:
            self._deliver(sequence.id, 0, is_last=True)

    async def run(self) -> None:
        """Advance for ever: sleep to the end of the step under way, or until a request comes."""
        while True:
            self.catch_up()
            ends_at_s = self.engine.next_step_ends_at_s
            if ends_at_s is None:
                self._has_work.clear()
                await self._has_work.wait()
            else:
                await self._sleep_s(max(_SHORTEST_SLEEP_S, (ends_at_s - self.now_s) / self.options.speed))

    def _submit(self, prompt_tokens: int, output_tokens: int, prefix: Prefix, received_tokens: int) -> Sequence:
        sequence = Sequence(
            id=f"s{next(self._numbers)}",
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            arrived_at_s=max(self.now_s, self.engine.now_s),
            prefix=prefix,
            received_tokens=received_tokens,
        )
        try:
            self.engine.submit(sequence)
        except ValueError as error:
            raise BadBody(f"the request is too long for this worker: {error}") from None
        self._mailboxes[sequence.id] = asyncio.Queue()
        return sequence

    def _deliver(self, sequence_id: str, count: int, *, is_last: bool) -> None:
        mailbox = self._mailboxes.get(sequence_id)
        if mailbox is not None:
            mailbox.put_nowait((count, is_last))
