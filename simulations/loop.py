"""Virtual time: what happens next, and in which order within one instant.

A heap of (instant, priority, sequence, action). Decides nothing else; actors schedule their own next steps and hold
their own state. Two actions of one instant run by priority, then in the order they were scheduled.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import IntEnum
from itertools import count


class Priority(IntEnum):
    """The order within one instant: what ends frees its place before anyone asks for it, and decisions come last."""

    FINISH = 0
    FORECAST = 1
    ARRIVAL = 2
    RELEASE = 3
    DECIDE = 4


class PastInstantError(ValueError):
    """An action for an instant that has passed."""

    def __init__(self, at_s: float, now_s: float) -> None:
        self.at_s, self.now_s = at_s, now_s
        super().__init__(f"cannot act at {at_s} when it is {now_s}")


class Loop:
    """`now_s` only moves forward, from one scheduled instant to the next."""

    def __init__(self, start_at_s: float) -> None:
        self.now_s = start_at_s
        self._agenda: list[tuple[float, int, int, Callable[[], None]]] = []
        self._sequence = count()

    def schedule(self, at_s: float, priority: Priority, action: Callable[[], None]) -> None:
        """Run `action` at that instant. Raises PastInstantError."""
        if at_s < self.now_s:
            raise PastInstantError(at_s, self.now_s)
        heapq.heappush(self._agenda, (at_s, priority, next(self._sequence), action))

    def run(self) -> None:
        """Until nothing is scheduled any more."""
        agenda, pop = self._agenda, heapq.heappop
        while agenda:
            self.now_s, _, _, action = pop(agenda)
            action()
