"""What a plan is chosen by: a weighted sum of grams, dollars, litres, waiting, and at most one limit.

Every term is either paid per kilowatt-hour at some instant (grid carbon, electricity, water) or per second that a GPU
is held (embodied carbon, hire). So a case with an objective is a plain case again: its forecasts are what a facility's
kilowatt-hour costs, its GPU rates what holding one costs, and the joint planner, its bound and its certificate work on
it as they are. Where they say gCO2e of such a case they mean the units of the objective, which are grams when only
carbon counts.

Waiting is counted by energy: a kilowatt-hour of IT work that is done an hour later than it would be at once. Counted by
job, a minute's work would weigh as much as a week's, and two halves of a job twice as much as the whole. So it is a
price that rises with time, the same for every job, less what each job pays when it runs at once: `waiting_offset`. It
rises in the steps of the grid; within one, all work counts as in its middle.

PUE enters once, as everywhere, through the region; water on site is counted by IT energy and is divided by it here.
A price that is not known makes the time unknown when dollars count: nothing is planned there. Prices and intensities
below zero are taken at their word: energy is then earned by running, and a job goes where it earns most. It still runs
for its duration and no longer. What a plan costs afterwards is added up again from the original series.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum

import numpy as np

from intensity_feeds.prices import PriceSeries
from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Job
from scheduler.planning.plan import Region, Segment
from scheduler.planning.whole_fleet.fleet_case import FleetCase, gpus_of, power_w_of

_S_PER_H = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What one unit of each component adds to the objective. Raises ValueError when one is negative, or all are 0."""

    per_gco2e: float = 0.0
    per_usd: float = 0.0
    per_l: float = 0.0
    per_waiting_kwh_h: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= one < math.inf for one in self._weights) or not any(self._weights):
            raise ValueError("weights are numbers from 0, and one of them is above 0")

    @property
    def first_factor(self) -> float:
        """The first weight that counts. Divided by it, the same preferences have one scale, and give one plan."""
        return next(one for one in self._weights if one > 0)

    @property
    def _weights(self) -> list[float]:
        return [getattr(self, one.name) for one in fields(self)]

    def over(self, factor: float) -> Weights:
        return Weights(**{one.name: getattr(self, one.name) / factor for one in fields(self)})

    def counts_only(self, what: Limited) -> bool:
        """Whether nothing counts beside what is to be limited."""
        return sum(self._weights) == (self.per_gco2e if what is Limited.GCO2E else self.per_usd)

    def and_more_on(self, what: Limited, factor: float) -> Weights:
        if what is Limited.GCO2E:
            return replace(self, per_gco2e=self.per_gco2e + factor)
        return replace(self, per_usd=self.per_usd + factor)


GRAMS = Weights(per_gco2e=1.0)


class Limited(StrEnum):
    """What a plan may be held below."""

    GCO2E = "gco2e"
    USD = "usd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """No more than this of it, in its own unit, in the whole plan; embodied carbon and hire count."""

    what: Limited
    most_cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    weights: Weights = GRAMS
    limit: Limit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a region charges beside its grid's carbon; None is not known, and is never 0.

    `usd_per_kwh` is a series or one price for all time, of the facility's energy. `wue_l_per_kwh` is water on site per
    kWh of IT energy, `source_l_per_kwh` water in each kWh of electricity. Embodied carbon and hire are per GPU-hour.
    """

    usd_per_kwh: PriceSeries | float | None = None
    usd_per_gpu_h: float = 0.0
    gco2e_per_gpu_h: float = 0.0
    wue_l_per_kwh: float | None = None
    source_l_per_kwh: float = 0.0


