"""Who sleeps and who wakes, one hand-worked case each; every worker here has ten places."""

from __future__ import annotations

import math

import pytest

from shaping.consolidation import Action, ConsolidationPolicy, Consolidator, Demand, Order, Phase, break_even_s
from shaping.usual_load import UsualRate
from tests.builders import DAY_S, HOUR_S, YEAR_2022_AT_S

IDLE = Demand(running=0, held=0)


def a_pool(workers: int = 4, **changes: float) -> Consolidator:
    fields = {"wake_s": 5.0, "patience_s": 30.0, "headroom_ratio": 0.25, **changes}
    return Consolidator(ConsolidationPolicy(**fields), workers=workers, sequences_per_worker=10)  # type: ignore[arg-type]


def settled(pool: Consolidator, orders: list[Order]) -> list[Order]:
    for order in orders:
        pool.done(order.worker, order.action)
    return orders


def asleep(pool: Consolidator, now_s: float = 0.0) -> Consolidator:
    """The same pool after a long time without work."""
    pool.orders(now_s, IDLE, [0] * len(pool.phases))
    settled(pool, pool.orders(now_s + 30.0, IDLE, [0] * len(pool.phases)))
    return pool


def test_idle_workers_sleep_after_their_patience_but_for_the_least_number() -> None:
    pool = a_pool()
    assert pool.orders(0.0, IDLE, [0] * 4) == []
    assert pool.look_again_at_s == 30.0
    orders = settled(pool, pool.orders(30.0, IDLE, [0] * 4))
    assert [(order.worker, order.action) for order in orders] == [(place, Action.SLEEP) for place in (1, 2, 3)]
    assert pool.phases == [Phase.AWAKE, Phase.ASLEEP, Phase.ASLEEP, Phase.ASLEEP]


def test_a_short_lull_puts_nobody_to_sleep() -> None:
    pool = a_pool()
    pool.orders(0.0, IDLE, [0] * 4)
    pool.orders(20.0, Demand(running=32, held=0), [8] * 4)  # 32 and a quarter more fill all four
    assert pool.orders(40.0, IDLE, [0] * 4) == []
    assert pool.look_again_at_s == 70.0


def test_head_room_keeps_one_more_worker() -> None:
    # 8 requests and a quarter more fill ten places exactly; 9 need eleven and a quarter.
    assert len(settled(a_pool(), asleep_for(Demand(running=8, held=0), [8, 0, 0, 0]))) == 3
    assert len(settled(a_pool(), asleep_for(Demand(running=9, held=0), [9, 0, 0, 0]))) == 2


def asleep_for(demand: Demand, in_flight: list[int]) -> list[Order]:
    pool = a_pool()
    pool.orders(0.0, demand, in_flight)
    return pool.orders(30.0, demand, in_flight)


def test_a_busy_worker_drains_before_it_sleeps() -> None:
    pool = a_pool(workers=2)
    pool.orders(0.0, Demand(running=2, held=0), [1, 1])
    assert pool.orders(30.0, Demand(running=2, held=0), [1, 1]) == []
    assert pool.phases == [Phase.AWAKE, Phase.DRAINING]
    assert pool.orders(31.0, Demand(running=1, held=0), [1, 0]) == [Order(worker=1, action=Action.SLEEP)]


def test_a_burst_wakes_as_many_as_it_needs_at_once() -> None:
    pool = asleep(a_pool())
    orders = pool.orders(60.0, Demand(running=10, held=6, is_blocked=True), [10, 0, 0, 0])
    assert orders == [Order(worker=1, action=Action.WAKE)]  # 16 and a quarter more: two workers
    assert pool.orders(61.0, Demand(running=10, held=6, is_blocked=True), [10, 0, 0, 0]) == []  # it is on its way


def test_who_was_about_to_sleep_is_kept_before_anybody_is_woken() -> None:
    pool = a_pool(workers=2)
    pool.orders(0.0, Demand(running=2, held=0), [1, 1])
    pool.orders(30.0, Demand(running=2, held=0), [1, 1])
    assert pool.orders(31.0, Demand(running=12, held=0), [11, 1]) == []
    assert pool.phases == [Phase.AWAKE, Phase.AWAKE]


