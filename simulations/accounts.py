"""What each piece of work used and emitted: energy from stretches and power traces, grams from the realised grid.

Every joule of a side belongs to exactly one item: a job, a request or the idling of a pool. An item whose intensity is
not known has NaN grams, never zero. Knows no policy and compares nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import IntensitySeries
from scheduler.ledger import emissions_gco2e
from scheduler.planning.plan import power_w_of
from simulations.launcher import parts_of
from simulations.power_trace import PowerTrace
from simulations.runs import PoolRun, Side
from simulations.scenario import RegionSettings

Floats = NDArray[np.float64]
J_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Items:
    """Energy at the IT equipment, the same with PUE, and emissions with PUE, each of shape (n,).

    Both sides of a comparison have the same items in the same order; what never ran has zero energy and zero grams.
    """

    energy_kwh: Floats
    facility_kwh: Floats
    emissions_gco2e: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolAccounts:
    """The requests of one pool, and its warm workers' idling as one item."""

    requests: Items
    idle: Items


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Accounts:
    """Everything one side used: jobs in the order of its works, and each pool."""

    jobs: Items
    pools: Sequence[PoolAccounts]


def accounts_of(side: Side, regions: Mapping[str, RegionSettings], realised: Mapping[str, IntensitySeries]) -> Accounts:
    """Prices one side on what the grid really emitted."""
    return Accounts(
        jobs=_job_items(side, regions, realised),
        pools=[pool_accounts(run, regions[run.spec.region].pue, realised[run.spec.zone]) for run in side.pools],
    )


def _job_items(side: Side, regions: Mapping[str, RegionSettings], realised: Mapping[str, IntensitySeries]) -> Items:
    places = {work.job.id: place for place, work in enumerate(side.works)}
    energy_kwh, grams = np.zeros(len(places)), np.zeros(len(places))
    facility_kwh = np.zeros(len(places))
    for stretch in side.stretches:
        place = places[stretch.job_id]
        work, region = side.works[place], regions[stretch.region]
        for part in parts_of(work, stretch):
            held_kwh = power_w_of(work.job, part) * part.duration_s / J_PER_KWH
            emitted = emissions_gco2e(held_kwh, region.pue, realised.get(region.zone), part.start_at_s, part.end_at_s)
            energy_kwh[place] += held_kwh
            facility_kwh[place] += held_kwh * region.pue
            grams[place] += np.nan if emitted is None else emitted
    return Items(energy_kwh=energy_kwh, emissions_gco2e=grams, facility_kwh=facility_kwh)


def pool_accounts(run: PoolRun, pue: float, series: IntensitySeries) -> PoolAccounts:
    """Splits every span of every worker evenly over the requests that shared it; a span without any is idling."""
    count = len(run.traffic.trace)
    energy_j, grams = np.zeros(count), np.zeros(count)
    idle_j, idle_g = 0.0, 0.0
    for place, power in enumerate(run.record.power):
        emitted = span_emissions_gco2e(power, series, pue)
        mine = (run.record.worker == place) & ~run.record.is_dropped
        first, last = run.record.first_span[mine], run.record.last_span[mine]
        energy_j[mine] = _shares(power.energy_j, power.sequences, first, last)
        grams[mine] = _shares(emitted, power.sequences, first, last)
        who, first, last = run.record.stays_on(place)
        np.add.at(energy_j, who, _shares(power.energy_j, power.sequences, first, last))
        np.add.at(grams, who, _shares(emitted, power.sequences, first, last))
        is_idle = power.sequences == 0
        idle_j += float(power.energy_j[is_idle].sum())
        idle_g += float(emitted[is_idle].sum())
    return PoolAccounts(
        requests=_items(energy_j / J_PER_KWH, grams, pue),
        idle=_items(np.array([idle_j / J_PER_KWH]), np.array([idle_g]), pue),
    )


def span_emissions_gco2e(trace: PowerTrace, series: IntensitySeries, pue: float) -> Floats:
    """Emissions of each span, shape (n,); NaN where the intensity of any part of it is not known."""
    edges = trace.edges_at_s
    known = (edges[:-1] >= series.start_at_s) & (edges[1:] <= series.end_at_s)
    means = np.full(len(trace.energy_j), np.nan)
    if known.any():
        first, last = np.flatnonzero(known)[[0, -1]]
        means[first : last + 1] = series.resampled(edges[first : last + 2]).gco2e_per_kwh
    return np.asarray(means * trace.energy_j / J_PER_KWH * pue, dtype=np.float64)


def _shares(array: Floats, sequences: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]) -> Floats:
    """Each request's part of the spans [first, last): one sequence's share of each span, by prefix sums."""
    each = np.divide(array, sequences, out=np.zeros_like(array), where=sequences > 0)
    unknown = np.isnan(each)
    sums = np.concatenate(([0.0], np.cumsum(np.where(unknown, 0.0, each))))
    gaps = np.concatenate(([0], np.cumsum(unknown)))
    parts = sums[last] - sums[first]
    parts[gaps[last] > gaps[first]] = np.nan
    return np.asarray(parts, dtype=np.float64)


def _items(energy_kwh: Floats, emissions_gco2e: Floats, pue: float) -> Items:
    return Items(energy_kwh=energy_kwh, emissions_gco2e=emissions_gco2e, facility_kwh=energy_kwh * pue)
