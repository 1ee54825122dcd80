from __future__ import annotations

from typing import Any

import pytest

from intensity_feeds.series import Basis, IntensitySeries, Signal
from simulations.feed_server import electricity_maps, optimizer
from simulations.feed_server.faults import Faults
from simulations.feed_server.grid_view import GridView
from simulations.feed_server.routes import routes
from tests.unit.simulations.feed_server.views import HOUR_S, NOW_S, START_S, a_series, a_view, refused

CARBON = "carbon-intensity"


def asked(temporality: str, view: GridView | None = None, signal: str = CARBON, **query: str) -> Any:
    handler = electricity_maps.TEMPORALITIES[temporality]
    return handler(signal, view or a_view(), {"zone": "DE", **query}).payload


def test_latest_has_every_field_of_the_recording() -> None:
    assert asked("latest") == {
        "zone": "DE",
        "carbonIntensity": 312,
        "datetime": "2022-03-10T12:00:00.000Z",
        "updatedAt": "2022-03-10T12:30:00.000Z",
        "createdAt": "2022-03-08T12:00:00.000Z",
        "emissionFactorType": "lifecycle",
        "flowTraced": True,
        "isEstimated": True,
        "estimationMethod": "FORECASTS_HIERARCHY",
        "temporalGranularity": "hourly",
    }


@pytest.mark.parametrize(("granularity", "rows"), [("hourly", 24), ("15_minutes", 96), ("5_minutes", 288)])
def test_history_ends_with_the_running_step(granularity: str, rows: int) -> None:
    answer = asked("history", temporalGranularity=granularity)
    assert len(answer["history"]) == rows
    assert answer["temporalGranularity"] == granularity
    newest = {"hourly": "12:00", "15_minutes": "12:30", "5_minutes": "12:40"}[granularity]
    assert answer["history"][-1]["datetime"] == f"2022-03-10T{newest}:00.000Z"


def test_history_is_as_long_as_the_trace_has_been() -> None:
    assert len(asked("history", a_view(now_s=START_S + HOUR_S))["history"]) == 2


def test_a_past_range_excludes_its_end() -> None:
    answer = asked("past-range", start="2022-03-08T00:00:00Z", end="2022-03-09T00:00:00.0000000+00:00")
    assert [row["carbonIntensity"] for row in answer["data"]] == list(range(300, 324))
    assert answer["data"][-1]["datetime"] == "2022-03-08T23:00:00.000Z"


def test_a_past_range_shows_nothing_of_the_future() -> None:
    answer = asked("past-range", start="2022-03-10T11:00:00Z", end="2022-03-10T20:00:00Z")
    assert [row["datetime"][11:13] for row in answer["data"]] == ["11", "12"]


def test_past_is_the_interval_that_contains_the_instant() -> None:
    assert asked("past", datetime="2022-03-08T05:59:00Z")["carbonIntensity"] == 305


@pytest.mark.parametrize(("horizon_h", "points"), [("6", 7), ("24", 25), ("48", 49), ("72", 73)])
def test_a_forecast_has_one_point_more_than_hours(horizon_h: str, points: int) -> None:
    answer = asked("forecast", horizonHours=horizon_h)
    assert len(answer["forecast"]) == points
    assert answer["forecast"][0] == {"carbonIntensity": 312, "datetime": "2022-03-10T12:00:00.000Z"}
    assert answer["updatedAt"] == "2022-03-10T12:40:00.000Z"


def test_a_forecast_ends_with_the_trace() -> None:
    assert len(asked("forecast", a_view(now_s=START_S + 8 * 24 * HOUR_S - 1), horizonHours="72")["forecast"]) == 1


def test_a_step_of_the_trace_that_is_finer_is_averaged_by_time() -> None:
    series = IntensitySeries.regular("DE", START_S, 1800.0, [100.0, 200.0, 300.0, 400.0])
    answer = asked("history", a_view(series, now_s=START_S + 5400))
    assert [row["carbonIntensity"] for row in answer["history"]] == [150, 350]


def test_a_gap_of_the_trace_is_a_missing_row() -> None:
    series = IntensitySeries.regular("DE", START_S, HOUR_S, [100.0, float("nan"), 300.0])
    answer = asked("history", a_view(series, now_s=START_S + 2 * HOUR_S))
    assert [row["carbonIntensity"] for row in answer["history"]] == [100, 300]


def test_disabled_estimations_leave_measured_rows_only() -> None:
    assert len(asked("history", disableEstimations="True")["history"]) == 22


@pytest.mark.parametrize(
    ("temporality", "query", "status"),
    [
        ("past-range", {"end": "2022-03-09T00:00:00Z"}, 400),
        ("past-range", {"start": "2022-03-01T00:00:00Z", "end": "2022-03-12T00:00:00Z"}, 400),
        ("past", {"datetime": "yesterday"}, 400),
        ("forecast", {"horizonHours": "12"}, 400),
        ("latest", {"temporalGranularity": "weekly"}, 400),
        ("latest", {"emissionFactorType": "direct"}, 400),
        ("latest", {"zone": "XX"}, 404),
        ("latest", {"disableEstimations": "true"}, 404),
        ("past", {"datetime": "2021-01-01T00:00:00Z"}, 404),
    ],
)
def test_what_the_service_refuses(temporality: str, query: dict[str, str], status: int) -> None:
    def handler(view: GridView, query: Any) -> Any:
        return electricity_maps.TEMPORALITIES[temporality](CARBON, view, query)

    reply = refused(handler, a_view(), {"zone": "DE"} | query)
    assert reply.status == status
    assert reply.payload["error"]


