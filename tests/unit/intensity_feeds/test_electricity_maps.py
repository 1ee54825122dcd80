"""Electricity Maps: the calls that are made and the answers that are read, without a network."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from intensity_feeds.calls import Reply
from intensity_feeds.electricity_maps import (
    ElectricityMaps,
    forecast_request,
    history_requests,
    parse_forecast,
    parse_history,
    refusal,
)
from intensity_feeds.feed import FeedAccessError, FeedAnswerError, FeedThrottledError, NoDataError, kind_of
from intensity_feeds.instants import parse_utc_s
from intensity_feeds.series import Basis, IntensitySeries, Quality, Signal
from tests.unit.intensity_feeds.builders import (
    DAY_S,
    HOUR_S,
    MIDNIGHT_S,
    an_electricity_maps_forecast,
    an_electricity_maps_range,
)

NOW_S = MIDNIGHT_S + 1234.0


def read_forecast(payload: Any, zone: str = "DK-DK2", basis: Basis = Basis.LIFECYCLE) -> IntensitySeries:
    return parse_forecast(payload, zone, issued_at_s=NOW_S, emission_factor_type=basis)


def read_history(*payloads: Any, zone: str = "DK-DK2") -> IntensitySeries:
    return parse_history(list(payloads), zone, emission_factor_type=Basis.LIFECYCLE)


def test_a_forecast_call_never_lets_the_service_guess_a_location() -> None:
    call = forecast_request("DE", version="v4", horizon_hours=72, emission_factor_type=Basis.DIRECT)
    assert call.path == "/v4/carbon-intensity/forecast"
    assert dict(call.query) == {
        "zone": "DE",
        "emissionFactorType": "direct",
        "disableCallerLookup": "true",
        "shouldUseFallbackCallerLookup": "false",
        "horizonHours": "72",
    }


def test_a_long_past_is_asked_for_in_pieces_of_ten_days_that_meet() -> None:
    calls = history_requests(
        "DE", MIDNIGHT_S + 60, MIDNIGHT_S + 25 * DAY_S + 60, version="v3", emission_factor_type=Basis.LIFECYCLE
    )
    spans = [(parse_utc_s(dict(call.query)["start"]), parse_utc_s(dict(call.query)["end"])) for call in calls]
    assert len(spans) == 3
    assert spans[0][0] == MIDNIGHT_S
    assert spans[-1][1] == MIDNIGHT_S + 25 * DAY_S + HOUR_S
    assert all(end_s - start_s <= 10 * DAY_S for start_s, end_s in spans)
    assert all(earlier[1] == later[0] for earlier, later in pairwise(spans))
    assert all(call.path == "/v3/carbon-intensity/past-range" for call in calls)


def test_twenty_five_points_are_twenty_five_hours_from_the_running_one() -> None:
    series = read_forecast(an_electricity_maps_forecast([77.0] * 25))
    assert (series.start_at_s, series.end_at_s) == (MIDNIGHT_S, MIDNIGHT_S + 25 * HOUR_S)
    assert (series.quality, series.issued_at_s) == (Quality.FORECAST, NOW_S)
    assert (series.signal, series.basis) == (Signal.AVERAGE, Basis.LIFECYCLE)


def test_a_finer_granularity_is_taken_from_the_answer() -> None:
    payload = an_electricity_maps_forecast([77])
    payload["temporalGranularity"] = "15_minutes"
    assert read_forecast(payload).end_at_s == MIDNIGHT_S + 900


@pytest.mark.parametrize("granularity", ["weekly", None, [], 5])
def test_a_granularity_of_unknown_length_is_refused(granularity: object) -> None:
    payload = {**an_electricity_maps_forecast(), "temporalGranularity": granularity}
    with pytest.raises(FeedAnswerError, match="temporalGranularity"):
        read_forecast(payload)


def test_null_is_a_gap_and_zero_is_data() -> None:
    series = read_forecast(an_electricity_maps_forecast([0, None, 75]))
    assert series.at(MIDNIGHT_S) == 0
    assert series.has_gap


@pytest.mark.parametrize("zone", ["US-CAR-DUK", None, 5])
def test_an_answer_for_another_zone_is_refused(zone: object) -> None:
    with pytest.raises(FeedAnswerError, match="zone"):
        read_forecast({**an_electricity_maps_forecast(), "zone": zone})


def test_direct_factors_are_never_taken_for_lifecycle_ones() -> None:
    payload: dict[str, Any] = an_electricity_maps_range()
    payload["data"][1]["emissionFactorType"] = "direct"
    with pytest.raises(FeedAnswerError, match="asked for lifecycle factors, answered with direct"):
        read_history(payload)


@pytest.mark.parametrize(
    "payload",
    [
        an_electricity_maps_range(method="SANDBOX_MODE_DATA"),
        {**an_electricity_maps_forecast(), "_disclaimer": "This is SANDBOX MODE data"},
    ],
)
def test_made_up_numbers_of_a_sandbox_are_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(FeedAccessError, match="sandbox"):
        read_history(payload)


def test_pieces_are_joined_without_doubling_the_hour_where_they_meet() -> None:
    series = read_history(
        an_electricity_maps_range([1, 2]), an_electricity_maps_range([20, 30], start_at_s=MIDNIGHT_S + HOUR_S)
    )
    assert series.gco2e_per_kwh.tolist() == [1, 20, 30]


@pytest.mark.parametrize("key", ["data", "history", "forecast"])
def test_every_envelope_is_read(key: str) -> None:
    assert read_history(an_electricity_maps_range([1, 2], key=key)).gco2e_per_kwh.tolist() == [1, 2]


def test_a_past_with_one_estimated_hour_is_estimated() -> None:
    assert read_history(an_electricity_maps_range()).quality is Quality.MEASURED
    later = an_electricity_maps_range(estimated=True, start_at_s=MIDNIGHT_S + 2 * HOUR_S)
    assert read_history(an_electricity_maps_range(), later).quality is Quality.ESTIMATED


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "text",
        {},
        {"zone": "DK-DK2"},
        {"zone": "DK-DK2", "forecast": {}},
        {"zone": "DK-DK2", "forecast": [5]},
        {"zone": "DK-DK2", "forecast": [{"datetime": "2022-03-01T00:00:00Z"}]},
        {"zone": "DK-DK2", "forecast": [{"carbonIntensity": 5}]},
        {"zone": "DK-DK2", "forecast": [{"carbonIntensity": -5, "datetime": "2022-03-01T00:00:00Z"}]},
    ],
)
def test_garbage_is_an_answer_error_that_names_the_field(payload: object) -> None:
    with pytest.raises(FeedAnswerError):
        read_forecast(payload)


def test_an_empty_list_is_no_data() -> None:
    with pytest.raises(NoDataError):
        read_forecast({"zone": "DK-DK2", "forecast": []})


SCOPE = (
    '{"error": "Request unauthorized for zoneKey=PT,requestType=past,dataType=power-breakdown.", '
    '"message": "You do not have access to this specific endpoint for this specific zone."}'
)


@pytest.mark.parametrize(
    ("status", "body", "is_doubtful", "kind", "says"),
    [
        (401, '{"error": "Invalid auth-token"}', False, FeedAccessError, "token is refused"),
        (401, SCOPE, False, FeedAccessError, "plan does not include"),
        (401, SCOPE, True, FeedAccessError, "plan does not include"),
        (401, '{"error": "Invalid auth-token"}', True, FeedThrottledError, "rate limit"),
        (401, "", True, FeedThrottledError, "rate limit"),
        (403, "Access denied", False, FeedAccessError, "Access denied"),
        (404, '{"error": "No recent data for zone \\"DE\\""}', False, NoDataError, "No recent data"),
        (400, '{"error": "Missing or invalid date parameter \\"start\\""}', False, FeedAnswerError, "invalid date"),
    ],
)
def test_the_body_tells_a_wrong_token_from_a_plan_and_from_a_rate_limit(
    status: int, body: str, is_doubtful: bool, kind: type[Exception], says: str
) -> None:
    error = refusal(Reply(status=status, body=body), "DE", is_doubtful=is_doubtful)
    assert type(error) is kind
    assert says in str(error)


def test_the_feed_says_beforehand_which_factors_it_answers_with() -> None:
    assert kind_of(ElectricityMaps("t", emission_factor_type=Basis.DIRECT)) == (Signal.AVERAGE, Basis.DIRECT)


@pytest.mark.parametrize("wrong", [{"version": "v5"}, {"horizon_hours": 36}])
def test_a_version_or_horizon_that_the_service_lacks_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="version must be one of"):
        ElectricityMaps("t", **wrong)
