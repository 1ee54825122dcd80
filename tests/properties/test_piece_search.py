"""The priced search for pieces against the full table, on lines of slots too long to try every choice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.trace import read_trace
from scheduler.planning.one_job import line_sweep, piece_search, piece_task
from scheduler.planning.one_job.piece_rows import PieceRule
from scheduler.planning.one_job.piece_search import cheapest_spans
from scheduler.planning.one_job.piece_task import PieceTask
from scheduler.planning.one_job.work_price import INFINITE, best_price, sweep
from tests.piece_table import GridTask, cheapest_pieces_on_grid, total_cost
from tests.real_data import real_data

pytestmark = pytest.mark.slow


@st.composite
def tasks(draw: st.DrawFn) -> PieceTask:
    cell = draw(st.sampled_from([1, 1, 2, 3, 5]))
    cost = np.array(draw(st.lists(st.integers(0, 30), min_size=1, max_size=48 // cell)), dtype=np.float64)
    if draw(st.booleans()):
        cost = np.sort(cost)  # a long slope: the borders are set by shortest runs alone
    first_cell = draw(st.integers(1, cell))
    cost = np.repeat(cost, cell)[cell - first_cell :]
    closed = draw(st.sets(st.integers(0, len(cost) - 1), max_size=4))
    is_open = np.array([slot not in closed for slot in range(len(cost))])
    turns = np.flatnonzero(np.diff(np.concatenate(([False], is_open, [False])).astype(np.int8)))
    restore = draw(st.integers(0, 3))
    return PieceTask(
        slot_cost=cost,
        stretches=tuple((int(since), int(to)) for since, to in turns.reshape(-1, 2)),
        rule=PieceRule(
            work=draw(st.integers(1, len(cost))),
            shortest=draw(st.integers(1, 6)),
            checkpoint=draw(st.integers(0, 3)),
            restore=restore,
            first_restore=draw(st.sampled_from([0, restore])),
            pause_cost=draw(st.sampled_from([0.0, 0.5, 10.0])),
        ),
        cell=cell,
        first_cell=first_cell,
    )


def in_one_piece_cost(task: PieceTask) -> float:
    held = task.rule.work + task.rule.first_restore
    sums = np.concatenate(([0.0], np.cumsum(task.slot_cost)))
    starts = [start for since, to in task.stretches for start in range(since, to - held + 1)]
    return min((float(sums[start + held] - sums[start]) for start in starts), default=INFINITE)


def grid_task(task: PieceTask) -> GridTask:
    is_open = np.zeros((1, task.slots), dtype=np.bool_)
    for since, to in task.stretches:
        is_open[0, since:to] = True
    return GridTask(
        slot_cost=task.slot_cost[None],
        is_open=is_open,
        work=task.rule.work,
        shortest=task.rule.shortest,
        checkpoint=task.rule.checkpoint,
        restore=task.rule.restore,
        restores_first=task.rule.first_restore > 0,
        interruption_cost=task.rule.pause_cost,
    )


def assert_the_search_finds_what_the_table_finds(task: PieceTask) -> None:
    whole_cost = in_one_piece_cost(task)
    grid = grid_task(task)
    by_table, spans = cheapest_pieces_on_grid(grid), cheapest_spans(task, whole_cost, 10**9)
    table_cost = INFINITE if by_table is None else total_cost(grid, by_table)
    search_cost = INFINITE if spans is None else total_cost(grid, [(0, *span) for span in spans])
    assert min(whole_cost, search_cost) == pytest.approx(min(whole_cost, table_cost))


@settings(max_examples=250, deadline=None)
@given(tasks())
def test_the_search_finds_what_the_table_finds(task: PieceTask) -> None:
    assert_the_search_finds_what_the_table_finds(task)


def from_loose_lines(patch: pytest.MonkeyPatch) -> None:
    """As on long lines: whole cells first, a first choice, few places at a time, windows on the work done."""
    for name, value in (
        ("_FEW_INSTANTS", 0),
        ("_FEW_PLACES", 3),
        ("_FIRST_PLACES", 3),
        ("_MANY_COSTS", 25),
        ("_MOST_PLACES", 6),
        ("_GUESS_PLACES", 3),
        ("_MANY_PLACES", 3),
    ):
        patch.setattr(piece_search, name, value)
    patch.setattr(piece_task, "MANY_VERTICES", 0)
    in_rounds(patch, instants_per_round=1)


def in_rounds(patch: pytest.MonkeyPatch, instants_per_round: int) -> None:
    """As stretches of long lines are swept."""
    patch.setattr(line_sweep, "_ROUNDS_FROM", 0)
    patch.setattr(line_sweep, "_INSTANTS_PER_ROUND", instants_per_round)


@settings(max_examples=250, deadline=None)
@given(tasks())
def test_from_loose_lines_the_search_finds_what_the_table_finds(task: PieceTask) -> None:
    with pytest.MonkeyPatch.context() as patch:
        from_loose_lines(patch)
        assert_the_search_finds_what_the_table_finds(task)


def test_closed_time_that_ends_in_one_cell_of_a_loose_line_stays_closed() -> None:
    """Found by a random seed: both stretches reached the border of the closed cell, and a piece began there."""
    rates = (14, 27, 14, 6, 3, 22, 11, 27, 21, 9, 16, 19, 2, 10, 7, 0, 12, 17, 8)
    task = PieceTask(
        slot_cost=np.repeat(np.array(rates, dtype=np.float64), 12)[7:221],
        stretches=((0, 61), (78, 127), (143, 214)),
        rule=PieceRule(work=87, shortest=2, checkpoint=2, restore=2, first_restore=0, pause_cost=500.0),
        cell=12,
        first_cell=5,
    )
    with pytest.MonkeyPatch.context() as patch:
        from_loose_lines(patch)
        assert_the_search_finds_what_the_table_finds(task)


@pytest.mark.parametrize("days", [1, 12, 20])
def test_on_a_recorded_grid_the_search_finds_what_the_table_finds(days: int) -> None:
    whole = next(iter(read_trace(real_data("carbon/marginal_2023-06_5min_caiso_north.csv.gz")).values()))
    start = 288 * days
    cost = whole.gco2e_per_kwh[start : start + 2016]
    for work, shortest, checkpoint, restore in ((48, 6, 1, 1), (290, 1, 1, 1), (720, 12, 2, 3)):
        task = PieceTask(
            slot_cost=cost,
            stretches=((0, 1000), (1012, 2016)),
            rule=PieceRule(
                work=work, shortest=shortest, checkpoint=checkpoint, restore=restore, first_restore=0, pause_cost=0.0
            ),
        )
        whole_cost, grid = in_one_piece_cost(task), grid_task(task)
        by_table, spans = cheapest_pieces_on_grid(grid), cheapest_spans(task, whole_cost, 10**7)
        assert by_table is not None
        search_cost = INFINITE if spans is None else total_cost(grid, [(0, *span) for span in spans])
        assert min(whole_cost, search_cost) == pytest.approx(min(whole_cost, total_cost(grid, by_table)), rel=1e-12)


@pytest.mark.parametrize(
    ("hours", "shortest", "checkpoint", "restore"), [(30, 10, 1, 1), (130, 30, 2, 3), (400, 1, 2, 3)]
)
def test_in_minutes_on_a_recorded_grid_the_search_finds_what_the_table_finds(
    hours: int, shortest: int, checkpoint: int, restore: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Borders lie within the 5 minutes of the grid, and off them by a shortest piece."""
    whole = next(iter(read_trace(real_data("carbon/marginal_2023-06_5min_caiso_north.csv.gz")).values()))
    monkeypatch.setattr(piece_search, "_FEW_INSTANTS", 0)
    monkeypatch.setattr(piece_search, "_MANY_COSTS", 30_000)
    for work in (120, 487, 901):
        task = PieceTask(
            slot_cost=np.repeat(whole.gco2e_per_kwh[12 * hours : 12 * hours + 360], 5)[2:],
            stretches=((0, 1201), (1219, 1798)),
            rule=PieceRule(
                work=work, shortest=shortest, checkpoint=checkpoint, restore=restore, first_restore=0, pause_cost=0.0
            ),
            cell=5,
            first_cell=3,
        )
        assert_the_search_finds_what_the_table_finds(task)


