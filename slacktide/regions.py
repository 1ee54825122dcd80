"""`slacktide regions`: cloud regions, their grid's name at each provider, PUE, WUE and yearly average."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from slacktide.columns import UNKNOWN, aligned
from slacktide.terminal import JSON_OPTION, UsageProblem, print_json, say

if TYPE_CHECKING:
    from intensity_feeds.static import CloudRegion

_HEAD = ("REGION", "CITY", "ZONE", "WATTTIME", "PUE", "WUE L/kWh", "gCO2e/kWh")
_NUMBERS = (4, 5, 6)


def regions(
    provider: Annotated[str, typer.Option(help="Only this provider: aws, gcp or azure.")] = "",
    zone: Annotated[str, typer.Option(help="Only regions of this grid zone, by any provider's name of it.")] = "",
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """List cloud regions with the zone of their grid, PUE, WUE and the yearly average intensity.

    Example: slacktide regions --zone DE

    Averages are those of 2023, consumption-based, life-cycle; what is unknown stays empty.
    """
    found = _chosen(provider, zone)
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    print(aligned([_HEAD, *(_row(one) for one in found)], right=_NUMBERS))
    say(f"{len(found)} regions; gCO2e/kWh is the average of 2023, life-cycle; {UNKNOWN} is unknown")


def _chosen(provider: str, zone: str) -> tuple[CloudRegion, ...]:
    from intensity_feeds.static import cloud_regions
    from intensity_feeds.zones import nearest_zones, regions_in

    providers = sorted({one.provider for one in cloud_regions()})
    if provider and provider.lower() not in providers:
        raise UsageProblem(f"no provider is called {provider}", f"choose one of {', '.join(providers)}")
    found = regions_in(zone) if zone else cloud_regions()
    if not found:
        nearest = nearest_zones(zone)
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else "`slacktide regions` lists all zones"
        raise UsageProblem(f"no cloud region stands in zone {zone}", hint)
    return tuple(one for one in found if not provider or one.provider == provider.lower())


def _row(one: CloudRegion) -> tuple[str, ...]:
    average = one.yearly_average_gco2e_per_kwh
    return (
        one.key,
        one.city or UNKNOWN,
        one.electricity_maps_zone or UNKNOWN,
        one.watttime_region or UNKNOWN,
        UNKNOWN if one.pue is None else f"{one.pue:.2f}",
        UNKNOWN if one.wue_l_per_kwh is None else f"{one.wue_l_per_kwh:.2f}",
        UNKNOWN if average is None else f"{average:.0f}",
    )


def _as_json(one: CloudRegion) -> dict[str, object]:
    """Empty names become null: a script can tell unknown from known."""
    known = {key: None if value == "" else value for key, value in asdict(one).items()}
    return {
        "key": one.key,
        **known,
        "uk_carbon_zone": one.uk_carbon_zone or None,
        "yearly_average_gco2e_per_kwh": one.yearly_average_gco2e_per_kwh,
    }
