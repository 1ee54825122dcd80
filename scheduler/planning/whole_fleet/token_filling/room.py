"""The room that jobs leave: stretches of time in which what is free in a region does not change.

Whatever pools take, a region's GPUs and its power cap hold at each instant, because each stretch has them all through.
Knows jobs and capacity, no pool.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.planning.plan import Region
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase, gpus_of, power_w_of
from scheduler.planning.whole_fleet.holds import free_gpus

Indexes = NDArray[np.intp]
Wholes = NDArray[np.int64]

_J_PER_KWH = 3.6e6
# Power in whole thousandths of a watt, what is drawn rounded up and a cap down, as jobs count it.
_PER_WATT, _ROUNDING = 1000, 1e-3
_NO_CAP_MW = 2**60
# Nobody switches a GPU to other work for less.
_SHORTEST_S = 1.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Openings:
    """All arrays (stretches,), by begin. `gco2e_per_j` has PUE in it and is NaN where the forecast has none."""

    region: Indexes
    start_at_s: Floats
    end_at_s: Floats
    gpus: Wholes
    milliwatts: Wholes
    gco2e_per_j: Floats

    @property
    def lengths_s(self) -> Floats:
        return self.end_at_s - self.start_at_s

    @classmethod
    def beside(cls, case: FleetCase, jobs: Assignment, from_s: float, to_s: float) -> Openings:
        """What the jobs leave between two instants, cut at the windows of the case's pools too."""
        parts = [_of_region(case, jobs, index, (from_s, to_s)) for index in range(len(case.regions))]
        region, start, end, gpus, milliwatts, carbon = (np.concatenate(one) for one in zip(*parts, strict=True))
        order = np.lexsort((region, start))
        return cls(
            region=region[order].astype(np.intp),
            start_at_s=start[order],
            end_at_s=end[order],
            gpus=gpus[order].astype(np.int64),
            milliwatts=milliwatts[order].astype(np.int64),
            gco2e_per_j=carbon[order],
        )

    def gpus_for(self, power_w: float, region: Region) -> Wholes:
        """How many GPUs of such a power fit into each stretch."""
        each_mw = math.ceil(power_w * region.pue * _PER_WATT - _ROUNDING)
        return self.gpus if each_mw == 0 else np.minimum(self.gpus, self.milliwatts // each_mw)


def _of_region(case: FleetCase, jobs: Assignment, index: int, span_s: tuple[float, float]) -> tuple[Floats, ...]:
    region = case.regions[index]
    cap_w = case.power_caps_w.get(region.name, math.inf)
    held = [
        (
            one.start_at_s,
            one.end_at_s,
            gpus_of(job, one),
            math.ceil(power_w_of(job, one) * region.facility_ratio * _PER_WATT - _ROUNDING),
        )
        for job in case.jobs
        for one in jobs.get(job.id, ())
        if one.region == region.name
    ]
    edges = _edges_at_s(case, region, [edge for one in held for edge in one[:2]], span_s)
    starts, ends = edges[:-1], edges[1:]
    cap_mw = _NO_CAP_MW if math.isinf(cap_w) else math.floor(cap_w * _PER_WATT + _ROUNDING)
    gpus = free_gpus([region], edges)[0].astype(np.int64) - _held(edges, [(one[0], one[1], one[2]) for one in held])
    milliwatts = cap_mw - _held(edges, [(one[0], one[1], one[3]) for one in held])
    series = case.forecasts.get(region.zone)
    carbon = np.full(len(starts), np.nan)
    if series is not None:
        at = series.edges_at_s.searchsorted(starts, side="right") - 1
        known = (at >= 0) & (at < len(series.gco2e_per_kwh))
        carbon[known] = region.pue * series.gco2e_per_kwh[at[known]] / _J_PER_KWH
    is_open = (ends - starts >= _SHORTEST_S) & (gpus > 0) & (milliwatts > 0)
    columns = (np.full(len(starts), index), starts, ends, gpus, milliwatts, carbon)
    return tuple(np.asarray(one)[is_open] for one in columns)


def _edges_at_s(case: FleetCase, region: Region, held_s: list[float], span_s: tuple[float, float]) -> Floats:
    windows = [edge for pool in case.pools for edge in (pool.earliest_start_at_s, pool.deadline_at_s)]
    holds = [edge for one in region.held for edge in (one.start_at_s, one.end_at_s)]
    edges = np.unique(np.concatenate((span_s, windows, holds, held_s)))
    if region.zone in case.forecasts:
        edges = np.union1d(edges, case.forecasts[region.zone].edges_at_s)
    return edges[(edges >= span_s[0]) & (edges <= span_s[1])]


def _held(edges_at_s: Floats, pieces: list[tuple[float, float, int]]) -> Wholes:
    """The sum of what pieces hold in each stretch between two edges."""
    changes = np.zeros(len(edges_at_s) + 1, dtype=np.int64)
    for start_s, end_s, amount in pieces:
        first, last = edges_at_s.searchsorted((start_s, end_s))
        changes[first] += amount
        changes[last] -= amount
    return np.cumsum(changes)[: len(edges_at_s) - 1]


def windows_s(case: FleetCase) -> tuple[float, float]:
    """From the first earliest start of a pool to the last deadline of one."""
    return min(one.earliest_start_at_s for one in case.pools), max(one.deadline_at_s for one in case.pools)
