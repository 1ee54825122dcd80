"""A binary heap of slots whose entries can be taken out of the middle: smallest key first, then smallest tie.

Each slot knows its place, so nothing stale stays behind. Decides nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NOWHERE = -1  # a slot that is in no heap, the end of a queue


class Heap(NamedTuple):
    """`places` (slots,) says where in the heap a slot is; `size` (1,) how many there are."""

    key_array: NDArray[np.float64]
    ties: NDArray[np.int64]
    slots: NDArray[np.int64]
    places: NDArray[np.int64]
    size: NDArray[np.int64]


def new_heap(slots: int) -> Heap:
    ties, numbers = np.zeros(slots, dtype=np.int64), np.zeros(slots, dtype=np.int64)
    places, size = np.full(slots, NOWHERE, dtype=np.int64), np.zeros(1, dtype=np.int64)
    return Heap(np.zeros(slots), ties, numbers, places, size)


def first_key(heap: Heap) -> float:
    """The smallest key; infinite when the heap is empty."""
    return heap.key_array[0] if heap.size[0] > 0 else math.inf


def put(heap: Heap, slot: int, key_cost: float, tie: int) -> None:
    """Add a slot that is not in the heap."""
    place = heap.size[0]
    heap.size[0] = place + 1
    rise(heap, place, slot, key_cost, tie)


def discard(heap: Heap, slot: int) -> bool:
    """Take a slot out; whether it was in."""
    place = heap.places[slot]
    if place == NOWHERE:
        return False
    heap.places[slot] = NOWHERE
    last = heap.size[0] - 1
    heap.size[0] = last
    if place != last:
        sink(heap, place, heap.slots[last], heap.key_array[last], heap.ties[last])
    return True


def rise(heap: Heap, place: int, slot: int, key_cost: float, tie: int) -> None:
    """Put an entry at a free place, or as far above it as it belongs."""
    while place > 0:
        above = (place - 1) >> 1
        above_cost = heap.key_array[above]
        if above_cost < key_cost or (above_cost == key_cost and heap.ties[above] < tie):
            break
        settle(heap, place, heap.slots[above], above_cost, heap.ties[above])
        place = above
    settle(heap, place, slot, key_cost, tie)


def sink(heap: Heap, place: int, slot: int, key_cost: float, tie: int) -> None:
    """Put an entry at a free place, or as far below it as it belongs; from there it may still rise."""
    size = heap.size[0]
    below = 2 * place + 1
    while below < size:
        other = below + 1
        if other < size and is_before(heap, other, heap.key_array[below], heap.ties[below]):
            below = other
        if not is_before(heap, below, key_cost, tie):
            break
        settle(heap, place, heap.slots[below], heap.key_array[below], heap.ties[below])
        place = below
        below = 2 * place + 1
    rise(heap, place, slot, key_cost, tie)


def is_before(heap: Heap, place: int, key_cost: float, tie: int) -> bool:
    here_cost = heap.key_array[place]
    return bool(here_cost < key_cost or (here_cost == key_cost and heap.ties[place] < tie))


def settle(heap: Heap, place: int, slot: int, key_cost: float, tie: int) -> None:
    heap.key_array[place] = key_cost
    heap.ties[place] = tie
    heap.slots[place] = slot
    heap.places[slot] = place
