"""What jobs of a small fleet pay alone, in grams, with some of their starts ruled out and room weighed in several ways.

The answer of bound.py for few jobs and narrowed windows. Each region has, for its GPUs and for its power cap, several
ways to weigh jobs (packings.py) such that jobs that run there at once never weigh more than 1; each way has prices of
its own. Each job in one piece takes the cheapest of the starts that are left to it, one that may pause its cheapest
instants. What all pay, less what the room earns, is at most what any plan within these starts emits. Rules nothing out
and moves no price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.whole_fleet.alone.packings import ways_to_weigh
from scheduler.planning.whole_fleet.alone.windows import Ends, starts_of
from scheduler.planning.whole_fleet.rates import Rates, cumulated

Indexes = NDArray[np.intp]
Bools = NDArray[np.bool_]

_J_PER_KWH = 3.6e6
# Starts of one job closer than this are one.
_SAME_S = 1e-6
# Power is counted as the plan counts it (fleet_case.py), so that what it takes for full is full here.
_MILLI, _ROUNDING_W = 1000, 1e-6
# What rounding can add to a sum over all cells, beside its largest part, is less than twice this for each of them.
_ROUNDING_RATIO = 2 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Answer:
    """Of some prices: every plan within the starts that are left emits `least_gco2e` or more.

    `start_paid_gco2e` is what each start that is left pays, `paid_gco2e` (jobs,) the least of each job, and `chosen`
    the start of each job in one piece. `over_ratio` (ways, cells) is by how much the choices exceed the room.
    """

    least_gco2e: float
    start_paid_gco2e: Floats
    paid_gco2e: Floats
    chosen: Indexes
    over_ratio: Floats


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Left:
    """Starts that are left, and what of them is the same at all prices; `first` is where each job's begin."""

    kept: Indexes
    job: Indexes
    first: Indexes
    own_gco2e: Floats
    ends: Ends

    def cheapest(self, price_gco2e_per_s: Floats, lengths_s: Floats, paid_gco2e: Floats) -> tuple[Floats, Indexes]:
        """What each pays, and which are the first of the cheapest of each job; notes what the jobs pay."""
        padded = np.zeros((*price_gco2e_per_s.shape[:2], len(lengths_s) + 1))
        padded[..., :-1] = price_gco2e_per_s
        start_paid = self.own_gco2e + self.ends.between(cumulated(price_gco2e_per_s * lengths_s), padded)
        paid_gco2e[self.job[self.first]] = np.minimum.reduceat(start_paid, self.first)
        hits = np.flatnonzero(start_paid == paid_gco2e[self.job])
        return start_paid, hits[np.diff(self.job[hits], prepend=-1) > 0]


