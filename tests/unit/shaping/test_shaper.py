"""The rules of shaper.py, one hand-worked case each."""

from __future__ import annotations

import math

import pytest

from shaping.policy import DuplicateRequest, ReleaseReason, ShapingPolicy, TooLarge, WrongModel
from shaping.request import LatencyClass, PoolCapacity
from tests.unit.shaping.requests import a_flex_request, a_request, a_shaper, ids, offer_all, reasons


def test_without_a_hold_a_request_passes_through_at_once() -> None:
    shaper = a_shaper(hold_s=0.0)
    shaper.offer(a_request("r1"), 5.0)
    groups = shaper.release(5.0)
    assert ids(groups) == [["r1"]]
    assert reasons(groups) == [ReleaseReason.PASS_THROUGH]
    assert groups[0].released_at_s == 5.0


def test_an_interactive_request_is_held_until_its_hold_is_over() -> None:
    shaper = a_shaper(hold_s=2.0, min_group=4)
    offer_all(shaper, a_request("r1", arrived_at_s=10.0), a_request("r2", arrived_at_s=11.0))
    assert shaper.release(11.9) == []
    assert shaper.next_wakeup_at_s() == 12.0
    groups = shaper.release(12.0)
    assert ids(groups) == [["r1", "r2"]]  # the younger one goes along: waiting longer would make two small groups
    assert reasons(groups) == [ReleaseReason.HOLD_OVER]


def test_who_reaches_the_end_of_hold_and_patience_at_once_takes_the_others_along() -> None:
    shaper = a_shaper(hold_s=2.0, min_group=4)
    offer_all(shaper, *(a_request(f"r{n}", arrived_at_s=n, release_by_s=n + 2.0) for n in range(2)))
    assert ids(shaper.release(2.0)) == [["r0", "r1"]]


def test_a_group_that_is_large_enough_does_not_wait() -> None:
    shaper = a_shaper(hold_s=60.0, min_group=3)
    offer_all(shaper, *(a_request(f"r{n}", arrived_at_s=n) for n in range(3)))
    groups = shaper.release(2.0)
    assert ids(groups) == [["r0", "r1", "r2"]]
    assert reasons(groups) == [ReleaseReason.DENSE]


def test_beside_a_dense_batch_nothing_is_held() -> None:
    shaper = a_shaper(hold_s=60.0, min_group=3)
    offer_all(shaper, *(a_request(f"r{n}") for n in range(3)))
    shaper.release(0.0)
    shaper.offer(a_request("late", arrived_at_s=1.0), 1.0)
    assert ids(shaper.release(1.0)) == [["late"]]


def test_a_request_goes_at_its_latest_start_though_the_hold_is_longer() -> None:
    shaper = a_shaper(hold_s=60.0)
    shaper.offer(a_request("r1", release_by_s=3.0), 0.0)
    assert shaper.next_wakeup_at_s() == 0.0  # ask release after every change
    assert shaper.release(0.0) == []
    assert shaper.next_wakeup_at_s() == 3.0
    assert ids(shaper.release(3.0)) == [["r1"]]


def test_a_streaming_request_is_held_for_its_own_shorter_time() -> None:
    shaper = a_shaper(hold_s=10.0, streaming_hold_s=1.0)
    offer_all(shaper, a_request("plain"), a_request("stream", is_streaming=True))
    assert shaper.release(0.5) == []
    assert shaper.next_wakeup_at_s() == 1.0
    assert ids(shaper.release(1.0)) == [["plain", "stream"]]


def test_lower_priority_numbers_go_first_then_first_in_first_out() -> None:
    shaper = a_shaper(sequences=3)
    offer_all(shaper, a_request("b", priority=1), a_request("a", priority=0), a_request("c", priority=1))
    assert ids(shaper.release(0.0)) == [["a", "b", "c"]]


def test_a_flex_request_waits_for_the_planned_instant() -> None:
    shaper = a_shaper()
    shaper.offer(a_flex_request("f1", not_before_s=50.0), 0.0)
    assert shaper.release(0.0) == []
    assert shaper.next_wakeup_at_s() == 50.0
    groups = shaper.release(50.0)
    assert ids(groups) == [["f1"]]
    assert reasons(groups) == [ReleaseReason.PLANNED]


