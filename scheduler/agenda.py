"""Instants that belong to names, and which of them comes next: a heap that forgets what is not true any more.

Knows no job and no clock: whoever asks says how far time has come, and never goes back.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable


class Agenda:
    """`put` replaces the instants of a name; what is taken is forgotten."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str, int]] = []
        self._versions: dict[str, int] = {}
        self._puts = 0

    def put(self, name: str, instants_s: Iterable[float]) -> None:
        self._puts += 1  # of all names, so that a name which comes back is not taken for what it was
        self._versions[name] = self._puts
        for instant_s in instants_s:
            heapq.heappush(self._heap, (instant_s, name, self._puts))

    def drop(self, name: str) -> None:
        self._versions.pop(name, None)

    def first_s(self) -> float | None:
        """The first instant that is not forgotten."""
        heap = self._heap
        while heap and self._versions.get(heap[0][1]) != heap[0][2]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take_until(self, now_s: float) -> list[str]:
        """The names that have an instant up to `now_s`, which is forgotten."""
        heap, due = self._heap, []
        while heap and heap[0][0] <= now_s:
            _, name, version = heapq.heappop(heap)
            if self._versions.get(name) == version:
                due.append(name)
        return due
