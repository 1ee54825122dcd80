from __future__ import annotations

import math

import pytest

from intensity_feeds.feed import Answer, Rung
from intensity_feeds.forecast_correction import QuantileForecast
from scheduler.daemon.descriptions import describe_account, describe_answer
from scheduler.ledger import settle
from shaping.deployment import ErrorClass
from tests.builders import HOUR_S, a_series
from tests.unit.scheduler.test_ledger import GRID, a_use


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


def test_an_account_says_its_bands_beside_what_they_are_of_and_how_much_has_none() -> None:
    uses = [a_use(error_class=ErrorClass.METERED), a_use(energy_kwh=5.0)]

    told = describe_account(settle(uses, GRID))

    assert (told["energy_kwh"], told["unbanded_kwh"]) == (6.0, 5.0)
    bands = told["bands"]
    assert (bands["of_energy_kwh"], bands["of_emissions_gco2e"], bands["of_avoided_gco2e"]) == (1.0, 100.0, 300.0)
    assert bands["energy_kwh"] == {"low": pytest.approx(0.9623, rel=1e-3), "high": pytest.approx(1.0392, rel=1e-3)}


def test_a_stated_power_gives_an_account_without_bands() -> None:
    assert describe_account(settle([a_use()], GRID))["bands"] is None