def test_the_planner_can_call_a_flex_request_earlier_and_later() -> None:
    shaper = a_shaper()
    offer_all(shaper, a_flex_request("f1", not_before_s=50.0), a_flex_request("f2", not_before_s=50.0))
    assert shaper.retime("f1", 20.0)
    assert shaper.retime("f2", 80.0)
    assert ids(shaper.release(20.0)) == [["f1"]]
    assert shaper.next_wakeup_at_s() == 80.0
    assert shaper.held["f2"].not_before_s == 80.0
    assert not shaper.retime("f1", 10.0)  # runs already


def test_a_flex_request_that_lined_up_can_be_sent_back_to_wait() -> None:
    shaper = a_shaper(sequences=1)
    offer_all(shaper, a_request("r1"), a_flex_request("f1", not_before_s=0.0))
    shaper.release(0.0)  # r1 takes the only sequence
    shaper.retime("f1", 70.0)
    shaper.finish("r1", 1.0)
    assert shaper.release(1.0) == []
    assert ids(shaper.release(70.0)) == [["f1"]]


def test_an_interactive_request_cannot_be_retimed() -> None:
    shaper = a_shaper(hold_s=5.0)
    shaper.offer(a_request("r1"), 0.0)
    assert not shaper.retime("r1", 50.0)


def test_the_latest_start_goes_ahead_of_interactive_requests() -> None:
    shaper = a_shaper(sequences=1)
    shaper.offer(a_flex_request("f1", not_before_s=90.0, release_by_s=10.0), 0.0)
    shaper.offer(a_request("r1", arrived_at_s=10.0), 10.0)
    groups = shaper.release(10.0)
    assert ids(groups) == [["f1"]]
    assert reasons(groups) == [ReleaseReason.LATEST_START]
    assert list(shaper.held) == ["r1"]


def test_flex_goes_before_batch() -> None:
    shaper = a_shaper()
    batch = a_request("b1", latency_class=LatencyClass.BATCH)
    offer_all(shaper, batch, a_flex_request("f1", not_before_s=0.0))
    assert ids(shaper.release(0.0)) == [["f1", "b1"]]


def test_deferred_requests_leave_room_for_held_interactive_ones() -> None:
    shaper = a_shaper(sequences=3, hold_s=10.0, min_group=3)
    offer_all(shaper, a_request("r1"), a_request("r2"))
    offer_all(shaper, *(a_flex_request(f"f{n}", not_before_s=0.0) for n in range(3)))
    groups = shaper.release(0.0)
    # One flex request fills the third sequence; with it the batch is dense and the held ones join.
    assert ids(groups) == [["f0"], ["r1", "r2"]]
    assert reasons(groups) == [ReleaseReason.PLANNED, ReleaseReason.DENSE]


def test_reserved_sequences_stay_free_for_interactive_requests() -> None:
    shaper = a_shaper(sequences=4, reserved_sequences=3)
    offer_all(shaper, *(a_flex_request(f"f{n}", not_before_s=0.0) for n in range(4)))
    assert ids(shaper.release(0.0)) == [["f0"]]
    shaper.offer(a_request("r1", arrived_at_s=1.0), 1.0)
    assert ids(shaper.release(1.0)) == [["r1"]]
    assert ids(shaper.release(100.0)) == [["f1", "f2"]]  # their latest start takes what is left


def test_sequences_are_never_exceeded_and_a_finish_frees_one() -> None:
    shaper = a_shaper(sequences=2)
    offer_all(shaper, *(a_request(f"r{n}") for n in range(3)))
    assert ids(shaper.release(0.0)) == [["r0", "r1"]]
    assert shaper.next_wakeup_at_s() is None  # only capacity can help
    assert shaper.finish("r0", 1.0)
    assert shaper.next_wakeup_at_s() == 1.0
    assert ids(shaper.release(1.0)) == [["r2"]]


def test_a_large_request_is_not_overtaken_by_smaller_ones() -> None:
    shaper = a_shaper(kv_tokens=100)
    offer_all(
        shaper,
        a_request("first", prompt_tokens=50),  # 60 tokens of KV
        a_request("large", prompt_tokens=50),
        a_request("small", prompt_tokens=1),
    )
    assert ids(shaper.release(0.0)) == [["first"]]
    shaper.finish("first", 1.0)
    assert ids(shaper.release(1.0)) == [["large", "small"]]


def test_a_request_larger_than_the_pool_is_refused() -> None:
    shaper = a_shaper(kv_tokens=100)
    with pytest.raises(TooLarge, match=r"needs 110 tokens of KV cache, the pool has 100"):
        shaper.offer(a_request("r1", prompt_tokens=100), 0.0)
    assert shaper.stats.offered == 0


