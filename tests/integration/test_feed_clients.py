"""The clients of the three services over real sockets: retries, time-outs, tokens, throttling, garbage."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from intensity_feeds.calls import Call
from intensity_feeds.electricity_maps import ElectricityMaps
from intensity_feeds.feed import (
    FeedAccessError,
    FeedAnswerError,
    FeedThrottledError,
    FeedUnreachableError,
    NoDataError,
)
from intensity_feeds.http import Transport
from intensity_feeds.uk_carbon import UKCarbon
from intensity_feeds.watttime import WattTime
from tests.integration.feed_service import Service, breaks, drips, hangs, says, sends, served
from tests.unit.intensity_feeds.builders import (
    DAY_S,
    HOUR_S,
    MIDNIGHT_S,
    a_watttime_answer,
    an_electricity_maps_forecast,
    an_electricity_maps_range,
    uk_slots,
)

NOW_S = MIDNIGHT_S + 600
TOKEN = says({"token": "t1"})
EXPIRED = sends(b"<html>403 Forbidden</html>", 403, Content_Type="text/html")
OUT_OF_SCOPE = says({"error": "Invalid query parameters", "message": "Invalid scope. You do not"}, 403)
CALL = Call(path="/x", query=(("at", "2022-03-01T00:00:00+00:00"),))


@pytest.fixture
def service() -> Iterator[Service]:
    with served() as one:
        yield one


@pytest.fixture
def until() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def a_transport(service: Service, **how: Any) -> Transport:
    return Transport("test", service.base_url, **{"timeout_s": 30.0, **how})


def an_electricity_maps(service: Service) -> ElectricityMaps:
    return ElectricityMaps("secret", base_url=service.base_url, timeout_s=30.0)


def a_watttime(service: Service, clock: list[float] | None = None) -> WattTime:
    seconds = clock if clock is not None else [0.0]
    return WattTime("user", "päss", base_url=service.base_url, timeout_s=30.0, clock=lambda: seconds[0])


# -- the transport --------------------------------------------------------------------------------------------------


def test_a_plus_in_a_query_arrives_as_one(service: Service) -> None:
    service.will(says({}))
    a_transport(service).get(CALL, "DE")
    assert service.asked[0].path == "/x?at=2022-03-01T00%3A00%3A00%2B00%3A00"


@pytest.mark.slow
def test_a_bad_gateway_and_a_broken_connection_are_tried_again(service: Service) -> None:
    service.will(sends(b"", 503), breaks, says({"well": True}))
    assert a_transport(service).get(CALL, "DE").body == '{"well": true}'
    assert len(service.asked) == 3


@pytest.mark.slow
def test_a_service_that_stays_broken_is_given_up_after_three_tries(service: Service) -> None:
    service.will(sends(b"<html>", 502))
    with pytest.raises(FeedAnswerError, match="test, zone DE: HTTP 502"):
        a_transport(service).get(CALL, "DE")
    assert len(service.asked) == 3
    service.will(breaks)
    with pytest.raises(FeedUnreachableError, match="no connection, or it broke"):
        a_transport(service).get(CALL, "DE")


def test_an_internal_error_is_not_repeated(service: Service) -> None:
    service.will(says({"error": "boom"}, 500))
    with pytest.raises(FeedAnswerError, match="HTTP 500 boom"):
        a_transport(service).get(CALL, "DE")
    assert len(service.asked) == 1


def test_a_silence_ends_with_the_time_out_and_is_not_repeated(service: Service, until: threading.Event) -> None:
    service.will(hangs(until))
    with pytest.raises(FeedUnreachableError, match=r"no answer within 0\.1 s"):
        a_transport(service, timeout_s=0.1).get(CALL, "DE")
    assert len(service.asked) == 1


@pytest.mark.slow
def test_a_service_that_drips_bytes_is_one_that_hangs(service: Service, until: threading.Event) -> None:
    service.will(drips(until))
    with pytest.raises(FeedUnreachableError, match=r"took longer than 1 s"):
        a_transport(service, timeout_s=0.5).get(CALL, "DE")


@pytest.mark.slow
def test_nobody_listening_is_unreachable() -> None:
    with served() as gone:
        pass
    with pytest.raises(FeedUnreachableError):
        Transport("test", gone.base_url, timeout_s=0.5).get(CALL, "DE")


def test_a_body_cut_short_is_unreachable_and_not_half_an_answer(service: Service) -> None:
    service.will(sends(b'{"data": [', length=5000))
    with pytest.raises(FeedUnreachableError):
        a_transport(service).get(CALL, "DE")


def test_a_body_beyond_the_cap_is_refused_even_when_it_is_small_on_the_wire(service: Service) -> None:
    service.will(sends(gzip.compress(b" " * 500_000), Content_Encoding="gzip"))
    with pytest.raises(FeedAnswerError, match="larger than 100000 bytes"):
        a_transport(service, max_body_bytes=100_000).get(CALL, "DE")


def test_a_redirect_is_never_followed(service: Service) -> None:
    service.will(sends(b"", 302, Location="http://127.0.0.1:1/elsewhere"))
    with pytest.raises(FeedAnswerError, match="HTTP 302"):
        a_transport(service).get(CALL, "DE")


def test_a_short_retry_after_is_waited_for(service: Service) -> None:
    service.will(sends(b"", 429, Retry_After="2"), says({}))
    waits: list[float] = []
    a_transport(service, sleep=waits.append).get(CALL, "DE")
    assert waits == [2.0]


@pytest.mark.parametrize(("header", "retry_after_s"), [({"Retry_After": "60"}, 60.0), ({}, None)])
def test_a_long_or_missing_retry_after_is_handed_on(
    service: Service, header: dict[str, str], retry_after_s: float | None
) -> None:
    service.will(sends(b'{"error": "Too many requests"}', 429, None, **header))
    waits: list[float] = []
    with pytest.raises(FeedThrottledError, match="Too many requests") as caught:
        a_transport(service, sleep=waits.append).get(CALL, "DE")
    assert caught.value.retry_after_s == retry_after_s
    assert waits == []
    assert len(service.asked) == 1


# -- Electricity Maps -----------------------------------------------------------------------------------------------


def test_electricity_maps_sends_its_token_and_reads_the_forecast(service: Service) -> None:
    service.will(says(an_electricity_maps_forecast([77.0] * 25)))
    series = an_electricity_maps(service).forecast("DK-DK2", NOW_S)
    assert series.covers(NOW_S, NOW_S + DAY_S)
    assert service.asked[0].headers["auth-token"] == "secret"
    assert "disableCallerLookup=true" in service.asked[0].path


@pytest.mark.parametrize("body", [b"", b"  ", b"<html>ok</html>", b'{"zone": "DK-DK2", "forec', b"[" * 100_000])
def test_success_without_sense_is_an_answer_error(service: Service, body: bytes) -> None:
    service.will(sends(body))
    with pytest.raises(FeedAnswerError, match="HTTP 200 with"):
        an_electricity_maps(service).forecast("DK-DK2", NOW_S)


def test_a_401_after_successes_is_a_rate_limit_at_first_and_a_refusal_when_it_stays(service: Service) -> None:
    feed, refused = an_electricity_maps(service), says({"error": "Invalid auth-token"}, 401)
    service.will(says(an_electricity_maps_forecast()), refused)
    feed.forecast("DK-DK2", NOW_S)
    for expected in (FeedThrottledError, FeedThrottledError, FeedAccessError):
        with pytest.raises(expected):
            feed.forecast("DK-DK2", NOW_S)


def test_a_401_from_the_start_is_a_refusal(service: Service) -> None:
    service.will(says({"error": "Invalid auth-token"}, 401))
    with pytest.raises(FeedAccessError, match="the token is refused"):
        an_electricity_maps(service).forecast("DK-DK2", NOW_S)


def test_a_plan_without_ranges_gives_the_last_day(service: Service) -> None:
    service.will(
        says({"error": "Request unauthorized for zoneKey=DK-DK2,requestType=past-range"}, 401),
        says(an_electricity_maps_range([100.0] * 24, key="history")),
    )
    series = an_electricity_maps(service).history("DK-DK2", MIDNIGHT_S - 5 * DAY_S, MIDNIGHT_S + 3 * HOUR_S)
    assert (series.start_at_s, series.end_at_s) == (MIDNIGHT_S, MIDNIGHT_S + 3 * HOUR_S)
    assert "/history?" in service.asked[1].path


def test_a_long_past_is_put_together_from_its_pieces(service: Service) -> None:
    service.will(
        says(an_electricity_maps_range([1.0] * 240)),
        says(an_electricity_maps_range([2.0] * 240, start_at_s=MIDNIGHT_S + 10 * DAY_S)),
    )
    series = an_electricity_maps(service).history("DK-DK2", MIDNIGHT_S, MIDNIGHT_S + 20 * DAY_S)
    assert len(series.gco2e_per_kwh) == 480
    assert not series.has_gap


# -- WattTime -------------------------------------------------------------------------------------------------------


def test_watttime_logs_in_once_and_carries_the_token(service: Service) -> None:
    service.will(TOKEN, says(a_watttime_answer([870.0] * 288)))
    feed = a_watttime(service)
    for _ in range(2):
        assert feed.forecast("CAISO_NORTH", NOW_S).at(NOW_S) == pytest.approx(394.6253619)
    assert [asked.path.split("?")[0] for asked in service.asked] == ["/login", "/v3/forecast", "/v3/forecast"]
    assert service.asked[0].headers["Authorization"].startswith("Basic ")
    assert service.asked[1].headers["Authorization"] == "Bearer t1"


def test_a_token_is_renewed_after_25_minutes_and_not_before(service: Service) -> None:
    clock = [0.0]
    feed = a_watttime(service, clock)
    service.will(TOKEN, says(a_watttime_answer()))
    feed.forecast("CAISO_NORTH", NOW_S)
    clock[0] = 25 * 60 - 1.0
    feed.forecast("CAISO_NORTH", NOW_S)
    clock[0] = 25 * 60.0
    service.will(says({"token": "t2"}), says(a_watttime_answer()))
    feed.forecast("CAISO_NORTH", NOW_S)
    assert [asked.path.split("?")[0] for asked in service.asked] == ["/login", "/v3/forecast"]
    assert service.asked[1].headers["Authorization"] == "Bearer t2"


@pytest.mark.parametrize("expired", [EXPIRED, sends(b"", 401)])
def test_a_token_that_dies_in_mid_poll_is_renewed_once_and_the_call_repeated(service: Service, expired: Any) -> None:
    service.will(TOKEN, expired, says({"token": "t2"}), says(a_watttime_answer()))
    a_watttime(service).forecast("CAISO_NORTH", NOW_S)
    assert [asked.headers["Authorization"] for asked in service.asked[1::2]] == ["Bearer t1", "Bearer t2"]


def test_a_refusal_that_a_fresh_login_does_not_cure_is_read(service: Service) -> None:
    service.will(TOKEN, OUT_OF_SCOPE, says({"token": "t2"}), OUT_OF_SCOPE)
    with pytest.raises(FeedAccessError, match="Invalid scope"):
        a_watttime(service).forecast("PJM_NJ", NOW_S)
    assert len(service.asked) == 4


def test_a_wrong_password_is_an_access_error(service: Service) -> None:
    service.will(EXPIRED)
    with pytest.raises(FeedAccessError, match="user name or password refused"):
        a_watttime(service).forecast("CAISO_NORTH", NOW_S)
    assert len(service.asked) == 1


@pytest.mark.slow
def test_many_threads_log_in_once(service: Service) -> None:
    service.will(TOKEN, says(a_watttime_answer()))
    feed = a_watttime(service)
    with ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(feed.forecast, "CAISO_NORTH", NOW_S) for _ in range(16)]:
            assert result.result(timeout=60).at(NOW_S - 600) > 0
    assert sum(asked.path == "/login" for asked in service.asked) == 1


def test_a_warning_of_watttime_is_logged_and_the_data_kept(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.will(TOKEN, says(a_watttime_answer(warnings=[{"type": "EXAMPLE_WARNING", "message": "old"}])))
    a_watttime(service).forecast("CAISO_NORTH", NOW_S - 600)
    assert [record.__dict__["action"] for record in caplog.records] == ["feed_warned"]


@pytest.mark.slow
def test_the_past_of_watttime_is_put_together_without_a_seam(service: Service) -> None:
    first = a_watttime_answer([100.0] * (32 * 288))
    second = a_watttime_answer([200.0] * 288, start_at_s=MIDNIGHT_S + 32 * DAY_S)
    service.will(TOKEN, says(first), says(second))
    series = a_watttime(service).history("CAISO_NORTH", MIDNIGHT_S, MIDNIGHT_S + 33 * DAY_S)
    assert len(series.gco2e_per_kwh) == 33 * 288
    assert not series.has_gap


# -- Great Britain --------------------------------------------------------------------------------------------------


def test_the_british_forecast_needs_no_key_and_starts_with_the_running_slot(service: Service) -> None:
    service.will(says({"data": uk_slots([(100.0 + n, None) for n in range(97)], start_at_s=MIDNIGHT_S - 1800)}))
    series = UKCarbon(base_url=service.base_url).forecast("GB", NOW_S)
    assert series.start_at_s == MIDNIGHT_S
    assert series.at(NOW_S) == 101
    assert service.asked[0].path == "/intensity/2022-03-01T00:01Z/fw48h"


def test_a_postcode_that_does_not_exist_is_no_data(service: Service) -> None:
    service.will(says({"error": {"code": "400 Bad Request", "message": "invalid postcode"}}, 400))
    with pytest.raises(NoDataError, match="invalid postcode"):
        UKCarbon(base_url=service.base_url).forecast("GB-ZZ9", NOW_S)
