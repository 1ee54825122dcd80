"""The cheapest window for a job that runs in one piece.

Exact: the integral over a window is piecewise linear in its start, with kinks only where one end of the window meets an
edge of the curve or a border of the free time. So some optimum starts or ends on one of these, and only they are
evaluated; a grid of starts would be slower and miss it. Windows that touch unknown time are no candidates. Ties go to
the earliest start, then to the region named first. Knows no job, no capacity and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats, IntensitySeries
from scheduler.planning.curve import Curve, Intervals, long_enough, overlap

# A smaller difference is rounding, and no reason to wait: as a share of the window, and of the sums it is taken from.
TIE_RATIO = 1e-12
SUM_ROUNDING_RATIO = 1e-14
# A larger one is none.
_SURE_RATIO = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One uninterrupted run and what each kW of it emits, in gram-seconds per kWh, PUE included."""

    region: str
    start_at_s: float
    end_at_s: float
    integral_g_s_per_kwh: float


def cheapest_window(
    curves: Sequence[Curve],
    duration_s: float,
    earliest_s: float,
    deadline_s: float,
    free: Mapping[str, Intervals] | None = None,
) -> Window | None:
    """The cheapest known window of all regions, or None; `free` limits each region to its free stretches."""
    best: Window | None = None
    for one in curves:
        allowed = overlap(((earliest_s, deadline_s),), one.known)
        if free is not None:
            allowed = overlap(allowed, free.get(one.region, ()))
        allowed = long_enough(allowed, duration_s)
        if best is not None and allowed and _is_dearer(one, duration_s, allowed, best):
            continue
        found = _cheapest_in(one, duration_s, allowed)
        if found is not None and (best is None or _is_better(found, best)):
            best = found
    return best


def _is_dearer(one: Curve, duration_s: float, allowed: Intervals, than: Window) -> bool:
    """Whether all of the run in the cleanest step of a region costs clearly more; of a gap nothing is said."""
    low, high = one.edges_at_s.searchsorted((allowed[0][0], allowed[-1][1])).tolist()
    least = one.pue * duration_s * float(one.gco2e_per_kwh[max(low - 1, 0) : max(high, 1)].min())
    return least > than.integral_g_s_per_kwh + _SURE_RATIO * (abs(than.integral_g_s_per_kwh) + abs(least))


def _is_better(one: Window, other: Window) -> bool:
    tie = TIE_RATIO * abs(other.integral_g_s_per_kwh)
    difference = one.integral_g_s_per_kwh - other.integral_g_s_per_kwh
    return difference < -tie or (difference <= tie and one.start_at_s < other.start_at_s)


def _cheapest_in(one: Curve, duration_s: float, allowed: Intervals) -> Window | None:
    if not allowed:
        return None
    starts, integrals = _candidates(one, duration_s, allowed)
    lowest = float(integrals.min())
    noise = TIE_RATIO * abs(lowest) + SUM_ROUNDING_RATIO * abs(float(one.cumulative_g_s_per_kwh[-1]))
    ties = (integrals <= lowest + noise).nonzero()[0]
    chosen = ties[starts[ties].argmin()] if len(ties) > 1 else ties[0]
    start_at_s = float(starts[chosen])
    ends_by_s = next(to_s for from_s, to_s in reversed(allowed) if from_s <= start_at_s)
    return Window(
        region=one.region,
        start_at_s=start_at_s,
        end_at_s=min(start_at_s + duration_s, ends_by_s),
        integral_g_s_per_kwh=one.pue * float(integrals[chosen]),
    )


def _candidates(one: Curve, duration_s: float, allowed: Intervals) -> tuple[Floats, Floats]:
    """Every start, in any order, where either end of the window meets an edge or a border, and the grid's integral.

    The end that lies on an edge needs no interpolation; that, and not copying the curve, is half of the time.
    """
    edges, cumulative = one.edges_at_s, one.cumulative_g_s_per_kwh
    # A stretch shorter than the duration by rounding has one start, never a negative range.
    ranges = [(from_s, max(from_s, to_s - duration_s)) for from_s, to_s in allowed]
    first_s, last_s = ranges[0][0], ranges[-1][1]
    low, high, low_end, high_end = edges.searchsorted(
        (first_s, last_s, first_s + duration_s, last_s + duration_s)
    ).tolist()
    borders = np.array(ranges).ravel()
    begin = edges[low:high]
    end = np.maximum(edges[low_end:high_end] - duration_s, first_s)  # rounding must not start it early
    after = one.cumulative(np.concatenate((begin, borders)) + duration_s)
    before = one.cumulative(np.concatenate((end, borders)))
    count, count_end = len(begin), len(end)
    starts = np.concatenate((begin, borders, end))
    integrals = np.concatenate(
        (
            after[:count] - cumulative[low:high],
            after[count:] - before[count_end:],
            cumulative[low_end:high_end] - before[:count_end],
        )
    )
    if len(ranges) == 1:
        return starts, integrals
    stretch = borders[::2].searchsorted(starts, side="right") - 1
    inside = (stretch >= 0) & (starts <= borders[1::2][stretch])
    return starts[inside], integrals[inside]


def least_integrals_g_s_per_kwh(series: IntensitySeries, whole_s: Floats, first_s: Floats, last_s: Floats) -> Floats:
    """For each row the least integral of the grid over a window that begins between two instants, shape (rows,).

    What is not known counts as nothing, so where windows are known it is a bound.
    """
    edges, sums = series.edges_at_s, series.cumulative_g_s_per_kwh

    def between(starts_at_s: Floats, ends_at_s: Floats) -> Floats:
        return np.interp(ends_at_s, edges, sums) - np.interp(starts_at_s, edges, sums)

    least: Floats = np.minimum(between(first_s, first_s + whole_s), between(last_s, last_s + whole_s))
    rows, places = _between(edges, first_s, last_s)
    np.minimum.at(least, rows, between(edges[places], edges[places] + whole_s[rows]))
    rows, places = _between(edges, first_s + whole_s, last_s + whole_s)
    np.minimum.at(least, rows, between(edges[places] - whole_s[rows], edges[places]))
    return least


def _between(edges_at_s: Floats, first_s: Floats, last_s: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which edges lie between two instants: the rows of these, and the indices of the edges."""
    first, upto = edges_at_s.searchsorted(first_s), edges_at_s.searchsorted(last_s)
    counts = np.maximum(upto - first, 0)
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts - first, counts)
