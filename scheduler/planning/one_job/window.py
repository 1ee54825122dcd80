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

from intensity_feeds.series import Floats
from scheduler.planning.curve import Curve, Intervals, long_enough, overlap

# A smaller difference is rounding, and no reason to wait: as a share of the window, and of the sums it is taken from.
TIE_RATIO = 1e-12
SUM_ROUNDING_RATIO = 1e-14


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
        found = _cheapest_in(one, duration_s, long_enough(allowed, duration_s))
        if found is not None and (best is None or _is_better(found, best)):
            best = found
    return best


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
