"""Jobs that crowd in regions that are alike, with some of their starts ruled out, and what they pay for room.

The answer of room_prices.py for few jobs and narrowed windows: carbon is free, each job takes the cheapest of the
starts that are left to it or stays out and pays 1, and what all pay less what the room earns is at most the number of
jobs that any plan within these windows refuses. It costs a few tenths of a millisecond for a hundred jobs, so a search
can ask for it a thousand times. Rules nothing out itself (left_windows.py does) and moves no price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.whole_fleet.alone.packings import ways_to_weigh
from scheduler.planning.whole_fleet.alone.windows import Ends, starts_of
from scheduler.planning.whole_fleet.rates import cumulated

Indexes = NDArray[np.intp]
Bools = NDArray[np.bool_]

# Starts of one job closer than this are one.
_SAME_S = 1e-6
# What rounding can add to a sum over all cells, beside its largest part, is less than twice this for each of them.
_ROUNDING_RATIO = 2 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Left:
    """What is not ruled out. The runs of a job that are left begin at one of its starts, or between neighbours.

    `starts` (starts,) tells which are left, `open_s` (pausing jobs, cells) for how long each may run where. A job that
    is `planned` may not stay out, one that is `out` may not run, both (jobs,).
    """

    starts: Bools
    open_s: Floats
    planned: Bools
    out: Bools

    @property
    def undecided(self) -> Bools:
        return ~(self.planned | self.out)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Answer:
    """Of some prices: every plan within what is left refuses `least_jobs` or more, infinite where there is none.

    `paid_jobs` is what each job pays, `paid_if_planned_jobs` what it would if it ran, (jobs,), `start_paid_jobs` the
    same of each start. `over_jobs` (ways, cells) is by how much the jobs' choices exceed the room.
    """

    least_jobs: float
    paid_jobs: Floats
    paid_if_planned_jobs: Floats
    start_paid_jobs: Floats
    over_jobs: Floats
    stays_out: Bools


class CrowdRoom:
    """So many equal regions of so many GPUs; every cell between the edges is known, and so are all jobs' windows."""

    def __init__(self, jobs: Sequence[Job], lasts_s: Floats, edges_at_s: Floats, gpus: int, regions: int) -> None:
        self.jobs, self.lasts_s, self.edges_at_s, self.regions = jobs, lasts_s, edges_at_s, regions
        self.gpus, self.lengths_s = gpus, np.diff(edges_at_s)
        self.widths = np.array([job.gpus for job in jobs])
        widths = np.unique(self.widths)
        self.width_of = widths.searchsorted(self.widths)
        self.weights = ways_to_weigh(gpus, widths.tolist())
        pauses = np.array([job.interruption is not None for job in jobs])
        self.pausing, self.in_one_piece = np.flatnonzero(pauses), np.flatnonzero(~pauses)
        self._pausing_of = [np.flatnonzero(self.width_of[self.pausing] == one) for one in range(len(widths))]
        earliest_s = np.array([job.earliest_start_at_s for job in jobs])
        deadline_s = np.array([job.deadline_at_s for job in jobs])
        self.job, self.start_at_s = _starts(earliest_s, deadline_s, lasts_s, ~pauses, edges_at_s)
        self.ends = Ends.of(edges_at_s, self.start_at_s, lasts_s[self.job])
        self.first = np.flatnonzero(np.diff(self.job, prepend=-1))
        after = np.append(self.first, len(self.job))[1:]
        self.starts_of = {
            int(self.job[first]): slice(first, stop) for first, stop in zip(self.first, after.tolist(), strict=True)
        }
        self._open_s = _open_s(earliest_s[self.pausing], deadline_s[self.pausing], edges_at_s)
        most = self.weights.max(axis=0)[self.width_of]
        # At this price the job that holds the most room pays 1.
        self.price_per_s = 1.0 / max(1.0, float((most * lasts_s).max()))

    @property
    def looked(self) -> int:
        """Starts and cells of jobs that an answer looks at."""
        return len(self.job) + self._open_s.size

    def everything(self) -> Left:
        nobody = np.zeros(len(self.jobs), dtype=np.bool_)
        starts = np.ones(len(self.job), dtype=np.bool_)
        return Left(starts=starts, open_s=self._open_s, planned=nobody, out=nobody)

    def hull_s(self, left: Left) -> tuple[Floats, Floats]:
        """The first and the last start that are left to each job in one piece, (jobs,); inf and -inf to all others."""
        first_s, last_s = np.full(len(self.jobs), np.inf), np.full(len(self.jobs), -np.inf)
        if len(self.first):
            owner = self.job[self.first]
            first_s[owner] = np.minimum.reduceat(np.where(left.starts, self.start_at_s, np.inf), self.first)
            last_s[owner] = np.maximum.reduceat(np.where(left.starts, self.start_at_s, -np.inf), self.first)
        return first_s, last_s

    def answer(self, left: Left, prices_per_s: Floats) -> Answer:
        """`prices_per_s` are (ways, cells), of what weighs 1."""
        width_prices_per_s: Floats = self.weights.T @ prices_per_s
        start_paid_jobs = self._start_paid_jobs(width_prices_per_s)
        paid_if_planned_jobs, taken_s = self._paid_if_planned_jobs(left, width_prices_per_s, start_paid_jobs)
        paid_if_planned_jobs = np.where(left.out, np.inf, paid_if_planned_jobs)
        paid_jobs = np.minimum(paid_if_planned_jobs, np.where(left.planned, np.inf, 1.0))
        stays_out = left.out | (paid_if_planned_jobs > paid_jobs)
        earned = self.regions * float((prices_per_s * self.lengths_s).sum())
        largest = (
            len(self.jobs) * float((width_prices_per_s * self.lengths_s).sum(axis=1).max())
            + abs(earned)
            + len(self.jobs)
        )
        least_jobs = (
            float(paid_jobs.sum()) - earned - _ROUNDING_RATIO * self.weights.size * len(self.lengths_s) * largest
        )
        chosen = self._chosen(left, start_paid_jobs, paid_if_planned_jobs, ~stays_out)
        return Answer(
            least_jobs=least_jobs,
            paid_jobs=paid_jobs,
            paid_if_planned_jobs=paid_if_planned_jobs,
            start_paid_jobs=start_paid_jobs,
            over_jobs=self.weights @ self._held(chosen, taken_s, ~stays_out) - self.regions,
            stays_out=stays_out,
        )

    def _start_paid_jobs(self, width_prices_per_s: Floats) -> Floats:
        """Of each start, whether it is left or not."""
        width, ends = self.width_of[self.job], self.ends
        sums = cumulated(width_prices_per_s * self.lengths_s)
        found: Floats = sums[width, ends.end] - sums[width, ends.begin]
        found += (
            width_prices_per_s[width, ends.end] * ends.into_end_s
            - width_prices_per_s[width, ends.begin] * ends.into_begin_s
        )
        return found

    def _paid_if_planned_jobs(
        self, left: Left, width_prices_per_s: Floats, start_paid_jobs: Floats
    ) -> tuple[Floats, Floats]:
        """What each job pays at least if it runs, (jobs,), and how long each that pauses takes of which cell."""
        found, taken_s = np.full(len(self.jobs), np.inf), np.zeros_like(left.open_s)
        if len(self.first):
            open_paid_jobs = np.where(left.starts, start_paid_jobs, np.inf)
            found[self.job[self.first]] = np.minimum.reduceat(open_paid_jobs, self.first)
        for price_per_s, rows in zip(width_prices_per_s, self._pausing_of, strict=True):
            if len(rows):
                order = price_per_s.argsort(kind="stable")
                needs_s, open_s = self.lasts_s[self.pausing[rows], None], left.open_s[np.ix_(rows, order)]
                taken = np.clip(needs_s - (open_s.cumsum(axis=1) - open_s), 0.0, open_s)
                found[self.pausing[rows]] = taken @ price_per_s[order]
                taken_s[np.ix_(rows, order)] = taken
        return found, taken_s

    def _chosen(self, left: Left, start_paid_jobs: Floats, paid_if_planned_jobs: Floats, runs: Bools) -> Indexes:
        """The first of the cheapest starts of each job in one piece that runs."""
        hits = np.flatnonzero(left.starts & (start_paid_jobs == paid_if_planned_jobs[self.job]) & runs[self.job])
        return hits[np.diff(self.job[hits], prepend=-1) > 0]

    def _held(self, chosen: Indexes, taken_s: Floats, runs: Bools) -> Floats:
        """How many jobs of each width hold each cell in the mean, (widths, cells)."""
        cells, ends = len(self.lengths_s), self.ends
        shape = (self.weights.shape[1], cells)
        flat = self.width_of[self.job[chosen]] * cells
        begin, end = flat + ends.begin[chosen], flat + ends.end[chosen]
        size = shape[0] * cells
        partly_s = np.bincount(end, ends.into_end_s[chosen], size) - np.bincount(begin, ends.into_begin_s[chosen], size)
        changes = (np.bincount(begin, minlength=size) - np.bincount(end, minlength=size)).reshape(shape)
        held_s: Floats = partly_s.reshape(shape) + changes.cumsum(axis=1) * self.lengths_s
        for row, rows in enumerate(self._pausing_of):
            held_s[row] += runs[self.pausing[rows]] @ taken_s[rows]
        return held_s / self.lengths_s


def _starts(
    earliest_s: Floats, deadline_s: Floats, lasts_s: Floats, in_one_piece: Bools, edges_at_s: Floats
) -> tuple[Indexes, Floats]:
    """Those at which a minimum can lie, by job and then by time."""
    known = ((float(edges_at_s[0]), float(edges_at_s[-1])),)
    job, start_at_s = starts_of(earliest_s, deadline_s, lasts_s, in_one_piece, known, edges_at_s)
    order = np.lexsort((start_at_s, job))
    job, start_at_s = job[order], start_at_s[order]
    is_new = (np.diff(job, prepend=-1) > 0) | (np.diff(start_at_s, prepend=-np.inf) > _SAME_S)
    return job[is_new], start_at_s[is_new]


def _open_s(earliest_s: Floats, deadline_s: Floats, edges_at_s: Floats) -> Floats:
    """For how long each job may run in each cell, (jobs, cells)."""
    from_s = np.maximum(edges_at_s[:-1], earliest_s[:, None])
    to_s = np.minimum(edges_at_s[1:], deadline_s[:, None])
    found: Floats = np.maximum(to_s - from_s, 0.0)
    return found
