"""Quotas against brute force: whatever comes when, no minute and no month holds more than its limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.quotas import Limit, Meter, Refused, Reservation, What, Window, month_of
from scheduler.sliding_minute import MINUTE_S

pytestmark = pytest.mark.slow

NOW_S = 1_767_225_600.0  # 2026-01-01

# Gaps of tenths of a second up to minutes, so that requests fall on, before and after the ends of seconds and minutes.
gaps = st.one_of(st.integers(0, 30), st.integers(0, 900)).map(lambda tenths: tenths / 10)
requests = st.lists(st.tuples(gaps, st.integers(0, 60), st.integers(0, 100)), max_size=60)


def a_meter(window: Window, most_requests: int, most_tokens: int) -> Meter:
    limits = [
        Limit(what=What.REQUESTS, window=window, most_cost=most_requests),
        Limit(what=What.TOKENS, window=window, most_cost=most_tokens),
    ]
    return Meter("red", limits)


@given(requests, st.integers(0, 8), st.integers(0, 120))
def test_no_sixty_seconds_hold_more_than_the_limit(
    told: list[tuple[float, int, int]], most_requests: int, most_tokens: int
) -> None:
    meter = a_meter(Window.MINUTE, most_requests, most_tokens)
    let_in: list[tuple[float, int]] = []
    steady_s = 0.0
    for gap_s, tokens, _ in told:
        steady_s += gap_s
        if isinstance(meter.admit(tokens, now_s=NOW_S, steady_s=steady_s), Reservation):
            let_in.append((steady_s, tokens))
    for end_s, _ in let_in:  # every fullest window ends with a request
        within = [tokens for at_s, tokens in let_in if end_s - MINUTE_S < at_s <= end_s]
        assert len(within) <= most_requests
        assert sum(within) <= most_tokens


@given(requests, st.integers(1, 8), st.integers(1, 120))
def test_who_is_told_to_come_back_gets_in_then_and_not_a_hundredth_earlier(
    told: list[tuple[float, int, int]], most_requests: int, most_tokens: int
) -> None:
    meter = a_meter(Window.MINUTE, most_requests, most_tokens)
    steady_s = 0.0
    for gap_s, tokens, _ in told:
        steady_s += gap_s
        answer = meter.admit(tokens, now_s=NOW_S, steady_s=steady_s)
        if not isinstance(answer, Refused):
            continue
        if answer.retry_after_s is None:
            assert tokens > most_tokens
            continue
        assert 0 < answer.retry_after_s <= MINUTE_S + 1
        free_at_s = steady_s + answer.retry_after_s
        assert isinstance(meter.admit(tokens, now_s=NOW_S, steady_s=free_at_s - 0.01), Refused)
        assert isinstance(meter.admit(tokens, now_s=NOW_S, steady_s=free_at_s + 1e-6), Reservation)
        steady_s = free_at_s + 1e-6


@given(requests, st.integers(0, 20), st.integers(0, 400))
def test_a_month_holds_what_its_requests_used_and_never_more_than_the_limit(
    told: list[tuple[float, int, int]], most_requests: int, most_tokens: int
) -> None:
    meter = a_meter(Window.MONTH, most_requests, most_tokens)
    now_s, used_tokens, let_in = NOW_S, 0, 0
    for gap_s, tokens, used_percent in told:
        now_s += gap_s
        answer = meter.admit(tokens, now_s=now_s, steady_s=0.0)
        if isinstance(answer, Reservation):
            actual = tokens * used_percent // 100
            meter.settle(answer, actual, steady_s=0.0)
            used_tokens, let_in = used_tokens + actual, let_in + 1
        else:
            assert let_in == most_requests or used_tokens + tokens > most_tokens or used_tokens >= most_tokens
    used = meter.used(now_s)
    assert (used.requests, used.tokens) == (let_in, used_tokens)
    assert let_in <= most_requests
    assert used_tokens <= most_tokens
    (*parts,) = meter.take_unwritten()
    assert sum(part.tokens for part in parts) == used_tokens
    assert {part.month for part in parts} <= {month_of(NOW_S)}
