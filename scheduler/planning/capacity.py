"""How many GPUs of each region are taken when, and where there is room.

A step function per region, exact to the instant. Knows GPUs and time, no job and no carbon.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from scheduler.planning.curve import ROUNDING_S, Intervals
from scheduler.planning.plan import Region, Segment


class Occupancy:
    """GPUs taken by what is placed so far; `take` and `give_back` are its only verbs."""

    def __init__(self, regions: Iterable[Region]) -> None:
        self._gpus = {region.name: region.gpus for region in regions}
        # Instants at which the number changes, and the number from there on.
        self._steps = {name: ([-math.inf], [0]) for name in self._gpus}

    def copy(self) -> Occupancy:
        other = Occupancy(())
        other._gpus = self._gpus
        other._steps = {name: (list(times), list(taken)) for name, (times, taken) in self._steps.items()}
        return other

    def take(self, segments: Sequence[Segment], gpus: int) -> None:
        """Count the segments in; a region that is gone, or a piece without length, takes nothing."""
        for one in segments:
            if one.region in self._steps and one.end_at_s > one.start_at_s:
                self._add(one, gpus)

    def give_back(self, segments: Sequence[Segment], gpus: int) -> None:
        self.take(segments, -gpus)

    def taken(self, region: str, instant_s: float) -> int:
        times, taken = self._steps[region]
        return taken[bisect_right(times, instant_s) - 1]

    def fits(self, region: str, start_at_s: float, end_at_s: float, gpus: int) -> bool:
        return self.earliest_start_at_s(region, start_at_s, end_at_s - start_at_s, gpus) == start_at_s

    def earliest_start_at_s(self, region: str, from_s: float, duration_s: float, gpus: int) -> float:
        """The first instant with room for so long; infinite when the region has too few GPUs at all."""
        for start_at_s, end_at_s in self._free(region, from_s, math.inf, gpus, kept_free=0):
            if end_at_s - start_at_s >= duration_s - ROUNDING_S:
                return start_at_s
        return math.inf

    def free(self, region: str, from_s: float, to_s: float, gpus: int, kept_free: int = 0) -> Intervals:
        """The stretches in which so many more GPUs fit.

        With `kept_free` so many GPUs stay free beside them; a job that would be alone may always run, since keeping
        a region free of its only job serves nobody.
        """
        return tuple(self._free(region, from_s, to_s, gpus, kept_free))

    def _free(
        self, region: str, from_s: float, to_s: float, gpus: int, kept_free: int
    ) -> Iterator[tuple[float, float]]:
        times, taken = self._steps[region]
        capacity = self._gpus[region]
        most_taken = max(capacity - gpus - kept_free, 0 if gpus <= capacity else -1)
        began_s: float | None = None
        for index in range(bisect_right(times, from_s) - 1, len(times)):
            at_s = max(times[index], from_s)
            if at_s >= to_s:
                break
            if taken[index] <= most_taken:
                began_s = at_s if began_s is None else began_s
            elif began_s is not None:
                yield began_s, at_s
                began_s = None
        if began_s is not None:
            yield began_s, to_s

    def _add(self, one: Segment, gpus: int) -> None:
        times, taken = self._steps[one.region]
        first = _step_at(times, taken, one.start_at_s)
        last = _step_at(times, taken, one.end_at_s)
        for index in range(first, last):
            taken[index] += gpus


def _step_at(times_s: list[float], taken: list[int], instant_s: float) -> int:
    """The index of the step that begins at the instant, made where there is none."""
    index = bisect_left(times_s, instant_s)
    if index == len(times_s) or times_s[index] != instant_s:
        times_s.insert(index, instant_s)
        taken.insert(index, taken[index - 1])
    return index