Sites = Mapping[str, Site]  # by the name of the region


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """What running costs, in each unit; None where a price or a rate of water is not known.

    `energy_kwh` is the facility's and `grid_gco2e` what it emits, `embodied_gco2e` the share of making the GPUs,
    `waiting_kwh_h` IT energy times how much later it is used than at once. Moving data to a job is counted apart.
    """

    energy_kwh: float = 0.0
    grid_gco2e: float = 0.0
    embodied_gco2e: float = 0.0
    electricity_usd: float | None = 0.0
    hire_usd: float = 0.0
    water_l: float | None = 0.0
    waiting_kwh_h: float = 0.0
    transfer_kwh: float = 0.0
    transfer_gco2e: float = 0.0
    transfer_usd: float | None = 0.0

    @property
    def gco2e(self) -> float:
        return self.grid_gco2e + self.embodied_gco2e + self.transfer_gco2e

    @property
    def usd(self) -> float | None:
        if self.electricity_usd is None or self.transfer_usd is None:
            return None
        return self.electricity_usd + self.hire_usd + self.transfer_usd

    def of(self, what: Limited) -> float | None:
        return self.gco2e if what is Limited.GCO2E else self.usd


def effective(case: FleetCase, sites: Sites, weights: Weights) -> FleetCase:
    """The case whose emissions are the objective; the case itself where only the grid's grams count, each as 1."""
    gpu_rates = {region.name: _gpu_rate_per_s(sites[region.name], weights) for region in case.regions}
    if weights == GRAMS and not any(gpu_rates.values()):
        return case
    # Two regions of one zone may pay different prices, so each gets a series of its own.
    known = [region for region in case.regions if region.zone in case.forecasts]
    series = {region.name: _effective_series(case, region, sites[region.name], weights) for region in known}
    return replace(
        case,
        regions=[replace(region, zone=region.name) for region in case.regions],
        forecasts=series,
        gpu_rate_gco2e_per_s=gpu_rates,
    )


def value_of(weights: Weights, cost: Components) -> float:
    """The objective of what was paid; NaN where something that counts is not known."""
    terms: list[tuple[float, float | None]] = [
        (weights.per_gco2e, cost.gco2e),
        (weights.per_usd, cost.usd),
        (weights.per_l, cost.water_l),
        (weights.per_waiting_kwh_h, cost.waiting_kwh_h),
    ]
    return sum(weight * (math.nan if paid is None else paid) for weight, paid in terms if weight > 0)


def waiting_offset_cost(case: FleetCase, weights: Weights, job_ids: Collection[str]) -> float:
    """What the rising price asks of these jobs when they run at once; the effective case charges so much too much."""
    if weights.per_waiting_kwh_h == 0:
        return 0.0
    origin_s = first_start_at_s(case)
    jobs = [job for job in case.jobs if job.id in job_ids]
    return weights.per_waiting_kwh_h * math.fsum(
        job.energy_kwh * (_middle_s(job) - origin_s) / _S_PER_H for job in jobs
    )


def components(case: FleetCase, sites: Sites, job: Job, segments: Sequence[Segment]) -> Components:
    """What the segments of a job cost, from the original series alone. Grams are NaN where the grid is not known."""
    regions = {region.name: region for region in case.regions}
    return total(_of_segment(case, regions[one.region], sites[one.region], job, one) for one in segments)


def energy_components(case: FleetCase, sites: Sites, energy_kwh: float, one: Segment) -> Components:
    """What so much energy, drawn evenly over a segment, emits and costs; nothing else of it is counted."""
    region = next(region for region in case.regions if region.name == one.region)
    price = sites[region.name].usd_per_kwh
    if isinstance(price, PriceSeries):
        price = price.mean_usd_per_kwh(one.start_at_s, one.end_at_s)
    return Components(
        energy_kwh=energy_kwh,
        grid_gco2e=energy_kwh * _mean_gco2e_per_kwh(case, region, one),
        electricity_usd=None if price is None else energy_kwh * price,
    )


def total(every: Iterable[Components]) -> Components:
    """The sum of each component; one that is not known anywhere is not known in sum."""
    rows = list(every)
    sums = {one.name: _sum([getattr(row, one.name) for row in rows]) for one in fields(Components)}
    return Components(**sums)  # type: ignore[arg-type]


def _sum(parts: Sequence[float | None]) -> float | None:
    known = [one for one in parts if one is not None]
    return math.fsum(known) if len(known) == len(parts) else None


def _gpu_rate_per_s(site: Site, weights: Weights) -> float:
    return (weights.per_gco2e * site.gco2e_per_gpu_h + weights.per_usd * site.usd_per_gpu_h) / _S_PER_H


