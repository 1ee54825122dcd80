"""Carbon and capacity prices of a fleet on one common grid of cells: what a job would pay at each instant.

The cells are cut at every edge of every forecast between the first earliest start and the last deadline, so carbon and
prices are both constant within a cell. Decides no price; bound.py finds them and local_search.py follows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.curve import Curve, Intervals, curve
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.fleet_case import FleetCase, gpus_of, power_w_of
from scheduler.planning.whole_fleet.holds import free_gpus

Indexes = NDArray[np.intp]

_W_S_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rates:
    """Shapes: `edges_at_s` (cells + 1,), all others (regions, cells).

    `carbon_g_per_kwh` has PUE in it and is NaN where a forecast has none. `gpu_price_gco2e_per_s` is charged per GPU,
    `power_price_gco2e_per_j` per joule that the facility draws; both are prices of capacity. What the case itself
    charges for a GPU is `gpu_rates_gco2e_per_s`, of shape (regions,).
    """

    case: FleetCase
    edges_at_s: Floats
    carbon_g_per_kwh: Floats
    gpu_price_gco2e_per_s: Floats
    power_price_gco2e_per_j: Floats
    known: Sequence[Intervals]
    # A search asks for the same job's curves thousands of times.
    _curves: dict[str, list[Curve]] = field(default_factory=dict, repr=False)
    sums: tuple[Floats, Floats, Floats] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        held = self.gpu_price_gco2e_per_s + self.gpu_rates_gco2e_per_s[:, None]
        every = (np.nan_to_num(self.carbon_g_per_kwh), held, self.power_price_gco2e_per_j)
        carbon, gpus, power = (cumulated(one * self.lengths_s) for one in every)
        object.__setattr__(self, "sums", (carbon, gpus, power))

    @classmethod
    def of(cls, case: FleetCase) -> Self:
        edges = _edges_at_s(case)
        shape = (len(case.regions), len(edges) - 1)
        carbon = np.full(shape, np.nan)
        known: list[Intervals] = []
        for index, region in enumerate(case.regions):
            series = case.forecasts.get(region.zone)
            part = curve(region.name, series, region.pue, edges[0], edges[-1]) if series is not None else None
            known.append(part.known if part is not None else ())
            if series is not None:
                at = series.edges_at_s.searchsorted(edges[:-1], side="right") - 1
                inside = (at >= 0) & (at < len(series.gco2e_per_kwh))
                carbon[index, inside] = region.facility_ratio * series.gco2e_per_kwh[at[inside]]
        return cls(
            case=case,
            edges_at_s=edges,
            carbon_g_per_kwh=carbon,
            gpu_price_gco2e_per_s=np.zeros(shape),
            power_price_gco2e_per_j=np.zeros(shape),
            known=known,
        )

    @property
    def site_g_per_kwh(self) -> Floats:
        """What a kilowatt-hour drawn there emits, (regions, cells), whatever a job draws on another GPU."""
        ratios: Floats = np.array([[region.power_ratio] for region in self.case.regions])
        return self.carbon_g_per_kwh / ratios

    @property
    def gpu_rates_gco2e_per_s(self) -> Floats:
        rates = self.case.gpu_rate_gco2e_per_s
        return np.array([float(rates.get(region.name, 0.0)) for region in self.case.regions])

    @property
    def lengths_s(self) -> Floats:
        return np.diff(self.edges_at_s)

    @property
    def free_gpus(self) -> Floats:
        """What jobs may use at once in each cell; cells are cut where a region begins or ends to hold GPUs."""
        return free_gpus(self.case.regions, self.edges_at_s)

    def with_prices(self, gpu_price_gco2e_per_s: Floats, power_price_gco2e_per_j: Floats) -> Rates:
        return Rates(
            case=self.case,
            edges_at_s=self.edges_at_s,
            carbon_g_per_kwh=self.carbon_g_per_kwh,
            gpu_price_gco2e_per_s=gpu_price_gco2e_per_s,
            power_price_gco2e_per_j=power_price_gco2e_per_j,
            known=self.known,
        )

    def damped(self, ratio: float) -> Rates:
        """With a part of the prices."""
        return self.with_prices(ratio * self.gpu_price_gco2e_per_s, ratio * self.power_price_gco2e_per_j)

    def curves(self, job: Job) -> list[Curve]:
        """What the whole job pays per second in each region it may use, in gCO2e; unknown time is not `known`.

        Only the cells between its earliest start and its deadline.
        """
        if job.id not in self._curves:
            self._curves[job.id] = [self._curve(job, index) for index in self.case.allowed(job) if self.known[index]]
        return self._curves[job.id]

    def forget(self, job_id: str) -> None:
        """Who asks for a job of the same name with other limits gets other curves."""
        self._curves.pop(job_id, None)

    def cost_of(self, job: Job, segments: Sequence[Segment]) -> float:
        """What the segments of the job pay; all of them in known time."""
        if all(one.gpus is None and one.power_w is None for one in segments):
            by_region = {one.region: one for one in self.curves(job)}
            return sum(by_region[one.region].integral_g_s_per_kwh(one.start_at_s, one.end_at_s) for one in segments)
        return sum(self._cost_of_piece(job, one) for one in segments)

    def _cost_of_piece(self, job: Job, one: Segment) -> float:
        index = next(number for number, region in enumerate(self.case.regions) if region.name == one.region)
        ends_at_s = (one.start_at_s, one.end_at_s)
        cost = 0.0
        for weight, sums in zip(self._weights(gpus_of(job, one), power_w_of(job, one), index), self.sums, strict=True):
            before, after = np.interp(ends_at_s, self.edges_at_s, sums[index])
            cost += weight * float(after - before)
        return cost

    def unit_sums(self, index: int) -> tuple[Floats, Floats]:
        """What a watt and a GPU pay up to each edge in a region."""
        carbon, gpus, power = (one[index] for one in self.sums)
        return carbon / _W_S_PER_KWH + self.case.regions[index].facility_ratio * power, gpus

    def level_costs(self, row: Indexes, gpus: NDArray[np.int64], power_w: Floats, cell: Indexes) -> Floats:
        """What each level pays per second in each of these cells, (levels, cells); infinite where nothing is known."""
        at = (row[:, None], cell)
        ratio = np.array([[self.case.regions[index].facility_ratio] for index in row.tolist()])
        costs: Floats = power_w[:, None] * (self.carbon_g_per_kwh[at] / _W_S_PER_KWH)
        costs += power_w[:, None] * ratio * self.power_price_gco2e_per_j[at]
        costs += gpus[:, None] * (self.gpu_price_gco2e_per_s[at] + self.gpu_rates_gco2e_per_s[row][:, None])
        costs[np.isnan(costs)] = np.inf
        return costs

    def _weights(self, gpus: int, power_w: float, index: int) -> tuple[float, float, float]:
        """Of the sums, in a region."""
        return power_w / _W_S_PER_KWH, float(gpus), power_w * self.case.regions[index].facility_ratio

    def _curve(self, job: Job, index: int) -> Curve:
        region = self.case.regions[index]
        first = int(self.edges_at_s.searchsorted(job.earliest_start_at_s, side="right")) - 1
        last = int(self.edges_at_s.searchsorted(job.deadline_at_s))
        weights = self._weights(job.gpus, job.power_w, index)
        sums = (weight * one[index, first : last + 1] for weight, one in zip(weights, self.sums, strict=True))
        cumulative, edges = np.add.reduce(list(sums)), self.edges_at_s[first : last + 1]
        return Curve(
            region=region.name,
            edges_at_s=edges,
            gco2e_per_kwh=np.diff(cumulative) / np.diff(edges),
            cumulative_g_s_per_kwh=cumulative,
            known=self.known[index],
        )


def cumulated(array: Floats) -> Floats:
    """Sums up to each edge along the last axis, with 0 at the first."""
    first = np.zeros((*array.shape[:-1], 1))
    return np.concatenate((first, np.cumsum(array, axis=-1)), axis=-1)


def _edges_at_s(case: FleetCase) -> Floats:
    windows = [(one.earliest_start_at_s, one.deadline_at_s) for one in case.jobs]
    windows += [(one.earliest_start_at_s, one.deadline_at_s) for one in case.pools]
    from_s, to_s = min(one[0] for one in windows), max(one[1] for one in windows)
    inner = [case.forecasts[region.zone].edges_at_s for region in case.regions if region.zone in case.forecasts]
    held = [edge for region in case.regions for one in region.held for edge in (one.start_at_s, one.end_at_s)]
    edges = np.unique(np.concatenate(([from_s, to_s], held, *inner)))
    return edges[(edges >= from_s) & (edges <= to_s)]
