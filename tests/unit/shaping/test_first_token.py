"""Deferred prompts and the first token of the next request: workers read 100 tokens a second, by hand."""

from __future__ import annotations

import pytest

from shaping.energy import step
from shaping.first_token import UnreadPrompts, reading_tokens_per_s
from shaping.policy import ReleaseReason, ShapingPolicy
from shaping.profiles import deployment
from shaping.request import LatencyClass, PoolCapacity, Request
from shaping.shaper import Shaper
from tests.unit.shaping.requests import a_request, a_shaper, ids, offer_all, reasons


def a_line(budget_s: float | None = 2.0, tokens_per_s: float | None = 100.0) -> UnreadPrompts:
    return UnreadPrompts(budget_s, tokens_per_s)


def test_a_prompt_follows_once_it_and_those_before_it_are_read_within_the_budget() -> None:
    line = a_line()
    assert line.room_at_s(150, 10.0) == 10.0
    line.given(150, 10.0)
    assert line.room_at_s(50, 10.0) == 10.0
    # 150 unread, 80 more make 2.3 s; 30 tokens take 0.3 s.
    assert line.room_at_s(80, 10.0) == pytest.approx(10.3)
    assert line.room_at_s(80, 10.3) == 10.3


def test_a_prompt_longer_than_the_budget_follows_when_all_is_read() -> None:
    line = a_line()
    assert line.room_at_s(900, 0.0) == 0.0
    line.given(50, 0.0)
    assert line.room_at_s(900, 0.0) == pytest.approx(0.5)


def test_two_workers_read_twice_as_fast() -> None:
    line = a_line()
    line.workers = 2
    line.given(400, 0.0)
    assert line.room_at_s(100, 0.0) == pytest.approx(0.5)


@pytest.mark.parametrize("line", [a_line(budget_s=None), a_line(tokens_per_s=None)])
def test_without_a_budget_or_a_known_speed_nothing_is_limited(line: UnreadPrompts) -> None:
    line.given(10**9, 0.0)
    assert line.room_at_s(10**9, 0.0) == 0.0


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than zero"):
        ShapingPolicy(interactive_hold_s=0.0, min_group=1, first_token_budget_s=0.0)


def test_an_h100_reads_an_8b_model_s_prompts_beside_a_batch_in_steps_of_2048() -> None:
    worker = deployment(gpu="h100-sxm", model="llama-3.1-8b")
    assert reading_tokens_per_s(worker) == pytest.approx(2048 / step(worker, 32, 1000, 2048).duration_s)


# -- in the shaper -----------------------------------------------------------------------------------------------------


def a_limited_shaper() -> Shaper:
    return a_shaper(sequences=100, first_token_budget_s=2.0, reading_tokens_per_s=100.0)


def a_deferred(id_: str, prompt_tokens: int = 150, **changes: float) -> Request:
    return a_request(id_, prompt_tokens=prompt_tokens, latency_class=LatencyClass.FLEX, **changes)  # type: ignore[arg-type]


def test_deferred_prompts_go_as_fast_as_workers_read_them() -> None:
    shaper = a_limited_shaper()
    offer_all(shaper, a_deferred("f1"), a_deferred("f2"), a_deferred("f3"))
    assert ids(shaper.release(0.0)) == [["f1"]]
    assert shaper.next_wakeup_at_s() == pytest.approx(1.0)
    assert ids(shaper.release(1.0)) == [["f2"]]
    assert shaper.next_wakeup_at_s() == pytest.approx(2.5)  # 200 unread then
    assert ids(shaper.release(2.5)) == [["f3"]]
    assert shaper.next_wakeup_at_s() is None


def test_interactive_requests_are_not_limited_and_count() -> None:
    shaper = a_limited_shaper()
    offer_all(shaper, a_deferred("f1"), a_request("r1", prompt_tokens=300), a_request("r2", prompt_tokens=300))
    assert ids(shaper.release(0.0)) == [["r1", "r2"]]
    assert shaper.next_wakeup_at_s() == pytest.approx(5.5)  # 600 less what leaves room for 150 within 200
    assert ids(shaper.release(5.5)) == [["f1"]]


def test_a_shorter_deferred_prompt_does_not_overtake() -> None:
    shaper = a_limited_shaper()
    batch = a_request("b1", prompt_tokens=10, latency_class=LatencyClass.BATCH)
    offer_all(shaper, a_deferred("f1"), a_deferred("f2"), a_deferred("f3", prompt_tokens=10), batch)
    assert ids(shaper.release(0.0)) == [["f1"]]


def test_the_latest_start_comes_first() -> None:
    shaper = a_limited_shaper()
    offer_all(shaper, a_deferred("f1"), a_deferred("f2", release_by_s=0.5))
    shaper.release(0.0)
    assert shaper.next_wakeup_at_s() == 0.5
    groups = shaper.release(0.5)
    assert (ids(groups), reasons(groups)) == ([["f2"]], [ReleaseReason.LATEST_START])


def test_a_worker_more_reads_sooner() -> None:
    shaper = a_limited_shaper()
    offer_all(shaper, a_deferred("f1", 400), a_deferred("f2", 400))
    shaper.release(0.0)
    assert shaper.next_wakeup_at_s() == pytest.approx(4.0)
    shaper.resize(PoolCapacity(sequences=200, workers=2))
    shaper.release(0.0)
    assert shaper.next_wakeup_at_s() == pytest.approx(2.0)
