"""When a request that may wait should reach its worker. Pure; the daemon and the simulator ask the same question.

A request is short beside the steps of a forecast, so it is not worth a place in the fleet's plan: it waits for the
cleanest instant it can still meet, and for nothing when that is barely cleaner than now.
"""

from __future__ import annotations

import numpy as np

from intensity_feeds.series import IntensitySeries

# A client that waits should get something for it: forecasts are wrong by 7 to 9% (mean absolute, day ahead), so a
# promise of less than 2% is noise.
MIN_SAVINGS_RATIO = 0.02


def release_at_s(series: IntensitySeries | None, now_s: float, duration_s: float, release_by_s: float) -> float:
    """The cleanest instant in [now_s, release_by_s] to start `duration_s` of work; now when nothing is known."""
    if series is None or release_by_s <= now_s or not series.covers(now_s, now_s + duration_s):
        return now_s
    if _is_one_value(series, now_s, release_by_s + duration_s):
        return now_s
    latest_s = min(release_by_s, series.end_at_s - duration_s)
    starts = series.candidate_starts_at_s(duration_s, now_s, latest_s)
    integrals = series.window_integrals_g_s_per_kwh(starts, duration_s)
    best = int(np.nanargmin(integrals))  # the window from now is known, so one number is there
    if integrals[best] > integrals[0] * (1.0 - MIN_SAVINGS_RATIO):
        return now_s
    return float(starts[best])


def _is_one_value(series: IntensitySeries, start_at_s: float, end_at_s: float) -> bool:
    """Whether one step of the series holds throughout: the common case of a wait of seconds on an hourly grid."""
    step = int(np.searchsorted(series.edges_at_s, start_at_s, side="right")) - 1
    return step + 1 < len(series.edges_at_s) and bool(series.edges_at_s[step + 1] >= end_at_s)