def test_breakdowns_are_forecast_for_a_day_only() -> None:
    def handler(view: GridView, query: Any) -> Any:
        return electricity_maps.forecast("power-breakdown", view, query)

    assert refused(handler, a_view(), {"zone": "DE", "horizonHours": "72"}).status == 400
    assert len(asked("forecast", signal="power-breakdown")["forecast"]) == 25


def test_a_direct_trace_answers_on_its_own_basis() -> None:
    view = a_view(a_series(basis=Basis.DIRECT))
    assert asked("latest", view)["emissionFactorType"] == "direct"
    assert asked("latest", view, emissionFactorType="direct")["carbonIntensity"] == 312


def test_marginal_values_in_the_place_of_average_ones_say_so() -> None:
    assert "marginal" in asked("latest", a_view(a_series(signal=Signal.MARGINAL)))["_disclaimer"]


def test_the_wrong_zone_answers_under_its_own_name() -> None:
    answer = asked("latest", a_view(holding={"wrong_zone"}))
    assert (answer["zone"], answer["carbonIntensity"]) == ("GB", 212)


def test_an_unknown_zone_becomes_the_callers_unless_the_lookup_is_off() -> None:
    view = a_view(holding={"caller_lookup"})
    assert asked("latest", view, zone="XX")["zone"] == "DE"
    query = {"zone": "XX", "disableCallerLookup": "true"}
    assert refused(lambda view, query: electricity_maps.latest(CARBON, view, query), view, query).status == 404


def test_sandbox_answers_are_marked() -> None:
    answer = asked("history", a_view(holding={"sandbox"}))
    assert "SANDBOX MODE" in answer["_disclaimer"]
    assert {row["estimationMethod"] for row in answer["history"]} == {"SANDBOX_MODE_DATA"}


def test_young_values_are_revised_when_they_are_old() -> None:
    early = asked("history", a_view(holding={"revised"}, faults=Faults(revised_h=3)))["history"]
    later = asked("history", a_view(holding={"revised"}, now_s=NOW_S + 3 * HOUR_S))["history"]
    assert [row["carbonIntensity"] for row in early[-3:]] == [388, 389, 390]
    assert [row["carbonIntensity"] for row in later[-6:-3]] == [310, 311, 312]


def test_a_late_forecast_lacks_the_running_hour() -> None:
    answer = asked("forecast", a_view(holding={"late_forecast"}))
    assert answer["forecast"][0]["datetime"] == "2022-03-10T13:00:00.000Z"


def test_every_signal_answers_every_temporality() -> None:
    query = {"zone": "DE", "datetime": "2022-03-08T00:00Z", "start": "2022-03-08T00:00Z", "end": "2022-03-09T00:00Z"}
    signals = [route for route in routes() if route.path.startswith("/v4/") and "{" not in route.path]
    answered = [route.handler(a_view(), query | {"since": "2022-03-10T00:00Z"}).payload for route in signals]
    assert len(answered) == 1 + 5 + 6 * 5
    assert all(answered)


def test_updates_since_an_instant_are_the_rows_written_after_it() -> None:
    query = {"zone": "DE", "since": "2022-03-10T12:00:00Z"}
    answer = electricity_maps.updated_since(a_view(), query).payload
    assert all(row["updated_at"] >= "2022-03-10T12:00:00.000Z" for row in answer["updates"])
    assert answer["updates"]


@pytest.mark.parametrize("region", ["eu-central-1", "eucentral1"])
def test_a_cloud_region_is_found_by_its_provider(region: str) -> None:
    query = {"dataCenterProvider": "aws", "dataCenterRegion": region}
    assert electricity_maps.latest(CARBON, a_view(), query).payload["zone"] == "DE"


def test_the_data_centers_are_those_in_zones_of_the_trace() -> None:
    everything = electricity_maps.data_centers(a_view(), {}).payload
    assert {entry["zoneKey"] for entry in everything} == {"DE", "GB"}
    (first,) = electricity_maps.data_centers(
        a_view(), {"dataCenterProvider": "aws", "zone": "DE", "limit": "1"}
    ).payload
    assert (first["region"], first["displayName"], first["lonlat"]) == ("eu-central-1", "Frankfurt", [8.68, 50.11])


def test_the_level_compares_with_the_last_ten_days() -> None:
    series = IntensitySeries.regular("DE", START_S, HOUR_S, [100.0] * 80 + [50.0] * 20)
    answer = electricity_maps.level(a_view(series, now_s=START_S + 80 * HOUR_S), {"zone": "DE"}).payload
    assert answer["data"] == [{"level": "low", "datetime": "2022-03-10T08:00:00.000Z"}]


def test_the_optimizer_finds_the_cleanest_whole_hour() -> None:
    body = {
        "duration": "PT3H",
        "startWindow": "2022-03-10T12:40:00Z",
        "endWindow": "2022-03-11T12:00:00Z",
        "locations": [[8.7, 50.1]],
        "optimizationMetric": "flow-traced_carbon_intensity",
    }
    answer = optimizer.optimize(a_view(), body).payload
    assert answer["optimalStartTime"] == "2022-03-11T00:00:00.000Z"
    assert answer["optimizationOutput"] == {
        "metricValueImmediateExecution": 313.67,
        "metricValueOptimalExecution": 301.0,
        "metricValueStartWindowExecution": 313.67,
        "metricUnit": "gCO2eq/kWh",
        "optimizationMetric": "flow-traced_carbon_intensity",
        "zoneKey": "DE",
    }
