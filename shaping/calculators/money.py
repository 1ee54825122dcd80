"""What a worker costs over its life, when a change pays back, and what growth leaves of a saving."""

from __future__ import annotations

from dataclasses import dataclass

_H_PER_YEAR = 8766.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """A machine over a horizon. `facility_kw` is its mean draw at the meter."""

    capital_usd: float
    lifetime_h: float
    facility_kw: float
    usd_per_kwh: float
    kgco2e_per_kwh: float
    usd_per_kgco2e: float = 0.0

    def cost_usd(self, horizon_h: float) -> float:
        """Capital by the share of its life, energy, and carbon at its price."""
        energy_kwh = self.facility_kw * horizon_h
        carbon_usd = energy_kwh * self.kgco2e_per_kwh * self.usd_per_kgco2e
        return self.capital_usd * horizon_h / self.lifetime_h + energy_kwh * self.usd_per_kwh + carbon_usd

    def per_1000_tokens_usd(self, tokens_per_s: float) -> float:
        return self.cost_usd(1.0) / (tokens_per_s * 3600.0) * 1000.0


def payback_years(invested_usd: float, saved_usd_per_h: float) -> float | None:
    """When a change has paid for itself; None where it never does."""
    return invested_usd / saved_usd_per_h / _H_PER_YEAR if saved_usd_per_h > 0 else None


def rebound_ratio(efficiency_gain_ratio: float, demand_growth_ratio: float) -> float:
    """The total over what it was, after both: below 1 only where the gain outruns the growth. Source: calculators 6."""
    return (1 - efficiency_gain_ratio) * (1 + demand_growth_ratio)
