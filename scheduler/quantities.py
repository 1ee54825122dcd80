"""Durations, powers and instants as people write them, read once at the edge. Raises QuantityError with the remedy."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from functools import lru_cache

_DURATION_UNITS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_POWER_UNITS_W = {"w": 1.0, "kw": 1e3, "mw": 1e6}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# The years that a calendar holds, in UTC.
_FIRST_AT_S, _LAST_AT_S = -62_135_596_800.0, 253_402_300_799.0
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


class QuantityError(ValueError):
    """A text that is no quantity of the kind asked for; says what one looks like."""


class NoCalendarError(QuantityError):
    """An instant that has no date in UTC."""


def parse_duration_s(text: str) -> float:
    """`90s`, `15m`, `4h`, `1d12h`; a unit is required."""
    lowered = text.strip().lower()
    parts = _PART.findall(lowered)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != lowered.replace(" ", ""):
        raise QuantityError(f"{text!r} is no duration: write a number and a unit, such as 90s, 15m, 4h, 1d12h")
    unknown = [unit for _, unit in parts if unit not in _DURATION_UNITS_S]
    if unknown:
        raise QuantityError(f"{text!r}: {unknown[0]!r} is no unit of time: use ms, s, m, h, d or w")
    return sum(float(number) * _DURATION_UNITS_S[unit] for number, unit in parts)


def parse_power_w(text: str) -> float:
    """`700W`, `10kW`, `1.5MW`; a unit is required."""
    match = _PART.fullmatch(text.strip().lower())
    if match is None or match[2] not in _POWER_UNITS_W:
        raise QuantityError(f"{text!r} is no power: write a number and a unit, such as 700W, 10kW, 1.5MW")
    return float(match[1]) * _POWER_UNITS_W[match[2]]


def parse_instant_s(text: str) -> float:
    """ISO 8601 with a zone or `Z`, to UTC epoch seconds. An instant without a zone is refused: it would be a guess."""
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise QuantityError(f"{text!r} is no instant: write ISO 8601, such as 2022-03-01T12:00Z") from None
    if instant.tzinfo is None:
        raise QuantityError(f"{text!r} has no time zone: append Z for UTC, or an offset such as +01:00")
    instant_s = instant.timestamp()
    if not _FIRST_AT_S <= instant_s <= _LAST_AT_S:  # some hours beyond, by its zone
        raise NoCalendarError(f"{text!r} is outside the years 1 to 9999 in UTC")
    return instant_s


def parse_week_days(text: str) -> frozenset[int]:
    """`Mon-Fri`, `Sat,Sun`, `Fri-Mon`; 0 is Monday."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = (one.strip().capitalize() for one in part.partition("-"))
        if first not in _DAYS or (last or first) not in _DAYS:
            raise QuantityError(f'{text!r} names no days: write "Mon-Fri" or "Sat,Sun"')
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found |= {(begin + day) % 7 for day in range((end - begin) % 7 + 1)}
    return frozenset(found)


def parse_time_of_day(text: str) -> time:
    """`08:00`."""
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise QuantityError(f'{text!r} is no time of day: write "08:00"') from None


@lru_cache(maxsize=256)  # an instant is told some three times in a row: planned, started, on its way to a page
def format_instant(instant_s: float) -> str:
    """ISO 8601 UTC to the second, rounded to the nearest, with `Z`."""
    # Not by strftime, which leaves the zeros of early years out.
    return f"{datetime.fromtimestamp(round(instant_s), UTC).replace(tzinfo=None).isoformat()}Z"


def format_duration(duration_s: float) -> str:
    """The two largest units that matter: `45 s`, `12 min`, `4 h 10 min`, `2 d 3 h`."""
    whole_s = round(duration_s)
    if whole_s < 60:
        return f"{duration_s:.0f} s" if duration_s >= 10 or duration_s == whole_s else f"{duration_s:.1f} s"
    for larger, smaller, size_s, part_s in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole_s >= size_s:
            count, rest = whole_s // size_s, whole_s % size_s // part_s
            return f"{count} {larger} {rest} {smaller}" if rest else f"{count} {larger}"
    raise AssertionError(whole_s)
