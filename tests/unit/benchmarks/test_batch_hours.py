"""The daemon's rule for batches, asked every five minutes for a simulated worker on a made-up grid."""

from __future__ import annotations

import math

import pytest

from benchmarks.batch_hours import PLACES, at_once, cleanest, emitted
from scheduler.deferral import fluid_release_at_s, release_at_s
from tests.builders import HOUR_S, a_series

TWO_CLEAN_SPELLS = a_series([400.0, 100.0, 500.0, 120.0, 450.0, 300.0, 500.0, 500.0])
# Two hours of twelve rounds each.
LINES = 24 * PLACES


def test_lines_rest_between_clean_spells() -> None:
    resting = emitted(TWO_CLEAN_SPELLS, fluid_release_at_s, 0.0, 8 * HOUR_S, LINES)
    assert resting == pytest.approx((100 + 120) / 2)
    assert resting == pytest.approx(cleanest(TWO_CLEAN_SPELLS, 0.0, 8 * HOUR_S, LINES))
    # One spell for all of it takes a dirty hour along.
    assert emitted(TWO_CLEAN_SPELLS, release_at_s, 0.0, 8 * HOUR_S, LINES) > resting
    assert emitted(TWO_CLEAN_SPELLS, at_once, 0.0, 8 * HOUR_S, LINES) == pytest.approx((400 + 100) / 2)


def test_lines_go_in_a_dirty_hour_rather_than_late() -> None:
    tight = a_series([500.0, 500.0, 400.0, 100.0, 100.0])
    found = emitted(tight, fluid_release_at_s, 0.0, 3 * HOUR_S, LINES)
    assert not math.isnan(found)
    assert found == pytest.approx(cleanest(tight, 0.0, 3 * HOUR_S, LINES), rel=0.1)
