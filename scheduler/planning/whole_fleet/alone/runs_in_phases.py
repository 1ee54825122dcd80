"""The cheapest run of a job whose power changes along it, at given prices and in what is free.

Exact: what a run pays is piecewise linear in its start and bends only where a border of a phase meets an edge of the
cells or an end of the time that is open, so only these starts are looked at. Under a power cap each phase needs room
for its own power only. Ties go to the earliest start, then to the region named first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S, Intervals, long_enough, overlap
from scheduler.planning.one_job.window import TIE_RATIO
from scheduler.planning.open_jobs.choices import FreeTime
from scheduler.planning.plan import Region, Segment
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates


def borders_s(case: FleetCase, job: Job, region: Region) -> Floats:
    """Where the phases begin and end there, counted from the start, shape (phases + 1,)."""
    lengths_s = np.array([phase.duration_s for phase in case.phases[job.id]]) / region.speed
    return np.concatenate(([0.0], np.cumsum(lengths_s)))


def powers_w(case: FleetCase, job: Job) -> Floats:
    return np.array([phase.power_w for phase in case.phases[job.id]])


def cheapest_run(job: Job, rates: Rates, room: FreeTime | None = None) -> tuple[Segment, ...] | None:
    """Where the job pays least beside what is taken, or, without a room, if nobody else were there."""
    best: tuple[float, float, Region] | None = None
    for index in rates.case.allowed(job):
        region = rates.case.regions[index]
        open_s = list(_open_starts(job, rates, index, room))
        if not open_s:
            continue
        starts_s = candidates_s(rates.edges_at_s, borders_s(rates.case, job, region), open_s)
        costs = _costs(job, rates, index, starts_s)
        lowest = float(costs.min())
        chosen = int(np.flatnonzero(costs <= lowest + TIE_RATIO * float(np.abs(costs).max()))[0])
        if best is None or lowest < best[0] - TIE_RATIO * abs(lowest):
            best = float(costs[chosen]), float(starts_s[chosen]), region
    return None if best is None else _ended_in_time(job, rates.case.run(job, best[2], best[1]))


def candidates_s(edges_at_s: Floats, from_start_s: Floats, open_s: Sequence[tuple[float, float]]) -> Floats:
    """Every open start at which a border of a phase meets an edge, and the first and last of each stretch, growing."""
    meets = (edges_at_s[:, None] - from_start_s).ravel()
    inside = [meets[(meets > first_s) & (meets < last_s)] for first_s, last_s in open_s]
    return np.unique(np.concatenate((*inside, np.array(open_s).ravel())))


def known_starts(job: Job, rates: Rates, index: int) -> Iterator[tuple[float, float]]:
    """The stretches of starts from which all of the run lies in known time, first and last."""
    lasts_s = rates.case.lasts_s(job, rates.case.regions[index])
    known = overlap(((job.earliest_start_at_s, job.deadline_at_s),), rates.known[index])
    for from_s, to_s in long_enough(known, lasts_s):
        yield from_s, max(from_s, to_s - lasts_s)


def _open_starts(job: Job, rates: Rates, index: int, room: FreeTime | None) -> Iterator[tuple[float, float]]:
    known = list(known_starts(job, rates, index))
    if room is None:
        yield from known
        return
    region = rates.case.regions[index]
    offsets_s = borders_s(rates.case, job, region)
    found = known
    for power_w, from_s, to_s in zip(powers_w(rates.case, job).tolist(), offsets_s, offsets_s[1:], strict=False):
        length_s = float(to_s - from_s)
        free = room.free(replace(job, power_w=power_w), region.name, length_s)
        found = list(_common(found, free, float(from_s), length_s))
    yield from found


def _common(
    starts_s: Sequence[tuple[float, float]], free: Intervals, offset_s: float, length_s: float
) -> Iterator[tuple[float, float]]:
    """The starts from which one phase has room; a stretch may be a single instant."""
    for first_s, last_s in starts_s:
        for from_s, to_s in free:
            low_s, high_s = max(first_s, from_s - offset_s), min(last_s, to_s - offset_s - length_s)
            if low_s <= high_s + ROUNDING_S:
                yield low_s, max(low_s, high_s)


def _costs(job: Job, rates: Rates, index: int, starts_s: Floats) -> Floats:
    """What a run from each start pays."""
    per_w, per_gpu = rates.unit_sums(index)
    ends_s = starts_s[:, None] + borders_s(rates.case, job, rates.case.regions[index])
    paid = np.diff(np.interp(ends_s, rates.edges_at_s, per_w), axis=1) @ powers_w(rates.case, job)
    held = np.interp(ends_s[:, [0, -1]], rates.edges_at_s, per_gpu)
    costs: Floats = paid + job.gpus * (held[:, 1] - held[:, 0])
    return costs


def _ended_in_time(job: Job, run: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Rounding may end a run a moment after its deadline."""
    return (*run[:-1], replace(run[-1], end_at_s=min(run[-1].end_at_s, job.deadline_at_s)))
