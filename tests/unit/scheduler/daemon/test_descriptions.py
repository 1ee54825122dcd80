from __future__ import annotations

import math

from intensity_feeds.feed import Answer, Rung
from scheduler.daemon.descriptions import describe_answer
from tests.builders import HOUR_S, a_series


def test_a_gap_in_the_forecast_is_null_and_no_failure() -> None:
    series = a_series([100.0, math.nan, 300.0])
    answer = Answer(series=series, rung=Rung.LIVE, age_s=0.0, feed="trace")

    described = describe_answer("DE", answer, 1.5 * HOUR_S)

    assert described["gco2e_per_kwh"] is None
    assert [point["gco2e_per_kwh"] for point in described["points"]] == [None, 300.0]
    assert describe_answer("DE", answer, 0.0)["gco2e_per_kwh"] == 100.0
