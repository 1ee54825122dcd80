"""Where a fixed amount of GPU work emits least, under a limit of cost: a static ranking.

The fallback for when nothing but yearly averages is known; the planner knows hours. An option without a price cannot
be shown to keep a limit, so a limit leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shaping.calculators.training import emissions_kgco2e, facility_energy_kwh


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One place and one kind of GPU. None is unknown, never zero."""

    name: str
    gpu_hours: float
    power_w: float
    pue: float
    intensity_gco2e_per_kwh: float
    gpu_hour_usd: float | None = None
    site_water_l_per_kwh: float | None = None  # of IT energy
    grid_water_l_per_kwh: float | None = None  # of electricity


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What the work comes to there."""

    option: Option
    energy_kwh: float
    emitted_kgco2e: float
    water_l: float | None
    cost_usd: float | None


def placed(option: Option) -> Placed:
    energy_kwh = facility_energy_kwh(option.gpu_hours, option.power_w, option.pue)
    return Placed(
        option=option,
        energy_kwh=energy_kwh,
        emitted_kgco2e=emissions_kgco2e(energy_kwh, option.intensity_gco2e_per_kwh),
        water_l=water_l(energy_kwh / option.pue, option),
        cost_usd=None if option.gpu_hour_usd is None else option.gpu_hours * option.gpu_hour_usd,
    )


def water_l(it_energy_kwh: float, option: Option) -> float | None:
    """On site and in the electricity; WUE is per IT energy, so PUE multiplies the second only.

    Source: energy_model 5.
    """
    if option.site_water_l_per_kwh is None or option.grid_water_l_per_kwh is None:
        return None
    return it_energy_kwh * (option.site_water_l_per_kwh + option.pue * option.grid_water_l_per_kwh)


def ranked(options: Iterable[Option], most_usd: float | None = None) -> list[Placed]:
    """Best first by emissions; of equals the cheaper, then by name. Those above the limit are left out."""
    found = [placed(option) for option in options]
    if most_usd is not None:
        found = [one for one in found if one.cost_usd is not None and one.cost_usd <= most_usd]
    return sorted(found, key=_rank)


def _rank(one: Placed) -> tuple[float, float, str]:
    # Rounded so that places of one grid and one PUE tie whatever the order of the multiplications.
    return round(one.emitted_kgco2e, 6), float("inf") if one.cost_usd is None else one.cost_usd, one.option.name
