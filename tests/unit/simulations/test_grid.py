"""What a policy is told: the truth for a while, our own guess, or nothing; never anything from beyond its horizon."""

from __future__ import annotations

import numpy as np
import pytest

from intensity_feeds.feed import Rung
from intensity_feeds.series import IntensitySeries, MixedSignalsError, Signal
from simulations.grid import Grid, blind, perfect, seasonal

HOUR_S, DAY_S = 3600.0, 86400.0


def a_month(zone: str = "Z") -> IntensitySeries:
    """The same day again and again: 100 + 10 g for each hour."""
    return IntensitySeries.regular(zone, 0.0, HOUR_S, np.tile(100.0 + 10.0 * np.arange(24), 30))


def test_a_perfect_forecast_is_the_truth_up_to_its_horizon() -> None:
    forecast = perfect(48 * HOUR_S)(a_month(), 5.5 * HOUR_S)
    assert forecast is not None
    assert (forecast.start_at_s, forecast.end_at_s) == (5.5 * HOUR_S, 53.5 * HOUR_S)
    assert forecast.at(6 * HOUR_S) == 160.0


def test_a_forecast_ends_with_the_data_and_is_nothing_behind_them() -> None:
    forecast = perfect(48 * HOUR_S)(a_month(), 29.5 * DAY_S)
    assert forecast is not None
    assert forecast.end_at_s == 30 * DAY_S
    assert perfect(48 * HOUR_S)(a_month(), 30 * DAY_S) is None


def test_a_seasonal_forecast_does_not_see_the_future() -> None:
    truth = a_month()
    changed = IntensitySeries.regular("Z", 0.0, HOUR_S, np.where(np.arange(720) < 480, truth.gco2e_per_kwh, 9999.0))
    first, second = (seasonal(48 * HOUR_S)(series, 20 * DAY_S) for series in (truth, changed))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.gco2e_per_kwh, second.gco2e_per_kwh)
    assert first.at(20 * DAY_S + 6 * HOUR_S) == pytest.approx(160.0)


def test_a_seasonal_forecast_without_a_past_says_nothing() -> None:
    assert seasonal(48 * HOUR_S)(a_month(), 0.0) is None


def test_the_rung_names_where_an_answer_comes_from_and_silence_has_none() -> None:
    told = Grid(realised={"Z": a_month()}, forecaster=perfect(DAY_S), rung=Rung.LIVE)
    silent = Grid(realised={"Z": a_month()}, forecaster=blind, rung=None)
    assert [update.rung for update in told.forecasts(0.0)] == [Rung.LIVE]
    assert [(update.series, update.rung) for update in silent.forecasts(0.0)] == [(None, None)]


def test_average_and_marginal_grids_are_not_mixed() -> None:
    marginal = IntensitySeries.regular("M", 0.0, HOUR_S, [1.0], signal=Signal.MARGINAL)
    with pytest.raises(MixedSignalsError):
        Grid(realised={"Z": a_month(), "M": marginal}, forecaster=blind, rung=None)
