"""What a cell of a file of jobs may hold: numbers within bounds. Each raises ValueError with what it wants instead."""

from __future__ import annotations

import math

# Beyond these a number is a slip of the pen.
MOST_GPUS, MOST_POWER_W_PER_GPU = 1_000_000, 1e6
# Tables that went through other programs write a yes in their own ways.
_YES_OR_NO = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


def _number(text: str, wanted: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(wanted) from None
    if not math.isfinite(number):
        raise ValueError(wanted)
    return number


def duration_s(text: str) -> float:
    from slacktide.bounded import LONGEST_S, SHORTEST_S

    wanted = f"a number of seconds from {SHORTEST_S:g} to {LONGEST_S:.0f}"
    number = _number(text, wanted)
    if not SHORTEST_S <= number <= LONGEST_S:
        raise ValueError(wanted)
    return number


def pause_s(text: str) -> float:
    from slacktide.bounded import LONGEST_S

    wanted = f"a number of seconds from 0 to {LONGEST_S:.0f}"
    number = _number(text, wanted)
    if not 0 <= number <= LONGEST_S:
        raise ValueError(wanted)
    return number


def not_negative(text: str) -> float:
    number = _number(text, "a number from 0")
    if not number >= 0:
        raise ValueError("a number from 0")
    return number


def power_w(text: str) -> float:
    wanted = f"a number of watts from 0 to {MOST_POWER_W_PER_GPU:.0f}"
    number = _number(text, wanted)
    if not 0 <= number <= MOST_POWER_W_PER_GPU:
        raise ValueError(wanted)
    return number


def whole(text: str) -> int:
    wanted = f"a whole number from 1 to {MOST_GPUS}"
    number = _number(text, wanted)
    if not 1 <= number <= MOST_GPUS or number != int(number):
        raise ValueError(wanted)
    return int(number)


def integer(text: str) -> int:
    number = _number(text, "a whole number")
    if number != int(number):
        raise ValueError("a whole number")
    return int(number)


def yes_or_no(text: str) -> bool:
    if text.lower() not in _YES_OR_NO:
        raise ValueError("0 or 1")
    return _YES_OR_NO[text.lower()]
