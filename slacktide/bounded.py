"""Quantities from a command line or a file, within what calendars, sums and a certificate can hold.

Beyond the bounds a number is a slip of the pen. Raises QuantityError with the remedy.
"""

from __future__ import annotations

from scheduler.quantities import NoCalendarError, QuantityError, parse_duration_s, parse_instant_s, parse_power_w

# Milliseconds are the finest that a plan is checked to.
SHORTEST_S, LONGEST_S = 0.01, 10 * 365 * 86_400.0
MOST_POWER_W = 1e9
_FIRST_AT_S, _LAST_AT_S = 0.0, 7_258_118_400.0  # 1970 and 2200


def bounded_instant_s(text: str) -> float:
    """An instant from 1970 to 2199."""
    try:
        instant_s = parse_instant_s(text)
    except NoCalendarError:
        instant_s = _LAST_AT_S + 1.0  # as far away as any
    if not _FIRST_AT_S <= instant_s <= _LAST_AT_S:
        raise QuantityError(f"{text!r} is far from any grid: write an instant from 1970 to 2199")
    return instant_s


def bounded_duration_s(text: str) -> float:
    """A duration of at most ten years; nothing is a duration too."""
    duration_s = parse_duration_s(text)
    if not duration_s <= LONGEST_S:
        raise QuantityError(f"{text!r} is too long: write ten years, 3650d, at most")
    return duration_s


def bounded_power_w(text: str) -> float:
    """A power of at most a gigawatt."""
    power_w = parse_power_w(text)
    if not power_w <= MOST_POWER_W:
        raise QuantityError(f"{text!r} is too much: write one gigawatt, 1000MW, at most")
    return power_w