@settings(max_examples=100, deadline=None)
@given(tasks())
def test_the_pieces_keep_every_rule(task: PieceTask) -> None:
    spans = cheapest_spans(task, in_one_piece_cost(task), 10**9)
    if spans is None:
        return
    rule, last = task.rule, len(spans) - 1
    least = [rule.first if number == 0 else rule.last if number == last else rule.middle for number in range(last + 1)]
    held = sum(end - start for start, end in spans)
    assert held == task.rule.work + task.rule.first_restore + last * task.rule.overhead
    for (start, end), length in zip(spans, least, strict=True):
        assert end - start >= length
        assert any(since <= start and end <= to for since, to in task.stretches)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@settings(max_examples=100, deadline=None)
@given(tasks(), st.floats(0, 40))
def test_whatever_the_price_the_bound_is_a_bound(task: PieceTask, price_cost: float) -> None:
    by_table = cheapest_pieces_on_grid(grid_task(task))
    if by_table is None or not task.stretches or len(by_table) < 2:
        return
    # Pieces of the table that touch are one piece, which the bound is not about.
    if any(end == start for (_, _, end), (_, start, _) in pairwise(by_table)):
        return
    cost, line = total_cost(grid_task(task), by_table), task.line()
    assert sweep(line, price_cost).least_cost() <= cost + 1e-6
    best = best_price(line, INFINITE)
    assert best is not None
    assert best.least_cost() <= cost + 1e-6
