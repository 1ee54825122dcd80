"""Quotas by hand: what a minute and a month let in, what they give back and when."""

from __future__ import annotations

import pytest

from scheduler.quantities import parse_instant_s
from scheduler.quota_settings import TenantSettings, limits_of
from scheduler.quotas import (
    Limit,
    Meter,
    Refused,
    Reservation,
    Used,
    What,
    Window,
    month_end_s,
    month_of,
)
from scheduler.sliding_minute import SlidingMinute

JANUARY_S = parse_instant_s("2026-01-15T12:00Z")
FEBRUARY_S = parse_instant_s("2026-02-01T00:00Z")


def a_meter(**limits: float) -> Meter:
    """`a_meter(requests_per_minute=2)`."""
    return Meter("red", limits_of([TenantSettings(name="red", **limits)])["red"])  # type: ignore[arg-type]


def let_in(
    meter: Meter, tokens: int = 0, *, now_s: float = JANUARY_S, steady_s: float = 0.0, **options: bool
) -> Reservation:
    answer = meter.admit(tokens, now_s=now_s, steady_s=steady_s, **options)
    assert isinstance(answer, Reservation)
    return answer


def refused(meter: Meter, tokens: int = 0, *, now_s: float = JANUARY_S, steady_s: float = 0.0) -> Refused:
    answer = meter.admit(tokens, now_s=now_s, steady_s=steady_s)
    assert isinstance(answer, Refused)
    return answer


def test_the_settings_name_limits_by_what_and_window() -> None:
    limits = limits_of([TenantSettings(name="red", requests_per_minute=60, energy_kwh_per_month=2.5)])
    assert limits["red"] == (
        Limit(what=What.REQUESTS, window=Window.MINUTE, most_cost=60),
        Limit(what=What.ENERGY_KWH, window=Window.MONTH, most_cost=2.5),
    )


def test_a_third_request_of_two_a_minute_waits_for_the_first_to_be_a_minute_old() -> None:
    meter = a_meter(requests_per_minute=2)
    let_in(meter, steady_s=10.25)
    let_in(meter, steady_s=30.0)
    answer = refused(meter, steady_s=40.0)
    # Kept by the second: what came within 10..11 s counts until 71 s.
    assert (answer.limit.what, answer.used_cost, answer.retry_after_s) == (What.REQUESTS, 2, 31.0)
    assert refused(meter, steady_s=70.99).retry_after_s == pytest.approx(0.01)
    let_in(meter, steady_s=71.0)
    assert refused(meter, steady_s=71.0).retry_after_s == 20.0


def test_a_refused_request_counts_nowhere() -> None:
    meter = a_meter(requests_per_minute=1)
    let_in(meter)
    for _ in range(5):
        refused(meter)
    assert meter.used(JANUARY_S).requests == 1
    let_in(meter, steady_s=61.0)


def test_tokens_that_were_not_needed_are_given_back() -> None:
    meter = a_meter(tokens_per_minute=1000)
    first = let_in(meter, 800)
    assert refused(meter, 300).used_cost == 800
    meter.settle(first, 500, steady_s=5.0)
    assert meter.used(JANUARY_S).tokens == 500
    let_in(meter, 500, steady_s=5.0)
    assert refused(meter, 1, steady_s=5.0).used_cost == 1000


def test_tokens_beyond_what_was_reserved_count_from_the_end_on() -> None:
    meter = a_meter(tokens_per_minute=1000)
    meter.settle(let_in(meter, 100), 1200, steady_s=40.0)
    assert meter.used(JANUARY_S).tokens == 1200
    answer = refused(meter, 1, steady_s=70.0)
    assert (answer.used_cost, answer.retry_after_s) == (1100, 31.0)


def test_a_request_whose_end_nobody_saw_keeps_what_it_reserved() -> None:
    meter = a_meter(tokens_per_minute=1000)
    let_in(meter, 1000)
    assert refused(meter, 1, steady_s=59.0).used_cost == 1000
    assert meter.used(JANUARY_S).tokens == 1000


def test_a_request_that_alone_is_more_than_the_limit_never_gets_in() -> None:
    answer = refused(a_meter(tokens_per_minute=1000), 1001)
    assert (answer.used_cost, answer.asked_cost, answer.retry_after_s) == (0, 1001, None)
    assert refused(a_meter(requests_per_month=0)).retry_after_s is None


def test_of_two_limits_in_the_way_the_longer_one_is_named() -> None:
    meter = a_meter(requests_per_minute=1, tokens_per_minute=10)
    let_in(meter, 10, steady_s=0.0)
    assert refused(meter, 11, steady_s=5.0).limit.what is What.TOKENS


