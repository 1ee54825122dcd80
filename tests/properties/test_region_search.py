"""The priced search for pieces over several regions against the full table and against every choice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.trace import read_trace
from scheduler.planning.one_job.piece_rows import PieceRule
from scheduler.planning.one_job.region_price import RegionLine, RegionSpan
from scheduler.planning.one_job.region_search import RegionTask, best_region_price, cheapest_region_spans
from tests.piece_table import GridTask, cheapest_pieces_on_grid, total_cost
from tests.plan_cases import best_by_exhaustion
from tests.real_data import real_data

pytestmark = pytest.mark.slow

INFINITE = float("inf")


@st.composite
def tasks(draw: st.DrawFn, least_cost: int = 0, most_slots: int = 36, most_regions: int = 4) -> RegionTask:
    slots, regions = draw(st.integers(2, most_slots)), draw(st.integers(1, most_regions))
    costs = st.lists(st.integers(least_cost, 30), min_size=slots, max_size=slots)
    slot_cost = np.array([draw(costs) for _ in range(regions)], dtype=np.float64)
    if draw(st.booleans()):
        slot_cost = np.repeat(slot_cost, 3, axis=1)[:, :slots]  # steps, so that many choices are equal
    is_open = np.ones(slot_cost.shape, dtype=np.bool_)
    for region, slot in draw(st.sets(st.tuples(st.integers(0, regions - 1), st.integers(0, slots - 1)), max_size=5)):
        is_open[region, slot] = False
    restore = draw(st.integers(0, 3))
    rule = PieceRule(
        work=draw(st.integers(1, slots)),
        shortest=draw(st.integers(1, 6)),
        checkpoint=draw(st.integers(0, 3)),
        restore=restore,
        first_restore=draw(st.sampled_from([0, restore])),
        pause_cost=draw(st.sampled_from([0.0, 0.5, 10.0])),
    )
    return RegionTask(slot_cost=slot_cost, is_open=is_open, rule=rule)


def grid_task(task: RegionTask) -> GridTask:
    return GridTask(
        slot_cost=task.slot_cost,
        is_open=task.is_open,
        work=task.rule.work,
        shortest=task.rule.shortest,
        checkpoint=task.rule.checkpoint,
        restore=task.rule.restore,
        restores_first=task.rule.first_restore > 0,
        interruption_cost=task.rule.pause_cost,
    )


def table_cost(task: RegionTask) -> float:
    by_table = cheapest_pieces_on_grid(grid_task(task))
    return INFINITE if by_table is None else total_cost(grid_task(task), by_table)


def search_cost(task: RegionTask, spans: list[RegionSpan] | None) -> float:
    return INFINITE if spans is None else total_cost(grid_task(task), spans)


def assert_the_search_finds_what_the_table_finds(task: RegionTask) -> None:
    spans = cheapest_region_spans(task, INFINITE, 10**9)
    assert search_cost(task, spans) == pytest.approx(table_cost(task))


@settings(max_examples=250, deadline=None)
@given(tasks())
def test_the_search_finds_what_the_table_finds(task: RegionTask) -> None:
    assert_the_search_finds_what_the_table_finds(task)


@settings(max_examples=150, deadline=None)
@given(tasks(least_cost=-20))
def test_with_costs_below_zero_the_search_finds_what_the_table_finds(task: RegionTask) -> None:
    assert_the_search_finds_what_the_table_finds(task)


@settings(max_examples=100, deadline=None)
@given(tasks(most_slots=6, most_regions=3))
def test_no_choice_of_slots_and_regions_is_cheaper(task: RegionTask) -> None:
    rule = task.rule
    everywhere = RegionTask(slot_cost=task.slot_cost, is_open=np.ones_like(task.is_open), rule=rule)
    spans = cheapest_region_spans(everywhere, INFINITE, 10**9)
    best = best_by_exhaustion(
        task.slot_cost.tolist(),
        work=rule.work,
        shortest=rule.shortest,
        checkpoint=rule.checkpoint,
        restore=rule.restore,
        restores_first=rule.first_restore > 0,
        interruption_cost=rule.pause_cost,
    )
    held = rule.work + rule.first_restore
    sums = np.concatenate((np.zeros((len(task.slot_cost), 1)), np.cumsum(task.slot_cost, axis=1)), axis=1)
    windows = (sums[:, held:] - sums[:, : sums.shape[1] - held]) if held < sums.shape[1] else np.array([INFINITE])
    assert min(search_cost(everywhere, spans), float(windows.min())) == pytest.approx(best)


@settings(max_examples=100, deadline=None)
@given(tasks())
def test_the_pieces_keep_every_rule(task: RegionTask) -> None:
    spans = cheapest_region_spans(task, INFINITE, 10**9)
    if spans is None:
        return
    rule, last = task.rule, len(spans) - 1
    least = [rule.first if number == 0 else rule.last if number == last else rule.middle for number in range(last + 1)]
    assert sum(end - start for _, start, end in spans) == rule.held + last * rule.overhead
    assert all(end - start >= length for (_, start, end), length in zip(spans, least, strict=True))
    assert all(task.is_open[region, start:end].all() for region, start, end in spans)
    assert all(end <= start for (_, _, end), (_, start, _) in pairwise(spans))


def swept_cost(line: RegionLine, price_cost: float) -> float:
    return line.swept(price_cost).least_cost()


@settings(max_examples=100, deadline=None)
@given(tasks(least_cost=-5), st.floats(-10, 40))
def test_whatever_the_price_the_bound_is_a_bound(task: RegionTask, price_cost: float) -> None:
    cost = table_cost(task)
    if cost == INFINITE:
        return
    assert swept_cost(task.line(), price_cost) <= cost + 1e-6
    best = best_region_price(task.line(), INFINITE)
    assert best is not None
    assert best.least_cost() <= cost + 1e-6


@pytest.mark.parametrize("first_hour", [0, 2000, 5000])
def test_on_recorded_grids_the_search_finds_what_the_table_finds(first_hour: int) -> None:
    traces = read_trace(real_data("carbon/avg_2022_hourly_34zones.csv.gz"))
    rows = [traces[zone].gco2e_per_kwh[first_hour : first_hour + 96] for zone in ("DE", "GB", "ES", "US-CAL-CISO")]
    cost = np.repeat(np.array(rows), 4, axis=1)
    is_open = np.ones(cost.shape, dtype=np.bool_)
    is_open[1, 50:90] = False
    for work, shortest, checkpoint, restore in ((24, 4, 1, 1), (100, 1, 1, 0), (160, 9, 2, 3)):
        rule = PieceRule(
            work=work, shortest=shortest, checkpoint=checkpoint, restore=restore, first_restore=0, pause_cost=0.0
        )
        task = RegionTask(slot_cost=cost, is_open=is_open, rule=rule)
        spans = cheapest_region_spans(task, INFINITE, 10**9)
        assert search_cost(task, spans) == pytest.approx(table_cost(task), rel=1e-12)