def _effective_series(case: FleetCase, region: Region, site: Site, weights: Weights) -> IntensitySeries:
    """What each kWh of the facility costs. Where the grid is not known it stays unknown, whatever counts."""
    series, pue = case.forecasts[region.zone], region.pue
    edges = series.edges_at_s
    if weights.per_usd > 0 and isinstance(site.usd_per_kwh, PriceSeries):
        inner = site.usd_per_kwh.edges_at_s
        edges = np.union1d(edges, inner[(inner > edges[0]) & (inner < edges[-1])])
    steps = series.edges_at_s.searchsorted(edges[:-1], side="right") - 1
    values = weights.per_gco2e * series.gco2e_per_kwh[steps]
    if weights.per_usd > 0:
        paid = (
            site.usd_per_kwh.at_instants(edges[:-1]) if isinstance(site.usd_per_kwh, PriceSeries) else site.usd_per_kwh
        )
        values = values + weights.per_usd * (math.nan if paid is None else paid)
    if weights.per_l > 0:
        water_l = _water_l_per_kwh(site, pue)
        values = values + weights.per_l * (math.nan if water_l is None else water_l)
    if weights.per_waiting_kwh_h > 0:
        middles_s = (series.edges_at_s[:-1] + series.edges_at_s[1:])[steps] / 2
        values = values + weights.per_waiting_kwh_h / pue * (middles_s - first_start_at_s(case)) / _S_PER_H
    return replace(series, edges_at_s=edges, gco2e_per_kwh=values)


def first_start_at_s(case: FleetCase) -> float:
    """From which time waiting is counted; any will do, and one nearby keeps numbers small."""
    return min((job.earliest_start_at_s for job in case.jobs), default=0.0)


def _middle_s(job: Job) -> float:
    """When half of the work would be done at once."""
    return job.earliest_start_at_s + job.duration_s / 2


def _waiting_kwh_h(series: IntensitySeries | None, job: Job, one: Segment) -> float:
    """Work of a segment times how much later the middle of its step is than half of the job, run at once."""
    if series is None or not series.covers(one.start_at_s, one.end_at_s):
        return math.nan
    edges, _ = series.steps_between(one.start_at_s, one.end_at_s)
    inner = series.edges_at_s.searchsorted(edges[:-1], side="right") - 1
    middles_s = (series.edges_at_s[inner] + series.edges_at_s[inner + 1]) / 2
    waited_s2 = float(np.dot(np.diff(edges), middles_s - _middle_s(job)))
    return power_w_of(job, one) / 1000.0 * waited_s2 / _S_PER_H**2


def _water_l_per_kwh(site: Site, pue: float) -> float | None:
    """Per kWh of the facility. Source: energy times (WUE on site + PUE times water in electricity), over energy."""
    return None if site.wue_l_per_kwh is None else site.wue_l_per_kwh / pue + site.source_l_per_kwh


def _of_segment(case: FleetCase, region: Region, site: Site, job: Job, one: Segment) -> Components:
    it_kwh = power_w_of(job, one) * region.power_ratio / 1000.0 * one.duration_s / _S_PER_H
    facility_kwh = it_kwh * region.pue
    gpu_h = gpus_of(job, one) * one.duration_s / _S_PER_H
    drawn = energy_components(case, {region.name: site}, facility_kwh, one)
    water_l = None if site.wue_l_per_kwh is None else it_kwh * (site.wue_l_per_kwh + region.pue * site.source_l_per_kwh)
    return replace(
        drawn,
        embodied_gco2e=gpu_h * site.gco2e_per_gpu_h,
        hire_usd=gpu_h * site.usd_per_gpu_h,
        water_l=water_l,
        waiting_kwh_h=_waiting_kwh_h(case.forecasts.get(region.zone), job, one),
    )


def _mean_gco2e_per_kwh(case: FleetCase, region: Region, one: Segment) -> float:
    series = case.forecasts.get(region.zone)
    if series is None or not series.covers(one.start_at_s, one.end_at_s):
        return math.nan
    return series.mean_gco2e_per_kwh(one.start_at_s, one.end_at_s)
