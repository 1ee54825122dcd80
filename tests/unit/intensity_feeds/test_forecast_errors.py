"""What is remembered of forecasts, how hours are scored, and what is said about the errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from intensity_feeds.forecast_errors import (
    ForecastErrors,
    by_horizon,
    error_quantiles_gco2e_per_kwh,
    recorded,
    run_of,
    scored,
)
from intensity_feeds.series import IntensitySeries, Quality
from tests.unit.intensity_feeds.builders import DAY_S, HOUR_S, MIDNIGHT_S, a_series

NAN = float("nan")
NOTHING = ForecastErrors(zone="DE")


def a_forecast(values: Sequence[float], start_at_s: float = MIDNIGHT_S, step_s: float = HOUR_S) -> IntensitySeries:
    return a_series(values, start_at_s=start_at_s, step_s=step_s, quality=Quality.FORECAST, issued_at_s=start_at_s)


def test_an_hour_is_scored_once_it_is_over() -> None:
    errors = recorded(NOTHING, a_forecast([100.0, 200.0, 300.0]), MIDNIGHT_S)
    errors = scored(errors, a_series([110.0, 190.0, 300.0]), MIDNIGHT_S + 2.5 * HOUR_S)
    assert errors.issues[0].error_gco2e_per_kwh[:2].tolist() == [10.0, -10.0]
    assert np.isnan(errors.issues[0].error_gco2e_per_kwh[2])


def test_what_is_known_later_replaces_what_was_known_and_a_gap_does_not() -> None:
    errors = recorded(NOTHING, a_forecast([100.0, 200.0]), MIDNIGHT_S)
    errors = scored(errors, a_series([110.0, 190.0]), MIDNIGHT_S + DAY_S)
    errors = scored(errors, a_series([120.0, NAN]), MIDNIGHT_S + DAY_S)
    assert errors.issues[0].error_gco2e_per_kwh.tolist() == [20.0, -10.0]


def test_finer_forecasts_are_scored_by_their_hourly_means() -> None:
    errors = recorded(NOTHING, a_forecast([90.0, 110.0, 200.0, 220.0], step_s=HOUR_S / 2), MIDNIGHT_S)
    errors = scored(errors, a_series([104.0, 200.0]), MIDNIGHT_S + DAY_S)
    assert errors.issues[0].error_gco2e_per_kwh.tolist() == [4.0, -10.0]


def test_an_hour_that_was_forecast_in_part_is_left_out() -> None:
    errors = recorded(NOTHING, a_forecast([90.0] * 4, MIDNIGHT_S + HOUR_S / 2, HOUR_S / 2), MIDNIGHT_S + HOUR_S / 2)
    assert errors.issues[0].start_at_s == MIDNIGHT_S + HOUR_S
    assert errors.issues[0].first_horizon_h == 1


def test_the_same_run_said_again_is_remembered_once() -> None:
    run = a_forecast([100.0, 200.0, 300.0, 400.0])
    errors = recorded(NOTHING, run, MIDNIGHT_S)
    later_s = MIDNIGHT_S + 2 * HOUR_S
    again = a_forecast([333.0, 400.0], start_at_s=later_s)  # the running hour is known better by now
    assert recorded(errors, again, later_s) is errors
    assert run_of(errors, again) is errors.issues[0]


def test_a_run_that_says_something_else_or_sees_further_is_a_new_one() -> None:
    errors = recorded(NOTHING, a_forecast([100.0, 200.0, 300.0, 400.0]), MIDNIGHT_S)
    later_s = MIDNIGHT_S + 2 * HOUR_S
    assert run_of(errors, a_forecast([300.0, 390.0], start_at_s=later_s)) is None
    assert run_of(errors, a_forecast([300.0, 400.0, 500.0], start_at_s=later_s)) is None


def test_a_feed_that_changes_its_mind_every_five_minutes_is_remembered_every_hour() -> None:
    errors = NOTHING
    for minute in range(0, 121, 5):
        now_s = MIDNIGHT_S + 60.0 * minute
        errors = recorded(errors, a_forecast([100.0 + minute] * 24 * 12, now_s, 300.0), now_s)
    assert [(one.issued_at_s - MIDNIGHT_S) / HOUR_S for one in errors.issues] == [0.0, 1.0, 2.0]


def test_after_a_day_a_run_in_six_hours_stays_and_after_sixty_days_none() -> None:
    errors = NOTHING
    for hour in (*range(0, 60 * 24, 3), *range(60 * 24, 62 * 24)):
        now_s = MIDNIGHT_S + hour * HOUR_S
        errors = recorded(errors, a_forecast([100.0 + hour] * 3, now_s), now_s)
    issued = np.array([one.issued_at_s for one in errors.issues])
    assert now_s - issued[0] <= 60 * DAY_S
    assert set(np.diff(issued[:-26]) / HOUR_S) == {6.0}
    assert set(np.diff(issued[-24:]) / HOUR_S) == {1.0}


def test_a_forecast_stamped_by_a_wrong_clock_is_forgotten() -> None:
    errors = recorded(NOTHING, a_forecast([100.0] * 24, MIDNIGHT_S + 300 * DAY_S), MIDNIGHT_S + 300 * DAY_S)
    errors = recorded(errors, a_forecast([100.0] * 24), MIDNIGHT_S)
    assert [one.issued_at_s for one in errors.issues] == [MIDNIGHT_S]


def test_bias_and_errors_are_summed_up_by_horizon() -> None:
    errors = recorded(NOTHING, a_forecast([100.0] * 12), MIDNIGHT_S)
    errors = scored(errors, a_series([110.0] * 3 + [80.0] * 3 + [0.0] * 6), MIDNIGHT_S + DAY_S)
    near, far = by_horizon(errors)
    assert (near.name, near.hours, near.bias_gco2e_per_kwh, near.mae_gco2e_per_kwh) == ("0-6h", 6, -5.0, 15.0)
    assert near.mape_ratio == pytest.approx((10 / 110 + 20 / 80) / 2)
    assert (far.name, far.bias_gco2e_per_kwh, far.mape_ratio) == ("6-12h", -100.0, None)


def test_quantiles_of_errors_need_a_hundred_hours() -> None:
    errors = NOTHING
    for day in range(25):
        start_s = MIDNIGHT_S + day * DAY_S
        errors = recorded(errors, a_forecast([100.0 + day] * 4, start_s), start_s)
        errors = scored(errors, a_series([100.0 + day + step for step in (-1, 0, 0, 1)], start_at_s=start_s), 1e12)
        assert bool(error_quantiles_gco2e_per_kwh(errors, (0.5,))) == (day == 24)
    found = error_quantiles_gco2e_per_kwh(errors, (0.1, 0.5, 0.9))
    assert {key: values.tolist() for key, values in found.items()} == {(0, 6): [-1.0, 0.0, 1.0]}
