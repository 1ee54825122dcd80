from __future__ import annotations

import math

from intensity_feeds.feed import Answer, Rung
from intensity_feeds.forecast_correction import QuantileForecast
from scheduler.daemon.descriptions import describe_answer
from tests.builders import HOUR_S, a_series


def test_a_gap_in_the_forecast_is_null_and_no_failure() -> None:
    series = a_series([100.0, math.nan, 300.0])
    answer = Answer(series=series, rung=Rung.LIVE, age_s=0.0, feed="trace")

    described = describe_answer("DE", answer, 1.5 * HOUR_S)

    assert described["gco2e_per_kwh"] is None
    assert [point["gco2e_per_kwh"] for point in described["points"]] == [None, 300.0]
    assert describe_answer("DE", answer, 0.0)["gco2e_per_kwh"] == 100.0


def test_a_point_says_what_is_expected_where_past_errors_tell_and_nothing_elsewhere() -> None:
    band = QuantileForecast(
        p10=a_series([90.0, math.nan]), p50=a_series([100.0, math.nan]), p90=a_series([120.0, math.nan])
    )
    answer = Answer(series=a_series([101.0, 102.0, 103.0]), rung=Rung.LIVE, age_s=0.0, feed="trace", band=band)

    points = describe_answer("DE", answer, 0.0)["points"]

    assert points[0]["expected"] == {"p10_gco2e_per_kwh": 90.0, "p50_gco2e_per_kwh": 100.0, "p90_gco2e_per_kwh": 120.0}
    assert [point["expected"] for point in points[1:]] == [None, None]
