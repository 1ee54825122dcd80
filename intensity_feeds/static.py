"""Cloud regions and yearly averages: what is known of a grid when nothing else is.

Decides how the tables of region_facts.py read. Knows no provider's service; an unknown figure is None, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from intensity_feeds import region_facts
from intensity_feeds.series import Basis, IntensitySeries, Quality, Signal

_NO_AVERAGE = "-"
YEARLY_AVERAGE_SOURCE = "yearly average of 2023"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudRegion:
    """One region of a cloud provider and the names its grid has elsewhere; empty and None mean unknown.

    `yearly_average_zone` is the zone whose yearly average is published for the region; it may be a neighbour of
    `electricity_maps_zone`.
    """

    provider: str
    name: str
    city: str
    country: str
    electricity_maps_zone: str
    watttime_region: str
    pue: float | None
    wue_l_per_kwh: float | None
    yearly_average_zone: str

    @property
    def key(self) -> str:
        """`provider:region`, unique over all providers."""
        return f"{self.provider}:{self.name}"

    @property
    def uk_carbon_zone(self) -> str:
        """The zone of the GB Carbon Intensity API, empty outside Great Britain."""
        return "GB" if self.country == "GB" else ""

    @property
    def yearly_average_gco2e_per_kwh(self) -> float | None:
        """Consumption average of 2023, life-cycle basis."""
        return yearly_average_gco2e_per_kwh(self.yearly_average_zone)


@cache
def cloud_regions() -> tuple[CloudRegion, ...]:
    """All known regions, sorted by provider and name."""
    return tuple(_region(line) for line in region_facts.REGIONS.splitlines())


def yearly_average_gco2e_per_kwh(zone: str) -> float | None:
    """Yearly consumption average of an Electricity Maps zone, life-cycle basis; None where unknown."""
    known_as = region_facts.YEARLY_AVERAGE_STAND_IN.get(zone, zone)
    return region_facts.YEARLY_AVERAGE_GCO2E_PER_KWH.get(known_as)


def yearly_average_series(zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries | None:
    """The yearly average as a flat series over the interval, labelled as such; None where unknown."""
    average = yearly_average_gco2e_per_kwh(zone)
    if average is None:
        return None
    return IntensitySeries.flat(
        zone,
        start_at_s,
        end_at_s,
        average,
        signal=Signal.AVERAGE,
        basis=Basis.LIFECYCLE,
        quality=Quality.YEARLY_AVERAGE,
        source=YEARLY_AVERAGE_SOURCE,
    )


def _region(line: str) -> CloudRegion:
    provider, name, city, country, zone, watttime_region, pue, wue, average_zone = line.split(";")
    return CloudRegion(
        provider=provider,
        name=name,
        city=city,
        country=country,
        electricity_maps_zone=zone,
        watttime_region=watttime_region,
        pue=float(pue) if pue else None,
        wue_l_per_kwh=float(wue) if wue else None,
        yearly_average_zone="" if average_zone == _NO_AVERAGE else average_zone or zone,
    )
