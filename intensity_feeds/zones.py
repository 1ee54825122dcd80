"""Which zone of which provider a cloud region stands in.

Decides how a region is looked up by what people type. Knows no service; the facts are in static.py.
"""

from __future__ import annotations

from difflib import get_close_matches

from intensity_feeds.static import CloudRegion, cloud_regions


class UnknownRegionError(LookupError):
    """No such cloud region; `nearest` holds what may have been meant."""

    def __init__(self, asked: str, nearest: tuple[str, ...]) -> None:
        self.asked, self.nearest = asked, nearest
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else "; `slacktide regions` lists them all"
        super().__init__(f"no cloud region is called {asked!r}{hint}")


def region(name: str) -> CloudRegion:
    """The region called `eu-central-1`, or `aws:eu-central-1`. Raises UnknownRegionError with the nearest names."""
    wanted = name.strip().lower()
    for one in cloud_regions():
        if wanted in (one.name, one.key):
            return one
    known = [one.key if ":" in wanted else one.name for one in cloud_regions()]
    raise UnknownRegionError(name, tuple(get_close_matches(wanted, known, n=3, cutoff=0.7)))


def regions_in(zone: str) -> tuple[CloudRegion, ...]:
    """The regions that stand in a zone, by any provider's name of it."""
    return tuple(
        one for one in cloud_regions() if zone in (one.electricity_maps_zone, one.watttime_region, one.uk_carbon_zone)
    )


def known_zones() -> tuple[str, ...]:
    """Every Electricity Maps zone that holds a cloud region, sorted."""
    return tuple(sorted({one.electricity_maps_zone for one in cloud_regions()}))


def nearest_zones(zone: str) -> tuple[str, ...]:
    """Zones spelled almost like `zone`, best first; for a hint."""
    return tuple(get_close_matches(zone.upper(), known_zones(), n=3, cutoff=0.6))
