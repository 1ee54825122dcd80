"""A generation mix that adds up to a given intensity.

A trace of intensity does not say what was burnt, and some answers cannot be given without. The mix here is made up:
the two fuels of a clean-to-dirty ladder whose factors enclose the value, in the proportion that gives it exactly.
Source of factors: Electricity Maps' global life-cycle and direct defaults; the GB service's own /intensity/factors.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from intensity_feeds.series import Basis

LIFECYCLE_GCO2E_PER_KWH: Mapping[str, float] = {"wind": 11.0, "gas": 490.0, "coal": 820.0}
DIRECT_GCO2E_PER_KWH: Mapping[str, float] = {"wind": 0.0, "gas": 370.0, "coal": 760.0}
GB_GCO2E_PER_KWH: Mapping[str, float] = {"wind": 0.0, "gas": 394.0, "coal": 937.0}


def ladder(basis: Basis) -> Mapping[str, float]:
    return LIFECYCLE_GCO2E_PER_KWH if basis is Basis.LIFECYCLE else DIRECT_GCO2E_PER_KWH


def shares_ratio(gco2e_per_kwh: float, factors_gco2e_per_kwh: Mapping[str, float]) -> dict[str, float]:
    """Share of each fuel of the ladder, which grows; all of its first or last fuel where the value lies outside it."""
    fuels = list(factors_gco2e_per_kwh)
    shares = dict.fromkeys(fuels, 0.0)
    clean = fuels[0]
    for cleaner, dirtier in pairwise(fuels):
        low, high = factors_gco2e_per_kwh[cleaner], factors_gco2e_per_kwh[dirtier]
        if low < gco2e_per_kwh <= high:
            dirty_ratio = (gco2e_per_kwh - low) / (high - low)
            return shares | {cleaner: 1.0 - dirty_ratio, dirtier: dirty_ratio}
        if gco2e_per_kwh > high:
            clean = dirtier
    return shares | {clean: 1.0}
