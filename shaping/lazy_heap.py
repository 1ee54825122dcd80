"""A heap whose entries can be moved and removed: the old entry stays behind and is skipped when it surfaces."""

from __future__ import annotations

import heapq

_SLACK_ENTRIES = 64  # stale entries that are never worth a sweep

Key = tuple[float, ...]


class LazyHeap:
    """Ids by key, smallest first. Keys must differ between ids: end them with a sequence number.

    Every operation is O(log n), amortised: stale entries are swept out once they outnumber the live ones.
    """

    __slots__ = ("_entries", "_keys")

    def __init__(self) -> None:
        self._entries: list[tuple[Key, str]] = []
        self._keys: dict[str, Key] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, id_: str, key: Key) -> None:
        """Add an id, or move it to another key."""
        self._keys[id_] = key
        heapq.heappush(self._entries, (key, id_))
        if len(self._entries) > 2 * len(self._keys) + _SLACK_ENTRIES:
            self._sweep()

    def discard(self, id_: str) -> bool:
        """Take an id out; whether it was in."""
        return self._keys.pop(id_, None) is not None

    def first(self) -> tuple[Key, str] | None:
        """The smallest key and its id, left in place."""
        entries, keys = self._entries, self._keys
        while entries:
            key, id_ = entries[0]
            if keys.get(id_) == key:
                return entries[0]
            heapq.heappop(entries)
        return None

    def _sweep(self) -> None:
        self._entries = [(key, id_) for id_, key in self._keys.items()]
        heapq.heapify(self._entries)
