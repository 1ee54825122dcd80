"""The GB Carbon Intensity API: the calls that are made and the answers that are read, without a network."""

from __future__ import annotations

import pytest

from intensity_feeds.calls import Reply
from intensity_feeds.feed import FeedAnswerError, NoDataError, kind_of
from intensity_feeds.instants import parse_utc_s
from intensity_feeds.series import Basis, Quality, Signal
from intensity_feeds.uk_carbon import (
    UKCarbon,
    forecast_request,
    history_requests,
    parse_forecast,
    parse_history,
    refusal,
)
from tests.unit.intensity_feeds.builders import DAY_S, MIDNIGHT_S, uk_slots


def a_region(**more: object) -> dict[str, object]:
    slots = uk_slots([(266, None), (200, None)], regional=True)
    return {"regionid": 13, "dnoregion": "UKPN London", "shortname": "London", "data": slots, **more}


@pytest.mark.parametrize(
    ("zone", "path"),
    [
        ("GB", "/intensity/2022-03-01T12:01Z/fw48h"),
        ("GB-13", "/regional/intensity/2022-03-01T12:01Z/fw48h/regionid/13"),
        ("GB-SW1", "/regional/intensity/2022-03-01T12:01Z/fw48h/postcode/SW1"),
    ],
)
def test_a_minute_past_the_half_hour_keeps_the_previous_slot_away(zone: str, path: str) -> None:
    noon_s = parse_utc_s("2022-03-01T12:00Z")
    assert forecast_request(zone, noon_s).path == path
    assert forecast_request(zone, noon_s + 29 * 60).path == path
    assert forecast_request("GB", noon_s + 31 * 60).path == "/intensity/2022-03-01T12:31Z/fw48h"


@pytest.mark.parametrize("zone", ["GB-18", "GB-0", "GB-NIR", "FR", "GB-sw1", "GB-SW1A 1AA", "GB-../x"])
def test_a_zone_that_the_service_lacks_is_no_data_and_never_a_path(zone: str) -> None:
    with pytest.raises(NoDataError, match="GB-1 to GB-17"):
        forecast_request(zone, MIDNIGHT_S)


def test_the_past_is_split_at_fourteen_days_and_at_new_year() -> None:
    start_s, end_s = parse_utc_s("2022-12-10T00:00Z"), parse_utc_s("2023-01-05T00:00Z")
    assert [call.path for call in history_requests("GB", start_s, end_s)] == [
        "/intensity/2022-12-10T00:01Z/2022-12-23T23:31Z",
        "/intensity/2022-12-24T00:01Z/2022-12-31T23:31Z",
        "/intensity/2023-01-01T00:01Z/2023-01-04T23:31Z",
    ]
    assert len(history_requests("GB", MIDNIGHT_S, MIDNIGHT_S + 14 * DAY_S)) == 1


def test_a_forecast_reads_what_is_forecast_and_not_what_was_metered() -> None:
    series = parse_forecast({"data": uk_slots([(266, 263), (200, None)])}, "GB", issued_at_s=MIDNIGHT_S + 5)
    assert series.gco2e_per_kwh.tolist() == [266, 200]
    assert series.end_at_s == MIDNIGHT_S + 3600
    assert (series.signal, series.basis, series.quality) == (Signal.AVERAGE, Basis.DIRECT, Quality.FORECAST)
    assert series.issued_at_s == MIDNIGHT_S + 5


def test_the_past_reads_what_was_metered_and_cuts_off_what_is_not_there_yet() -> None:
    series = parse_history([{"data": uk_slots([(266, 263), (200, 0), (1, None)])}], "GB")
    assert series.gco2e_per_kwh.tolist() == [263, 0]
    assert series.quality is Quality.MEASURED


def test_a_hole_in_what_was_metered_is_a_gap() -> None:
    assert parse_history([{"data": uk_slots([(266, 263), (200, None), (1, 5)])}], "GB").has_gap


@pytest.mark.parametrize("wrap", [lambda region: region, lambda region: [region]])
def test_a_region_is_read_from_an_object_and_from_a_list(wrap: object) -> None:
    payload = {"data": wrap(a_region())}  # type: ignore[operator]
    assert parse_forecast(payload, "GB-13", issued_at_s=MIDNIGHT_S).gco2e_per_kwh.tolist() == [266, 200]


def test_the_past_of_a_region_is_an_estimate() -> None:
    assert parse_history([{"data": a_region()}], "GB-13").quality is Quality.ESTIMATED


def test_a_postcode_is_checked_as_the_region_is() -> None:
    assert parse_history([{"data": a_region(postcode="SW1")}], "GB-SW1").gco2e_per_kwh.tolist() == [266, 200]
    with pytest.raises(FeedAnswerError, match="asked for postcode RG41, answered for SW1"):
        parse_history([{"data": a_region(postcode="SW1")}], "GB-RG41")
    with pytest.raises(FeedAnswerError, match="asked for regionid 7"):
        parse_history([{"data": a_region()}], "GB-7")


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        {"data": {}},
        {"data": [5]},
        {"data": [{"from": "2018-01-20T12:00Z"}]},
        {"data": [{"intensity": {}}]},
    ],
)
def test_garbage_is_an_answer_error(payload: object) -> None:
    with pytest.raises(FeedAnswerError):
        parse_forecast(payload, "GB", issued_at_s=MIDNIGHT_S)


def test_two_regions_in_an_answer_about_one_are_refused() -> None:
    with pytest.raises(FeedAnswerError, match="about 2 regions"):
        parse_forecast({"data": [a_region(), a_region()]}, "GB-13", issued_at_s=MIDNIGHT_S)


def test_an_error_about_the_postcode_means_that_there_is_no_such_place() -> None:
    body = '{"error": {"code": "400 Bad Request", "message": "Please enter a valid postcode"}}'
    error = refusal(Reply(status=400, body=body), "GB-ZZ9")
    assert type(error) is NoDataError
    assert "valid postcode" in str(error)
    assert type(refusal(Reply(status=400, body=body.replace("postcode", "date")), "GB")) is FeedAnswerError


def test_the_feed_says_beforehand_that_its_factors_are_direct() -> None:
    assert kind_of(UKCarbon()) == (Signal.AVERAGE, Basis.DIRECT)
