"""Who runs in a pool of workers, and what is free beside them: sequences, KV memory, adapters' places, time to read.

Capacity is never exceeded by what is started; what runs goes on, even beyond a smaller one. Decides no order.
"""

from __future__ import annotations

from shaping.adapters import AdapterPlaces
from shaping.first_token import UnreadPrompts
from shaping.request import PoolCapacity, Request


class PoolRoom:
    """`adapters` and `unread` know who finds a place beside those that run; `has_room_for` looks at the rest."""

    __slots__ = ("_kv_tokens", "adapters", "capacity", "running", "unread")

    def __init__(self, capacity: PoolCapacity, unread: UnreadPrompts) -> None:
        self.capacity = capacity
        self.running: dict[str, Request] = {}
        self._kv_tokens = 0
        self.adapters = AdapterPlaces(capacity.adapters)
        self.unread = unread
        self.unread.workers = capacity.workers

    def resize(self, capacity: PoolCapacity) -> None:
        self.capacity = capacity
        self.unread.workers, self.adapters.limit = capacity.workers, capacity.adapters

    @property
    def free_sequences(self) -> int:
        """Negative in a pool that has shrunk."""
        return self.capacity.sequences - len(self.running)

    def is_too_small_for(self, request: Request) -> bool:
        """Whether it could not hold the request even if nothing ran."""
        return self.capacity.kv_tokens is not None and request.kv_tokens > self.capacity.kv_tokens

    def has_room_for(self, request: Request) -> bool:
        if self.free_sequences <= 0:
            return False
        kv_tokens = self.capacity.kv_tokens
        return kv_tokens is None or self._kv_tokens + request.kv_tokens <= kv_tokens

    def start(self, request: Request, now_s: float) -> None:
        self.running[request.id] = request
        self._kv_tokens += request.kv_tokens
        self.adapters.started(request.adapter)
        self.unread.given(request.prompt_tokens, now_s)

    def end(self, request_id: str) -> Request | None:
        """The request, if it ran."""
        request = self.running.pop(request_id, None)
        if request is not None:
            self._kv_tokens -= request.kv_tokens
            self.adapters.ended(request.adapter)
        return request
