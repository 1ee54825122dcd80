"""The regions of the settings as the engine sees them: with what they hold for some weeks from now. Pure.

Weekly rules have no end and a plan has one, so holds are laid out as far ahead as anything is planned, and again before
they run out. What lies beyond is as if nothing were held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scheduler.held_settings import holds_between
from scheduler.planning.plan import Hold, Region
from scheduler.region_settings import RegionSettings

# Forecasts reach a week ahead, queues of late work further; laid out anew every day.
HELD_AHEAD_S = 35 * 86_400.0


def regions_ahead(
    settings: Iterable[RegionSettings], now_s: float, more: Mapping[str, Iterable[Hold]] | None = None
) -> list[Region]:
    """Every region with its holds from now on; `more` by name."""
    return [_region(one, now_s, (more or {}).get(one.name, ())) for one in settings]


def _region(settings: RegionSettings, now_s: float, more: Iterable[Hold]) -> Region:
    until_s = now_s + HELD_AHEAD_S
    held = holds_between(settings.reserved, settings.maintenance, settings.gpus, now_s, until_s, more)
    return Region(
        name=settings.name,
        zone=settings.zone,
        gpus=settings.gpus,
        pue=settings.pue,
        held=held,
        power_cap_w=None if settings.power_cap_kw is None else 1000.0 * settings.power_cap_kw,
    )
