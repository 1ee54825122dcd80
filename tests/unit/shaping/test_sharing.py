"""Whose turn it is, one hand-worked case each: a swap takes 4 s, a group 3 s, a turn of busy models 20 s."""

from __future__ import annotations

import math

import pytest

from shaping.consolidation import Action, Demand, Order, Phase
from shaping.request import Request
from shaping.sharing import GpuTurns, LatestStarts, Leave, SharingPolicy

POLICY = SharingPolicy(swap_s=4.0, stay_s=20.0, patience_s=30.0)
IDLE = Demand(running=0, held=0, drain_s=3.0)
BUSY = Demand(running=5, held=0, drain_s=3.0)


def holding(first_start_at_s: float, latest_start_at_s: float, *, is_blocked: bool = False) -> Demand:
    return Demand(
        running=0,
        held=1,
        first_start_at_s=first_start_at_s,
        latest_start_at_s=latest_start_at_s,
        is_blocked=is_blocked,
        drain_s=3.0,
    )


def turns(workers: int = 2, *, awake: int | None = 0, may_all_sleep: bool = False) -> GpuTurns:
    policy = SharingPolicy(swap_s=4.0, stay_s=20.0, patience_s=30.0, may_all_sleep=may_all_sleep)
    return GpuTurns(policy, workers=workers, awake=awake)


def a_request(budget_s: float, id_: str = "a") -> Request:
    return Request(
        id=id_, model="m", arrived_at_s=100.0, release_by_s=100.0 + budget_s, prompt_tokens=1, output_tokens=1
    )


def test_an_idle_occupant_yields_when_the_other_wants_to_go_and_the_swap_fits_before() -> None:
    gpu = turns()
    assert gpu.leave(0.0, [IDLE, holding(10.0, 60.0)]) is None
    assert gpu.look_again_at_s == 6.0  # four seconds before it wants to go
    assert gpu.leave(6.0, [IDLE, holding(10.0, 60.0)]) == Leave(worker=0, ahead_s=14.0)  # two swaps and a group of each
    assert gpu.orders(6.0, [IDLE, holding(10.0, 60.0)]) == [Order(worker=0, action=Action.SLEEP)]
    assert gpu.orders(6.5, [IDLE, holding(10.0, 60.0)]) == []  # not before it sleeps
    gpu.done(0, Action.SLEEP)
    assert gpu.orders(7.0, [IDLE, holding(10.0, 60.0)]) == [Order(worker=1, action=Action.WAKE)]


def test_a_busy_occupant_stays_until_the_latest_start_of_the_other_needs_its_drain_and_a_swap() -> None:
    gpu = turns()
    waiting = holding(5.0, 60.0, is_blocked=True)
    assert gpu.leave(5.0, [BUSY, waiting]) is None
    assert gpu.look_again_at_s == 53.0
    assert gpu.leave(53.0, [BUSY, waiting]) is not None
    assert gpu.orders(53.0, [BUSY, waiting]) == []  # it drains first
    assert gpu.phases == [Phase.DRAINING, Phase.ASLEEP]
    assert gpu.orders(55.0, [IDLE, waiting]) == [Order(worker=0, action=Action.SLEEP)]


def test_where_two_must_go_at_one_instant_the_swap_to_the_first_begins_early_enough_for_the_second() -> None:
    gpu, waiting = turns(3), holding(5.0, 60.0, is_blocked=True)
    assert gpu.leave(5.0, [BUSY, waiting, waiting]) is None
    assert gpu.look_again_at_s == 46.0  # before 60 s: its own drain and a swap, the first one's and a swap
    assert gpu.leave(46.0, [BUSY, waiting, waiting]) == Leave(worker=0, ahead_s=21.0)  # three swaps, three groups


def test_of_two_that_wait_the_one_that_must_go_first_is_woken() -> None:
    gpu = turns(3)
    demands = [IDLE, holding(0.0, 50.0, is_blocked=True), holding(0.0, 40.0, is_blocked=True)]
    gpu.leave(0.0, demands)
    gpu.orders(0.0, demands)
    gpu.done(0, Action.SLEEP)
    assert gpu.orders(1.0, demands) == [Order(worker=2, action=Action.WAKE)]


def test_an_occupant_stays_when_whoever_called_has_given_up_and_it_has_work_again() -> None:
    gpu = turns()
    gpu.leave(53.0, [BUSY, holding(5.0, 60.0)])
    assert gpu.orders(53.0, [holding(53.0, 53.0), IDLE]) == []
    assert gpu.phases == [Phase.AWAKE, Phase.ASLEEP]


def test_nobody_swaps_for_nobody() -> None:
    gpu = turns()
    assert gpu.leave(1000.0, [IDLE, IDLE]) is None
    assert gpu.look_again_at_s == math.inf


def test_all_sleep_after_their_patience_where_they_may() -> None:
    gpu = turns(may_all_sleep=True)
    assert gpu.leave(0.0, [IDLE, IDLE]) is None
    assert gpu.look_again_at_s == 30.0
    assert gpu.leave(30.0, [IDLE, IDLE]) == Leave(worker=0, ahead_s=0.0)


def test_a_worker_that_will_not_wake_is_tried_at_ever_longer_intervals() -> None:
    gpu, waiting, now_s = turns(awake=None), holding(0.0, 0.0, is_blocked=True), 0.0
    for wait_s in (10.0, 20.0, 40.0):
        assert gpu.orders(now_s, [IDLE, waiting]) == [Order(worker=1, action=Action.WAKE)]
        gpu.failed(1, Action.WAKE, now_s)
        gpu.leave(now_s, [IDLE, waiting])
        assert gpu.orders(now_s, [IDLE, waiting]) == []
        assert gpu.look_again_at_s == now_s + wait_s
        now_s += wait_s


def test_one_that_will_not_sleep_keeps_the_gpu() -> None:
    gpu, waiting = turns(), holding(0.0, 0.0, is_blocked=True)
    gpu.leave(0.0, [IDLE, waiting])
    gpu.orders(0.0, [IDLE, waiting])
    gpu.failed(0, Action.SLEEP, 1.0)
    assert gpu.leave(1.0, [IDLE, waiting]) is None
    assert gpu.orders(1.0, [IDLE, waiting]) == []
    assert gpu.phases == [Phase.AWAKE, Phase.ASLEEP]
    assert gpu.leave(11.0, [IDLE, waiting]) is not None


@pytest.mark.parametrize(("budget_s", "latest_at_s"), [(8.0, 108.0), (60.0, 160.0), (7.9, 128.0), (0.0, 128.0)])
def test_a_budget_shorter_than_a_swap_there_and_back_counts_as_that_and_a_turn(
    budget_s: float, latest_at_s: float
) -> None:
    assert POLICY.latest_start_at_s(a_request(budget_s)) == latest_at_s


def test_latest_starts_follow_who_is_held() -> None:
    starts = LatestStarts(POLICY)
    assert starts.first_at_s is None
    starts.held(a_request(60.0, "a"))
    starts.held(a_request(50.0, "b"), slower_s=5.0)
    assert starts.first_at_s == 145.0
    starts.gone("b")
    assert starts.first_at_s == 160.0


@pytest.mark.parametrize(("swap_s", "stay_s", "patience_s"), [(-1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, -1.0)])
def test_negative_times_are_refused(swap_s: float, stay_s: float, patience_s: float) -> None:
    with pytest.raises(ValueError, match="zero or more"):
        SharingPolicy(swap_s=swap_s, stay_s=stay_s, patience_s=patience_s)
