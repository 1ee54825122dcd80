"""GPUs that a region keeps from jobs, as settings and scenarios write them, in the words of a fleet's file.

Decides what the keys mean and which stretches of time they come to. Knows no job, and of a region only its GPUs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from scheduler.planning.plan import Hold
from scheduler.planning.whole_fleet.holds import WeekHours, together
from scheduler.quantities import parse_instant_s, parse_time_of_day, parse_week_days
from scheduler.setting_values import STRICT


def _instant(value: object) -> object:
    if isinstance(value, datetime):
        value = value.isoformat()
    return parse_instant_s(value) if isinstance(value, str) else value


def _time_text(value: str) -> str:
    parse_time_of_day(value)
    return value


def _days_text(value: str) -> str:
    parse_week_days(value)
    return value


def _zone_text(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'no time zone {value!r}: write "Europe/Berlin"') from None
    return value


# In the file "2022-03-01T00:00Z"; in the code UTC epoch seconds.
Instant = Annotated[float, BeforeValidator(_instant)]
TimeOfDay = Annotated[str, AfterValidator(_time_text)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReservedSettings:
    """[[region.reserved]]: GPUs kept for traffic that cannot wait, by hours of the week."""

    from_: Annotated[TimeOfDay, Field(alias="from", description="Time of day at which it begins, such as 08:00.")]
    to: Annotated[TimeOfDay, Field(description="Time of day at which it ends; not after `from`: of the next day.")]
    gpus: Annotated[int, Field(ge=0, description="GPUs that no job may have then.")]
    days: Annotated[
        str, AfterValidator(_days_text), Field(description='Days on which it begins, such as "Mon-Fri" or "Sat,Sun".')
    ] = "Mon-Sun"
    timezone: Annotated[
        str, AfterValidator(_zone_text), Field(description="IANA time zone of the times and the days.")
    ] = "UTC"

    @property
    def week_hours(self) -> WeekHours:
        return WeekHours(
            days=parse_week_days(self.days),
            since=parse_time_of_day(self.from_),
            to=parse_time_of_day(self.to),
            gpus=self.gpus,
            zone=ZoneInfo(self.timezone),
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaintenanceSettings:
    """[[region.maintenance]]: a window in which GPUs are out of service."""

    from_: Annotated[Instant, Field(alias="from", description="Instant at which it begins, such as 2022-03-02T06:00Z.")]
    to: Annotated[Instant, Field(description="Instant at which it ends.")]
    gpus: Annotated[int | None, Field(ge=0, description="GPUs that no job may have then; unset: all.")] = None

    def __post_init__(self) -> None:
        if not self.to > self.from_:
            raise ValueError("to lies not after from: write a later instant")

    def hold(self, gpus: int) -> Hold:
        """The window in a region of so many GPUs."""
        return Hold(start_at_s=self.from_, end_at_s=self.to, gpus=gpus if self.gpus is None else self.gpus)


def holds_between(
    reserved: Sequence[ReservedSettings],
    maintenance: Sequence[MaintenanceSettings],
    gpus: int,
    from_s: float,
    to_s: float,
    more: Iterable[Hold] = (),
) -> tuple[Hold, ...]:
    """What a region of so many GPUs holds in the interval by these rules, and by `more`, without overlaps."""
    weekly = (hold for rule in reserved for hold in rule.week_hours.between(from_s, to_s))
    windows = (one.hold(gpus) for one in maintenance if one.to > from_s and one.from_ < to_s)
    return together([*weekly, *windows, *more], gpus)
