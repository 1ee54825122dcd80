"""Room for work that waits is, instant by instant, what the rule says; a region that always holds is a smaller one."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.head_room import waiting_room
from scheduler.planning.plan import Hold, Region, Segment
from scheduler.planning.whole_fleet.holds import together

END, GPUS = 12, 8
spans = st.tuples(st.integers(0, END - 1), st.integers(1, 5), st.integers(1, GPUS))
ratios = st.sampled_from([0.125, 0.375, 0.5, 1.0])


def pieces(taken: list[tuple[int, int, int]]) -> list[tuple[tuple[Segment, ...], int]]:
    return [
        ((Segment(start_at_s=float(start), end_at_s=float(start + length), region="here"),), gpus)
        for start, length, gpus in taken
    ]


@given(st.lists(spans, max_size=3), st.lists(spans, max_size=3), st.integers(1, GPUS), ratios)
def test_every_instant_is_free_exactly_by_the_rule(
    held: list[tuple[int, int, int]], taken: list[tuple[int, int, int]], gpus: int, ratio: float
) -> None:
    holds = together([Hold(start_at_s=a, end_at_s=a + n, gpus=min(g, 4)) for a, n, g in held], GPUS)
    region = Region(name="here", zone="DE", gpus=GPUS, held=holds)
    found = waiting_room(Occupancy.of([region], pieces(taken)), region, 0.0, float(END), gpus, ratio)
    for step in range(END):
        middle = step + 0.5
        lent = GPUS - region.held_gpus(middle, middle)
        others = sum(g for a, n, g in taken if a <= middle < a + n)
        may = others + gpus + int(lent * ratio) <= lent or (others == 0 and gpus <= lent)
        assert any(from_s <= middle < to_s for from_s, to_s in found) is may
    assert all(one[1] < other[0] for one, other in pairwise(found))


@given(st.lists(spans, max_size=4), st.integers(1, GPUS), st.integers(0, GPUS - 1), ratios, st.integers(0, 4))
def test_a_region_that_always_holds_some_is_a_region_with_fewer(
    taken: list[tuple[int, int, int]], gpus: int, held: int, ratio: float, least: int
) -> None:
    holding = Region(
        name="here", zone="DE", gpus=GPUS, held=(Hold(start_at_s=-10.0, end_at_s=100.0, gpus=held),) if held else ()
    )
    smaller = Region(name="here", zone="DE", gpus=GPUS - held)
    rooms = [
        waiting_room(Occupancy.of([region], pieces(taken)), region, 0.0, float(END), gpus, ratio, float(least))
        for region in (holding, smaller)
    ]
    assert rooms[0] == rooms[1]
