"""Looks at every region of a board at once, over arrays, as a compiler takes them.

What `glance.py` and `prospects.py` tell of one region, from the same steps: bounds, by which nobody is placed, and the
first region that has room. Plain Python has those two instead, in which fewer regions are looked at. Decides nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.planning.curve import ROUNDING_S

Ints = NDArray[np.int64]

# A bound this much above a price is above it whatever was rounded.
SURE_RATIO = 1e-6
# As wide again as where the bounds are compared.
_SURE_RATIO = 2.0 * SURE_RATIO


class Taken(NamedTuple):
    """What is taken in each region from each instant on, shape (regions, steps), and their GPUs, shape (regions,).

    Instants grow; they are infinite after the last step.
    """

    times_s: Floats
    taken: Ints
    gpus: Ints


class GridSums(NamedTuple):
    """The forecasts on shared edges (n + 1,): sums (regions, n + 1) and rates (regions, n), PUE included."""

    edges_at_s: Floats
    sums_g_s_per_kwh: Floats
    rates_gco2e_per_kwh: Floats


class Run(NamedTuple):
    """One job in one piece: its GPUs, its length, and the known time that it has."""

    gpus: int
    whole_s: float
    from_s: float
    until_s: float


class Held(NamedTuple):
    """The run as it is placed so far, which counts as free; `place` is the index of its region, negative for none.

    Another place begins this instant, or has head-room: one without it that begins later is none.
    """

    place: int
    start_at_s: float
    end_at_s: float
    gpus: int


NOBODY = Held(place=-1, start_at_s=0.0, end_at_s=0.0, gpus=0)


def first_with_room(board: Taken, gpus: int, from_s: float, whole_s: float) -> int:
    """The first region with room for so long from this instant on; negative when there is none."""
    for place in range(len(board.gpus)):
        most = board.gpus[place] - gpus
        if most >= 0 and _has_room_from(board.times_s[place], board.taken[place], most, from_s, whole_s):
            return place
    return -1


def least_everywhere(
    board: Taken,
    grid: GridSums,
    run: Run,
    reserve_ratio: float,
    held: Held,
    enough_g_s_per_kwh: float,
    told_g_s_per_kwh: Floats,
) -> None:
    """The least that the run emits at the first instant with room, and later with head-room; infinite: not in time.

    Fills `told_g_s_per_kwh`, shape (2, regions). Infinite too where it is surely above `enough_g_s_per_kwh`, or above
    what a region before can have, whoever holds the GPUs.
    """
    for place in range(len(board.gpus)):
        now, later = math.inf, math.inf
        most = board.gpus[place] - run.gpus
        if most >= 0 and not _is_above(_least_ever(grid, run, place), enough_g_s_per_kwh):
            spare = max(most - int(board.gpus[place] * reserve_ratio), 0)
            own_gpus = held.gpus if held.place == place else 0
            now, later = _least_in(board, grid, run, place, most, spare, held, own_gpus)
        told_g_s_per_kwh[0, place], told_g_s_per_kwh[1, place] = now, later
        enough_g_s_per_kwh = min(enough_g_s_per_kwh, now, later)


def _is_above(bound_g_s_per_kwh: float, enough_g_s_per_kwh: float) -> bool:
    if math.isinf(enough_g_s_per_kwh):
        return False
    margin = _SURE_RATIO * (abs(bound_g_s_per_kwh) + abs(enough_g_s_per_kwh))
    return bound_g_s_per_kwh > enough_g_s_per_kwh + margin


def _least_ever(grid: GridSums, run: Run, place: int) -> float:
    """All of the run in the cleanest step of its time."""
    rates = grid.rates_gco2e_per_kwh[place]
    step, upto = _grid_step(grid.edges_at_s, run.from_s), _grid_step(grid.edges_at_s, run.until_s)
    least = rates[step]
    while step < upto:
        step += 1
        least = min(least, rates[step])
    return float(least * run.whole_s)


def _has_room_from(times_s: Floats, taken: Ints, most: int, from_s: float, whole_s: float) -> bool:
    step = _step_at(times_s, from_s)
    if taken[step] > most:
        return False
    step += 1
    while step < len(times_s) and times_s[step] - from_s < whole_s - ROUNDING_S:
        if taken[step] > most:
            return False
        step += 1
    return True


def _least_in(
    board: Taken, grid: GridSums, run: Run, place: int, most: int, spare: int, held: Held, own_gpus: int
) -> tuple[float, float]:
    times_s, taken = board.times_s[place], board.taken[place]
    enough_s = run.whole_s - ROUNDING_S
    first_s, stretch_s, least = math.inf, math.inf, math.inf
    has_first = False
    step, begin_s = _step_at(times_s, run.from_s), run.from_s
    while begin_s < math.inf and not (has_first and begin_s >= run.until_s):
        count = taken[step]
        if held.start_at_s <= begin_s < held.end_at_s:
            count -= own_gpus
        has_first = has_first or begin_s - first_s >= enough_s
        if not has_first:
            first_s = math.inf if count > most else min(first_s, begin_s)
        if begin_s < run.until_s and count > spare:
            if begin_s - stretch_s >= enough_s:
                least = min(least, _cheapest_in(grid, place, run, stretch_s, begin_s))
            stretch_s = math.inf
        elif begin_s < run.until_s:
            stretch_s = min(stretch_s, begin_s)
        step += 1
        begin_s = times_s[step] if step < len(times_s) else math.inf
    if run.until_s - stretch_s >= enough_s:
        least = min(least, _cheapest_in(grid, place, run, stretch_s, run.until_s))
    is_too_late = first_s + run.whole_s > run.until_s + ROUNDING_S
    if is_too_late or (held.place >= 0 and first_s > run.from_s):
        return math.inf, least
    return _cheapest_in(grid, place, run, first_s, first_s + run.whole_s), least


def _cheapest_in(grid: GridSums, place: int, run: Run, from_s: float, to_s: float) -> float:
    """The least integral of a window in a stretch: some best one begins or ends on an edge or a border."""
    edges, sums, rates = grid.edges_at_s, grid.sums_g_s_per_kwh[place], grid.rates_gco2e_per_kwh[place]
    last = len(edges) - 2
    start_s, last_s = from_s, max(from_s, to_s - run.whole_s)
    low, high = _grid_step(edges, start_s), _grid_step(edges, start_s + run.whole_s)
    least = math.inf
    while True:
        end_s = start_s + run.whole_s
        until_end = sums[high] + (end_s - edges[high]) * rates[high]
        until_start = sums[low] + (start_s - edges[low]) * rates[low]
        least = min(least, until_end - until_start)
        if start_s >= last_s:
            return float(least)
        following_s = min(edges[low + 1], edges[high + 1] - run.whole_s, last_s)
        if following_s <= start_s:  # by rounding
            following_s = start_s if high < last else last_s
            high = min(high + 1, last)
        start_s = following_s
        while low < last and edges[low + 1] <= start_s:
            low += 1
        while high < last and edges[high + 1] <= start_s + run.whole_s:
            high += 1


def _step_at(times_s: Floats, instant_s: float) -> int:
    low, high = 0, len(times_s)
    while high - low > 1:
        middle = (low + high) // 2
        if times_s[middle] <= instant_s:
            low = middle
        else:
            high = middle
    return low


def _grid_step(edges_at_s: Floats, instant_s: float) -> int:
    return min(_step_at(edges_at_s, instant_s), len(edges_at_s) - 2)
