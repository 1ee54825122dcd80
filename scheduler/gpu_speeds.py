"""Speeds on numbers of GPUs as people write them: `1:1,2:1.8,4:3`. Raises QuantityError with the remedy."""

from __future__ import annotations

from itertools import pairwise

from scheduler.quantities import QuantityError

# Every number is a plan of its own.
MOST_COUNTS = 16


def parse_speeds(text: str) -> tuple[tuple[int, float], ...]:
    """GPUs and the speed on them, with growing numbers of GPUs."""
    pairs = _pairs(text)
    if any(gpus != int(gpus) for gpus, _ in pairs):
        raise QuantityError(f"{text!r} has a broken number of GPUs: write, for instance, 1:1,2:1.8,4:3")
    return tuple((int(gpus), speed) for gpus, speed in pairs)


def parse_shares(text: str) -> tuple[tuple[float, float], ...]:
    """The same with multiples of a job's own GPUs, of which 1 is one: `0.5:0.6,1:1,2:1.7`."""
    pairs = _pairs(text)
    if 1.0 not in dict(pairs):
        raise QuantityError(f"{text!r} has no speed on the job's own GPUs: add 1:1")
    return pairs


def speeds_of(text: str, gpus: int) -> tuple[tuple[int, float], ...]:
    """What such multiples come to for so many GPUs: the whole numbers among them. Empty where nothing is written."""
    if not text or gpus < 1:
        return ()
    found = ((share * gpus, speed) for share, speed in parse_shares(text))
    return tuple((round(count), speed) for count, speed in found if count >= 1 and abs(count - round(count)) < 1e-9)


def _pairs(text: str) -> tuple[tuple[float, float], ...]:
    try:
        pairs = sorted((float(gpus), float(speed)) for gpus, speed in (part.split(":") for part in text.split(",")))
    except ValueError:
        raise QuantityError(f"{text!r} is no list of GPUs and speeds: write, for instance, 1:1,2:1.8,4:3") from None
    if any(not 0 < gpus < 1e6 or not 0 < speed < 1e6 for gpus, speed in pairs):
        raise QuantityError(f"{text!r} needs numbers of GPUs and speeds above 0")
    if any(gpus == more for (gpus, _), (more, _) in pairwise(pairs)):
        raise QuantityError(f"{text!r} names a number of GPUs twice")
    if len(pairs) > MOST_COUNTS:
        raise QuantityError(f"{len(pairs)} numbers of GPUs: {MOST_COUNTS} at most")
    return tuple(pairs)
