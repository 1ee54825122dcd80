"""What a constant load costs in one region over time: the one thing that searches minimise.

Decides how a forecast and a PUE become a rate, and which instants are known. The searches of window.py and
preemptible.py see curves only, so that a price, water or a capacity multiplier can enter a curve without touching them.
A gap and the time outside the forecast are not part of `known`: what is unknown is never assumed clean, and never
compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats, IntensitySeries

# Half-open stretches of time (from, to), growing and apart; `to` may be infinite.
Intervals = tuple[tuple[float, float], ...]

# Two ulps of an epoch second in this century: differences below it are rounding.
ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Curve:
    """Grams per kW and hour of load in one region: grid intensity times PUE, constant between edges.

    `edges_at_s` and `cumulative_g_s_per_kwh` have shape (n + 1,), `gco2e_per_kwh` has shape (n,); the last two are the
    grid's, before PUE, and mean nothing outside `known`.
    """

    region: str
    edges_at_s: Floats
    gco2e_per_kwh: Floats
    cumulative_g_s_per_kwh: Floats
    known: Intervals
    pue: float = 1.0

    def cumulative(self, instants_s: Floats) -> Floats:
        """The grid's integral up to each instant, from an origin of its own, before PUE."""
        return np.interp(instants_s, self.edges_at_s, self.cumulative_g_s_per_kwh)

    def integral_g_s_per_kwh(self, start_at_s: float, end_at_s: float) -> float:
        """The integral over an interval inside `known`, PUE included; times kW, over 3600, it is grams."""
        before, after = self.cumulative(np.array((start_at_s, end_at_s)))
        return self.pue * float(after - before)

    def rate_gco2e_per_kwh(self, steps: NDArray[np.intp]) -> Floats:
        """What an hour of one kW emits in each step, PUE included."""
        return self.pue * self.gco2e_per_kwh[steps]

    def raised(self, rate_gco2e_per_kwh: float) -> Curve:
        """The same with so much more at every instant, PUE included: what is paid for time, not for power."""
        more = rate_gco2e_per_kwh / self.pue
        return replace(
            self,
            gco2e_per_kwh=self.gco2e_per_kwh + more,
            cumulative_g_s_per_kwh=self.cumulative_g_s_per_kwh + more * (self.edges_at_s - self.edges_at_s[0]),
        )

    def knows(self, start_at_s: float, end_at_s: float) -> bool:
        return any(from_s <= start_at_s + ROUNDING_S and end_at_s <= to_s + ROUNDING_S for from_s, to_s in self.known)


def curve(region: str, series: IntensitySeries, pue: float, from_s: float, to_s: float) -> Curve | None:
    """The part of a forecast that touches the interval, without copying it; None where nothing of it is known."""
    whole_from_s, whole_to_s = max(from_s, series.start_at_s), min(to_s, series.end_at_s)
    if whole_from_s >= whole_to_s:
        return None
    low, high = series.edges_at_s.searchsorted((whole_from_s, whole_to_s), side="right").tolist()
    steps = slice(low - 1, min(high, len(series.gco2e_per_kwh)))
    points = slice(steps.start, steps.stop + 1)
    edges, values = series.edges_at_s[points], series.gco2e_per_kwh[steps]
    known: Intervals = ((whole_from_s, whole_to_s),)
    if series.has_gap:
        known = overlap(known, _runs(edges, ~np.isnan(values)))
    if not known:
        return None
    cumulative = series.cumulative_g_s_per_kwh[points]
    return Curve(
        region=region, edges_at_s=edges, gco2e_per_kwh=values, cumulative_g_s_per_kwh=cumulative, known=known, pue=pue
    )


def flat(region: str, from_s: float, to_s: float) -> Curve:
    """A curve that prefers no instant, for work on a grid nobody knows; its integral is no emission."""
    edges = np.array((from_s, to_s))
    return Curve(
        region=region,
        edges_at_s=edges,
        gco2e_per_kwh=np.ones(1),
        cumulative_g_s_per_kwh=edges - from_s,
        known=((from_s, to_s),),
    )


def overlap(ones: Intervals, others: Iterable[tuple[float, float]]) -> Intervals:
    """The stretches in both."""
    both: list[tuple[float, float]] = []
    rest = list(others)
    position = 0
    for from_s, to_s in ones:
        while position < len(rest) and rest[position][1] <= from_s:
            position += 1
        for index in range(position, len(rest)):
            if rest[index][0] >= to_s:
                break
            both.append((max(from_s, rest[index][0]), min(to_s, rest[index][1])))
    return tuple(both)


def long_enough(stretches: Sequence[tuple[float, float]], duration_s: float) -> Intervals:
    return tuple((from_s, to_s) for from_s, to_s in stretches if to_s - from_s >= duration_s - ROUNDING_S)


def _runs(edges_at_s: Floats, inside: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Intervals:
    """The stretches of adjacent steps that are inside."""
    turns = np.flatnonzero(np.diff(np.concatenate(([False], inside, [False])).astype(np.int8)))
    return tuple((float(edges_at_s[first]), float(edges_at_s[last])) for first, last in turns.reshape(-1, 2))
