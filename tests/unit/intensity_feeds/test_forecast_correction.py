"""What past errors change about a forecast, and when they say nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from intensity_feeds.forecast_correction import band, corrected, remaining_error_ratio
from intensity_feeds.forecast_errors import ForecastErrors, recorded, scored
from intensity_feeds.series import IntensitySeries
from tests.unit.intensity_feeds.builders import DAY_S, HOUR_S, MIDNIGHT_S
from tests.unit.intensity_feeds.test_forecast_errors import a_forecast

DAYS = 18
FLAT = [100.0] * 24


def fading(first: float, share_ratio: float) -> list[float]:
    """A day of 100 whose error begins with `first` and keeps that share from hour to hour."""
    return [100.0 + first * share_ratio**hour for hour in range(24)]


def learned(share_ratio: float = 0.5, days: int = DAYS) -> ForecastErrors:
    """Days whose errors fade by that share an hour, of either sign by turns."""
    errors = ForecastErrors(zone="DE")
    for day in range(days):
        start_s = MIDNIGHT_S + day * DAY_S
        errors = recorded(errors, a_forecast(FLAT, start_s), start_s)
        errors = scored(errors, a_forecast(fading(20.0 * (-1) ** day, share_ratio), start_s), start_s + DAY_S)
    return errors


def today(errors: ForecastErrors, known: list[float]) -> tuple[ForecastErrors, IntensitySeries, float]:
    """One more forecast, of which the first hours are known by now, and what the feed says then."""
    start_s = MIDNIGHT_S + DAYS * DAY_S
    errors = recorded(errors, a_forecast(FLAT, start_s), start_s)
    now_s = start_s + len(known) * HOUR_S
    errors = scored(errors, a_forecast(known, start_s), now_s)
    return errors, a_forecast(FLAT, start_s).between(now_s, start_s + DAY_S), now_s


def test_the_share_of_an_error_that_is_left_is_learned_by_hours() -> None:
    ratios = remaining_error_ratio(learned(0.5))
    assert ratios is not None
    assert ratios[:4] == pytest.approx([1.0, 0.5, 0.25, 0.125])


def test_nothing_is_learned_from_less_than_two_weeks() -> None:
    assert remaining_error_ratio(learned(days=13)) is None
    assert remaining_error_ratio(ForecastErrors(zone="DE")) is None


def test_the_newest_error_is_carried_forward_by_what_is_left_of_it() -> None:
    errors, forecast, _ = today(learned(0.5), [140.0, 120.0])
    moved = corrected(errors, forecast, remaining_error_ratio(errors))
    assert moved.gco2e_per_kwh[:3] == pytest.approx([110.0, 105.0, 102.5])
    assert "corrected by its newest error" in moved.source


def test_an_error_that_turns_into_its_opposite_is_not_carried_at_all() -> None:
    errors, forecast, _ = today(learned(-0.9), [140.0])
    assert corrected(errors, forecast, remaining_error_ratio(errors)).gco2e_per_kwh[0] == 100.0


def test_a_correction_never_makes_a_grid_emit_less_than_nothing() -> None:
    errors, forecast, _ = today(learned(1.0), [-300.0])
    assert corrected(errors, forecast, remaining_error_ratio(errors)).gco2e_per_kwh.min() == 0.0


def test_a_forecast_stays_as_it_is_where_there_is_nothing_to_go_by() -> None:
    errors, forecast, now_s = today(learned(0.5), [140.0])
    ratios = remaining_error_ratio(errors)
    newer = a_forecast([90.0] * 24, now_s)  # another run, of which no hour is over
    assert corrected(errors, newer, ratios) is newer
    assert corrected(errors, forecast, None) is forecast
    assert corrected(ForecastErrors(zone="DE"), forecast, ratios) is forecast


def test_a_perfect_forecast_is_not_corrected() -> None:
    errors, forecast, _ = today(learned(0.0), [100.0])
    assert corrected(errors, forecast, remaining_error_ratio(errors)).gco2e_per_kwh.tolist() == [100.0] * 23


def test_the_band_holds_the_errors_of_the_same_horizon() -> None:
    forecast = a_forecast([100.0] * 48, MIDNIGHT_S + 30 * DAY_S)
    found = band(learned(1.0, days=20), forecast)
    assert found is not None
    assert (found.p10.gco2e_per_kwh[0], found.p50.gco2e_per_kwh[0], found.p90.gco2e_per_kwh[0]) == (80.0, 100.0, 120.0)
    assert np.isnan(found.p90.gco2e_per_kwh[24:]).all()  # no forecast of the second day was ever scored


def test_the_horizon_of_a_band_counts_from_the_issue_not_from_now() -> None:
    errors, whole = learned(1.0, days=20), a_forecast([100.0] * 24, MIDNIGHT_S + 30 * DAY_S)
    late = replace(whole, issued_at_s=whole.start_at_s - 30 * HOUR_S)
    assert band(errors, whole) is not None
    found = band(errors, late)
    assert found is not None
    assert found.p50.has_gap


def test_without_scored_hours_there_is_no_band() -> None:
    assert band(ForecastErrors(zone="DE"), a_forecast(FLAT)) is None