def test_energy_is_counted_at_the_end_and_refuses_who_comes_after_that() -> None:
    meter = a_meter(energy_kwh_per_minute=1.0)
    for _ in range(3):  # all under way before anybody knows what they use
        let_in(meter)
    for _ in range(3):
        meter.spend(energy_kwh=0.5, emissions_gco2e=None, energy_usd=None, now_s=JANUARY_S, steady_s=30.0)
    answer = refused(meter, steady_s=31.0)
    assert (answer.limit.what, answer.used_cost, answer.retry_after_s) == (What.ENERGY_KWH, 1.5, 60.0)
    let_in(meter, steady_s=91.0)


def test_a_month_is_used_up_until_it_ends() -> None:
    meter = a_meter(gco2e_per_month=100.0)
    meter.spend(energy_kwh=0.5, emissions_gco2e=99.0, energy_usd=0.1, now_s=JANUARY_S, steady_s=0.0)
    let_in(meter)
    meter.spend(energy_kwh=0.5, emissions_gco2e=1.0, energy_usd=0.1, now_s=JANUARY_S, steady_s=0.0)
    answer = refused(meter)
    assert (answer.limit.window, answer.used_cost) == (Window.MONTH, 100.0)
    assert answer.retry_after_s == FEBRUARY_S - JANUARY_S
    assert meter.refusal(JANUARY_S, {What.GCO2E}) is not None
    assert meter.refusal(JANUARY_S, {What.REQUESTS}) is None
    let_in(meter, now_s=FEBRUARY_S)


def test_the_month_is_asked_before_the_minute() -> None:
    meter = a_meter(requests_per_minute=1, requests_per_month=1)
    let_in(meter)
    assert refused(meter).limit.window is Window.MONTH


def test_what_nobody_can_price_is_said_to_be_unpriced() -> None:
    meter = a_meter(gco2e_per_month=1.0)
    meter.spend(energy_kwh=5.0, emissions_gco2e=None, energy_usd=None, now_s=JANUARY_S, steady_s=0.0)
    used = meter.used(JANUARY_S)
    assert (used.energy_kwh, used.emissions_gco2e, used.unpriced_kwh) == (5.0, 0.0, 5.0)
    let_in(meter)


def test_a_paced_line_is_held_to_the_month_only() -> None:
    meter = a_meter(requests_per_minute=1, requests_per_month=3)
    for _ in range(3):
        let_in(meter, is_paced=True)
    assert refused(meter).limit.window is Window.MONTH
    assert [rate.left_cost for rate in meter.rates(0.0)] == [1]


def test_a_request_that_ends_next_month_is_settled_in_its_own() -> None:
    meter = a_meter(tokens_per_month=1000)
    late = let_in(meter, 900, now_s=FEBRUARY_S - 1)
    let_in(meter, 1000, now_s=FEBRUARY_S)
    meter.settle(late, 100, steady_s=5.0)
    assert meter.used(FEBRUARY_S).tokens == 1000
    assert {part.month: part.tokens for part in meter.take_unwritten()} == {"2026-01": 100, "2026-02": 1000}


def test_what_is_stored_comes_back_with_what_is_not_yet_on_top() -> None:
    meter = a_meter(requests_per_month=10)
    let_in(meter)
    (taken,) = meter.take_unwritten()
    assert (taken.requests, meter.take_unwritten()) == (1, [])
    let_in(meter)
    meter.learn(
        Used(tenant="red", month="2026-01", requests=8), now_s=JANUARY_S
    )  # another daemon let seven in meanwhile
    assert meter.used(JANUARY_S).requests == 9
    let_in(meter)
    refused(meter)


def test_what_could_not_be_stored_is_kept_for_the_next_time() -> None:
    meter = a_meter()
    let_in(meter, 5)
    meter.put_back(meter.take_unwritten())
    (taken,) = meter.take_unwritten()
    assert (taken.requests, taken.tokens) == (1, 5)


def test_the_headers_tell_what_is_left_and_when_all_of_it_is_back() -> None:
    meter = a_meter(requests_per_minute=10, tokens_per_minute=1000)
    let_in(meter, 300, steady_s=0.5)
    requests, tokens = meter.rates(10.0)
    assert (requests.what, requests.most_cost, requests.left_cost, requests.reset_s) == (What.REQUESTS, 10, 9, 51.0)
    assert (tokens.what, tokens.left_cost) == (What.TOKENS, 700)
    assert SlidingMinute(5).reset_s(0.0) == 0


def test_months_are_of_the_calendar_in_utc() -> None:
    assert month_of(FEBRUARY_S - 0.001) == "2026-01"
    assert month_of(FEBRUARY_S) == "2026-02"
    assert month_end_s(parse_instant_s("2026-12-31T23:59Z")) == parse_instant_s("2027-01-01T00:00Z")
    assert month_end_s(FEBRUARY_S) == parse_instant_s("2026-03-01T00:00Z")
