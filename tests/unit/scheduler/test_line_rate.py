from __future__ import annotations

import pytest

from scheduler.line_rate import LEAST_PER_S, MOST_PER_S, LineRate

TURN_S = 0.01


def after(turns: int, late_s: float, rate: LineRate | None = None) -> LineRate:
    rate = rate or LineRate()
    for _ in range(turns):
        rate.turned(TURN_S, TURN_S + late_s)
    return rate


def test_turns_in_time_let_more_lines_go_up_to_the_most() -> None:
    assert after(1, 0.0).per_s > LineRate().per_s
    assert after(500, 0.0).per_s == MOST_PER_S


def test_a_busy_loop_lets_fewer_lines_go_but_some_always() -> None:
    assert after(1, 0.02).per_s == pytest.approx(0.7 * LineRate().per_s)
    busy = after(100, 0.02)
    assert busy.per_s == LEAST_PER_S
    assert busy.granted(64) >= 1


def test_one_late_turn_takes_back_what_many_in_time_have_given() -> None:
    rate = after(10, 0.0)
    grown_per_s = rate.per_s
    assert after(1, 0.02, rate).per_s < LineRate().per_s < grown_per_s


def test_a_turn_hands_out_its_share_once_whoever_asks() -> None:
    rate = LineRate()
    rate.turned(0.01, 0.014)  # 1000 a second, neither late nor in time
    assert (rate.granted(5), rate.granted(64), rate.granted(1)) == (5, 9, 0)


def test_a_long_pause_saves_nothing_up_for_a_burst() -> None:
    rate = LineRate()
    rate.turned(60.0, 60.0)
    assert rate.granted(1000) == 20
