"""One job after another as early as there is room: the front of a queue in which nobody waits, in plain numbers.

Such a queue fills up from its begin, so the first room for a job is seldom far from the first room that an earlier one
found, and never before it: room is only taken here. Each search goes on from there, over the few steps that follow,
where an occupancy looks at all steps ahead. Counts GPUs only; knows no power and no carbon.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.plan import Region, Segment


@dataclass(slots=True)
class _Queue:
    """The steps of one region: `taken[i]` from `times_s[i]` to the next, the first at the begin, the last for ever."""

    gpus: int
    times_s: list[float]
    taken: list[int]
    # By GPUs: lengths, growing, and before when no stretch so long begins, growing too.
    known: dict[int, tuple[list[float], list[float]]] = field(default_factory=dict)

    def has_room_from(self, from_s: float, duration_s: float, gpus: int) -> bool:
        """Whether `first_start_at_s` is `from_s`: most regions are full at the front, which is sooner told."""
        times_s, taken, most_taken = self.times_s, self.taken, self.gpus - gpus
        first = 0 if from_s <= times_s[0] else bisect_right(times_s, from_s) - 1
        if taken[first] > most_taken:
            return False
        step, enough_s = first + 1, duration_s - ROUNDING_S
        while step < len(times_s) and times_s[step] - from_s < enough_s:
            if taken[step] > most_taken:
                return False
            step += 1
        return True

    def first_start_at_s(self, from_s: float, duration_s: float, gpus: int) -> float:
        """As `Occupancy.earliest_start_at_s`."""
        if gpus > self.gpus:
            return math.inf
        lengths_s, firsts_s = self.known.setdefault(gpus, ([], []))
        place = bisect_right(lengths_s, duration_s)
        known_s = firsts_s[place - 1] if place else from_s
        found_s = self._from(max(from_s, known_s), duration_s, self.gpus - gpus)
        if from_s <= self.times_s[0]:
            self._note(lengths_s, firsts_s, place, duration_s, found_s)
        return found_s

    def take(self, start_at_s: float, end_at_s: float, gpus: int) -> None:
        first = self._step_from(start_at_s)
        for step in range(first, self._step_from(end_at_s)):
            self.taken[step] += gpus

    def _from(self, from_s: float, duration_s: float, most_taken: int) -> float:
        times_s, taken, enough_s = self.times_s, self.taken, duration_s - ROUNDING_S
        start_at_s = math.inf
        for step in range(bisect_right(times_s, from_s) - 1, len(times_s)):
            if taken[step] <= most_taken:
                if start_at_s == math.inf:
                    start_at_s = max(times_s[step], from_s)
            elif start_at_s != math.inf:
                lasts_s = times_s[step] - start_at_s
                if lasts_s >= enough_s and lasts_s > 0:
                    return start_at_s
                start_at_s = math.inf
        return start_at_s

    @staticmethod
    def _note(lengths_s: list[float], firsts_s: list[float], place: int, duration_s: float, found_s: float) -> None:
        """What is as long and begins no later is known by this."""
        upto = place
        while upto < len(firsts_s) and firsts_s[upto] <= found_s:
            upto += 1
        since = place - 1 if place and lengths_s[place - 1] == duration_s else place
        if place == since and place and firsts_s[place - 1] >= found_s:
            return
        lengths_s[since:upto], firsts_s[since:upto] = [duration_s], [found_s]

    def _step_from(self, instant_s: float) -> int:
        index = bisect_left(self.times_s, instant_s)
        if index == len(self.times_s) or self.times_s[index] != instant_s:
            self.times_s.insert(index, instant_s)
            self.taken.insert(index, self.taken[index - 1])
        return index


@dataclass(frozen=True, slots=True)
class Front:
    """The queues of some regions from one instant on; nothing is asked or taken before it."""

    queues: dict[str, _Queue]

    @classmethod
    def of(cls, occupancy: Occupancy, regions: Iterable[Region], from_s: float) -> Self:
        return cls({one.name: _Queue(one.gpus, *occupancy.steps_from(one.name, from_s)) for one in regions})

    def taken(self, from_s: float, duration_s: float, gpus: int, regions: Sequence[str]) -> Segment | None:
        """Takes and tells the first window, in the region named first among equals; None where there never is one."""
        name = next((name for name in regions if self.queues[name].has_room_from(from_s, duration_s, gpus)), None)
        if name is not None:
            return self._take(name, from_s, duration_s, gpus)
        firsts_s = [self.queues[name].first_start_at_s(from_s, duration_s, gpus) for name in regions]
        first_s = min(firsts_s, default=math.inf)
        if first_s == math.inf:
            return None
        return self._take(regions[firsts_s.index(first_s)], first_s, duration_s, gpus)

    def _take(self, name: str, start_at_s: float, duration_s: float, gpus: int) -> Segment:
        self.queues[name].take(start_at_s, start_at_s + duration_s, gpus)
        return Segment(start_at_s=start_at_s, end_at_s=start_at_s + duration_s, region=name)