class WeighedRoom:
    """Plain jobs, each with some known window, and regions that hold no GPUs back."""

    def __init__(self, jobs: Sequence[Job], rates: Rates) -> None:
        self.jobs, self._rates, self.lengths_s = jobs, rates, rates.lengths_s
        kinds = sorted({(job.gpus, job.power_w) for job in jobs})
        self._kind = np.array([kinds.index((job.gpus, job.power_w)) for job in jobs], dtype=np.intp)
        weights = [_weights(rates, row, kinds) for row in range(len(rates.case.regions))]
        self._weights = np.concatenate(weights)
        self._way_row = np.repeat(np.arange(len(weights)), [len(one) for one in weights])
        self._shape = (len(kinds), len(weights), len(self.lengths_s))
        self._set_starts(rates)
        self._pausing = _Pausing.of(jobs, self._kind, rates)
        self.lasts_s = np.array([job.duration_s for job in jobs])
        self._left: Left | None = None

    def left(self, kept: Indexes, kind: Indexes) -> Left:
        """These starts, in cells counted by the kind of each job, then by region."""
        job = self.job[kept]
        return Left(
            kept=kept,
            job=job,
            first=np.flatnonzero(np.diff(job, prepend=-1)),
            own_gco2e=self.own_gco2e[kept],
            ends=self.ends.at(kept, (kind[job] * self._shape[1] + self.row[kept]) * (self._shape[2] + 1)),
        )

    def _set_starts(self, rates: Rates) -> None:
        """All starts of jobs in one piece at which a minimum can lie: by job, then region, then time."""
        found = [self._starts_in(row, rates) for row in range(self._shape[1])]
        job, row, start_at_s, own_gco2e = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((start_at_s, row, job))
        job, row, start_at_s = job[order], row[order], start_at_s[order]
        is_new = (np.diff(job, prepend=-1) > 0) | (np.diff(row, prepend=-1) != 0)
        is_new |= np.diff(start_at_s, prepend=-np.inf) > _SAME_S
        self.job, self.row, self.start_at_s = job[is_new], row[is_new], start_at_s[is_new]
        self.own_gco2e: Floats = own_gco2e[order][is_new]
        lasts_s = np.array([one.duration_s for one in self.jobs])
        self.ends = Ends.of(rates.edges_at_s, self.start_at_s, lasts_s[self.job])

    def _starts_in(self, row: int, rates: Rates) -> tuple[Indexes, Indexes, Floats, Floats]:
        case = rates.case
        lasts_s = np.array([job.duration_s for job in self.jobs])
        at_all = np.array([job.interruption is None and row in case.allowed(job) for job in self.jobs])
        earliest_s = np.array([job.earliest_start_at_s for job in self.jobs])
        deadline_s = np.array([job.deadline_at_s for job in self.jobs])
        job, start_at_s = starts_of(earliest_s, deadline_s, lasts_s, at_all, rates.known[row], rates.edges_at_s)
        carbon = np.nan_to_num(rates.carbon_g_per_kwh[row])
        ends = Ends.of(rates.edges_at_s, start_at_s, lasts_s[job])
        power_w, gpus = np.array([(one.power_w, one.gpus) for one in self.jobs]).T
        own_gco2e = power_w[job] / _J_PER_KWH * ends.between(cumulated(carbon * self.lengths_s), np.append(carbon, 0.0))
        own_gco2e += (gpus * rates.gpu_rates_gco2e_per_s[row] * lasts_s)[job]
        return job, np.full(len(job), row, dtype=np.intp), start_at_s, own_gco2e

    @property
    def ways(self) -> int:
        return len(self._weights)

    @property
    def mean_price_gco2e_per_s(self) -> float:
        """What the mean job pays in the mean of all regions and times: prices that send it elsewhere are of this size.

        Room that weighs 1 costs as much as all jobs that share it."""
        carbon = np.abs(self._rates.carbon_g_per_kwh[np.isfinite(self._rates.carbon_g_per_kwh)])
        power_w = max(job.power_w for job in self.jobs)
        own_gco2e_per_s = power_w * float(carbon.mean()) / _J_PER_KWH if len(carbon) else 0.0
        gpus = max(job.gpus for job in self.jobs)
        return own_gco2e_per_s + gpus * float(np.abs(self._rates.gpu_rates_gco2e_per_s).mean())

    @property
    def looked_beside(self) -> int:
        return self._pausing.open_s.size

    def prices_of_jobs(self, prices_per_s: Floats) -> Floats:
        """What each job pays for room, (jobs, regions, cells)."""
        found: Floats = self._prices_of_kinds(prices_per_s)[self._kind]
        return found

    def answer(self, kept: Indexes, prices_per_s: Floats) -> Answer:
        """Of the starts that are left, in order; some of every job in one piece."""
        kind_gco2e_per_s = self._prices_of_kinds(prices_per_s)
        held_s, paid_gco2e = np.zeros(self._shape), np.zeros(len(self.jobs))
        self._pausing.fill(kind_gco2e_per_s, paid_gco2e, held_s)
        start_paid, chosen = self._cheapest_starts(kept, kind_gco2e_per_s, paid_gco2e, held_s)
        over_ratio = np.einsum("wk,kwc->wc", self._weights, held_s[:, self._way_row]) / self.lengths_s - 1.0
        earned_gco2e = float((prices_per_s * self.lengths_s).sum())
        largest_gco2e = (len(self.jobs) + 1) * earned_gco2e + float(np.abs(paid_gco2e).sum())
        rounding_gco2e = _ROUNDING_RATIO * len(self.lengths_s) * largest_gco2e
        return Answer(
            least_gco2e=float(paid_gco2e.sum()) - earned_gco2e - rounding_gco2e,
            start_paid_gco2e=start_paid,
            paid_gco2e=paid_gco2e,
            chosen=chosen,
            over_ratio=over_ratio,
        )

    def _prices_of_kinds(self, prices_per_s: Floats) -> Floats:
        """What a job of each kind pays for room, (kinds, regions, cells)."""
        found = np.zeros(self._shape)
        for row in range(self._shape[1]):
            mine = self._way_row == row
            found[:, row] = self._weights[mine].T @ prices_per_s[mine]
        return found

    def _cheapest_starts(
        self, kept: Indexes, kind_gco2e_per_s: Floats, paid_gco2e: Floats, held_s: Floats
    ) -> tuple[Floats, Indexes]:
        """What each start pays, and the first of the cheapest of each job; notes what they pay and hold."""
        if not len(kept):
            return np.zeros(0), np.zeros(0, dtype=np.intp)
        # From round to round the same are left.
        if self._left is None or self._left.kept is not kept:
            self._left = self.left(kept, self._kind)
        start_paid, hits = self._left.cheapest(kind_gco2e_per_s, self.lengths_s, paid_gco2e)
        ends, cells = self._left.ends, self._shape[2]
        size = self._shape[0] * self._shape[1] * (cells + 1)
        into_s = np.bincount(ends.end[hits], ends.into_end_s[hits], size)
        into_s -= np.bincount(ends.begin[hits], ends.into_begin_s[hits], size)
        runs = np.bincount(ends.begin[hits], minlength=size) - np.bincount(ends.end[hits], minlength=size)
        shape = (*self._shape[:2], cells + 1)
        held_s += (into_s.reshape(shape))[..., :-1] + runs.reshape(shape).cumsum(axis=2)[..., :-1] * self.lengths_s
        return start_paid, kept[hits]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Pausing:
    """Jobs that may pause, in groups of one kind and with the same regions.

    `kind` (groups,) and `own_gco2e_per_s` (groups, regions, cells) are theirs; of each job, one group after another,
    `jobs` is its number and `group` its group, `open_s` (jobs, cells) for how long it may run in which cell, `needs_s`
    for how long it has to. `first` is where in these each group begins.
    """

    kind: Indexes
    own_gco2e_per_s: Floats
    first: Indexes
    jobs: Indexes
    group: Indexes
    open_s: Floats
    needs_s: Floats

    @classmethod
    def of(cls, jobs: Sequence[Job], kind: Indexes, rates: Rates) -> _Pausing:
        alike: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        for number, job in enumerate(jobs):
            if job.interruption is not None:
                alike.setdefault((int(kind[number]), tuple(rates.case.allowed(job))), []).append(number)
        sizes = np.array([len(some) for some in alike.values()], dtype=np.intp)
        numbers = [number for some in alike.values() for number in some]
        own = np.full((len(alike), *rates.carbon_g_per_kwh.shape), np.inf)
        for at, ((_, rows), some) in enumerate(alike.items()):
            own[at, rows] = _own_gco2e_per_s(jobs[some[0]], rates, list(rows))
        earliest_s = np.array([jobs[number].earliest_start_at_s for number in numbers])[:, None]
        deadline_s = np.array([jobs[number].deadline_at_s for number in numbers])[:, None]
        edges = rates.edges_at_s
        return cls(
            kind=np.array([its_kind for its_kind, _ in alike], dtype=np.intp),
            own_gco2e_per_s=own,
            first=sizes.cumsum() - sizes,
            jobs=np.array(numbers, dtype=np.intp),
            group=np.repeat(np.arange(len(sizes)), sizes),
            open_s=np.maximum(np.minimum(edges[1:], deadline_s) - np.maximum(edges[:-1], earliest_s), 0.0),
            needs_s=np.array([jobs[number].duration_s for number in numbers]),
        )

    def fill(self, kind_gco2e_per_s: Floats, paid_gco2e: Floats, held_s: Floats) -> None:
        """Each takes its cheapest instants; notes what they pay and hold."""
        if not len(self.jobs):
            return
        costs = self.own_gco2e_per_s + kind_gco2e_per_s[self.kind]
        row, rate = costs.argmin(axis=1), costs.min(axis=1)
        order = rate.argsort(axis=1, kind="stable")
        row, rate = np.take_along_axis(row, order, axis=1), np.take_along_axis(rate, order, axis=1)
        is_known = np.isfinite(rate)
        open_s = np.take_along_axis(self.open_s, order[self.group], axis=1) * is_known[self.group]
        taken_s = np.clip(self.needs_s[:, None] - (open_s.cumsum(axis=1) - open_s), 0.0, open_s)
        paid_gco2e[self.jobs] = (taken_s * np.where(is_known, rate, 0.0)[self.group]).sum(axis=1)
        # Groups of one kind may meet in a cell.
        np.add.at(held_s, (self.kind[:, None], row, order), np.add.reduceat(taken_s, self.first, axis=0))


def _own_gco2e_per_s(job: Job, rates: Rates, rows: Sequence[int]) -> Floats:
    """What a job pays for itself while it runs, (regions, cells); infinite where nothing is known."""
    own = job.power_w / _J_PER_KWH * rates.carbon_g_per_kwh[rows] + job.gpus * rates.gpu_rates_gco2e_per_s[rows, None]
    found: Floats = np.where(np.isnan(own), np.inf, own)
    return found


def _weights(rates: Rates, row: int, kinds: Sequence[tuple[int, float]]) -> Floats:
    """How each way of a region weighs each kind, (ways, kinds)."""
    region = rates.case.regions[row]
    by_gpus = ways_to_weigh(region.gpus, [gpus for gpus, _ in kinds])
    cap_w = rates.case.power_caps_w.get(region.name, math.inf)
    if math.isinf(cap_w):
        return by_gpus
    drawn = [math.ceil((power_w * region.facility_ratio - _ROUNDING_W) * _MILLI) for _, power_w in kinds]
    return np.concatenate((by_gpus, ways_to_weigh(math.floor((cap_w + _ROUNDING_W) * _MILLI), drawn)))
