from __future__ import annotations

from typing import Any

import pytest

from intensity_feeds.series import IntensitySeries, Signal
from simulations.feed_server import watttime
from simulations.feed_server.replies import RefusedError
from tests.unit.simulations.feed_server.views import HOUR_S, NOW_S, START_S, a_series, a_view, refused

DE = {"region": "DE", "signal_type": "co2_moer"}


def marginal() -> IntensitySeries:
    return a_series(level_gco2e_per_kwh=400.0, signal=Signal.MARGINAL)


def pounds(gco2e_per_kwh: float) -> float:
    return round(gco2e_per_kwh / 0.45359237, 1)


def history(start: str, end: str, **query: str) -> Any:
    return watttime.historical(a_view(marginal=marginal()), DE | {"start": start, "end": end} | query).payload


def test_both_ends_of_a_history_are_included() -> None:
    answer = history("2022-03-09T00:00:00Z", "2022-03-09 01:00:00+00:00")
    assert len(answer["data"]) == 13
    assert answer["data"][0]["value"] == pounds(400)
    assert answer["data"][-1] == {
        "point_time": "2022-03-09T01:00:00+00:00",
        "value": pounds(401),
        "last_updated": "2022-03-10T01:00:00+00:00",
    }


def test_the_meta_says_what_the_numbers_are() -> None:
    assert history("2022-03-09T00:00:00Z", "2022-03-09T00:00:00Z")["meta"] == {
        "data_point_period_seconds": 300,
        "region": "DE",
        "warnings": [],
        "signal_type": "co2_moer",
        "model": {"type": "binned_regression", "date": "2023-03-01"},
        "units": "lbs_co2_per_mwh",
    }


def test_a_value_appears_when_its_five_minutes_are_over() -> None:
    answer = history("2022-03-10T12:00:00Z", "2022-03-10T20:00:00Z")
    assert answer["data"][-1]["point_time"] == "2022-03-10T12:35:00+00:00"


def test_imputed_values_are_marked_when_asked_for() -> None:
    answer = history("2022-03-09T00:00:00Z", "2022-03-09T00:00:00Z", include_imputed_marker="true")
    assert answer["data"][0]["imputed_data_used"] is False


def test_only_what_was_updated_since_is_told() -> None:
    answer = history("2022-03-09T00:00:00Z", "2022-03-09T23:55:00Z", updated_since="2022-03-10T12:00:00Z")
    assert answer["data"][0]["point_time"] == "2022-03-09T12:00:00+00:00"


@pytest.mark.parametrize(
    "query",
    [
        DE | {"start": "2022-03-09T00:00:00", "end": "2022-03-10T00:00:00Z"},
        DE | {"start": "2022-03-09T00:00:00 00:00", "end": "2022-03-10T00:00:00Z"},
        DE | {"start": "2022-03-09T00:00:00Z", "end": "2022-04-11T00:00:00Z"},
        DE | {"start": "2022-03-10T00:00:00Z", "end": "2022-03-09T00:00:00Z"},
        DE | {"start": "2022-03-09T00:00:00Z"},
        {"region": "XX", "signal_type": "co2_moer", "start": "2022-03-09T00:00Z", "end": "2022-03-09T00:00Z"},
        {"region": "DE", "signal_type": "smell", "start": "2022-03-09T00:00Z", "end": "2022-03-09T00:00Z"},
    ],
)
def test_a_malformed_question_is_refused(query: dict[str, str]) -> None:
    reply = refused(watttime.historical, a_view(marginal=marginal()), query)
    assert reply.status == 400
    assert reply.payload["error"] == "INVALID_QUERY_PARAMS"
    assert reply.payload["message"]


@pytest.mark.parametrize("horizon", ["-1", "73", "1.5"])
def test_a_horizon_outside_0_to_72_hours_is_refused(horizon: str) -> None:
    assert refused(watttime.forecast, a_view(marginal=marginal()), DE | {"horizon_hours": horizon}).status == 400


def test_average_rates_have_a_history_and_no_forecast() -> None:
    query = {"region": "DE", "signal_type": "co2_aoer", "start": "2022-03-09T00:00Z", "end": "2022-03-09T00:00Z"}
    view = a_view(marginal=marginal())
    assert watttime.historical(view, query).payload["data"][0]["value"] == pounds(300)
    assert refused(watttime.forecast, view, query).status == 400


def test_average_values_in_the_place_of_marginal_ones_come_with_a_warning() -> None:
    meta = watttime.forecast(a_view(), DE).payload["meta"]
    assert [warning["type"] for warning in meta["warnings"]] == ["REPLAY_STAND_IN"]


def test_one_past_forecast_is_found_by_its_issue_time() -> None:
    query = DE | {"start": "2022-03-09T00:05:00Z", "end": "2022-03-09T00:05:00Z", "horizon_hours": "0"}
    assert watttime.past_forecasts(a_view(marginal=marginal()), query).payload["data"] == [
        {
            "generated_at": "2022-03-09T00:05:00+00:00",
            "forecast": [{"point_time": "2022-03-09T00:05:00+00:00", "value": pounds(400)}],
        }
    ]


def test_issue_times_of_more_than_a_day_are_refused() -> None:
    query = DE | {"start": "2022-03-08T00:00:00Z", "end": "2022-03-09T00:05:00Z"}
    assert refused(watttime.past_forecasts, a_view(marginal=marginal()), query).status == 400


def test_the_index_is_the_percentile_within_the_next_day() -> None:
    view = a_view(marginal=marginal(), now_s=START_S + 3 * 24 * HOUR_S)
    assert watttime.signal_index(view, {"region": "DE"}).payload["data"][0]["value"] == 0.0
    noon = watttime.signal_index(a_view(marginal=marginal(), now_s=NOW_S - 2400), {"region": "DE"}).payload
    assert noon["data"][0]["value"] == 50.0
    assert noon["meta"]["units"] == "percentile"


def test_a_place_without_coverage_is_told_in_the_words_that_clients_look_for() -> None:
    query = {"latitude": "0", "longitude": "0", "signal_type": "co2_moer"}
    reply = refused(watttime.region_from_loc, a_view(), query)
    assert reply.status == 404
    assert reply.payload == {"error": "No coverage available for these coordinates and signal_type"} | query


def test_the_access_list_without_a_plan_previews_one_region() -> None:
    series = a_series("US-CAL-CISO", signal=Signal.MARGINAL)
    answer = watttime.my_access(a_view(series, holding={"out_of_scope"}), {}).payload
    assert [one["region"] for one in answer["signal_types"][0]["regions"]] == ["CAISO_NORTH"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"username": "freddo", "password": "s3cret!!", "email": "f@example.org"}, 200),
        ({"username": "freddo", "password": "secret", "email": "f@example.org"}, 400),
        ({"username": "freddo"}, 422),
        (None, 422),
    ],
)
def test_registering_wants_a_name_an_address_and_a_good_password(body: object, status: int) -> None:
    try:
        reply = watttime.register(body)
    except RefusedError as error:
        reply = error.reply
    assert reply.status == status
