"""Jobs in pieces against every way to give each slot to a region or to nobody."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption
from scheduler.planning.curve import curve
from scheduler.planning.one_job.preemptible import Pieces, Work, cheapest_pieces, gap_ratio, lower_bound_g_s_per_kwh
from tests.plan_cases import MIDNIGHT_S, best_by_exhaustion

pytestmark = pytest.mark.slow

SLOT_S = 300.0


def search(
    rates: list[list[float]],
    *,
    work: int,
    shortest: int = 0,
    checkpoint: int = 0,
    restore: int = 0,
    restores_first: bool = False,
    per_pause: float = 0.0,
) -> Pieces | None:
    asked = Work(
        work_s=work * SLOT_S,
        earliest_s=MIDNIGHT_S,
        deadline_s=MIDNIGHT_S + len(rates[0]) * SLOT_S,
        interruption=Interruption(
            checkpoint_s=checkpoint * SLOT_S, restore_s=restore * SLOT_S, min_run_s=shortest * SLOT_S
        ),
        interruption_g_s_per_kwh=per_pause * SLOT_S,
        restores_first=restores_first,
    )
    curves = [
        curve(f"region {index}", IntensitySeries.regular("DE", MIDNIGHT_S, SLOT_S, row), 1.0, MIDNIGHT_S, math.inf)
        for index, row in enumerate(rates)
    ]
    return cheapest_pieces([one for one in curves if one is not None], asked)


def cost(pieces: Pieces | None, per_pause: float) -> float:
    if pieces is None:
        return math.inf
    return pieces.integral_g_s_per_kwh / SLOT_S + per_pause * pieces.pauses


rate = st.integers(1, 60).map(float)
one_region = st.lists(rate, min_size=1, max_size=9).map(lambda row: [row])
two_regions = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(rate, min_size=n, max_size=n), min_size=2, max_size=2)
)
three_regions = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.lists(rate, min_size=n, max_size=n), min_size=3, max_size=3)
)


@settings(max_examples=150, deadline=None)
@given(
    rates=st.one_of(one_region, two_regions, three_regions),
    work=st.integers(1, 6),
    shortest=st.integers(0, 3),
    checkpoint=st.integers(0, 2),
    restore=st.integers(0, 2),
    restores_first=st.booleans(),
    per_pause=st.sampled_from([0.0, 0.5, 10.0]),
)
def test_equals_the_exhaustive_search(
    rates: list[list[float]],
    work: int,
    shortest: int,
    checkpoint: int,
    restore: int,
    restores_first: bool,
    per_pause: float,
) -> None:
    options = {"work": work, "shortest": shortest, "checkpoint": checkpoint, "restore": restore}
    pieces = search(rates, **options, restores_first=restores_first, per_pause=per_pause)
    best = best_by_exhaustion(rates, **options, restores_first=restores_first, interruption_cost=per_pause)
    assert cost(pieces, per_pause) == pytest.approx(best, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    rates=st.lists(rate, min_size=1, max_size=6),
    work=st.integers(1, 5),
    shortest=st.integers(0, 2),
    overhead=st.integers(0, 1),
    per_pause=st.sampled_from([0.0, 7.0]),
)
def test_no_border_between_two_edges_is_better(
    rates: list[float], work: int, shortest: int, overhead: int, per_pause: float
) -> None:
    """The same search over half slots finds nothing cheaper: the optimum lies on the grid of the edges."""
    pieces = search([rates], work=work, shortest=shortest, checkpoint=overhead, per_pause=per_pause)
    halves = [one / 2 for one in rates for _ in range(2)]
    best = best_by_exhaustion(
        [halves], work=2 * work, shortest=2 * shortest, checkpoint=2 * overhead, interruption_cost=per_pause
    )
    assert cost(pieces, per_pause) == pytest.approx(best, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(rates=st.lists(rate, min_size=2, max_size=10), parts=st.integers(1, 39))
def test_free_pauses_fill_the_cheapest_time_at_any_resolution(rates: list[float], parts: int) -> None:
    work = parts / 4  # quarters of a slot: the marginal one is run in part
    if work > len(rates):
        return
    pieces = _filled(rates, work)
    ordered, left, best = sorted(rates), work, 0.0
    for one in ordered:
        best += one * min(1.0, max(0.0, left))
        left -= 1.0
    assert pieces is not None
    assert pieces.integral_g_s_per_kwh / SLOT_S == pytest.approx(best, rel=1e-9)
    assert sum(one.duration_s for one in pieces.segments) == pytest.approx(work * SLOT_S)


def _filled(rates: list[float], work: float) -> Pieces | None:
    series = IntensitySeries.regular("DE", MIDNIGHT_S, SLOT_S, rates)
    known = curve("DE", series, 1.0, MIDNIGHT_S, series.end_at_s)
    assert known is not None
    return cheapest_pieces([known], Work(work_s=work * SLOT_S, earliest_s=MIDNIGHT_S, deadline_s=series.end_at_s))


@settings(max_examples=80, deadline=None)
@given(
    rates=st.lists(rate, min_size=7, max_size=12),  # fewer fit into so few cells at their own unit
    from_min=st.integers(0, 7),
    work_min=st.integers(5, 30),
    checkpoint_min=st.integers(0, 4),
    restore_min=st.integers(0, 4),
    shortest_min=st.integers(1, 8),
    per_pause=st.sampled_from([0.0, 7.0]),
)
def test_what_a_rounded_grid_finds_has_a_bound_that_the_optimum_keeps(
    rates: list[float],
    from_min: int,
    work_min: int,
    checkpoint_min: int,
    restore_min: int,
    shortest_min: int,
    per_pause: float,
) -> None:
    series = IntensitySeries.regular("DE", MIDNIGHT_S, SLOT_S, np.array(rates))
    pause = Interruption(
        checkpoint_s=60.0 * checkpoint_min, restore_s=60.0 * restore_min, min_run_s=60.0 * shortest_min
    )
    work = Work(
        work_s=60.0 * work_min,
        earliest_s=MIDNIGHT_S + 60.0 * from_min,
        deadline_s=series.end_at_s,
        interruption=pause,
        interruption_g_s_per_kwh=per_pause * SLOT_S,
    )
    known = curve("DE", series, 1.0, work.earliest_s, work.deadline_s)
    assert known is not None
    exact, rounded = cheapest_pieces([known], work), cheapest_pieces([known], work, max_cells=100)
    if exact is None or rounded is None:
        return
    assert exact.is_exact
    assert not rounded.is_exact
    best, found = cost(exact, per_pause), cost(rounded, per_pause)
    assert best <= found + 1e-6
    bound = lower_bound_g_s_per_kwh([known], work)
    assert bound is None or bound / SLOT_S <= best + 1e-6
    gap = gap_ratio(rounded, [known], work)
    assert gap is None or found <= (1 + gap) * best + 1e-6


@settings(max_examples=60, deadline=None)
@given(
    rates=st.integers(4, 10).flatmap(
        lambda n: st.lists(st.lists(rate, min_size=n, max_size=n), min_size=2, max_size=3)
    ),
    work_min=st.integers(5, 25),
    checkpoint_min=st.integers(0, 4),
    restore_min=st.integers(0, 4),
    shortest_min=st.integers(1, 8),
    per_pause=st.sampled_from([0.0, 7.0]),
)
def test_the_bound_holds_over_several_regions(
    rates: list[list[float]], work_min: int, checkpoint_min: int, restore_min: int, shortest_min: int, per_pause: float
) -> None:
    made = [IntensitySeries.regular("DE", MIDNIGHT_S, SLOT_S, np.array(row)) for row in rates]
    curves = [
        one
        for index, series in enumerate(made)
        if (one := curve(f"region {index}", series, 1.0, MIDNIGHT_S, series.end_at_s)) is not None
    ]
    work = Work(
        work_s=60.0 * work_min,
        earliest_s=MIDNIGHT_S,
        deadline_s=made[0].end_at_s,
        interruption=Interruption(
            checkpoint_s=60.0 * checkpoint_min, restore_s=60.0 * restore_min, min_run_s=60.0 * shortest_min
        ),
        interruption_g_s_per_kwh=per_pause * SLOT_S,
    )
    exact, rounded = cheapest_pieces(curves, work), cheapest_pieces(curves, work, max_cells=400)
    if exact is None or rounded is None:
        return
    assert exact.is_exact
    bound, gap = lower_bound_g_s_per_kwh(curves, work), gap_ratio(rounded, curves, work)
    assert bound is not None
    assert bound / SLOT_S <= cost(exact, per_pause) + 1e-6
    assert gap is not None
    assert cost(rounded, per_pause) <= (1 + gap) * cost(exact, per_pause) + 1e-6


@settings(max_examples=60, deadline=None)
@given(
    rates=st.lists(rate, min_size=3, max_size=12),
    work_s=st.floats(60, 1500),
    from_s=st.floats(0, 400),
    checkpoint_s=st.floats(0, 100),
    restore_s=st.floats(0, 100),
    shortest_s=st.floats(0, 300),
    cells=st.sampled_from([30, 1000, 10**6]),
)
def test_pieces_at_odd_instants_keep_every_rule(
    rates: list[float],
    work_s: float,
    from_s: float,
    checkpoint_s: float,
    restore_s: float,
    shortest_s: float,
    cells: int,
) -> None:
    series = IntensitySeries.regular("DE", MIDNIGHT_S, SLOT_S, np.array(rates))
    pause = Interruption(checkpoint_s=checkpoint_s, restore_s=restore_s, min_run_s=shortest_s)
    earliest_s = MIDNIGHT_S + from_s
    work = Work(work_s=work_s, earliest_s=earliest_s, deadline_s=series.end_at_s, interruption=pause)
    known = curve("DE", series, 1.0, earliest_s, series.end_at_s)
    assert known is not None
    pieces = cheapest_pieces([known], work, max_cells=cells)
    if pieces is None:
        assert work_s > series.end_at_s - earliest_s - 1e-6
        return
    count = len(pieces.segments)
    assert sum(one.duration_s for one in pieces.segments) == pytest.approx(work.held_s(count), abs=1e-4)
    assert pieces.segments[0].start_at_s >= earliest_s
    assert pieces.segments[-1].end_at_s <= work.deadline_s
    for index, one in enumerate(pieces.segments):
        overhead_s = (restore_s if index else 0.0) + (checkpoint_s if index < count - 1 else 0.0)
        assert one.duration_s - overhead_s >= (shortest_s if count > 1 else 0.0) - 1e-4
        assert index == 0 or one.start_at_s >= pieces.segments[index - 1].end_at_s
