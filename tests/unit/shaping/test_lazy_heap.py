"""A heap that forgets beside a plain dictionary that is searched."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from shaping.lazy_heap import LazyHeap

MOVES = st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.floats(-100, 100))), max_size=80)


@settings(max_examples=40)
@given(MOVES)
def test_the_first_is_always_the_smallest_of_what_is_left(moves: list[tuple[int, float | None]]) -> None:
    heap = LazyHeap()
    expected: dict[str, tuple[float, int]] = {}
    for number, place_s in moves:
        id_ = f"id{number}"
        if place_s is None:
            heap.discard(id_)
            expected.pop(id_, None)
        else:
            heap.put(id_, (place_s, number))
            expected[id_] = (place_s, number)
        smallest = min(((key, id_) for id_, key in expected.items()), default=None)
        assert heap.first() == smallest
        assert len(heap) == len(expected)


def test_moving_one_id_for_ever_does_not_fill_the_memory() -> None:
    heap = LazyHeap()
    for number in range(10_000):
        heap.put("restless", (10_000 - number, 0))
        heap.put("steady", (20_000, 1))
    assert len(heap._entries) < 200
    assert heap.first() == ((1, 0), "restless")
