"""PriceSeries: what a kilowatt-hour costs in one zone, as a step function of time.

Prices may be negative, and are then earned. A price that is not known is None, never 0. Knows no tariff and no file.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from intensity_feeds.series import Floats, MalformedSeriesError


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PriceSeries:
    """Value i holds from `edges_at_s[i]` to the next edge; shapes (n + 1,) and (n,), NaN is a gap.

    Raises MalformedSeriesError unless the edges grow and no price is infinite.
    """

    zone: str
    edges_at_s: Floats
    usd_per_kwh: Floats

    def __post_init__(self) -> None:
        if len(self.usd_per_kwh) == 0 or self.edges_at_s.shape != (len(self.usd_per_kwh) + 1,):
            raise MalformedSeriesError(f"{self.zone}: {len(self.usd_per_kwh)} prices do not fit the edges")
        if not np.isfinite(self.edges_at_s).all() or not (np.diff(self.edges_at_s) > 0).all():
            raise MalformedSeriesError(f"{self.zone}: edges must be finite and grow strictly")
        if np.isinf(self.usd_per_kwh).any():
            raise MalformedSeriesError(f"{self.zone}: a price is infinite")

    def at_instants(self, instants_s: Floats) -> Floats:
        """The price at each instant, shape as `instants_s`; NaN over a gap or outside."""
        steps = self.edges_at_s.searchsorted(instants_s, side="right") - 1
        inside = (steps >= 0) & (steps < len(self.usd_per_kwh))
        return np.where(inside, self.usd_per_kwh[np.clip(steps, 0, len(self.usd_per_kwh) - 1)], np.nan)

    def mean_usd_per_kwh(self, start_at_s: float, end_at_s: float) -> float | None:
        """Time-weighted mean over an interval that has a length; None where some of it is not known."""
        if start_at_s < self.edges_at_s[0] or end_at_s > self.edges_at_s[-1]:
            return None
        first = bisect_right(self.edges_at_s, start_at_s) - 1
        last = bisect_left(self.edges_at_s, end_at_s)
        edges, prices = self.edges_at_s[first : last + 1].tolist(), self.usd_per_kwh[first:last].tolist()
        total = 0.0
        for (from_s, to_s), usd_per_kwh in zip(pairwise(edges), prices, strict=True):
            total += usd_per_kwh * (min(to_s, end_at_s) - max(from_s, start_at_s))
        return None if np.isnan(total) else total / (end_at_s - start_at_s)
