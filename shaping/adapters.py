"""Adapters of one model (LoRA): a batch may mix them, but an engine holds only so many at once.

Decides which adapter may run beside those that do, and when one has had its turn. Requests keep their order within an
adapter; those of one that finds no place are passed over by the others, not waited for: the engine would do the same.
The base model needs no place.
"""

from __future__ import annotations

from collections.abc import Callable

from shaping.lazy_heap import Key, LazyHeap

BASE = ""
# While another adapter waits for a place, one that has it takes this many requests more; then it drains and gives way.
TURN_REQUESTS = 64


class AdapterPlaces:
    """Which adapters run. Every operation is O(1)."""

    __slots__ = ("_is_waited_for", "_running", "_taken", "limit")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._running: dict[str, int] = {}  # adapter: its requests
        self._taken: dict[str, int] = {}  # while others waited
        self._is_waited_for = False

    @property
    def running(self) -> int:
        """Different adapters that run now."""
        return len(self._running)

    def takes(self, adapter: str) -> bool:
        """Whether a request of this adapter may start now, as far as adapters go; if not, it waits from here on."""
        if self.limit is None or adapter == BASE:
            return True
        if adapter in self._running:
            return not self._is_waited_for or self._taken.get(adapter, 0) < TURN_REQUESTS
        if len(self._running) < self.limit:
            return True
        self._is_waited_for = True
        return False

    def started(self, adapter: str) -> None:
        if adapter == BASE:
            return
        if adapter not in self._running:
            self._is_waited_for = False  # its own wait is over; whoever still waits will ask again
        elif self._is_waited_for:
            self._taken[adapter] = self._taken.get(adapter, 0) + 1
        self._running[adapter] = self._running.get(adapter, 0) + 1

    def ended(self, adapter: str) -> None:
        if adapter == BASE:
            return
        self._running[adapter] -= 1
        if not self._running[adapter]:
            del self._running[adapter]
            self._taken.pop(adapter, None)


class AdapterHeap:
    """Ids by key, smallest first, among adapters that are asked for. As O(log n) as LazyHeap, times adapters held."""

    __slots__ = ("_adapter_of", "_base", "_others")

    def __init__(self) -> None:
        self._base = LazyHeap()  # apart, for most requests are of no adapter
        self._others: dict[str, LazyHeap] = {}
        self._adapter_of: dict[str, str] = {}  # of the others

    def __len__(self) -> int:
        return len(self._base) + len(self._adapter_of)

    def put(self, id_: str, key: Key, adapter: str) -> None:
        """Add an id, or move it to another key."""
        if adapter == BASE:
            self._base.put(id_, key)
            return
        if adapter not in self._others:
            self._others[adapter] = LazyHeap()
        self._others[adapter].put(id_, key)
        self._adapter_of[id_] = adapter

    def discard(self, id_: str) -> bool:
        """Take an id out; whether it was in."""
        adapter = self._adapter_of.pop(id_, None) if self._others else None
        if adapter is None:
            return self._base.discard(id_)
        heap = self._others[adapter]
        heap.discard(id_)
        if not len(heap):
            del self._others[adapter]
        return True

    def first(self, takes: Callable[[str], bool] = lambda _: True) -> tuple[Key, str] | None:
        """The smallest key and its id among the adapters taken; the base model's always are."""
        base = self._base.first()
        if not self._others:
            return base
        heads = [heap.first() for adapter, heap in self._others.items() if takes(adapter)]
        return min((head for head in (base, *heads) if head is not None), default=None)
