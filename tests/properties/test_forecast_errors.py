"""Whatever was forecast and whatever came: the sums are those of a plain loop, and units and calendar do not matter."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.forecast_correction import corrected, remaining_error_ratio
from intensity_feeds.forecast_error_records import as_text, from_text
from intensity_feeds.forecast_errors import HORIZON_EDGES_H, ForecastErrors, by_horizon, recorded, scored
from intensity_feeds.series import IntensitySeries, Quality
from tests.unit.intensity_feeds.builders import DAY_S, HOUR_S, MIDNIGHT_S, a_series

DAYS, AHEAD_H = 17, 30
Record = tuple[list[list[float]], list[float]]


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Forecasts of each midnight, and what came, with gaps."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.floats(0.0, 80.0))
    actual = np.maximum(0.0, 200.0 + np.cumsum(random.normal(0.0, spread / 5, DAYS * 24 + AHEAD_H)))
    actual[random.random(len(actual)) < draw(st.sampled_from((0.0, 0.05)))] = np.nan
    forecasts = np.maximum(0.0, 200.0 + random.normal(0.0, spread, (DAYS, AHEAD_H)))
    return forecasts.round(2).tolist(), actual.round(2).tolist()


def a_forecast(values: list[float], start_at_s: float, issued_at_s: float | None = None) -> IntensitySeries:
    issued_at_s = start_at_s if issued_at_s is None else issued_at_s
    return a_series(values, start_at_s=start_at_s, quality=Quality.FORECAST, issued_at_s=issued_at_s)


def remembered(record: Record, until_s: float, factor: float = 1.0, shift_s: float = 0.0) -> ForecastErrors:
    forecasts, actual = record
    errors = ForecastErrors(zone="DE")
    for day, values in enumerate(forecasts):
        start_s = MIDNIGHT_S + shift_s + day * DAY_S
        errors = recorded(errors, a_forecast([factor * one for one in values], start_s), start_s)
    came = a_series([factor * one for one in actual], start_at_s=MIDNIGHT_S + shift_s)
    return scored(errors, came, until_s + shift_s)


@settings(max_examples=25, deadline=None)
@given(record=records(), until_h=st.integers(0, DAYS * 24))
def test_the_sums_by_horizon_are_those_of_a_plain_loop(record: Record, until_h: int) -> None:
    forecasts, actual = record
    told = {one.from_h: one for one in by_horizon(remembered(record, MIDNIGHT_S + until_h * HOUR_S))}
    for from_h, to_h in pairwise(HORIZON_EDGES_H):
        errors = [
            actual[day * 24 + ahead] - values[ahead]
            for day, values in enumerate(forecasts)
            for ahead in range(from_h, min(to_h, AHEAD_H))
            if day * 24 + ahead < until_h and not np.isnan(actual[day * 24 + ahead])
        ]
        assert (from_h in told) == bool(errors)
        if errors:
            assert told[from_h].hours == len(errors)
            assert told[from_h].bias_gco2e_per_kwh == pytest.approx(np.mean(errors), abs=1e-9)
            assert told[from_h].mae_gco2e_per_kwh == pytest.approx(np.mean(np.abs(errors)), abs=1e-9)


def the_last_corrected(record: Record, now_s: float, factor: float = 1.0, shift_s: float = 0.0) -> list[float]:
    errors = remembered(record, now_s, factor, shift_s)
    midnight_s = MIDNIGHT_S + shift_s + (DAYS - 1) * DAY_S
    whole = a_forecast([factor * one for one in record[0][-1]], midnight_s)
    known = whole.between(now_s + shift_s, whole.end_at_s)
    values = corrected(errors, known, remaining_error_ratio(errors)).gco2e_per_kwh.tolist()
    return [float(one) for one in values]


@settings(max_examples=25, deadline=None)
@given(record=records(), hour=st.integers(0, 20), factor=st.sampled_from((0.5, 2.0, 4.0)), days=st.integers(-40, 40))
def test_a_correction_knows_no_unit_and_no_calendar(record: Record, hour: int, factor: float, days: int) -> None:
    now_s = MIDNIGHT_S + (DAYS - 1) * DAY_S + hour * HOUR_S
    plain = the_last_corrected(record, now_s)
    assert min(plain) >= 0.0
    assert the_last_corrected(record, now_s, factor=factor) == pytest.approx([factor * one for one in plain])
    assert the_last_corrected(record, now_s, shift_s=days * DAY_S) == pytest.approx(plain)


@settings(max_examples=15, deadline=None)
@given(record=records())
def test_a_record_is_the_same_after_a_restart(record: Record) -> None:
    errors = remembered(record, MIDNIGHT_S + DAYS * DAY_S)
    for found, kept in zip(by_horizon(from_text(as_text(errors))), by_horizon(errors), strict=True):
        assert astuple(found) == pytest.approx(astuple(kept), abs=1e-3)  # the text rounds to a thousandth of a gram
