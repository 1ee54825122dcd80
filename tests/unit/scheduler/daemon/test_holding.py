"""How long a request may be held."""

from __future__ import annotations

import pytest

from scheduler.daemon.api_errors import ApiError
from scheduler.daemon.holding import ServiceTime, deadline_of, give_up_after_s, patience_of, release_by
from scheduler.daemon.openai_api import Call

NOW_S = 1_700_000_000.0  # 2023-11-14T22:13:20Z


def a_call(service_tier: str | None = None, deadline: str | None = None) -> Call:
    return Call(
        model="m",
        is_streaming=False,
        prompt_tokens=1,
        output_tokens=1,
        service_tier=service_tier,
        deadline=deadline,
    )


@pytest.mark.parametrize("tier", [None, "auto", "default", "priority"])
def test_only_flex_or_a_deadline_may_be_deferred(tier: str | None) -> None:
    assert deadline_of(a_call(service_tier=tier), None, NOW_S, 540.0) is None


def test_flex_without_a_deadline_gets_the_default() -> None:
    assert deadline_of(a_call(service_tier="flex"), None, NOW_S, 540.0) == NOW_S + 540.0


def test_the_header_wins_over_the_metadata() -> None:
    assert deadline_of(a_call(deadline="1h"), "6h", NOW_S, 540.0) == NOW_S + 21600.0
    assert deadline_of(a_call(deadline="1h"), None, NOW_S, 540.0) == NOW_S + 3600.0


def test_an_instant_is_taken_as_it_is() -> None:
    assert deadline_of(a_call(), "2023-11-14T23:13:20Z", NOW_S, 540.0) == NOW_S + 3600.0


@pytest.mark.parametrize("text", ["", "6", "soon", "0s", "2023-11-14T22:13:20Z", "2023-11-14", "9" * 400 + "h"])
def test_what_is_no_deadline_ahead_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        deadline_of(a_call(), text, NOW_S, 540.0)
    assert (refused.value.status, refused.value.param) == (400, "x-slacktide-deadline")


def test_patience_is_seconds_and_endless_patience_is_none() -> None:
    assert patience_of("600.0") == 600.0
    assert patience_of(None) is None
    assert patience_of("inf") is None


@pytest.mark.parametrize("text", ["0", "-1", "nan", "long", ""])
def test_what_is_no_patience_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match="x-stainless-read-timeout"):
        patience_of(text)


def released_by(*, deadline_s: float, patience_s: float | None, speed_ratio: float = 1.0) -> float:
    """Seconds after the arrival."""
    at_s = release_by(
        arrived_at_s=NOW_S,
        deadline_at_s=NOW_S + deadline_s,
        patience_s=patience_s,
        service_s=10.0,
        margin_s=5.0,
        speed_ratio=speed_ratio,
    )
    return at_s - NOW_S


def test_the_earlier_of_deadline_and_patience_counts_less_service_and_margin() -> None:
    assert released_by(deadline_s=3600.0, patience_s=None) == 3585.0
    assert released_by(deadline_s=3600.0, patience_s=600.0) == 585.0
    assert released_by(deadline_s=300.0, patience_s=600.0) == 285.0


def test_a_hasty_request_goes_at_once() -> None:
    assert released_by(deadline_s=12.0, patience_s=None) == 0.0
    assert released_by(deadline_s=3600.0, patience_s=1.0) == 0.0


def test_patience_and_service_are_real_seconds_whatever_the_speed_of_the_policy_clock() -> None:
    # 585 real seconds last 58,500 of a clock that runs 100 times as fast.
    assert released_by(deadline_s=100_000.0, patience_s=600.0, speed_ratio=100.0) == 58_500.0
    # The deadline is policy time, the service of 10 real seconds 1,000 of it.
    assert released_by(deadline_s=50_000.0, patience_s=600.0, speed_ratio=100.0) == 48_995.0


@pytest.mark.parametrize("patience_s", [0.1, 5.0, 17.0, 60.0, 600.0, 86400.0])
def test_no_room_is_told_before_the_client_gives_up_but_after_the_last_release(patience_s: float) -> None:
    limit_s = give_up_after_s(patience_s, margin_s=5.0)
    assert released_by(deadline_s=1e6, patience_s=patience_s) <= limit_s < patience_s


def test_the_service_estimate_rises_at_once_and_fades_slowly() -> None:
    service = ServiceTime()
    service.observe(30.0)
    assert service.expected_s == 30.0
    service.observe(1.0)
    assert service.expected_s == pytest.approx(29.4)
