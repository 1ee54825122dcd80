"""All regions' forecasts as the columns of one table, and what a run would emit at the least in each of them.

A fleet of fifty regions is fifty searches for one job, most of them in regions where even the cleanest hours, all free,
are dearer than what is found elsewhere. So the least is told of all regions at once, whoever holds their GPUs, and the
search begins with the cleanest and ends where no other can be cleaner. Only a bound: what is chosen is priced exactly.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from intensity_feeds.series import Floats, IntensitySeries
from scheduler.planning.curve import Intervals
from scheduler.planning.open_jobs.board_kernels import SURE_RATIO as SURE_RATIO
from scheduler.planning.open_jobs.board_kernels import GridSums, Run
from scheduler.planning.open_jobs.window_kernels import GridCurves
from scheduler.planning.plan import Forecasts, Region

# For fewer regions a search in each is as fast.
_FEWEST_REGIONS = 4


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Least:
    """What a run of one length emits when it begins or ends on a step, all GPUs free, PUE included.

    `integrals_g_s_per_kwh` has shape (starts, regions): the earliest start, the latest, then those in `begins_s` on a
    step, then those in `ends_s` that end on one, both growing.
    """

    rows: GridRows
    whole_s: float
    from_s: float
    until_s: float
    begins_s: list[float]
    ends_s: list[float]
    integrals_g_s_per_kwh: Floats

    @property
    def ever_g_s_per_kwh(self) -> Floats:
        """In the cleanest time of each region, shape (regions,)."""
        least: Floats = self.integrals_g_s_per_kwh.min(axis=0)
        return least

    def in_stretches(self, place: int, stretches: Intervals) -> float:
        """The least in one region, in some of its time; infinite in none."""
        column: list[float] = self.integrals_g_s_per_kwh[:, place].tolist()
        count, least_g_s_per_kwh = 2 + len(self.begins_s), math.inf
        for from_s, to_s in stretches:
            last_s = max(from_s, min(to_s, self.until_s) - self.whole_s)
            low, high = bisect_left(self.begins_s, from_s), bisect_right(self.begins_s, last_s)
            low_end, high_end = bisect_left(self.ends_s, from_s), bisect_right(self.ends_s, last_s)
            on_steps = (*column[2 + low : 2 + high], *column[count + low_end : count + high_end])
            first = column[0] if from_s == self.from_s else self.at(place, from_s)
            last = column[1] if to_s >= self.until_s else self.at(place, last_s)
            least_g_s_per_kwh = min(least_g_s_per_kwh, first, last, *on_steps)
        return least_g_s_per_kwh

    def at(self, place: int, start_at_s: float) -> float:
        return self.rows.until(place, start_at_s + self.whole_s) - self.rows.until(place, start_at_s)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GridRows:
    """Forecasts that share their steps: edges of shape (n + 1,), sums (n + 1, regions) and rates (n, regions)."""

    regions: Sequence[Region]
    zones: tuple[str, ...]
    series: tuple[IntensitySeries, ...]
    edges_at_s: Floats
    cumulative_g_s_per_kwh: Floats
    rate_gco2e_per_kwh: Floats
    _edges_s: list[float]
    by_region: GridSums  # the same sums and rates, region by region
    curves: GridCurves  # and each grid's own sums
    _numbers: dict[int, tuple[list[float], list[float]]]  # and for one number at a time, made when asked for

    @classmethod
    def of(cls, regions: Sequence[Region], forecasts: Forecasts) -> Self | None:
        """None where they are too few or not alike: another kind of number, other steps, a gap, held GPUs that cost."""
        found = [one for region in regions if (one := forecasts.get(region.zone)) is not None]
        if len(regions) < _FEWEST_REGIONS or len(found) < len(regions) or not _are_alike(regions, found):
            return None
        pues = np.array([region.pue for region in regions])
        own_sums = np.stack([one.cumulative_g_s_per_kwh for one in found])
        sums = own_sums.T * pues
        rates = np.stack([one.gco2e_per_kwh for one in found], axis=1) * pues
        return cls(
            regions=regions,
            zones=tuple(region.zone for region in regions),
            series=tuple(found),
            edges_at_s=found[0].edges_at_s,
            cumulative_g_s_per_kwh=sums,
            rate_gco2e_per_kwh=rates,
            by_region=GridSums(
                edges_at_s=found[0].edges_at_s,
                sums_g_s_per_kwh=np.ascontiguousarray(sums.T),
                rates_gco2e_per_kwh=np.ascontiguousarray(rates.T),
            ),
            curves=GridCurves(edges_at_s=found[0].edges_at_s, sums_g_s_per_kwh=own_sums, pue=pues),
            _edges_s=found[0].edges_at_s.tolist(),
            _numbers={},
        )

    def answers_for(self, regions: Sequence[Region], forecasts: Forecasts) -> bool:
        """Whether these are still the regions and their forecasts."""
        if regions is not self.regions:
            return False
        return tuple(map(forecasts.get, self.zones)) == self.series  # series are equal where they are the same

    def run(self, gpus: int, whole_s: float, from_s: float, to_s: float) -> Run | None:
        """A run of that length between two instants, for loops; None where no run is all in known time."""
        edges = self._edges_s
        until_s = min(to_s, edges[-1])
        if from_s < edges[0] or from_s + whole_s > until_s:
            return None
        return Run(gpus=gpus, whole_s=whole_s, from_s=from_s, until_s=until_s)

    def least(self, whole_s: float, from_s: float, to_s: float) -> Least | None:
        """Of runs of that length between two instants; None where no run is all in known time."""
        edges = self.edges_at_s
        until_s = min(to_s, float(edges[-1]))
        if from_s < edges[0] or from_s + whole_s > until_s:
            return None
        last_s = until_s - whole_s
        low, high, low_end, high_end = edges.searchsorted((from_s, last_s, from_s + whole_s, until_s)).tolist()
        begins_s, ends_s = edges[low:high], np.maximum(edges[low_end:high_end] - whole_s, from_s)
        starts_s = np.concatenate(((from_s, last_s), begins_s, ends_s))
        integrals = self._until(starts_s + whole_s) - self._until(starts_s)
        return Least(
            rows=self,
            whole_s=whole_s,
            from_s=from_s,
            until_s=until_s,
            begins_s=begins_s.tolist(),
            ends_s=ends_s.tolist(),
            integrals_g_s_per_kwh=integrals,
        )

    def until(self, place: int, instant_s: float) -> float:
        """The integral of one region up to an instant."""
        step = bisect_right(self._edges_s, instant_s, 1, len(self._edges_s) - 1) - 1
        if place not in self._numbers:
            columns = self.by_region
            self._numbers[place] = (
                columns.sums_g_s_per_kwh[place].tolist(),
                columns.rates_gco2e_per_kwh[place].tolist(),
            )
        sums, rates = self._numbers[place]
        return sums[step] + (instant_s - self._edges_s[step]) * rates[step]

    def _until(self, instants_s: Floats) -> Floats:
        """The integral of each region up to each instant, shape (instants, regions)."""
        steps = self.edges_at_s[1:-1].searchsorted(instants_s, side="right")
        into_s = instants_s - self.edges_at_s[steps]
        return self.cumulative_g_s_per_kwh[steps] + into_s[:, None] * self.rate_gco2e_per_kwh[steps]


def is_surely_above(least_g_s_per_kwh: float, price_g_s_per_kwh: float) -> bool:
    """Whether it is dearer whatever was rounded; what is not to be had at all is."""
    margin = SURE_RATIO * (abs(price_g_s_per_kwh) + abs(least_g_s_per_kwh))
    return math.isinf(least_g_s_per_kwh) or least_g_s_per_kwh > price_g_s_per_kwh + margin


def may_be_less(least_g_s_per_kwh: float, price_g_s_per_kwh: float) -> bool:
    """Whether it could be cheaper by some rounding; nothing is less than the nothing of a grid without emissions."""
    margin = SURE_RATIO * (abs(price_g_s_per_kwh) + abs(least_g_s_per_kwh))
    return not math.isinf(least_g_s_per_kwh) and least_g_s_per_kwh < price_g_s_per_kwh + margin


def _are_alike(regions: Sequence[Region], found: Sequence[IntensitySeries]) -> bool:
    first = found[0]
    kind, count = (first.signal, first.basis), len(first.edges_at_s)
    if not all(
        region.gpu_gco2e_per_s == 0
        and (one.signal, one.basis) == kind
        and not one.has_gap
        and len(one.edges_at_s) == count
        for region, one in zip(regions, found, strict=True)
    ):
        return False
    return bool((np.stack([one.edges_at_s for one in found]) == first.edges_at_s).all())
