"""Room for one job: the GPUs of each of its pieces, and the power of each phase where a region has a cap.

The one home of what a job takes and where it fits, so that nobody who places jobs has to know that power may change
along a run. Knows no carbon and no order of jobs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S, Intervals, long_enough, overlap
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.head_room import waiting_room
from scheduler.planning.plan import Region, Segment, gpus_of, power_w_of
from scheduler.planning.run_phases import in_phases, phases_of

Placed = Iterable[tuple[Job, Sequence[Segment]]]


def occupied(regions: Sequence[Region], placed: Placed) -> Occupancy:
    """With all of these jobs in their places."""
    every = list(placed)
    held = [((one,), gpus_of(job, one)) for job, segments in every for one in segments]
    if all(region.power_cap_w is None for region in regions):
        return Occupancy.of(regions, held)
    drawn = [((one,), power_w_of(job, one)) for job, segments in every for one in in_phases(job, segments)]
    return Occupancy.of(regions, held, drawn)


def take(occupancy: Occupancy, job: Job, segments: Sequence[Segment]) -> None:
    if not (job.power_profile or job.elastic):  # as nearly all
        occupancy.take(segments, job.gpus, job.power_w)
        return
    for one in in_phases(job, segments):
        occupancy.take((one,), gpus_of(job, one), power_w_of(job, one))


def give_back(occupancy: Occupancy, job: Job, segments: Sequence[Segment]) -> None:
    if not (job.power_profile or job.elastic):
        occupancy.give_back(segments, job.gpus, job.power_w)
        return
    for one in in_phases(job, segments):
        occupancy.give_back((one,), gpus_of(job, one), power_w_of(job, one))


def fits(occupancy: Occupancy, region: Region, job: Job, piece: Segment, reserve_ratio: float = 0.0) -> bool:
    """Whether the piece fits all the time, with that share of the region left free beside it."""
    kept_free = int(region.gpus * reserve_ratio)
    if not occupancy.fits(region.name, piece.start_at_s, piece.end_at_s, gpus_of(job, piece), kept_free):
        return False
    return region.power_cap_w is None or is_powered(occupancy, job, piece, reserve_ratio)


def is_powered(occupancy: Occupancy, job: Job, piece: Segment, reserve_ratio: float = 0.0) -> bool:
    """Whether its power is there all the time."""
    return all(
        occupancy.has_power(one.region, one.start_at_s, one.end_at_s, power_w_of(job, one), reserve_ratio)
        for one in in_phases(job, (piece,))
    )


def first_start_at_s(occupancy: Occupancy, region: Region, job: Job, from_s: float, whole_s: float) -> float:
    """The first instant with room for so long in one piece; infinite when there never is."""
    if region.power_cap_w is None or not job.power_profile:
        return occupancy.earliest_start_at_s(region.name, from_s, whole_s, job.gpus, job.power_w)
    start_at_s = from_s
    while True:  # as long as some phase has no room, the start moves on by what that phase has to
        run = in_phases(job, (Segment(start_at_s=start_at_s, end_at_s=start_at_s + whole_s, region=region.name),))
        later_s = max(_first_at_s(occupancy, job, one) - one.start_at_s for one in run)
        if later_s <= 0:
            return start_at_s
        if math.isinf(later_s):
            return math.inf
        start_at_s = max(start_at_s + later_s, math.nextafter(start_at_s, math.inf))


def free(
    occupancy: Occupancy,
    region: Region,
    job: Job,
    from_s: float,
    to_s: float,
    reserve_ratio: float = 0.0,
    at_least_s: float = 0.0,
) -> Intervals:
    """Where it may wait: stretches, none shorter than `at_least_s`, in which it fits and the head-room stays free.

    Of a job with phases each stretch holds the runs from its begin to its end; two of them may overlap.
    """
    room = waiting_room(occupancy, region, from_s, to_s, job.gpus, reserve_ratio, at_least_s)
    if region.power_cap_w is None or not room:
        return room
    if job.power_profile:
        return tuple(_run_stretches(occupancy, region, job, room, reserve_ratio))
    powered = occupancy.powered(region.name, from_s, to_s, job.power_w, reserve_ratio, at_least_s)
    return room if powered is None else long_enough(overlap(room, powered), at_least_s)


def _first_at_s(occupancy: Occupancy, job: Job, one: Segment) -> float:
    return occupancy.earliest_start_at_s(one.region, one.start_at_s, one.duration_s, job.gpus, power_w_of(job, one))


def _run_stretches(
    occupancy: Occupancy, region: Region, job: Job, room: Intervals, reserve_ratio: float
) -> Iterator[tuple[float, float]]:
    """From the first start of a range in which every phase has its power to the end of the run from its last."""
    whole_s = job.duration_s
    starts: list[tuple[float, float]] = [(from_s, to_s - whole_s) for from_s, to_s in room]
    offset_s = 0.0
    for phase in phases_of(job):
        powered = occupancy.powered(region.name, room[0][0], room[-1][1], phase.power_w, reserve_ratio)
        if powered is not None:
            ranges = [(from_s - offset_s, to_s - offset_s - phase.duration_s) for from_s, to_s in powered]
            starts = list(_in_both(starts, ranges))
        offset_s += phase.duration_s
    for first_s, last_s in starts:
        yield first_s, max(first_s, last_s) + whole_s


def _in_both(
    ones: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]
) -> Iterator[tuple[float, float]]:
    """The starts in both, a range of one instant included; a range may be below 0 by rounding."""
    for from_s, to_s in ones:
        for other_from_s, other_to_s in others:
            first_s, last_s = max(from_s, other_from_s), min(to_s, other_to_s)
            if last_s >= first_s - ROUNDING_S:
                yield first_s, last_s