def test_an_id_is_used_once() -> None:
    shaper = a_shaper()
    shaper.offer(a_request("r1"), 0.0)
    with pytest.raises(DuplicateRequest):
        shaper.offer(a_request("r1"), 0.0)
    shaper.release(0.0)
    with pytest.raises(DuplicateRequest):
        shaper.offer(a_request("r1"), 0.0)


def test_a_request_for_another_model_is_refused() -> None:
    with pytest.raises(WrongModel):
        a_shaper().offer(a_request("r1", model="other"), 0.0)


def test_a_client_that_goes_away_is_given_up_held_or_running() -> None:
    shaper = a_shaper(sequences=1)
    offer_all(shaper, a_request("r1"), a_request("r2"), a_request("r3"))
    shaper.release(0.0)
    assert shaper.give_up("r2", 1.0)
    assert shaper.give_up("r1", 1.0)
    assert not shaper.give_up("r1", 1.0)
    assert not shaper.finish("r1", 1.0)
    assert ids(shaper.release(1.0)) == [["r3"]]
    stats = shaper.stats
    assert (stats.offered, stats.released, stats.given_up_held, stats.given_up_running) == (3, 2, 1, 1)


def test_a_shrunken_pool_sets_aside_what_no_longer_fits_and_takes_it_up_again() -> None:
    shaper = a_shaper(kv_tokens=100, hold_s=5.0)
    offer_all(shaper, a_request("large", prompt_tokens=80), a_request("small"))
    shaper.resize(PoolCapacity(sequences=8, kv_tokens=50))
    assert ids(shaper.release(5.0)) == [["small"]]
    assert list(shaper.held) == ["large"]
    assert shaper.next_wakeup_at_s() is None
    shaper.resize(PoolCapacity(sequences=8, kv_tokens=200))
    assert ids(shaper.release(6.0)) == [["large"]]


def test_max_group_cuts_a_release_into_groups() -> None:
    shaper = a_shaper(max_group=2)
    offer_all(shaper, *(a_request(f"r{n}") for n in range(5)))
    assert ids(shaper.release(0.0)) == [["r0", "r1"], ["r2", "r3"], ["r4"]]


def test_a_blocked_latest_start_asks_for_no_wakeup() -> None:
    shaper = a_shaper(kv_tokens=100)
    offer_all(shaper, a_request("r1", prompt_tokens=70), a_request("r2", prompt_tokens=70, release_by_s=10.0))
    assert ids(shaper.release(10.0)) == [["r2"]]
    shaper.offer(a_request("r3", prompt_tokens=70, arrived_at_s=10.0, release_by_s=10.5), 10.0)
    shaper.release(11.0)
    assert shaper.next_wakeup_at_s() is None


def test_an_instant_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        a_request(release_by_s=math.inf)
    with pytest.raises(ValueError, match="finite"):
        a_request(release_by_s=math.nan)
    with pytest.raises(ValueError, match="zero or more"):
        a_request(prompt_tokens=-1)


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="hold"):
        ShapingPolicy(interactive_hold_s=-1.0, min_group=1)
    with pytest.raises(ValueError, match="min_group"):
        ShapingPolicy(interactive_hold_s=1.0, min_group=0)


def test_the_first_start_is_known_while_no_worker_is_there() -> None:
    shaper = a_shaper(sequences=0, hold_s=5.0)
    assert shaper.first_start_at_s is None
    shaper.offer(a_flex_request("f1", not_before_s=50.0), 0.0)
    shaper.release(0.0)
    assert shaper.first_start_at_s == 50.0  # its planned instant, not its latest start
    shaper.offer(a_request("r1", arrived_at_s=10.0), 10.0)
    shaper.release(10.0)
    assert shaper.first_start_at_s == 15.0
    shaper.give_up("r1", 11.0)
    shaper.release(60.0)
    assert shaper.first_start_at_s == 50.0  # due for ten seconds


def test_before_the_workers_are_gone_for_a_while_what_cannot_wait_so_long_goes() -> None:
    shaper = a_shaper(hold_s=60.0)
    offer_all(shaper, a_flex_request("soon", release_by_s=20.0), a_flex_request("later", release_by_s=500.0))
    assert ids(shaper.release(5.0, ahead_s=14.9)) == []
    assert ids(shaper.release(5.0, ahead_s=15.0)) == [["soon"]]
