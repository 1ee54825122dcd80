"""What is ruled out for the jobs of a crowd when no more than so many may be refused.

Two rules. By prices: where a job would pay so much more than it does that the number proved exceeds what may be
refused, it does not run, or does not stay out. By room that is surely held: a job in one piece that must run holds the
middle of its window wherever it begins, and a wider job than fits beside it does not run there. Each rule leaves away
only what no such plan has. Knows no order of search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scheduler.planning.whole_fleet.alone.crowd_room import Answer, Bools, CrowdRoom, Indexes, Left

# A bound this little above a whole number may be rounding.
ROUNDING_JOBS = 1e-6
# Plans may overlap by a rounding: what is held for less than this is not counted.
_SLIVER_S = 0.01


def by_prices(room: CrowdRoom, left: Left, answer: Answer, most_out: int) -> Left | None:
    """What plans with at most `most_out` refused jobs have left; None when there are none."""
    may_add = most_out + ROUNDING_JOBS - answer.least_jobs
    if may_add < 0:
        return None
    planned = left.planned | (left.undecided & (1.0 - answer.paid_jobs > may_add))
    out = left.out | (~left.planned & (answer.paid_if_planned_jobs - answer.paid_jobs > may_add))
    if (planned & out).any():
        return None
    is_good = answer.start_paid_jobs - answer.paid_jobs[room.job] <= may_add
    starts = _with_neighbours(room, left.starts & is_good) & left.starts
    return _consistent(room, replace(left, starts=starts, planned=planned, out=out))


def by_held_room(room: CrowdRoom, left: Left) -> Left | None:
    """The same by what jobs that must run surely hold, where there is one region for all."""
    if room.regions > 1:
        return left
    held, parts = _surely_held(room, left)
    if (held > room.gpus).any():
        return None
    starts, open_s = left.starts.copy(), left.open_s.copy()
    for job in np.flatnonzero(~left.out & (room.widths > room.gpus - held.max(initial=0))).tolist():
        beside = held.copy()
        beside[parts.get(job, slice(0))] -= room.widths[job]
        if not (is_full := beside > room.gpus - room.widths[job]).any():
            continue
        if (own := room.starts_of.get(job)) is not None:
            starts[own] &= ~_meets(room, own, is_full)
        else:
            open_s[room.pausing.searchsorted(job), is_full] = 0.0
    starts = _with_neighbours(room, starts) & left.starts
    return _consistent(room, replace(left, starts=starts, open_s=open_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One of two ways to go on, which together leave away nothing."""

    job: int
    planned: bool | None = None
    starts: slice | None = None

    def of(self, room: CrowdRoom, left: Left) -> Left | None:
        if self.planned is not None:
            mine = np.arange(len(room.jobs)) == self.job
            kept = left.planned | mine if self.planned else left.planned
            return _consistent(room, replace(left, planned=kept, out=left.out if self.planned else left.out | mine))
        assert self.starts is not None, "a split decides on the job or on its starts"
        starts = left.starts.copy()
        starts[room.starts_of[self.job]] = False
        starts[self.starts] = left.starts[self.starts]
        return replace(left, starts=starts)


def halves(room: CrowdRoom, left: Left, job: int) -> Iterator[Split]:
    """The job's starts up to the middle of those that are left, and those from it on."""
    own = room.starts_of[job]
    open_starts = own.start + np.flatnonzero(left.starts[own])
    at_s = room.start_at_s[open_starts]
    nearest = int(np.abs(at_s - (at_s[0] + at_s[-1]) / 2).argmin())
    middle = int(open_starts[min(max(nearest, 1), len(open_starts) - 2)])
    yield Split(job=job, starts=slice(own.start, middle + 1))
    yield Split(job=job, starts=slice(middle, own.stop))


def _surely_held(room: CrowdRoom, left: Left) -> tuple[NDArray[np.int64], dict[int, slice]]:
    """GPUs in each cell, and the cells of each job that surely holds some."""
    first_s, last_s = room.hull_s(left)
    end_s = first_s + room.lasts_s
    held, parts = np.zeros(len(room.lengths_s), dtype=np.int64), {}
    for job in np.flatnonzero(left.planned & np.isfinite(first_s) & (last_s < end_s)).tolist():
        first = int(room.edges_at_s.searchsorted(last_s[job] - _SLIVER_S))
        after = int(room.edges_at_s.searchsorted(end_s[job] + _SLIVER_S, side="right")) - 1
        if after > first:
            parts[job] = slice(first, after)
            held[first:after] += room.widths[job]
    return held, parts


def _meets(room: CrowdRoom, own: slice, is_full: Bools) -> Bools:
    """Which of these starts make runs that reach into full cells."""
    ends, lengths_s = room.ends, room.lengths_s
    begin, end = ends.begin[own], ends.end[own]
    first: Indexes = begin + (ends.into_begin_s[own] >= lengths_s[begin] - _SLIVER_S)
    after: Indexes = end + (ends.into_end_s[own] > _SLIVER_S)
    full = np.concatenate(([0], np.cumsum(is_full)))
    met: Bools = full[after] > full[np.minimum(first, after)]
    return met


def _with_neighbours(room: CrowdRoom, starts: Bools) -> Bools:
    """And those beside them: between two starts a job may begin as long as one of them is left."""
    is_same = np.diff(room.job) == 0
    found = starts.copy()
    found[1:] |= starts[:-1] & is_same
    found[:-1] |= starts[1:] & is_same
    return found


def _consistent(room: CrowdRoom, left: Left) -> Left | None:
    """Jobs that nothing is left to are out, and what is out has no starts; None where one of them must run."""
    can_run = np.zeros(len(room.jobs), dtype=np.bool_)
    can_run[room.job[left.starts]] = True
    can_run[room.pausing] = left.open_s.sum(axis=1) >= room.lasts_s[room.pausing] - _SLIVER_S
    if (left.planned & ~can_run).any():
        return None
    out = left.out | ~can_run
    return replace(left, out=out, starts=left.starts & ~out[room.job])
