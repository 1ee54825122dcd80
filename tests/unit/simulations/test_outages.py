"""What a policy is told while its feed is silent: the last forecast, then our own from before, and no newer truth."""

from __future__ import annotations

import numpy as np
import pytest

from intensity_feeds.feed import Rung
from intensity_feeds.series import IntensitySeries, MixedSignalsError, Signal
from simulations.grid import Grid, blind, perfect, recorded
from simulations.outages import Outages

HOUR_S, DAY_S = 3600.0, 86400.0


def a_month(from_hour: int = 0, *, then: float = 0.0) -> IntensitySeries:
    """The same day again and again, 100 + 10 g for each hour; from `from_hour` on so much more."""
    values = np.tile(100.0 + 10.0 * np.arange(24), 30)
    values[from_hour:] += then
    return IntensitySeries.regular("Z", 0.0, HOUR_S, values)


def outages(*windows_at_d: tuple[float, float]) -> Outages:
    windows_at_s = [(from_d * DAY_S, to_d * DAY_S) for from_d, to_d in windows_at_d]
    return Outages(windows_at_s=windows_at_s, start_at_s=14 * DAY_S, renew_s=6 * HOUR_S, horizon_s=2 * DAY_S)


def test_a_feed_is_silent_from_the_begin_of_a_window_until_before_its_end() -> None:
    silent = outages((15.0, 16.0))
    assert [silent.since_s(day * DAY_S) for day in (14.9, 15.0, 15.9, 16.0)] == [None, 15 * DAY_S, 15 * DAY_S, None]


@pytest.mark.parametrize(
    "windows", [((15.0, 16.0), (16.0, 17.0)), ((15.0, 16.5), (16.0, 17.0)), ((16.0, 17.0), (15.0, 16.5))]
)
def test_windows_that_touch_or_overlap_are_one_silence(windows: tuple[tuple[float, float], ...]) -> None:
    assert outages(*windows).since_s(16.6 * DAY_S) == 15 * DAY_S


def test_the_last_forecast_is_kept_and_continued_by_our_own() -> None:
    grid = Grid(realised={"Z": a_month()}, forecaster=perfect(2 * DAY_S), rung=Rung.LIVE, outages=outages((15.0, 18.0)))
    now_s = 15.5 * DAY_S
    (told,) = grid.forecasts(now_s)
    assert told.rung is Rung.CACHED
    assert told.series is not None
    assert told.series.start_at_s == now_s
    assert told.series.end_at_s >= now_s + 2 * DAY_S  # the last one came at 14.75 days and ends at 16.75


def test_nothing_that_happened_after_the_feed_fell_silent_is_told() -> None:
    silence, short = outages((15.0, 20.0)), perfect(6 * HOUR_S)
    told, otherwise = (
        next(Grid(realised={"Z": series}, forecaster=short, rung=Rung.LIVE, outages=silence).forecasts(16 * DAY_S))
        for series in (a_month(), a_month(15 * 24, then=500.0))
    )
    assert told.rung is otherwise.rung is Rung.OWN_FORECAST
    assert told.series is not None and otherwise.series is not None
    assert np.array_equal(told.series.gco2e_per_kwh, otherwise.series.gco2e_per_kwh)


def test_a_silence_since_before_the_scenario_leaves_our_own_forecast() -> None:
    grid = Grid(realised={"Z": a_month()}, forecaster=perfect(DAY_S), rung=Rung.LIVE, outages=outages((10.0, 20.0)))
    assert next(grid.forecasts(14 * DAY_S)).rung is Rung.OWN_FORECAST


def test_without_a_forecast_and_a_past_nothing_is_known() -> None:
    grid = Grid(realised={"Z": a_month()}, forecaster=blind, rung=None, outages=outages((-1.0, 20.0)))
    assert next(grid.forecasts(14 * DAY_S)).series is None


def test_who_foresees_is_told_the_truth_of_what_is_counted_whatever_the_feed_does() -> None:
    marginal = IntensitySeries.regular("Z", 0.0, HOUR_S, [7.0] * 720, signal=Signal.MARGINAL)
    grid = Grid(
        realised={"Z": a_month()}, forecaster=blind, rung=None, seen={"Z": marginal}, outages=outages((1.0, 20.0))
    )
    told = next(grid.foreseen(DAY_S).forecasts(14 * DAY_S)).series
    assert told is not None
    assert (told.signal, told.at(14 * DAY_S + HOUR_S)) == (Signal.AVERAGE, 110.0)


def test_decisions_may_see_another_signal_than_the_one_that_is_counted() -> None:
    marginal = IntensitySeries.regular("Z", 0.0, HOUR_S, [7.0] * 720, signal=Signal.MARGINAL)
    grid = Grid(realised={"Z": a_month()}, forecaster=perfect(DAY_S), rung=Rung.LIVE, seen={"Z": marginal})
    told = next(grid.forecasts(0.0)).series
    assert told is not None
    assert (told.signal, told.at(0.0)) == (Signal.MARGINAL, 7.0)


def test_signals_that_are_seen_together_are_not_mixed_either() -> None:
    marginal = IntensitySeries.regular("M", 0.0, HOUR_S, [1.0], signal=Signal.MARGINAL)
    with pytest.raises(MixedSignalsError):
        Grid(realised={"Z": a_month()}, forecaster=blind, rung=None, seen={"Z": a_month(), "M": marginal})


def test_a_recorded_forecast_is_the_newest_that_was_issued_and_no_longer_than_the_horizon() -> None:
    first, second = (
        IntensitySeries.regular("Z", day * DAY_S, HOUR_S, [value] * 48, issued_at_s=day * DAY_S)
        for day, value in ((14, 50.0), (15, 60.0))
    )
    forecast = recorded(DAY_S, {"Z": (first, second)})
    told = [forecast(a_month(), day * DAY_S) for day in (13.0, 14.5, 15.5, 17.0)]
    assert told[0] is None and told[3] is None
    assert told[1] is not None and told[2] is not None
    assert (told[1].at(15 * DAY_S), told[2].at(16 * DAY_S)) == (50.0, 60.0)
    assert told[2].end_at_s == 16.5 * DAY_S
