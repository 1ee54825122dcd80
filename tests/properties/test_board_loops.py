"""Loops that look at all regions at once change no place, whether they are compiled or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import Floats
from scheduler.planning.open_jobs import board_kernels, cleanest, window_kernels
from scheduler.planning.open_jobs.board_loops import BoardLoops
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.glance import least_beside
from scheduler.planning.open_jobs.grid_rows import GridRows, is_surely_above
from scheduler.planning.open_jobs.needs import Need
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Plan, Region
from scheduler.planning.planner import OpenJob
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job
from tests.properties.test_search_by_bound import (
    FLEETS,
    PLAIN,
    board_of,
    forecasts_of,
    need_of,
    needs,
    pieces,
    tables,
)

pytestmark = pytest.mark.slow

# Not compiled, so the same steps one at a time.
STEP_BY_STEP = BoardLoops(
    first_with_room=board_kernels.first_with_room,
    least_everywhere=board_kernels.least_everywhere,
    cheapest_places=window_kernels.cheapest_places,
)

# As many GPUs and the same PUE everywhere: what differs is the grid, and what is taken.
ALIKE = tuple(replace(one, gpus=6, pue=1.1) for one in PLAIN)


@settings(max_examples=300, deadline=None)
@given(
    fleet=st.sampled_from(FLEETS),
    table=tables,
    taken=st.lists(pieces, max_size=12),
    numbers=needs,
    gpus=st.integers(1, 5),
)
def test_the_loops_change_no_place(
    fleet: Sequence[Region],
    table: list[list[float]],
    taken: list[tuple[int, int, int, int]],
    numbers: tuple[int, float, float, float],
    gpus: int,
) -> None:
    everywhere, wanted = board_of(fleet, table, taken), need_of(numbers, gpus)
    by_loops = replace(everywhere, rows=GridRows.of(fleet, everywhere.forecasts), loops=STEP_BY_STEP)
    assert by_loops.at_once(wanted) == everywhere.at_once(wanted)
    assert by_loops.cheapest(wanted) == everywhere.cheapest(wanted)


@pytest.mark.parametrize("seed", range(200))
def test_of_regions_that_share_a_grid_the_loops_take_the_same_one(seed: int) -> None:
    draws = Random(seed)
    hours, grids = draws.randint(6, 30), [draws.randint(0, 1) for _ in ALIKE]
    table = [[draws.choice((90.0, 100.0, 200.0, 317.0)) for _ in range(2)] for _ in range(hours)]
    taken = [
        (draws.randrange(len(ALIKE)), draws.randint(0, hours), draws.randint(1, 9), draws.randint(1, 4))
        for _ in range(draws.randint(0, 12))
    ]
    numbers = (draws.randint(0, 3), draws.choice((0.0, 1234.5)), draws.uniform(0.2, 4.0), draws.uniform(0.0, 20.0))
    everywhere = board_of(ALIKE, [[row[grid] for grid in grids] for row in table], taken)
    wanted = need_of(numbers, gpus=draws.randint(1, 3))
    by_loops = replace(everywhere, rows=GridRows.of(ALIKE, everywhere.forecasts), loops=STEP_BY_STEP)
    assert by_loops.cheapest(wanted) == everywhere.cheapest(wanted)


@settings(max_examples=300, deadline=None)
@given(table=tables, taken=st.lists(pieces, max_size=12), numbers=needs, gpus=st.integers(1, 5))
def test_the_loops_tell_of_each_region_that_may_be_cleanest_what_a_glance_tells(
    table: list[list[float]],
    taken: list[tuple[int, int, int, int]],
    numbers: tuple[int, float, float, float],
    gpus: int,
) -> None:
    board, wanted = board_of(PLAIN, table, taken), need_of(numbers, gpus)
    rows = GridRows.of(PLAIN, board.forecasts)
    assert rows is not None
    least = rows.least(wanted.whole_s, wanted.earliest_s, wanted.job.deadline_at_s)
    told = replace(board, rows=rows, loops=STEP_BY_STEP).least_beside(wanted)
    assert (told is None) == (least is None)
    if told is None or least is None:
        return
    glances = [
        least_beside(board.occupancy, region, gpus, board.reserve_ratio, least, place)
        for place, region in enumerate(PLAIN)
    ]
    best = min(min(both) for both in glances)
    for glance, seen in zip(np.array(glances), told.T, strict=True):
        is_left_out = np.isinf(seen).all() and is_surely_above(float(glance.min()), best)
        assert is_left_out or seen == pytest.approx(glance, rel=1e-9, abs=1e-3)


def a_stand(draws: Random) -> tuple[list[OpenJob], list[list[float]]]:
    """Enough jobs that the clean hours are taken, and hours of five regions."""
    jobs = [
        a_job(
            f"job {number}",
            duration_s=300.0 * draws.randint(2, 40),
            within_s=HOUR_S * draws.randint(14, 30),
            gpus=draws.choice((1, 1, 2, 3)),
        )
        for number in range(draws.randint(15, 50))
    ]
    return [OpenJob(job=one) for one in jobs], [[float(draws.randint(20, 500)) for _ in PLAIN] for _ in range(40)]


def plans(planner: FleetPlanner, open_jobs: Sequence[OpenJob], table: list[list[float]], draws: Random) -> list[Plan]:
    """After each of four forecasts, some minutes later each time, the earlier plan being kept where that is as good."""
    made: list[Plan] = []
    for number in range(4):
        plan = planner.plan(open_jobs, PLAIN, forecasts_of(table), MIDNIGHT_S + 420.0 * number)
        made.append(plan)
        open_jobs = [replace(one, planned=plan.placements[one.job.id]) for one in open_jobs]
        table = [[rate * draws.uniform(0.8, 1.2) for rate in row] for row in table]
    return made


@pytest.mark.parametrize("seed", range(25))
def test_plans_made_again_are_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanest, "_MOST_SEARCHES", -1)
    open_jobs, table = a_stand(Random(seed))
    reserve_ratio = Random(seed).choice((0.0, 0.375))
    plain, by_loops = (
        plans(FleetPlanner(reserve_ratio=reserve_ratio, loops=loops), open_jobs, table, Random(seed))
        for loops in (None, STEP_BY_STEP)
    )
    assert plain == by_loops
    run_now, sooner = RunNowPlanner(), RunNowPlanner(loops=STEP_BY_STEP)
    assert run_now.plan(open_jobs, PLAIN, {}, MIDNIGHT_S) == sooner.plan(open_jobs, PLAIN, {}, MIDNIGHT_S)


def test_compiled_they_tell_the_same() -> None:
    pytest.importorskip("numba")
    from simulations.compiled.build import compiled_board

    compiled = compiled_board()
    draws = Random(1)
    for _ in range(40):
        table = [[float(draws.randint(20, 500)) for _ in PLAIN] for _ in range(30)]
        taken = [(draws.randint(0, 4), draws.randint(0, 40), draws.randint(1, 12), 1) for _ in range(12)]
        board = board_of(PLAIN, table, taken)
        board = replace(board, rows=GridRows.of(PLAIN, board.forecasts))
        wanted = need_of((draws.randint(0, 9), 900.0, draws.uniform(0.1, 9.0), 12.0), draws.randint(1, 5))
        one, other = (replace(board, loops=loops) for loops in (STEP_BY_STEP, compiled))
        assert np.array_equal(told(one, wanted), told(other, wanted))
        assert one.at_once(wanted) == other.at_once(wanted)


def told(board: Board, wanted: Need) -> Floats:
    both = board.least_beside(wanted)
    assert both is not None
    return both
