"""When a request that may wait should reach its worker. Pure; the daemon and the simulator ask the same question.

A request is short beside the steps of a forecast, so it is not worth a place in the fleet's plan: it waits for the
cleanest instant it can still meet, and for nothing when that is barely cleaner than now. The lines of a batch are work
that can be left off and begun again at no cost: they go in the cleanest steps, wherever these lie.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from intensity_feeds.series import IntensitySeries

# From a forecast, now, the length of the work and its latest start: when a request that may wait is sent.
Release = Callable[[IntensitySeries | None, float, float, float], float]

# A client that waits should get something for it: forecasts are wrong by 7 to 9% (mean absolute, day ahead), so a
# promise of less than 2% is noise.
MIN_SAVINGS_RATIO = 0.02
# Windows within one step differ by the rounding of their prefix sums: nobody waits longer for that.
_SAME_RATIO = 1e-9


def release_at_s(series: IntensitySeries | None, now_s: float, duration_s: float, release_by_s: float) -> float:
    """The cleanest instant in [now_s, release_by_s] to start `duration_s` of work, the earliest of equally clean ones;
    now when nothing is known.
    """
    if series is None or release_by_s <= now_s or not series.covers(now_s, now_s + duration_s):
        return now_s
    if _is_one_value(series, now_s, release_by_s + duration_s):
        return now_s
    latest_s = min(release_by_s, series.end_at_s - duration_s)
    starts = series.candidate_starts_at_s(duration_s, now_s, latest_s)
    integrals = series.window_integrals_g_s_per_kwh(starts, duration_s)
    least_g_s = float(np.nanmin(integrals))  # the window from now is known, so one number is there
    if least_g_s > integrals[0] * (1.0 - MIN_SAVINGS_RATIO):
        return now_s
    return float(starts[int(np.argmax(integrals <= least_g_s * (1.0 + _SAME_RATIO)))])


def fluid_release_at_s(series: IntensitySeries | None, now_s: float, duration_s: float, release_by_s: float) -> float:
    """When the first of the cleanest `duration_s` begins, of all time until `duration_s` after `release_by_s`.

    Now when nothing is known, when now is among them, and when all at once is barely dirtier. Of equally clean steps
    the earlier count; one that is needed in part is needed from its begin.
    """
    if series is None or release_by_s <= now_s or not series.covers(now_s, now_s + duration_s):
        return now_s
    edges, values = series.steps_between(now_s, min(release_by_s + duration_s, series.end_at_s))
    lengths_s = np.where(np.isnan(values), 0.0, np.diff(edges))
    order = values.argsort(kind="stable")  # what is not known comes last
    taken_s = np.empty_like(lengths_s)
    taken_s[order] = np.clip(duration_s - (np.cumsum(lengths_s[order]) - lengths_s[order]), 0.0, lengths_s[order])
    at_once_edges, at_once = series.steps_between(now_s, now_s + duration_s)
    at_once_g_s = float(np.dot(np.diff(at_once_edges), at_once))
    if float(np.dot(taken_s, np.nan_to_num(values))) > at_once_g_s * (1.0 - MIN_SAVINGS_RATIO):
        return now_s
    return float(edges[:-1][taken_s > 0][0])


def _is_one_value(series: IntensitySeries, start_at_s: float, end_at_s: float) -> bool:
    """Whether one step of the series holds throughout: the common case of a wait of seconds on an hourly grid."""
    step = int(np.searchsorted(series.edges_at_s, start_at_s, side="right")) - 1
    return step + 1 < len(series.edges_at_s) and bool(series.edges_at_s[step + 1] >= end_at_s)
