"""The crowd of an hour by brute force, and that what is learned covers the weeks to come as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.interactive_hours import HOUR_S, learned_week, most_at_once

QUARTER_S = HOUR_S / 4
HOURS = 3
pairs = st.lists(st.tuples(st.integers(-4, 4 * HOURS), st.integers(1, 9)), max_size=12)


@given(pairs)
def test_the_crowd_of_an_hour_is_the_most_at_any_of_its_instants(found: list[tuple[int, int]]) -> None:
    starts = np.array([QUARTER_S * start for start, _ in found])
    ends = starts + np.array([QUARTER_S * length for _, length in found])
    by_hand = [
        max(
            sum(start <= quarter < start + length for start, length in found)
            for quarter in range(4 * hour, 4 * hour + 4)
        )
        for hour in range(HOURS)
    ]
    assert most_at_once(starts, ends, 0.0, HOURS) == by_hand


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.integers(9, 26), st.sampled_from([0.5, 0.8, 0.9]))
def test_the_next_week_stays_within_what_is_learned_as_often_as_asked(seed: int, weeks: int, quantile: float) -> None:
    draws = np.random.default_rng(seed).integers(0, 1000, size=(400, weeks + 1))
    within = 0
    for row in draws.tolist():
        observed = {7 * 86_400.0 * week: gpus for week, gpus in enumerate(row[:-1])}
        within += row[-1] <= max(one for one in learned_week(observed, quantile) if one is not None)
    # Three standard deviations of a share of 400.
    assert within / 400 >= quantile - 3 * (quantile * (1 - quantile) / 400) ** 0.5
