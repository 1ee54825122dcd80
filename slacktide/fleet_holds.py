"""[[region.reserved]] and [[region.maintenance]] of FLEET.toml: which GPUs jobs may not have. Points at mistakes."""

from __future__ import annotations

from datetime import time
from typing import TYPE_CHECKING, Any

from slacktide.fleet_tables import Tables

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from scheduler.planning.plan import Hold
    from scheduler.planning.whole_fleet.holds import WeekHours
    from scheduler.toml_positions import KeyPath


def week_hours(tables: Tables, index: int, gpus: int) -> tuple[WeekHours, ...]:
    """The weekly rules of a region that has so many GPUs."""
    count = len(tables.regions[index].get("reserved", ()))
    return tuple(_week_hours(tables, ("region", index, "reserved", number), gpus) for number in range(count))


def maintenance(tables: Tables, index: int, gpus: int) -> tuple[Hold, ...]:
    """The windows out of service, all GPUs unless they say how many."""
    from scheduler.planning.plan import Hold

    found: list[Hold] = []
    for number in range(len(tables.regions[index].get("maintenance", ()))):
        where: KeyPath = ("region", index, "maintenance", number)
        from_s, to_s = _instant_s(tables, (*where, "from")), _instant_s(tables, (*where, "to"))
        if not to_s > from_s:
            raise tables.wrong((*where, "to"), "to lies not after from", "write a later instant")
        found.append(Hold(start_at_s=from_s, end_at_s=to_s, gpus=_gpus(tables, where, gpus, default=gpus)))
    return tuple(found)


def _week_hours(tables: Tables, where: KeyPath, gpus: int) -> WeekHours:
    from scheduler.planning.whole_fleet.holds import WeekHours

    return WeekHours(
        days=_days(tables, (*where, "days")),
        since=_time(tables, (*where, "from")),
        to=_time(tables, (*where, "to")),
        gpus=_gpus(tables, where, gpus, default=None),
        zone=_zone(tables, (*where, "timezone")),
    )


def _gpus(tables: Tables, where: KeyPath, most: int, default: int | None) -> int:
    if default is not None and tables.value((*where, "gpus")) is None:
        return default
    gpus = tables.whole((*where, "gpus"))
    if gpus > most:
        raise tables.wrong((*where, "gpus"), f"gpus = {gpus} in a region of {most}", f"write {most} or fewer")
    return gpus


def _days(tables: Tables, where: KeyPath) -> frozenset[int]:
    given = tables.value(where)
    if given is None:
        return frozenset(range(7))
    from scheduler.quantities import QuantityError, parse_week_days

    try:
        return parse_week_days(str(given))
    except QuantityError:
        raise tables.wrong(where, f"days = {given!r}", 'write "Mon-Fri" or "Sat,Sun"') from None


def _time(tables: Tables, where: KeyPath) -> time:
    given: Any = tables.value(where)
    try:
        return time.fromisoformat(given)
    except (TypeError, ValueError):
        shown = f"no {where[-1]}" if given is None else f"{where[-1]} = {given!r}"
        raise tables.wrong(where, f"reserved hours with {shown}", 'write "08:00"') from None


def _zone(tables: Tables, where: KeyPath) -> ZoneInfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    given = tables.value(where)
    try:
        return ZoneInfo("UTC" if given is None else given)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise tables.wrong(where, f"timezone = {given!r} is not known", 'write "Europe/Berlin"') from None


def _instant_s(tables: Tables, where: KeyPath) -> float:
    from datetime import datetime

    from scheduler.quantities import QuantityError, parse_instant_s

    given = tables.value(where)
    text = given.isoformat() if isinstance(given, datetime) else given
    if not isinstance(text, str):
        raise tables.wrong(where, f"maintenance without {where[-1]}", 'write "2022-03-02T06:00Z"')
    try:
        return parse_instant_s(text)
    except QuantityError as problem:
        what, _, remedy = str(problem).partition(": ")
        raise tables.wrong(where, f"{where[-1]}: {what}", remedy) from None
