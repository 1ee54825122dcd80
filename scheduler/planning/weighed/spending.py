"""What a tenant has spent in a period by the ledger, in kilowatt-hours, grams or dollars.

Uses are kept by hour, so that a busy month is a few hundred numbers, and priced when somebody asks: what the grid of an
hour really emitted is known later than its use. Embodied carbon and hire come from the GPU-hours of jobs; a request has
energy only. What is not known cannot be shown to be within a budget, so it is infinite here, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from intensity_feeds.prices import PriceSeries
from intensity_feeds.series import IntensitySeries
from scheduler.ledger import EnergyUse
from scheduler.planning.whole_fleet.objective import Site, Sites
from scheduler.planning.whole_fleet.rules.budgets import EVERYBODY, Spent

_HOUR_S = 3600.0


@dataclass(slots=True)
class _Hour:
    facility_kwh: float = 0.0
    gpu_hours: float = 0.0


class Spending:
    """Uses of tenants by region and hour; `add` is its only verb."""

    def __init__(self) -> None:
        self._hours: dict[str, dict[tuple[str, str, float], _Hour]] = {}

    def add(self, use: EnergyUse, gpus: int = 0) -> None:
        """One use, spread evenly over the hours that it touches; `gpus` are those that it held."""
        lasted_s = use.ended_at_s - use.started_at_s
        hours = self._hours.setdefault(use.tenant, {})
        hour_s = use.started_at_s - use.started_at_s % _HOUR_S
        while hour_s < use.ended_at_s:
            part_s = min(use.ended_at_s, hour_s + _HOUR_S) - max(use.started_at_s, hour_s)
            one = hours.setdefault((use.region, use.zone, hour_s), _Hour())
            one.facility_kwh += use.energy_kwh * use.pue * part_s / lasted_s
            one.gpu_hours += gpus * part_s / _HOUR_S
            hour_s += _HOUR_S

    def spent_cost(
        self,
        tenant: str,
        what: Spent,
        from_s: float,
        to_s: float,
        intensity: Mapping[str, IntensitySeries],
        sites: Sites,
    ) -> float:
        """Of the hours that begin in [from, to), of all tenants for `*`; infinite where some of it is not known."""
        tenants = self._hours if tenant == EVERYBODY else (tenant,)
        return math.fsum(
            _hour_cost(one, what, hour_s, intensity.get(zone), sites.get(region))
            for name in tenants
            for (region, zone, hour_s), one in self._hours.get(name, {}).items()
            if from_s <= hour_s < to_s
        )

    def forget_before(self, at_s: float) -> None:
        """Periods that are over are nobody's any more."""
        for tenant, hours in self._hours.items():
            self._hours[tenant] = {key: one for key, one in hours.items() if key[2] >= at_s}


def _hour_cost(one: _Hour, what: Spent, hour_s: float, series: IntensitySeries | None, site: Site | None) -> float:
    match what:
        case Spent.KWH:
            return one.facility_kwh
        case Spent.GCO2E:
            gpu_rate = 0.0 if site is None else site.gco2e_per_gpu_h
            return one.facility_kwh * _mean_gco2e_per_kwh(series, hour_s) + one.gpu_hours * gpu_rate
        case Spent.USD:
            price = None if site is None else _mean_usd_per_kwh(site.usd_per_kwh, hour_s)
            if price is None or site is None:
                return math.inf
            return one.facility_kwh * price + one.gpu_hours * site.usd_per_gpu_h


def _mean_gco2e_per_kwh(series: IntensitySeries | None, hour_s: float) -> float:
    """Over what is known of the hour, which may have begun before the first answer of a feed."""
    if series is None:
        return math.inf
    from_s, to_s = max(hour_s, series.start_at_s), min(hour_s + _HOUR_S, series.end_at_s)
    if to_s <= from_s or not series.covers(from_s, to_s):
        return math.inf
    return series.mean_gco2e_per_kwh(from_s, to_s)


def _mean_usd_per_kwh(usd_per_kwh: PriceSeries | float | None, hour_s: float) -> float | None:
    if isinstance(usd_per_kwh, PriceSeries):
        return usd_per_kwh.mean_usd_per_kwh(hour_s, hour_s + _HOUR_S)
    return usd_per_kwh
