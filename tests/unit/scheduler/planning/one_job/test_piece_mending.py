"""Choices that do too much or too little, mended until they do exactly the work."""

from __future__ import annotations

import numpy as np

from scheduler.planning.one_job.piece_mending import cost_of, mended
from scheduler.planning.one_job.piece_rows import PieceRule
from scheduler.planning.one_job.piece_task import PieceTask

#           0  1  2  3  4  5  6  7  8  9
RATES = (9.0, 1, 1, 5, 9, 9, 2, 1, 1, 8)


def a_task(work: int, shortest: int = 1, pause_cost: float = 0.0) -> PieceTask:
    rule = PieceRule(work=work, shortest=shortest, checkpoint=0, restore=0, first_restore=0, pause_cost=pause_cost)
    return PieceTask(slot_cost=np.array(RATES), stretches=((0, 10),), rule=rule)


def test_what_lacks_work_grows_where_a_slot_is_cheapest() -> None:
    task = a_task(work=6, pause_cost=3.0)
    found = mended(task, [[(1, 3), (7, 9)]], price_cost=1.5)
    assert found == (1 + 1 + 5 + 2 + 1 + 1 + 3, [(1, 4), (6, 9)])


def test_what_does_too_much_shrinks_where_a_slot_is_dearest() -> None:
    found = mended(a_task(work=4), [[(1, 4), (6, 9)]], price_cost=6.0)
    assert found == (4.0, [(1, 3), (7, 9)])


def test_no_piece_shrinks_below_the_shortest() -> None:
    found = mended(a_task(work=5, shortest=2), [[(3, 5), (6, 10)]], price_cost=9.0)
    assert found == (5 + 9 + 2 + 1 + 1, [(3, 5), (6, 9)])


def test_a_choice_begins_as_one_and_goes_on_as_another() -> None:
    task = a_task(work=5)
    found = mended(task, [[(1, 3), (7, 8)], [(0, 4), (6, 9)]], price_cost=1.5)
    assert found == (1 + 1 + 2 + 1 + 1, [(1, 3), (6, 9)])


def test_nothing_is_found_where_no_border_may_move_so_far() -> None:
    assert mended(a_task(work=10), [[(0, 4), (6, 10)]], price_cost=1.0) is None
    assert mended(a_task(work=4), [], price_cost=1.0) is None


def test_a_choice_is_charged_for_its_pauses() -> None:
    assert cost_of(a_task(work=4, pause_cost=2.5), [(1, 3), (7, 9)]) == 4 + 2.5
