"""What one job would emit at the least in one region beside what is taken there: all windows, told in microseconds.

A region has some twenty steps ahead of a job; for so few, plain numbers are faster than arrays. Says no place, only
whether it is worth looking for one; looks at GPUs only, so regions that hold some or cap their power are not for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scheduler.planning.curve import ROUNDING_S, Intervals
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.grid_rows import Least
from scheduler.planning.plan import Region


def least_beside(
    occupancy: Occupancy, region: Region, gpus: int, reserve_ratio: float, least: Least, place: int
) -> tuple[float, float]:
    """At the first instant with room, and later with head-room; infinite what is not in time."""
    if gpus > region.gpus:
        return math.inf, math.inf
    times_s, taken = occupancy.steps_from(region.name, least.from_s)
    at_once_s = first_start_at_s(times_s, taken, region.gpus - gpus, least.whole_s)
    spare = max(region.gpus - gpus - int(region.gpus * reserve_ratio), 0)
    later = least.in_stretches(place, _stretches(times_s, taken, spare, least.until_s, least.whole_s))
    if at_once_s + least.whole_s > least.until_s + ROUNDING_S:
        return math.inf, later
    return least.at(place, at_once_s), later


def first_start_at_s(times_s: Sequence[float], taken: Sequence[int], most_taken: int, whole_s: float) -> float:
    """The first instant from which no more is taken for so long; infinite where there is none."""
    start_at_s = math.inf
    for begin_s, count in zip(times_s, taken, strict=True):
        if start_at_s < begin_s and begin_s - start_at_s >= whole_s - ROUNDING_S:
            return start_at_s
        if count > most_taken:
            start_at_s = math.inf
        elif math.isinf(start_at_s):
            start_at_s = begin_s
    return start_at_s


def _stretches(
    times_s: Sequence[float], taken: Sequence[int], most_taken: int, until_s: float, whole_s: float
) -> Intervals:
    """Where no more is taken, as long as a run at least."""
    stretches: list[tuple[float, float]] = []
    from_s = math.inf
    for begin_s, count in zip(times_s, taken, strict=True):
        if begin_s >= until_s:
            break
        if count > most_taken:
            if begin_s - from_s >= whole_s - ROUNDING_S:
                stretches.append((from_s, begin_s))
            from_s = math.inf
        elif math.isinf(from_s):
            from_s = begin_s
    if until_s - from_s >= whole_s - ROUNDING_S:
        stretches.append((from_s, until_s))
    return tuple(stretches)
