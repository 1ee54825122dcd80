"""What jobs of a small fleet pay alone, in grams, where each has prices of its own and room is sold to sets of jobs.

Weights (weighed_room.py) hide which jobs meet: where a gang needs all GPUs and runs for half of an hour in the mean,
any job may run for that half, but no job for more. So each job has its own price at each place and time, and each
resource is sold, at each instant, to the jobs that pay most of all that fit there at once. What all jobs pay, less what
these sets pay, is at most what any plan emits, for any prices: at each instant the jobs that run are such a set. Which
set pays most is found exactly, by the sizes of jobs in whole units. Rules nothing out and moves no price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.whole_fleet.alone.weighed_room import Answer, Bools, Indexes, Left, WeighedRoom
from scheduler.planning.whole_fleet.alone.windows import Ends
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates

_J_PER_KWH = 3.6e6
# A resource of more units is counted in larger ones, jobs rounded down, so that what fits still fits.
_MOST_UNITS = 64
# Watts as the plan counts them (fleet_case.py).
_MILLI, _ROUNDING_W = 1000, 1e-6
# What rounding can add to a sum over all cells, beside its largest part, is less than twice this for each of them.
_ROUNDING_RATIO = 2 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Resource:
    """GPUs or watts of one region, in whole units; `sizes` (jobs,) are 0 for jobs that it does not bound."""

    row: int
    units: int
    sizes: Indexes

    def best_sets(self, prices_per_s: Floats) -> tuple[Floats, Bools]:
        """What the sets that pay most pay in each cell, (cells,), and who is in them, (jobs, cells)."""
        cells = np.arange(prices_per_s.shape[1])
        paid_per_s, choices = np.zeros((self.units + 1, len(cells))), []
        for size in sorted(set(self.sizes[self.sizes > 0].tolist())):
            those = np.flatnonzero(self.sizes == size)
            first = (-prices_per_s[those]).argsort(axis=0, kind="stable")[: self.units // size]
            sums_per_s = np.take_along_axis(prices_per_s[those], first, axis=0).cumsum(axis=0)
            paid_per_s, counts = _with_size(paid_per_s, sums_per_s, size)
            choices.append((size, those[first], counts))
        is_in = np.zeros(prices_per_s.shape, dtype=np.bool_)
        left = np.full(len(cells), self.units)
        for size, first, counts in reversed(choices):
            count = counts[left, cells]
            rank, cell = np.nonzero(np.arange(len(first))[:, None] < count)
            is_in[first[rank, cell], cell] = True
            left = left - size * count
        return paid_per_s[self.units], is_in & (prices_per_s > 0)


def _with_size(paid_per_s: Floats, sums_per_s: Floats, size: int) -> tuple[Floats, Indexes]:
    """The most that each number of units pays with some jobs of this size, the dearest first, and with how many."""
    most_per_s, counts = paid_per_s.copy(), np.zeros(paid_per_s.shape, dtype=np.intp)
    for number, of_these_per_s in enumerate(sums_per_s, start=1):
        found_per_s = paid_per_s[: len(paid_per_s) - number * size] + of_these_per_s
        is_more = found_per_s > most_per_s[number * size :]
        most_per_s[number * size :][is_more] = found_per_s[is_more]
        counts[number * size :][is_more] = number
    return most_per_s, counts


class SoldSets:
    """Of a weighed room: the same jobs and starts. Prices are of shape (resources, jobs, cells)."""

    def __init__(self, room: WeighedRoom, rates: Rates) -> None:
        self.jobs, self.lengths_s, self.lasts_s = room.jobs, room.lengths_s, room.lasts_s
        self.job, self.row, self.start_at_s, self.own_gco2e = room.job, room.row, room.start_at_s, room.own_gco2e
        self._room = room
        self._left: Left | None = None
        self._is_open = _is_open(room.jobs, rates)
        self.resources = _resources(rates.case, room.jobs)
        self._has_price: Bools = np.array(
            [self._is_open[:, one.row] & (one.sizes > 0)[:, None] for one in self.resources]
        )
        self._pausing = _Pausing.of(room.jobs, rates)

    @property
    def looked_beside(self) -> int:
        return len(self.resources) * self._is_open[:, 0].size + self._pausing.own_gco2e_per_s.size

    def prices_from(self, way_prices_per_s: Floats) -> Floats:
        """Those that make each job pay for GPUs what it pays for all that is weighed."""
        per_job = self._room.prices_of_jobs(way_prices_per_s)
        shares = np.bincount([one.row for one in self.resources])
        found = np.array([per_job[:, one.row] / shares[one.row] for one in self.resources])
        return np.where(self._has_price, found, 0.0)

    def answer(self, kept: Indexes, prices_per_s: Floats) -> Answer:
        """Of the starts that are left, in order; some of every job in one piece."""
        prices_per_s = prices_per_s * self._has_price
        job_per_s = np.zeros(self._is_open.shape)
        for number, one in enumerate(self.resources):
            job_per_s[:, one.row] += prices_per_s[number]
        held_ratio = np.zeros(self._is_open.shape)
        paid_gco2e = np.zeros(len(self.jobs))
        self._pausing.fill(job_per_s, self.lengths_s, paid_gco2e, held_ratio)
        start_paid, chosen = self._cheapest_starts(kept, job_per_s, paid_gco2e, held_ratio)
        over, earned_gco2e = np.empty(prices_per_s.shape), 0.0
        for number, one in enumerate(self.resources):
            set_paid_per_s, is_in = one.best_sets(prices_per_s[number])
            earned_gco2e += float(set_paid_per_s @ self.lengths_s)
            over[number] = held_ratio[:, one.row] - is_in
        largest_gco2e = 2 * float((prices_per_s @ self.lengths_s).sum()) + float(np.abs(paid_gco2e).sum())
        rounding_gco2e = _ROUNDING_RATIO * (len(self.lengths_s) + len(self.jobs)) * (largest_gco2e + earned_gco2e)
        return Answer(
            least_gco2e=float(paid_gco2e.sum()) - earned_gco2e - rounding_gco2e,
            start_paid_gco2e=start_paid,
            paid_gco2e=paid_gco2e,
            chosen=chosen,
            over_ratio=over * self._has_price,
        )

    def _cheapest_starts(
        self, kept: Indexes, job_per_s: Floats, paid_gco2e: Floats, held_ratio: Floats
    ) -> tuple[Floats, Indexes]:
        """What each start pays, and the first of the cheapest of each job; notes what they pay and hold."""
        if not len(kept):
            return np.zeros(0), np.zeros(0, dtype=np.intp)
        # From round to round the same are left.
        if self._left is None or self._left.kept is not kept:
            self._left = self._room.left(kept, np.arange(len(self.jobs)))
        start_paid, hits = self._left.cheapest(job_per_s, self.lengths_s, paid_gco2e)
        _hold(self._left.ends, hits, held_ratio, self.lengths_s)
        return start_paid, kept[hits]


def _hold(ends: Ends, hits: Indexes, held_ratio: Floats, lengths_s: Floats) -> None:
    """Notes for which share of each cell each of these runs lasts, one of each job at most."""
    cells, which = len(lengths_s), np.arange(len(hits))
    line, begin = np.divmod(ends.begin[hits], cells + 1)
    end = ends.end[hits] - line * (cells + 1)
    runs = np.zeros((len(hits), cells + 1))
    runs[which, begin] = 1.0
    runs[which, end] -= 1.0
    found = runs.cumsum(axis=1)
    found[which, end] += ends.into_end_s[hits] / np.append(lengths_s, 1.0)[end]
    found[which, begin] -= ends.into_begin_s[hits] / lengths_s[begin]
    held_ratio.reshape(-1, cells)[line] += found[:, :-1]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Pausing:
    """Jobs that may pause: what each pays for itself where (jobs, regions, cells), and for how long it may run."""

    jobs: Indexes
    own_gco2e_per_s: Floats
    open_s: Floats
    needs_s: Floats

    @classmethod
    def of(cls, jobs: Sequence[Job], rates: Rates) -> _Pausing:
        numbers = [number for number, job in enumerate(jobs) if job.interruption is not None]
        own = np.full((len(numbers), *rates.carbon_g_per_kwh.shape), np.inf)
        open_s = np.zeros((len(numbers), rates.carbon_g_per_kwh.shape[1]))
        for at, number in enumerate(numbers):
            job, rows = jobs[number], list(rates.case.allowed(jobs[number]))
            own[at, rows] = job.power_w / _J_PER_KWH * rates.carbon_g_per_kwh[rows]
            own[at, rows] += job.gpus * rates.gpu_rates_gco2e_per_s[rows, None]
            from_s = np.maximum(rates.edges_at_s[:-1], job.earliest_start_at_s)
            open_s[at] = np.maximum(np.minimum(rates.edges_at_s[1:], job.deadline_at_s) - from_s, 0.0)
        own[np.isnan(own)] = np.inf
        needs_s = np.array([jobs[number].duration_s for number in numbers])
        return cls(jobs=np.array(numbers, dtype=np.intp), own_gco2e_per_s=own, open_s=open_s, needs_s=needs_s)

    def fill(self, job_per_s: Floats, lengths_s: Floats, paid_gco2e: Floats, held_ratio: Floats) -> None:
        """Each takes its cheapest instants; notes what they pay, and for which share of each cell they run."""
        if not len(self.jobs):
            return
        costs = self.own_gco2e_per_s + job_per_s[self.jobs]
        row = costs.argmin(axis=1)
        rate = np.take_along_axis(costs, row[:, None], axis=1)[:, 0]
        order = rate.argsort(axis=1, kind="stable")
        rate, row = np.take_along_axis(rate, order, axis=1), np.take_along_axis(row, order, axis=1)
        is_known = np.isfinite(rate)
        open_s = np.where(is_known, np.take_along_axis(self.open_s, order, axis=1), 0.0)
        taken_s = np.clip(self.needs_s[:, None] - (open_s.cumsum(axis=1) - open_s), 0.0, open_s)
        paid_gco2e[self.jobs] = (taken_s * np.where(is_known, rate, 0.0)).sum(axis=1)
        held_ratio[self.jobs[:, None], row, order] += taken_s / lengths_s[order]


def _is_open(jobs: Sequence[Job], rates: Rates) -> Bools:
    """Where each job may run at all, (jobs, regions, cells)."""
    found = np.zeros((len(jobs), *rates.carbon_g_per_kwh.shape), dtype=np.bool_)
    for number, job in enumerate(jobs):
        inside = (rates.edges_at_s[1:] > job.earliest_start_at_s) & (rates.edges_at_s[:-1] < job.deadline_at_s)
        found[number, list(rates.case.allowed(job))] = inside
    return found


def _resources(case: FleetCase, jobs: Sequence[Job]) -> list[Resource]:
    """The GPUs of each region, and its watts where they are capped."""
    found = []
    for row, region in enumerate(case.regions):
        found.append(units_of(row, region.gpus, [job.gpus for job in jobs]))
        cap_w = case.power_caps_w.get(region.name, math.inf)
        if math.isfinite(cap_w):
            drawn = [math.ceil((job.power_w * region.facility_ratio - _ROUNDING_W) * _MILLI) for job in jobs]
            found.append(units_of(row, math.floor((cap_w + _ROUNDING_W) * _MILLI), drawn))
    return found


def units_of(row: int, amount: int, asked: Sequence[int]) -> Resource:
    """Exactly where there are few units; else in as few larger units as tell the jobs apart best."""
    if amount <= _MOST_UNITS:
        return Resource(row=row, units=max(amount, 0), sizes=np.array(asked, dtype=np.intp))
    fit = [one for one in asked if 0 < one <= amount]
    units = max(range(1, _MOST_UNITS + 1), key=lambda units: sum(one * units // amount for one in fit) / units)
    return Resource(row=row, units=units, sizes=np.array([one * units // amount for one in asked], dtype=np.intp))
