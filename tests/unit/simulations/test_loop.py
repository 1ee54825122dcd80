"""Virtual time moves forward only, and everything at one instant has its order."""

from __future__ import annotations

import pytest

from simulations.loop import Loop, PastInstantError, Priority


def test_actions_run_by_instant_then_priority_then_order_of_scheduling() -> None:
    loop = Loop(0.0)
    said: list[str] = []
    loop.schedule(5.0, Priority.DECIDE, lambda: said.append("decision at 5"))
    loop.schedule(5.0, Priority.ARRIVAL, lambda: said.append("first arrival at 5"))
    loop.schedule(5.0, Priority.ARRIVAL, lambda: said.append("second arrival at 5"))
    loop.schedule(5.0, Priority.FINISH, lambda: said.append("finish at 5"))
    loop.schedule(1.0, Priority.DECIDE, lambda: said.append("decision at 1"))
    loop.run()
    assert said == ["decision at 1", "finish at 5", "first arrival at 5", "second arrival at 5", "decision at 5"]


def test_an_action_may_schedule_another_at_the_same_instant() -> None:
    loop = Loop(0.0)
    said: list[float] = []
    loop.schedule(2.0, Priority.ARRIVAL, lambda: loop.schedule(2.0, Priority.FINISH, lambda: said.append(loop.now_s)))
    loop.run()
    assert said == [2.0]


def test_the_past_is_refused() -> None:
    loop = Loop(10.0)
    with pytest.raises(PastInstantError, match="cannot act at 9"):
        loop.schedule(9.0, Priority.ARRIVAL, lambda: None)
