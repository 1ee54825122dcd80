"""What was used in the last minute, kept by the second: nothing that is less than 60 s old is ever forgotten.

What came within a second counts until its last instant is a minute old, so room is given back up to a second late.
Amounts are `cost`s in any one unit. Instants are of a clock that never jumps.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import fsum

MINUTE_S = 60.0
_BUCKET_S = 1.0


@dataclass(slots=True, kw_only=True)
class Second:
    begin_s: float
    cost: float


class SlidingMinute:
    """What was used in the last 60 s of a clock that never jumps."""

    __slots__ = ("_most_cost", "_seconds", "_sum_cost")

    def __init__(self, most_cost: float) -> None:
        self._most_cost = most_cost
        self._seconds: deque[Second] = deque()
        self._sum_cost = 0.0

    def used_cost(self, steady_s: float) -> float:
        if self._seconds and _ends_s(self._seconds[0]) <= steady_s:
            while self._seconds and _ends_s(self._seconds[0]) <= steady_s:
                self._seconds.popleft()
            self._sum_cost = fsum(one.cost for one in self._seconds)  # once a second, so that no error adds up
        return self._sum_cost

    def has_room(self, cost: float, steady_s: float) -> bool:
        used_cost = self.used_cost(steady_s)
        return used_cost < self._most_cost and used_cost + cost <= self._most_cost

    def add(self, cost: float, steady_s: float) -> Second:
        begin_s = steady_s - steady_s % _BUCKET_S
        if not self._seconds or self._seconds[-1].begin_s != begin_s:
            self._seconds.append(Second(begin_s=begin_s, cost=0.0))
        self._seconds[-1].cost += cost
        self._sum_cost += cost
        return self._seconds[-1]

    def give_back(self, second: Second, cost: float) -> None:
        """Of what was added then; where that is over, nothing is left to give back."""
        if self._seconds and self._seconds[0].begin_s <= second.begin_s:
            second.cost -= cost
            self._sum_cost -= cost

    def free_in_s(self, cost: float, steady_s: float) -> float | None:
        """Until there is room for `cost`, if nothing else comes; None: there never will be."""
        left_cost = self.used_cost(steady_s)
        for one in self._seconds:
            left_cost -= one.cost
            if left_cost < self._most_cost and left_cost + cost <= self._most_cost:
                return _ends_s(one) - steady_s
        return None

    def left_cost(self, steady_s: float) -> float:
        return max(0.0, self._most_cost - self.used_cost(steady_s))

    def reset_s(self, steady_s: float) -> float:
        """Until all of it is there again, if nothing else comes."""
        return max(0.0, _ends_s(self._seconds[-1]) - steady_s) if self._seconds else 0.0


def _ends_s(second: Second) -> float:
    return second.begin_s + _BUCKET_S + MINUTE_S
