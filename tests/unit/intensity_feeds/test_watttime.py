"""WattTime: the calls that are made and the answers that are read, without a network."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from intensity_feeds.calls import Reply
from intensity_feeds.feed import FeedAccessError, FeedAnswerError, NoDataError, kind_of
from intensity_feeds.instants import parse_utc_s
from intensity_feeds.series import Basis, MissingIntensityError, Quality, Signal
from intensity_feeds.watttime import (
    WattTime,
    forecast_request,
    history_requests,
    parse_forecast,
    parse_history,
    parse_token,
    refusal,
    warnings_in,
)
from tests.unit.intensity_feeds.builders import DAY_S, HOUR_S, MIDNIGHT_S, a_watttime_answer

REGION = "CAISO_NORTH"


def test_a_forecast_call_names_region_signal_and_horizon() -> None:
    call = forecast_request(REGION, horizon_hours=72)
    assert call.path == "/v3/forecast"
    assert dict(call.query) == {"region": REGION, "signal_type": "co2_moer", "horizon_hours": "72"}


def test_pieces_of_the_past_span_32_days_at_most_and_share_no_point() -> None:
    calls = history_requests(REGION, MIDNIGHT_S, MIDNIGHT_S + 73 * DAY_S)
    spans = [(parse_utc_s(dict(call.query)["start"]), parse_utc_s(dict(call.query)["end"])) for call in calls]
    assert len(spans) == 3
    assert all(later[0] - earlier[1] == 300 for earlier, later in pairwise(spans))
    assert all(end_s - start_s < 32 * DAY_S for start_s, end_s in spans)
    assert (spans[0][0], spans[-1][1]) == (MIDNIGHT_S, MIDNIGHT_S + 73 * DAY_S - 300)
    assert all(dict(call.query)["start"].endswith("Z") for call in calls)


def test_pounds_per_megawatt_hour_become_grams_per_kilowatt_hour_once() -> None:
    series = parse_forecast(a_watttime_answer([870]), REGION, issued_at_s=MIDNIGHT_S)
    assert series.gco2e_per_kwh[0] == pytest.approx(394.6253619, abs=1e-9)
    assert (series.signal, series.basis, series.quality) == (Signal.MARGINAL, Basis.DIRECT, Quality.FORECAST)


def test_the_time_of_issue_is_the_one_in_the_answer() -> None:
    answer = a_watttime_answer(generated_at="2022-03-01T00:05:00+00:00")
    assert parse_forecast(answer, REGION, issued_at_s=0.0).issued_at_s == MIDNIGHT_S + 300
    assert parse_forecast(a_watttime_answer(), REGION, issued_at_s=7.0).issued_at_s == 7.0


def test_an_hourly_region_keeps_its_step() -> None:
    series = parse_history([a_watttime_answer([1, 2], step_s=3600)], REGION)
    assert series.end_at_s == MIDNIGHT_S + 2 * HOUR_S
    assert series.quality is Quality.ESTIMATED


def test_zero_is_data_and_null_a_gap() -> None:
    series = parse_history([a_watttime_answer([0, None, 5])], REGION)
    assert series.at(MIDNIGHT_S) == 0
    with pytest.raises(MissingIntensityError):
        series.at(MIDNIGHT_S + 300)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"units": "kg_co2_per_mwh"}, "meta.units"),
        ({"region": "PJM_NJ"}, "meta.region"),
        ({"step_s": 7}, "data_point_period_seconds"),
    ],
)
def test_another_unit_region_or_step_than_expected_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(FeedAnswerError, match=says):
        parse_history([a_watttime_answer(**wrong)], REGION)


@pytest.mark.parametrize("payload", [None, [], {}, {"data": []}, {"data": 5, "meta": {}}, {"meta": [], "data": []}])
def test_garbage_is_an_answer_error(payload: object) -> None:
    with pytest.raises(FeedAnswerError):
        parse_forecast(payload, REGION, issued_at_s=0.0)


def test_a_point_without_a_value_key_is_garbage() -> None:
    payload: dict[str, Any] = a_watttime_answer()
    del payload["data"][0]["value"]
    with pytest.raises(FeedAnswerError, match="point 0 has no value"):
        parse_forecast(payload, REGION, issued_at_s=0.0)


def test_nothing_published_yet_is_no_data() -> None:
    with pytest.raises(NoDataError):
        parse_history([a_watttime_answer([])], REGION)


def test_warnings_of_the_service_are_handed_on_and_the_data_kept() -> None:
    answer = a_watttime_answer(warnings=[{"type": "EXAMPLE_WARNING", "message": "old model"}])
    assert "old model" in warnings_in(answer)[0]
    assert parse_history([answer], REGION).gco2e_per_kwh.size == 2
    assert warnings_in(None) == warnings_in({"meta": []}) == ()


def test_a_login_answer_without_a_token_is_garbage() -> None:
    assert parse_token({"token": "abc"}) == "abc"
    garbage: list[object] = [{}, {"token": None}, []]
    for payload in garbage:
        with pytest.raises(FeedAnswerError):
            parse_token(payload)


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (
            403,
            '{"error": "Invalid query parameters", "message": "Invalid scope. You do not"}',
            FeedAccessError,
            "scope",
        ),
        (401, "<html>401</html>", FeedAccessError, "plan may not include"),
        (404, '{"error": "No coverage available for these coordinates"}', NoDataError, "No coverage"),
        (400, '{"error": "INVALID_QUERY_PARAMS", "msg": "bad region"}', FeedAnswerError, "bad region"),
        (422, '{"detail": [{"loc": ["query"], "msg": "field required"}]}', FeedAnswerError, "field required"),
    ],
)
def test_the_body_says_what_a_refusal_means(status: int, body: str, kind: type[Exception], says: str) -> None:
    error = refusal(Reply(status=status, body=body), REGION)
    assert type(error) is kind
    assert says in str(error)


def test_the_feed_says_beforehand_that_it_is_marginal() -> None:
    assert kind_of(WattTime("u", "p")) == (Signal.MARGINAL, Basis.DIRECT)


def test_a_horizon_that_the_service_lacks_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="0 to 72"):
        WattTime("u", "p", horizon_hours=73)
