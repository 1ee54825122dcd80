"""Where work may wait: the room that is left beside it for jobs not submitted yet, of the GPUs that jobs may have.

What a region holds at an instant is no job's, so the head-room is a share of the rest; a job that would be alone on the
rest may always run, since keeping GPUs free of their only job serves nobody. Knows no carbon.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scheduler.planning.curve import ROUNDING_S, Intervals, long_enough
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.plan import Region


def waiting_room(
    occupancy: Occupancy,
    region: Region,
    from_s: float,
    to_s: float,
    gpus: int,
    reserve_ratio: float,
    at_least_s: float = 0.0,
) -> Intervals:
    """The stretches, none shorter than `at_least_s`, in which so many more GPUs fit and the head-room stays free."""
    if not region.held or reserve_ratio == 0:
        kept = int(region.gpus * reserve_ratio)
        return occupancy.free(region.name, from_s, to_s, gpus, kept, at_least_s)
    found: list[tuple[float, float]] = []
    for start_at_s, end_at_s, held in _spans(region, from_s, to_s):
        lent = region.gpus - held
        if gpus <= lent:
            room = max(gpus, min(gpus + int(lent * reserve_ratio), lent))
            found += occupancy.free(region.name, start_at_s, end_at_s, room)
    return long_enough(_joined(found), at_least_s)


def _spans(region: Region, from_s: float, to_s: float) -> Iterator[tuple[float, float, int]]:
    """The interval cut where what is held changes, each part with the GPUs held in it."""
    at_s = from_s
    for hold in sorted(region.held, key=lambda one: one.start_at_s):
        if hold.end_at_s <= at_s or hold.start_at_s >= to_s:
            continue
        if hold.start_at_s > at_s:
            yield at_s, hold.start_at_s, 0
        at_s = min(hold.end_at_s, to_s)
        yield max(hold.start_at_s, from_s), at_s, hold.gpus
    if at_s < to_s:
        yield at_s, to_s, 0


def _joined(stretches: Sequence[tuple[float, float]]) -> Intervals:
    joined: list[tuple[float, float]] = []
    for from_s, to_s in stretches:
        if joined and from_s <= joined[-1][1] + ROUNDING_S:
            joined[-1] = joined[-1][0], to_s
        else:
            joined.append((from_s, to_s))
    return tuple(joined)
