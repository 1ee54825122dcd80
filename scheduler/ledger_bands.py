"""How sure the ledger's sums are: the 80% bands of those uses whose energy came from a profile or a meter.

Decides that they all err the same way, and that a use without an error class is in no band. That is the widest that a
band of energy or emissions can be; that of the savings is narrower where some classes saved and others lost, as their
errors then partly cancel. Knows no profile beyond its class, and no error of a grid's intensity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shaping.deployment import ErrorClass
from shaping.uncertainty import Band, class_factors


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """What is known of a part of the energy: how much that part is, and what it is when all of it errs low or high.

    Grams are None where the emissions of none of it are known. The ends of a band are in order, whatever their sign.
    """

    of_energy_kwh: float
    energy_kwh: Band
    of_emissions_gco2e: float | None
    emissions_gco2e: Band | None
    of_avoided_gco2e: float | None
    avoided_gco2e: Band | None


@dataclass(slots=True)
class ClassSum:
    """What uses of one error class come to; grams of those that are priced."""

    energy_kwh: float = 0.0
    emissions_gco2e: float = 0.0
    avoided_gco2e: float = 0.0
    is_priced: bool = False


def bands_of(sums: Mapping[ErrorClass | None, ClassSum]) -> Bands | None:
    """None where no use has a class."""
    known = [(class_factors(error_class), one) for error_class, one in sums.items() if error_class is not None]
    if not known:
        return None
    priced = [(factors, one) for factors, one in known if one.is_priced]
    return Bands(
        of_energy_kwh=sum(one.energy_kwh for _, one in known),
        energy_kwh=_band([(factors, one.energy_kwh) for factors, one in known]),
        of_emissions_gco2e=sum(one.emissions_gco2e for _, one in priced) if priced else None,
        emissions_gco2e=_band([(factors, one.emissions_gco2e) for factors, one in priced]) if priced else None,
        of_avoided_gco2e=sum(one.avoided_gco2e for _, one in priced) if priced else None,
        avoided_gco2e=_band([(factors, one.avoided_gco2e) for factors, one in priced]) if priced else None,
    )


def _band(parts: list[tuple[Band, float]]) -> Band:
    ends = (sum(factors.low * part for factors, part in parts), sum(factors.high * part for factors, part in parts))
    return Band(min(ends), max(ends))