def test_the_usual_load_is_kept_ready_while_anything_runs() -> None:
    pool = a_pool()
    demand = Demand(running=1, held=0, rate_per_s=4.0, service_s=5.0)  # twenty at once as a rule: three workers
    pool.orders(0.0, demand, [1, 0, 0, 0])
    assert len(pool.orders(30.0, demand, [1, 0, 0, 0])) == 1


def test_a_pool_that_may_sleep_altogether_wakes_in_time_for_the_first_start() -> None:
    pool = a_pool(workers=1, min_awake=0)
    held = Demand(running=0, held=3, first_start_at_s=100.0)
    assert settled(pool, pool.orders(10.0, held, [0])) == [Order(worker=0, action=Action.SLEEP)]  # a known long gap
    assert pool.orders(50.0, held, [0]) == []
    assert pool.look_again_at_s == 95.0
    assert pool.orders(95.0, held, [0]) == [Order(worker=0, action=Action.WAKE)]


def test_a_worker_that_does_not_wake_is_left_alone_for_a_while_and_another_is_asked() -> None:
    pool = asleep(a_pool(workers=3))
    demand = Demand(running=10, held=1, is_blocked=True)
    assert pool.orders(60.0, demand, [10, 0, 0]) == [Order(worker=1, action=Action.WAKE)]
    pool.failed(1, Action.WAKE, 61.0)
    assert pool.orders(61.0, demand, [10, 0, 0]) == [Order(worker=2, action=Action.WAKE)]
    assert pool.phases[1] is Phase.ASLEEP


def test_break_even_of_a_restart_is_under_two_minutes() -> None:
    # Loading a 7B model: 30 s at 71 W; a context idles at 121.7 W, a bare H100 at 71.8 W.
    assert break_even_s(71.0, 30.0, 121.7, 71.8) == pytest.approx(42.7, abs=0.1)
    assert break_even_s(71.0, 30.0, 121.7, 121.7) == math.inf


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="zero or more"):
        ConsolidationPolicy(wake_s=-1.0, patience_s=0.0)


def nine_oclock() -> tuple[float, UsualRate]:
    """The third of days on which 25 a second come from nine on: the instant, and what is known at its midnight."""
    usual, monday_s = UsualRate(), YEAR_2022_AT_S + 2 * DAY_S
    usual.passed(monday_s - DAY_S)
    for day in range(2):
        for second in range(900):
            for _ in range(25):
                usual.arrived(monday_s + day * DAY_S + 9 * HOUR_S + second)
    usual.passed(monday_s + 2 * DAY_S)
    return monday_s + 2 * DAY_S + 9 * HOUR_S, usual


def test_workers_wake_ahead_of_what_comes_every_day() -> None:
    nine_s, usual = nine_oclock()
    pool = asleep(a_pool(), nine_s - HOUR_S)
    # 25 a second for a second each and a quarter more: four workers, five seconds before nine and not earlier.
    by_habit = Demand(running=0, held=0, rate_per_s=0.1, service_s=1.0, usual=usual)
    assert pool.orders(nine_s - 20.0, by_habit, [0] * 4) == []
    assert pool.look_again_at_s == nine_s - 5.0
    assert [order.worker for order in pool.orders(nine_s - 5.0, by_habit, [0] * 4)] == [1, 2, 3]


def test_habits_add_nothing_to_what_head_room_holds_already() -> None:
    nine_s, usual = nine_oclock()
    pool = asleep(a_pool(), nine_s - HOUR_S)
    # 24 at once and a quarter more fill three workers; at least 24.9 come by habit, which would take four.
    coming = Demand(running=8, held=0, rate_per_s=24.0, service_s=1.0, usual=usual)
    assert [order.worker for order in pool.orders(nine_s, coming, [8, 0, 0, 0])] == [1, 2]


def test_no_habit_wakes_anybody_before_it_is_known_how_long_an_answer_takes() -> None:
    nine_s, usual = nine_oclock()
    pool = asleep(a_pool(), nine_s - HOUR_S)
    assert pool.orders(nine_s, Demand(running=0, held=0, usual=usual), [0] * 4) == []
