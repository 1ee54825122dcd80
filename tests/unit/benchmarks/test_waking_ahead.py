"""Workers woken by habit, in the simulator: the same Consolidator as the daemon's."""

from __future__ import annotations

import pytest

from benchmarks.waking_ahead import DAY_S, MONDAY_S, OPENS_S, served, week


@pytest.mark.slow
def test_from_the_third_day_on_nobody_waits_for_workers_to_wake_at_nine() -> None:
    arrivals_s = week()
    of_day_s = arrivals_s % DAY_S
    some_s = arrivals_s[(of_day_s < OPENS_S + 900.0) & (arrivals_s < 3 * DAY_S)]
    latencies_s = served(some_s).record.finished_at_s - (MONDAY_S + some_s)
    longest_s = [latencies_s[(some_s // DAY_S == day) & (some_s % DAY_S >= OPENS_S)].max() for day in range(3)]
    assert min(longest_s[:2]) > 30.0
    assert longest_s[2] < 10.0
