"""The loops that may be compiled give what the plain ones give, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption
from scheduler.planning.one_job import piece_kernels
from scheduler.planning.one_job.compiled_loops import compiled_loops
from scheduler.planning.one_job.piece_loops import Loops
from scheduler.planning.one_job.piece_search import cheapest_spans
from scheduler.planning.one_job.piece_task import PieceTask
from scheduler.planning.one_job.preemptible import Work, cheapest_pieces
from scheduler.planning.one_job.region_search import RegionTask, cheapest_region_spans
from scheduler.planning.one_job.work_price import PieceLine, sweep
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_curve
from tests.properties import test_piece_search, test_region_search
from tests.properties.test_piece_search import from_loose_lines, in_rounds

# Not compiled, so the same steps one at a time.
STEP_BY_STEP = Loops(sweep=piece_kernels.sweep, walk_back=piece_kernels.walk_back, fill_rows=piece_kernels.fill_rows)


def assert_swept_alike(line: PieceLine, price_cost: float) -> None:
    plain, by_loops = sweep(line, price_cost), sweep(replace(line, loops=STEP_BY_STEP), price_cost)
    assert plain.paused_cost.tolist() == by_loops.paused_cost.tolist()
    assert plain.running_cost.tolist() == by_loops.running_cost.tolist()
    if np.isfinite(plain.least_cost()):
        assert plain.pieces() == by_loops.pieces()


@pytest.mark.slow
@pytest.mark.parametrize("instants_per_round", [None, 1, 5])
@settings(max_examples=100, deadline=None)
@given(task=test_piece_search.tasks())
def test_every_sweep_and_its_pieces_are_the_same(instants_per_round: int | None, task: PieceTask) -> None:
    """One instant at a time, in rounds, and in some rounds first."""
    with pytest.MonkeyPatch.context() as patch:
        if instants_per_round is not None:
            in_rounds(patch, instants_per_round)
        assert_all_swept_alike(task)


def assert_all_swept_alike(task: PieceTask) -> None:
    task = replace(task, slot_cost=task.slot_cost * 0.1)  # tenths, which no sum is exact of
    for line in (task.line(), task.at_vertices(), task.in_cells()) if task.stretches else ():
        for price_cost in (0.3, 0.7, 1.9):
            if line.stretches:
                assert_swept_alike(line, price_cost)
                assert_swept_alike(line.mirrored(), price_cost)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(test_piece_search.tasks())
def test_a_search_in_one_region_chooses_the_same(task: PieceTask) -> None:
    task = replace(task, slot_cost=task.slot_cost * 0.1)
    by_loops = replace(task, loops=STEP_BY_STEP)
    with pytest.MonkeyPatch.context() as patch:
        for loosened in (False, True):
            if loosened:
                from_loose_lines(patch)
            assert cheapest_spans(task, np.inf, 10**9) == cheapest_spans(by_loops, np.inf, 10**9)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(test_region_search.tasks(least_cost=-5))
def test_a_search_in_several_regions_chooses_the_same(task: RegionTask) -> None:
    task = replace(task, slot_cost=task.slot_cost * 0.1)
    by_loops = replace(task, loops=STEP_BY_STEP)
    assert cheapest_region_spans(task, np.inf, 10**9) == cheapest_region_spans(by_loops, np.inf, 10**9)


def a_week(seed: int) -> tuple[IntensitySeries, Work]:
    draws = Random(seed)
    rates = [300.0 + 100.0 * np.sin(hour / 4) + draws.uniform(-40, 40) for hour in range(7 * 24)]
    pause = Interruption(checkpoint_s=120.0, restore_s=180.0, min_run_s=draws.choice((0.0, 1800.0, 7200.0)))
    work_s = HOUR_S * draws.choice((4, 24, 60))
    work = Work(work_s=work_s, earliest_s=MIDNIGHT_S, deadline_s=MIDNIGHT_S + 168 * HOUR_S, interruption=pause)
    return IntensitySeries.regular("DE", MIDNIGHT_S, HOUR_S, rates), work


@pytest.mark.slow
@pytest.mark.timeout(300)  # compiling takes some seconds of a processor, once for each version of the kernels
def test_compiled_they_still_choose_the_same() -> None:
    pytest.importorskip("numba", reason="compiled loops need numba, the extra `compiled`")
    loops = compiled_loops()
    assert loops is not None
    for seed in range(12):
        series, work = a_week(seed)
        curves = [a_curve(series), a_curve(series.scaled(0.98 + 0.01 * seed), pue=1.02, region="FR")][: 1 + seed % 2]
        assert cheapest_pieces(curves, work, loops=loops) == cheapest_pieces(curves, work)
