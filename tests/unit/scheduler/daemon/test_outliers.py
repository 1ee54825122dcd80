"""A worker that is worse than its peers rests, never more of them than the settings allow."""

from __future__ import annotations

import pytest

from scheduler.daemon.outliers import Fault, Peer, RecentCalls, fault_of
from scheduler.outlier_settings import OutlierSettings
from scheduler.worker_settings import WorkerSettings

RULES = OutlierSettings()


def a_peer(*, failed: int = 0, of: int = 40, whole_s: float = 1.0, gpu: str = "h100-sxm", is_up: bool = True) -> Peer:
    recent = RecentCalls()
    for number in range(of):
        recent.ended(0.0, is_failed=number < failed)
        recent.whole.add(whole_s)
    settings = WorkerSettings(url="http://w:1", models=("m",), region="here", gpu=gpu)
    return Peer(settings=settings, recent=recent, is_up=is_up)


def test_a_worker_that_fails_more_than_its_peers_is_an_outlier() -> None:
    assert fault_of(a_peer(failed=10), [a_peer(), a_peer()], RULES, 1.0) is Fault.ERRORS
    assert fault_of(a_peer(failed=7), [a_peer(), a_peer()], RULES, 1.0) is None  # 17.5%, and 20% is asked for


def test_where_all_fail_nobody_is_one() -> None:
    assert fault_of(a_peer(failed=20), [a_peer(failed=20), a_peer(failed=18)], RULES, 1.0) is None


def test_a_worker_four_times_as_slow_as_the_usual_peer_is_an_outlier() -> None:
    peers = [a_peer(whole_s=1.0), a_peer(whole_s=1.2), a_peer(whole_s=9.0)]
    assert fault_of(a_peer(whole_s=5.0), peers, RULES, 1.0) is Fault.SLOW
    assert fault_of(a_peer(whole_s=4.0), peers, RULES, 1.0) is None


def test_a_factor_between_fast_answers_says_nothing() -> None:
    assert fault_of(a_peer(whole_s=0.05), [a_peer(whole_s=0.005)], RULES, 1.0) is None


def test_another_kind_of_gpu_may_be_slower() -> None:
    assert fault_of(a_peer(whole_s=9.0, gpu="l4"), [a_peer(), a_peer()], RULES, 1.0) is None


def test_few_calls_are_no_ground() -> None:
    assert fault_of(a_peer(failed=19, of=19), [a_peer()], RULES, 1.0) is None
    assert fault_of(a_peer(failed=40), [a_peer(of=19)], RULES, 1.0) is None


def test_no_more_than_half_of_them_rest_at_once() -> None:
    resting = a_peer()
    resting.recent.rest(0.0, 30.0)
    assert fault_of(a_peer(failed=20), [resting, a_peer()], RULES, 1.0) is None  # it would be two of three
    assert fault_of(a_peer(failed=20), [resting, a_peer(), a_peer()], RULES, 1.0) is Fault.ERRORS


def test_the_last_one_that_is_up_goes_on() -> None:
    assert fault_of(a_peer(failed=20), [a_peer(is_up=False)], RULES, 1.0) is None


def test_it_can_be_switched_off() -> None:
    assert fault_of(a_peer(failed=40), [a_peer()], OutlierSettings(enabled=False), 1.0) is None


def test_what_was_long_ago_is_forgotten() -> None:
    one = a_peer(failed=40)
    for _ in range(40):
        one.recent.ended(200.0, is_failed=False)  # e^(-200/60) of the failures are left: 1.4 of 41.4
    assert one.recent.error_ratio == pytest.approx(0.0345, abs=0.001)


def test_each_rest_is_twice_as_long_up_to_ten_times_the_first() -> None:
    recent = RecentCalls()
    assert [recent.rest(0.0, 30.0) for _ in range(6)] == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]


def test_a_worker_that_does_well_again_begins_with_the_shortest_rest() -> None:
    one = a_peer()
    one.recent.next_rest_ratio = 8.0
    assert fault_of(one, [a_peer()], RULES, 1.0) is None
    assert one.recent.next_rest_ratio == 1.0
