"""Room for GPUs over time, against an oracle that counts every piece at every instant that can matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.plan import Segment
from tests.plan_cases import a_region

pytestmark = pytest.mark.slow

CAPACITY = 6
instants = st.integers(0, 40).map(float)


@st.composite
def a_piece(draw: st.DrawFn) -> tuple[float, float, int]:
    start_at_s = draw(instants)
    return start_at_s, start_at_s + draw(st.integers(0, 12)), draw(st.integers(0, CAPACITY))


# More pieces than the arrays have room for at first, so that they grow.
held_pieces = st.lists(a_piece(), max_size=60)


def as_segment(piece: tuple[float, float, int], region: str = "DE") -> Segment:
    return Segment(start_at_s=piece[0], end_at_s=piece[1], region=region)


def occupied(pieces: Sequence[tuple[float, float, int]]) -> Occupancy:
    occupancy = Occupancy([a_region(gpus=CAPACITY)])
    for piece in pieces:
        occupancy.take([as_segment(piece)], piece[2])
    return occupancy


def most_beside(pieces: Sequence[tuple[float, float, int]], start_at_s: float, end_at_s: float) -> int:
    """The most that is taken in the interval: at its start, or where a piece begins in it."""
    begins = {start_at_s, *(piece[0] for piece in pieces if start_at_s < piece[0] < end_at_s)}
    return max(sum(gpus for start, end, gpus in pieces if start <= at_s < end) for at_s in begins)


@given(held_pieces, instants, st.integers(1, 15).map(float), st.integers(0, CAPACITY + 1))
def test_the_earliest_start_is_the_first_that_has_room(
    pieces: list[tuple[float, float, int]], from_s: float, duration_s: float, gpus: int
) -> None:
    starts = sorted({from_s, *(end_at_s for _, end_at_s, _ in pieces if end_at_s > from_s)})
    fitting = (at_s for at_s in starts if most_beside(pieces, at_s, at_s + duration_s) + gpus <= CAPACITY)
    found = occupied(pieces).earliest_start_at_s("DE", from_s, duration_s, gpus)
    assert found == next(fitting, math.inf)


@given(held_pieces, instants, instants, st.integers(0, CAPACITY + 1), st.integers(0, 3), st.integers(0, 6))
def test_free_stretches_hold_exactly_the_instants_with_room(
    pieces: list[tuple[float, float, int]], from_s: float, to_s: float, gpus: int, kept_free: int, at_least_s: int
) -> None:
    occupancy = occupied(pieces)
    most = max(CAPACITY - gpus - kept_free, 0) if gpus <= CAPACITY else -1
    with_room = [at_s for at_s in range(int(from_s), int(to_s)) if most_beside(pieces, at_s, at_s + 1) <= most]
    stretches = occupancy.free("DE", from_s, to_s, gpus, kept_free)
    assert [at_s for start, end in stretches for at_s in range(int(start), int(end))] == with_room
    assert all(end < later for (_, end), (later, _) in pairwise(stretches))
    long = tuple(one for one in stretches if one[1] - one[0] >= at_least_s)
    assert occupancy.free("DE", from_s, to_s, gpus, kept_free, float(at_least_s)) == long


@given(held_pieces)
def test_taken_at_once_is_taken_one_after_another(pieces: list[tuple[float, float, int]]) -> None:
    together = Occupancy.of([a_region(gpus=CAPACITY)], [((as_segment(piece),), piece[2]) for piece in pieces])
    apart = occupied(pieces)
    assert [together.taken("DE", at_s) for at_s in range(-1, 55)] == [apart.taken("DE", at_s) for at_s in range(-1, 55)]


@given(held_pieces, held_pieces)
def test_what_is_given_back_leaves_no_trace(
    kept: list[tuple[float, float, int]], returned: list[tuple[float, float, int]]
) -> None:
    occupancy = occupied([*kept, *returned])
    for piece in returned:
        occupancy.give_back([as_segment(piece)], piece[2])
    assert [occupancy.taken("DE", at_s) for at_s in range(-1, 55)] == [
        sum(gpus for start, end, gpus in kept if start <= at_s < end) for at_s in range(-1, 55)
    ]


@given(held_pieces, held_pieces)
def test_a_copy_goes_its_own_way(pieces: list[tuple[float, float, int]], more: list[tuple[float, float, int]]) -> None:
    occupancy = Occupancy.of([a_region(gpus=CAPACITY)], [((as_segment(piece),), piece[2]) for piece in pieces])
    before = [occupancy.taken("DE", at_s) for at_s in range(-1, 55)]
    other = occupancy.copy()
    for piece in more:
        other.take([as_segment(piece)], piece[2])
    assert [occupancy.taken("DE", at_s) for at_s in range(-1, 55)] == before
