"""How sure a modelled number is: 80% bands by the error class of the profile it came from.

Decides widths only. Factors are taken as independent and log-normal, so their variances add. Source: energy_model 5.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from shaping.deployment import ErrorClass

SIGMA_RATIO = {
    ErrorClass.METERED: 0.03,
    ErrorClass.CALIBRATED: 0.06,
    ErrorClass.DEFAULT: 0.20,
    ErrorClass.DATASHEET: 0.35,
}
_BEST_FIRST = list(SIGMA_RATIO)
_EIGHTY_PERCENT_SIGMAS = 1.28


class Band(NamedTuple):
    """The 80% band of a number, in its unit."""

    low: float
    high: float


def factors(*sigmas_ratio: float) -> Band:
    """What a number is multiplied by to get its band, from the sigma of the logarithm of each factor in it."""
    spread_ratio = _EIGHTY_PERCENT_SIGMAS * math.sqrt(math.fsum(sigma * sigma for sigma in sigmas_ratio))
    return Band(math.exp(-spread_ratio), math.exp(spread_ratio))


@cache
def class_factors(error_class: ErrorClass) -> Band:
    """The same for a number that comes from one profile."""
    return factors(SIGMA_RATIO[error_class])


def band(amount_factor: float, error_class: ErrorClass) -> Band:
    """The 80% band of an amount in any unit that comes from a profile of this class."""
    low, high = class_factors(error_class)
    return Band(amount_factor * low, amount_factor * high)


def worst(error_classes: Iterable[ErrorClass | None]) -> ErrorClass | None:
    """That of a sum: of the profile known worst. None where the class of one number is not known, or there is none."""
    found: ErrorClass | None = None
    for one in error_classes:
        if one is None:
            return None
        found = one if found is None else max(found, one, key=_BEST_FIRST.index)
    return found
