"""Slots by key and tie, with any of them taken out of the middle."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from simulations.compiled.heap import discard, first_key, new_heap, put

SLOTS = 12


def test_an_empty_heap_has_an_infinite_first_key() -> None:
    assert first_key(new_heap(1)) == math.inf


def test_of_equal_keys_the_smaller_tie_is_first() -> None:
    heap = new_heap(2)
    put(heap, 0, 1.0, 7)
    put(heap, 1, 1.0, 3)
    assert heap.slots[0] == 1


def test_what_is_not_in_it_cannot_be_taken_out() -> None:
    assert not discard(new_heap(1), 0)


@given(st.lists(st.tuples(st.integers(0, SLOTS - 1), st.sampled_from([0.0, 1.0, 2.0])), max_size=60))
def test_the_first_is_always_the_smallest_of_those_that_are_in(moves: list[tuple[int, float]]) -> None:
    heap, there = new_heap(SLOTS), dict[int, tuple[float, int]]()
    for tie, (slot, key) in enumerate(moves):
        if slot in there:
            assert discard(heap, slot)
            del there[slot]
        else:
            put(heap, slot, key, tie)
            there[slot] = (key, tie)
        assert heap.size[0] == len(there)
        assert first_key(heap) == min((key for key, _ in there.values()), default=math.inf)
        if there:
            assert heap.slots[0] == min(there, key=lambda one: there[one])
