"""Where every job that runs in one piece would run alone, at given prices of capacity.

Exact: such a job pays a piecewise linear function of its start that bends only where one end of the run meets an edge
of the cells or its own limits, so only these starts are looked at, all of them in every round. Regions of one speed
that are known at the same times share their starts, and jobs that are equal in all but their names are looked at once.

Where many jobs like the same hours, all would leap from one start to another as prices move. So the use that is counted
may be spread over starts that cost little more than the cheapest; the cost that is summed is always the least.
Knows no capacity and moves no price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S, Intervals
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates, cumulated

Indexes = NDArray[np.intp]
Bools = NDArray[np.bool_]

_J_PER_KWH = 3.6e6

# Starts looked at in one go: so few that what is computed of them stays in the processor's cache.
_MOST_STARTS = 20_000
# Emissions of this many pairs of start and region are kept, 240 MB; beyond it they are computed anew in each round.
_MOST_KEPT = 30_000_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Prices:
    """What a GPU and a watt of the facility pay up to each edge and within each cell, (regions, cells + 1)."""

    gpu_sums_gco2e: Floats
    gpu_gco2e_per_s: Floats
    power_sums_gco2e_per_w: Floats | None
    power_gco2e_per_j: Floats

    @classmethod
    def of(cls, rates: Rates) -> Prices:
        gpu, power = rates.gpu_price_gco2e_per_s, rates.power_price_gco2e_per_j
        lengths_s = rates.lengths_s
        return cls(
            gpu_sums_gco2e=cumulated(gpu * lengths_s),
            gpu_gco2e_per_s=_padded(gpu),
            power_sums_gco2e_per_w=cumulated(power * lengths_s) if power.any() else None,
            power_gco2e_per_j=_padded(power),
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ends:
    """Begin and end of runs: the cell, and the seconds into it."""

    begin: Indexes
    into_begin_s: Floats
    end: Indexes
    into_end_s: Floats

    @classmethod
    def of(cls, edges_at_s: Floats, begin_s: Floats, lasts_s: Floats) -> Ends:
        begin, into_begin_s = place_of(edges_at_s, begin_s)
        end, into_end_s = place_of(edges_at_s, begin_s + lasts_s)
        return cls(begin=begin, into_begin_s=into_begin_s, end=end, into_end_s=into_end_s)

    def at(self, which: Indexes, offset: Indexes) -> Ends:
        """Some of them, in cells that are counted from an offset on."""
        return Ends(
            begin=self.begin[which] + offset,
            into_begin_s=self.into_begin_s[which],
            end=self.end[which] + offset,
            into_end_s=self.into_end_s[which],
        )

    def between(self, sums_gco2e: Floats, gco2e_per_s: Floats) -> Floats:
        """What is paid from begin to end in one region."""
        paid = sums_gco2e.take(self.end) - sums_gco2e.take(self.begin)
        paid += gco2e_per_s.take(self.end) * self.into_end_s
        paid -= gco2e_per_s.take(self.begin) * self.into_begin_s
        return paid


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Runs:
    """Runs of jobs, each with its share of what its job uses, and their ends in flat cells of all regions."""

    job: Indexes
    region: Indexes
    ends: Ends
    share_ratio: Floats


class Windows:
    """Jobs in one piece, where they may run; each has some known window.

    One that would pay more stays out for `most_gco2e`; `rounds_out` counts how often, by its id.
    """

    def __init__(self, jobs: Sequence[Job], rates: Rates, most_gco2e: float = np.inf) -> None:
        self._most_gco2e = most_gco2e
        shape = rates.carbon_g_per_kwh.shape
        self._shape = (shape[0], shape[1] + 1)
        ordered = classes(sorted(jobs, key=lambda job: job.earliest_start_at_s), rates.case)
        borders = _borders([alike[0] for alike in ordered], rates)
        self._parts = [_Part(ordered[first:after], rates) for first, after in borders]
        if sum(part.pairs for part in self._parts) <= _MOST_KEPT:
            for part in self._parts:
                part.keep_emissions()

    def choose(self, rates: Rates, gpu_s: Floats, facility_j: Floats, near_gco2e_per_s: float = 0.0) -> float:
        """The sum of the least costs; adds what is used to the cells.

        A start that costs up to `near_gco2e_per_s` more, for each GPU and second, gets a share of what its job uses.
        """
        prices, value_gco2e = Prices.of(rates), 0.0
        used = (np.zeros(self._shape), np.zeros(self._shape), np.zeros(self._shape), np.zeros(self._shape))
        for part in self._parts:
            least_gco2e, runs = part.chosen(prices, near_gco2e_per_s)
            value_gco2e += float((np.minimum(least_gco2e, self._most_gco2e) * part.count).sum())
            stays = least_gco2e <= self._most_gco2e
            part.rounds_out += ~stays
            for one in runs:
                weight = one.share_ratio * (part.count * stays)[one.job]
                self._count(weight * part.gpus[one.job], one.ends, *used[:2])
                facility_w = part.power_w[one.job] * part.facility_ratio[one.region]
                self._count(weight * facility_w, one.ends, *used[2:])
        gpu_s += spread(*used[:2], rates.lengths_s)
        facility_j += spread(*used[2:], rates.lengths_s)
        return value_gco2e

    def least_gco2e(self, rates: Rates) -> dict[str, float]:
        """What each job pays at least, by its id."""
        prices = Prices.of(rates)
        least = ((part.ids, part.chosen(prices, 0.0)[0].tolist()) for part in self._parts)
        return {name: paid for ids, costs in least for some, paid in zip(ids, costs, strict=True) for name in some}

    @property
    def rounds_out(self) -> dict[str, int]:
        counted = ((part.ids, part.rounds_out.tolist()) for part in self._parts)
        return {
            name: rounds for ids, some in counted for alike, rounds in zip(ids, some, strict=True) for name in alike
        }

    def _count(self, weights: Floats, ends: Ends, partly_s: Floats, ended_w: Floats) -> None:
        size = partly_s.size
        for cell, into_s, sign in ((ends.end, ends.into_end_s, 1.0), (ends.begin, ends.into_begin_s, -1.0)):
            partly_s += np.bincount(cell, sign * weights * into_s, size).reshape(self._shape)
            ended_w += np.bincount(cell, sign * weights, size).reshape(self._shape)


class _Part:
    """Some classes of jobs: every start at which a minimum can lie, for each group of regions that are known alike."""

    def __init__(self, alike: Sequence[Sequence[Job]], rates: Rates) -> None:
        case, jobs = rates.case, [some[0] for some in alike]
        self.ids = [[job.id for job in some] for some in alike]
        self.count = np.array([float(len(some)) for some in alike])
        self.rounds_out = np.zeros(len(jobs), dtype=np.int64)
        self.gpus = np.array([float(job.gpus) for job in jobs])
        self.power_w = np.array([job.power_w for job in jobs])
        self.facility_ratio = np.array([region.facility_ratio for region in case.regions])
        self._rates = rates
        self._width = rates.carbon_g_per_kwh.shape[1] + 1
        allowed = [set(case.allowed(job)) for job in jobs]
        groups: dict[tuple[Intervals, float], list[int]] = {}
        for index, known in enumerate(rates.known):
            groups.setdefault((tuple(known), case.regions[index].speed), []).append(index)
        made = (_Group(jobs, regions, known, allowed, rates) for (known, _), regions in groups.items())
        self._groups = [group for group in made if len(group.job)]
        self._kept: list[list[Floats]] | None = None

    @property
    def pairs(self) -> int:
        return sum(len(group.job) * len(group.regions) for group in self._groups)

    def keep_emissions(self) -> None:
        self._kept = [[self._own_gco2e(group, row) for row in range(len(group.regions))] for group in self._groups]

    def chosen(self, prices: Prices, near_gco2e_per_s: float) -> tuple[Floats, list[_Runs]]:
        """The least cost of each job, and its runs that cost as little or, for so much more, little more."""
        costs = [self._costs_gco2e(number, group, prices) for number, group in enumerate(self._groups)]
        cheapest_gco2e = [some.min(axis=0) for some in costs]
        least_gco2e = np.full(len(self.gpus), np.inf)
        for group, of_start in zip(self._groups, cheapest_gco2e, strict=True):
            least_gco2e[group.owner] = np.minimum(least_gco2e[group.owner], np.minimum.reduceat(of_start, group.first))
        assert np.isfinite(least_gco2e).all(), "a job without a known window has no bound"
        if near_gco2e_per_s > 0.0:
            return least_gco2e, self._near(costs, cheapest_gco2e, least_gco2e, near_gco2e_per_s)
        return least_gco2e, self._first(costs, cheapest_gco2e, least_gco2e)

    def _first(
        self, costs_gco2e: Sequence[Floats], cheapest_gco2e: Sequence[Floats], least_gco2e: Floats
    ) -> list[_Runs]:
        """The first of the cheapest starts of each job, in the first group and region that has one."""
        is_placed = np.zeros(len(least_gco2e), dtype=np.bool_)
        found: list[_Runs] = []
        for group, some, of_start in zip(self._groups, costs_gco2e, cheapest_gco2e, strict=True):
            hits = np.flatnonzero((of_start == least_gco2e[group.job]) & ~is_placed[group.job])
            job, at = np.unique(group.job[hits], return_index=True)
            is_placed[job] = True
            start = hits[at]
            found.append(self._runs(group, some[:, start].argmin(axis=0), start, np.ones(len(job))))
        return found

    def _near(
        self,
        costs_gco2e: Sequence[Floats],
        cheapest_gco2e: Sequence[Floats],
        least_gco2e: Floats,
        near_gco2e_per_s: float,
    ) -> list[_Runs]:
        """All starts that cost little more than the least; the less, the larger the share."""
        weights = np.zeros(len(least_gco2e))
        found: list[_Runs] = []
        for group, some, of_start in zip(self._groups, costs_gco2e, cheapest_gco2e, strict=True):
            margin = near_gco2e_per_s * group.gpu_s
            limit = least_gco2e[group.job] + margin
            hits = np.flatnonzero(of_start <= limit)
            row, at = np.nonzero(some[:, hits] <= limit[hits])
            start = hits[at]
            weight = 1.0 - (some[row, start] - least_gco2e[group.job[start]]) / margin[start]
            found.append(self._runs(group, row, start, np.maximum(weight, 0.0)))
            weights += np.bincount(found[-1].job, found[-1].share_ratio, len(weights))
        return [replace(one, share_ratio=one.share_ratio / weights[one.job]) for one in found]

    def _runs(self, group: _Group, row: Indexes, start: Indexes, share_ratio: Floats) -> _Runs:
        region = np.array(group.regions, dtype=np.intp)[row]
        return _Runs(
            job=group.job[start],
            region=region,
            ends=group.ends.at(start, region * self._width),
            share_ratio=share_ratio,
        )

    def _own_gco2e(self, group: _Group, row: int) -> Floats:
        return group.own_gco2e(row, self._rates, self.power_w, self.gpus)

    def _costs_gco2e(self, number: int, group: _Group, prices: Prices) -> Floats:
        """Of each start in each region of the group."""
        costs = np.empty((len(group.regions), len(group.job)))
        gpus = self.gpus[group.job]
        for row, index in enumerate(group.regions):
            held = group.ends.between(prices.gpu_sums_gco2e[index], prices.gpu_gco2e_per_s[index])
            np.multiply(gpus, held, costs[row])
            costs[row] += self._kept[number][row] if self._kept is not None else self._own_gco2e(group, row)
            if prices.power_sums_gco2e_per_w is not None:
                drawn = group.ends.between(prices.power_sums_gco2e_per_w[index], prices.power_gco2e_per_j[index])
                costs[row] += (self.power_w * self.facility_ratio[index])[group.job] * drawn
        return costs


class _Group:
    """Starts of some jobs in regions of one speed whose forecasts are known at the same times."""

    def __init__(
        self, jobs: Sequence[Job], regions: Sequence[int], known: Intervals, allowed: Sequence[set[int]], rates: Rates
    ) -> None:
        self.regions = regions
        at_all = np.array([not one.isdisjoint(regions) for one in allowed])
        self._is_allowed = np.array([[index in one for one in allowed] for index in regions])
        earliest_s = np.array([job.earliest_start_at_s for job in jobs])
        deadline_s = np.array([job.deadline_at_s for job in jobs])
        duration_s = np.array([rates.case.lasts_s(job, rates.case.regions[regions[0]]) for job in jobs])
        self.job, begin_s = starts_of(earliest_s, deadline_s, duration_s, at_all, known, rates.edges_at_s)
        self.duration_s = duration_s[self.job]
        self.gpu_s = np.array([float(job.gpus) for job in jobs])[self.job] * self.duration_s
        self.first = np.flatnonzero(np.diff(self.job, prepend=-1))
        self.owner = self.job[self.first]
        self.ends = Ends.of(rates.edges_at_s, begin_s, self.duration_s)

    def own_gco2e(self, row: int, rates: Rates, power_w: Floats, gpus: Floats) -> Floats:
        """Emissions and charges of each start in one of the regions; infinite where the job may not be."""
        index = self.regions[row]
        carbon = np.nan_to_num(rates.carbon_g_per_kwh[index])
        sums = cumulated(carbon * rates.lengths_s)
        own = power_w[self.job] / _J_PER_KWH * self.ends.between(sums, np.append(carbon, 0.0))
        own += (gpus * rates.gpu_rates_gco2e_per_s[index])[self.job] * self.duration_s
        own[~self._is_allowed[row][self.job]] = np.inf
        return own


def classes(jobs: Sequence[Job], case: FleetCase) -> list[list[Job]]:
    """Jobs that differ in nothing that a place costs, together; in the order of the first of each."""
    found: dict[tuple[object, ...], list[Job]] = {}
    for job in jobs:
        limits = (job.earliest_start_at_s, job.deadline_at_s, job.duration_s)
        found.setdefault((*limits, job.gpus, job.power_w, tuple(case.allowed(job))), []).append(job)
    return list(found.values())


def _borders(jobs: Sequence[Job], rates: Rates) -> list[tuple[int, int]]:
    """Where to cut the jobs into parts of few starts."""
    edges = rates.edges_at_s
    earliest_s = np.array([job.earliest_start_at_s for job in jobs])
    deadline_s = np.array([job.deadline_at_s for job in jobs])
    starts = 2 * (edges.searchsorted(deadline_s) - edges.searchsorted(earliest_s) + 2)
    part = np.cumsum(starts) // _MOST_STARTS
    return list(pairwise([*np.flatnonzero(np.diff(part, prepend=-1)).tolist(), len(jobs)]))


def starts_of(
    earliest_s: Floats, deadline_s: Floats, duration_s: Floats, at_all: Bools, known: Intervals, edges_at_s: Floats
) -> tuple[Indexes, Floats]:
    """Where the cost of a window can have its minimum over all known starts: (job, start), by job."""
    jobs: list[Indexes] = []
    starts: list[Floats] = []
    for from_s, to_s in known:
        first_s, last_s = np.maximum(earliest_s, from_s), np.minimum(deadline_s, to_s)
        which = np.flatnonzero(at_all & (last_s - first_s >= duration_s - ROUNDING_S))
        low_s, lasts_s = first_s[which], duration_s[which]
        high_s = np.maximum(low_s, last_s[which] - lasts_s)
        for shift_s in (np.zeros_like(lasts_s), lasts_s):
            owner, edge = _ragged(
                edges_at_s.searchsorted(low_s + shift_s), edges_at_s.searchsorted(high_s + shift_s, side="right")
            )
            jobs.append(which[owner])
            starts.append(np.clip(edges_at_s[edge] - shift_s[owner], low_s[owner], high_s[owner]))
        jobs += [which, which]
        starts += [low_s, high_s]
    if not jobs:
        return np.zeros(0, dtype=np.intp), np.zeros(0)
    job = np.concatenate(jobs)
    order = job.argsort(kind="stable")
    return job[order], np.concatenate(starts)[order]


def _ragged(first: Indexes, after: Indexes) -> tuple[Indexes, Indexes]:
    """(row, value) of all values from `first` to before `after`, row by row."""
    counts = np.maximum(after - first, 0)
    row = np.arange(len(counts)).repeat(counts)
    return row, np.arange(len(row)) - (counts.cumsum() - counts - first)[row]


def place_of(edges_at_s: Floats, instants_s: Floats) -> tuple[Indexes, Floats]:
    """The cell of each instant, and how far into it the instant is."""
    cell = np.clip(edges_at_s.searchsorted(instants_s, side="right") - 1, 0, len(edges_at_s) - 2)
    return cell, instants_s - edges_at_s[cell]


def spread(partly_s: Floats, ended_w: Floats, lengths_s: Floats) -> Floats:
    """Amount times time in each cell: everything up to the end, less everything up to the begin."""
    behind = ended_w[:, ::-1].cumsum(axis=1)[:, ::-1] - ended_w
    used: Floats = partly_s[:, :-1] + behind[:, :-1] * lengths_s
    return used


def _padded(per_cell_gco2e: Floats) -> Floats:
    return np.pad(per_cell_gco2e, ((0, 0), (0, 1)))
