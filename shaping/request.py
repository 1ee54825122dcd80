"""What the shaper knows of a request, and of the workers that will serve it. No text, no sockets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from shaping.prefixes import Prefix


class LatencyClass(StrEnum):
    """How long a request may be held before its worker sees it."""

    INTERACTIVE = "interactive"  # a person waits: milliseconds, for density alone
    FLEX = "flex"  # may wait for a cleaner hour while its connection stays open
    BATCH = "batch"  # nobody waits: only the deadline counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call for one model. Token counts are estimates until the worker reports usage.

    `not_before_s` is the planner's word (a cleaner hour), `release_by_s` the last instant to reach a worker and still
    be in time for the client; while there is capacity a request is never held past it. Lower `priority` is served
    first, as in vLLM. `prefix` names the blocks that its prompt begins with, as far as anybody looked; `adapter` is
    empty where the base model answers. Raises ValueError for an instant that is no finite number, or a negative count
    of tokens.
    """

    id: str
    model: str
    arrived_at_s: float
    release_by_s: float
    prompt_tokens: int
    output_tokens: int
    latency_class: LatencyClass = LatencyClass.INTERACTIVE
    not_before_s: float = 0.0
    is_streaming: bool = False
    priority: int = 0
    prefix: Prefix = ()
    adapter: str = ""

    def __post_init__(self) -> None:
        # The sum is finite only if each part is: one test on the hot path. An endless latest start could starve.
        if not math.isfinite(self.arrived_at_s + self.release_by_s + self.not_before_s):
            raise ValueError(f"request {self.id!r}: arrival, not-before and latest start are finite instants")
        if self.prompt_tokens < 0 or self.output_tokens < 0:
            raise ValueError(f"request {self.id!r}: token counts are zero or more")

    @property
    def served_name(self) -> str:
        """The name that its caller knows: the adapter's, or the model's."""
        return self.adapter or self.model

    @property
    def kv_tokens(self) -> int:
        """Tokens of KV cache that the request holds at its end."""
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCapacity:
    """What the workers of one pool hold at once, together.

    `kv_tokens` is None where the engine does not say, `adapters` (different ones at once) where it has no limit.
    """

    sequences: int
    kv_tokens: int | None = None
    workers: int = 1
    adapters: int | None = None
