from __future__ import annotations

import numpy as np

from scheduler.deferral import release_at_s
from tests.builders import HOUR_S, a_series

EVENING_THEN_NIGHT = a_series([400.0, 400.0, 100.0, 300.0])


def test_a_request_waits_for_the_cleanest_hour_before_its_deadline() -> None:
    assert release_at_s(EVENING_THEN_NIGHT, 600.0, 60.0, 3 * HOUR_S) == 2 * HOUR_S


def test_a_request_does_not_wait_past_its_deadline_for_a_cleaner_hour() -> None:
    assert release_at_s(EVENING_THEN_NIGHT, 600.0, 60.0, HOUR_S) == 600.0


def test_a_gain_within_the_forecasts_error_is_not_worth_a_wait() -> None:
    assert release_at_s(a_series([100.0, 99.0]), 0.0, 60.0, HOUR_S) == 0.0


def test_nothing_known_means_nothing_waited_for() -> None:
    assert release_at_s(None, 5.0, 60.0, HOUR_S) == 5.0
    assert release_at_s(a_series([100.0]), 2 * HOUR_S, 60.0, 9 * HOUR_S) == 2 * HOUR_S


def test_a_gap_in_the_forecast_is_not_a_clean_hour() -> None:
    assert release_at_s(a_series([400.0, np.nan, 300.0]), 0.0, 60.0, 3 * HOUR_S - 60) == 2 * HOUR_S


def test_a_wait_within_one_step_of_the_grid_is_no_wait() -> None:
    assert release_at_s(a_series([400.0, 100.0]), 10.0, 60.0, HOUR_S - 60.0) == 10.0
    assert release_at_s(a_series([400.0, 100.0]), 10.0, 60.0, HOUR_S) == HOUR_S
