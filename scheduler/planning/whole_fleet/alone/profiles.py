"""Where every job whose power changes along its run would run alone, at given prices of capacity.

Exact as for other jobs in one piece (windows.py), with a border between any two phases: every start at which one of
them meets an edge of the cells is looked at in every round. Knows no capacity and moves no price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.whole_fleet.alone.runs_in_phases import borders_s, candidates_s, known_starts, powers_w
from scheduler.planning.whole_fleet.alone.windows import Indexes, Prices, place_of, spread
from scheduler.planning.whole_fleet.rates import Rates, cumulated

_J_PER_KWH = 3.6e6


class ProfiledWindows:
    """Jobs in phases, where they may run; each has some known window."""

    def __init__(self, jobs: Sequence[Job], rates: Rates) -> None:
        self._shape = rates.carbon_g_per_kwh.shape
        self._ratio = np.array([region.facility_ratio for region in rates.case.regions])
        self._jobs = [_Profile.of(job, rates) for job in jobs]

    def choose(self, rates: Rates, gpu_s: Floats, facility_j: Floats, near_gco2e_per_s: float = 0.0) -> float:
        """The sum of the least costs; adds what is used to the cells, shared as in windows.py."""
        prices, value_gco2e = Prices.of(rates), 0.0
        regions, cells = self._shape
        shape = (regions, cells + 1)
        used = (np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape))
        for one in self._jobs:
            cost, runs = one.chosen(prices, self._ratio, near_gco2e_per_s)
            value_gco2e += cost
            for starts, start, share in runs:
                one.count(starts, start, float(self._ratio[starts.index]), share, used)
        gpu_s += spread(*used[:2], rates.lengths_s)
        facility_j += spread(*used[2:], rates.lengths_s)
        return value_gco2e


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Starts:
    """Of one job in one region: the cells of its borders from each start, (starts, borders), and what it emits."""

    index: int
    cell: Indexes
    into_s: Floats
    own_gco2e: Floats
    gpu_s: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Profile:
    """One job: where it may start, and by how much each border raises what it draws."""

    gpus: int
    more_w: Floats
    regions: Sequence[_Starts]

    @classmethod
    def of(cls, job: Job, rates: Rates) -> _Profile:
        drawn_w = np.concatenate(([0.0], powers_w(rates.case, job), [0.0]))
        more_w = np.diff(drawn_w)
        regions = [
            _starts(job, more_w, rates, index)
            for index in rates.case.allowed(job)
            if list(known_starts(job, rates, index))
        ]
        assert regions, "a job without a known window has no bound"
        return cls(gpus=job.gpus, more_w=more_w, regions=regions)

    def chosen(
        self, prices: Prices, facility_ratio: Floats, near_gco2e_per_s: float
    ) -> tuple[float, list[tuple[_Starts, int, float]]]:
        """The least cost; the first start that has it or, for so much more, those near it, each with its share."""
        costs = [self._costs(one, prices, float(facility_ratio[one.index])) for one in self.regions]
        least = [float(some.min()) for some in costs]
        cheapest = least.index(min(least))
        if near_gco2e_per_s <= 0.0:
            return least[cheapest], [(self.regions[cheapest], int(costs[cheapest].argmin()), 1.0)]
        near: list[tuple[_Starts, int, float]] = []
        for one, some in zip(self.regions, costs, strict=True):
            weights = 1.0 - (some - least[cheapest]) / (near_gco2e_per_s * one.gpu_s)
            near += [(one, start, float(weights[start])) for start in np.flatnonzero(weights > 0.0).tolist()]
        total = sum(weight for _, _, weight in near)
        return least[cheapest], [(one, start, weight / total) for one, start, weight in near]

    def _costs(self, one: _Starts, prices: Prices, facility_ratio: float) -> Floats:
        index = one.index
        cell, into_s = one.cell[:, [0, -1]], one.into_s[:, [0, -1]]
        held = prices.gpu_sums_gco2e[index].take(cell) + prices.gpu_gco2e_per_s[index].take(cell) * into_s
        costs: Floats = one.own_gco2e + self.gpus * (held[:, 1] - held[:, 0])
        if prices.power_sums_gco2e_per_w is not None:
            paid = prices.power_sums_gco2e_per_w[index].take(one.cell)
            paid += prices.power_gco2e_per_j[index].take(one.cell) * one.into_s
            costs -= facility_ratio * (paid @ self.more_w)
        return costs

    def count(
        self,
        one: _Starts,
        start: int,
        facility_ratio: float,
        share_ratio: float,
        used: tuple[Floats, Floats, Floats, Floats],
    ) -> None:
        """Each border raises what is held until the end of all cells; the last one lowers it again."""
        index, cell, into_s = one.index, one.cell[start], one.into_s[start]
        for at, sign in ((0, -1.0), (-1, 1.0)):
            used[0][index, cell[at]] += sign * share_ratio * self.gpus * into_s[at]
            used[1][index, cell[at]] += sign * share_ratio * self.gpus
        more_w = share_ratio * facility_ratio * self.more_w
        np.add.at(used[2][index], cell, -more_w * into_s)
        np.add.at(used[3][index], cell, -more_w)


def _starts(job: Job, more_w: Floats, rates: Rates, index: int) -> _Starts:
    from_start_s = borders_s(rates.case, job, rates.case.regions[index])
    starts_s = candidates_s(rates.edges_at_s, from_start_s, list(known_starts(job, rates, index)))
    cell, into_s = place_of(rates.edges_at_s, starts_s[:, None] + from_start_s)
    carbon = np.nan_to_num(rates.carbon_g_per_kwh[index])
    emitted = cumulated(carbon * rates.lengths_s).take(cell) + np.append(carbon, 0.0).take(cell) * into_s
    held_gco2e = job.gpus * rates.gpu_rates_gco2e_per_s[index] * from_start_s[-1]
    own_gco2e = held_gco2e - emitted @ more_w / _J_PER_KWH
    gpu_s = job.gpus * float(from_start_s[-1])
    return _Starts(index=index, cell=cell, into_s=into_s, own_gco2e=own_gco2e, gpu_s=gpu_s)
