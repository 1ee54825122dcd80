"""The exact place of a job in one piece, over the rows of a board and of its forecasts, as a compiler takes it.

The same as `window.py`, `run_choices.py` and `capacity.py` find, number by number: the same candidates, the same order
of every sum and the same ties, so that nobody is placed otherwise. Those are written for arrays and answer any
question; here is the one question that a simulation asks a hundred thousand times. Looks only at regions that a bound
leaves (board_kernels.py). Allocates nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.one_job.window import SUM_ROUNDING_RATIO, TIE_RATIO
from scheduler.planning.open_jobs.board_kernels import NOBODY, SURE_RATIO, GridSums, Ints, Run, Taken, least_everywhere


class GridCurves(NamedTuple):
    """The forecasts on shared edges (n + 1,): the grid's own sums (regions, n + 1), and the PUEs (regions,)."""

    edges_at_s: Floats
    sums_g_s_per_kwh: Floats
    pue: Floats


class Scratch(NamedTuple):
    """Room to work in: bounds (2, regions), and first start, last start and end of stretches (steps + 1, 3).

    And for what is found, (2,) each. A tuple of it would be sent through a pickle on its way out.
    """

    told_g_s_per_kwh: Floats
    stretches_s: Floats
    places: Ints
    start_at_s: Floats
    end_at_s: Floats
    integrals_g_s_per_kwh: Floats

    @classmethod
    def of(cls, board: Taken) -> Self:
        regions, steps = board.times_s.shape
        found = np.empty((3, 2))
        return cls(np.empty((2, regions)), np.empty((steps + 1, 3)), np.empty(2, dtype=np.int64), *found)


class Found(NamedTuple):
    """A run in the region of that index, negative for none, and what each kW of it emits."""

    place: int
    start_at_s: float
    end_at_s: float
    integral_g_s_per_kwh: float


_NOTHING = Found(-1, math.inf, math.inf, math.inf)


def cheapest_places(
    board: Taken,
    grid: GridSums,
    curves: GridCurves,
    run: Run,
    deadline_s: float,
    reserve_ratio: float,
    scratch: Scratch,
) -> None:
    """The cheapest run at the first instant with room in its region, and the cheapest later with head-room.

    Fills the last four of `scratch`.
    """
    told = scratch.told_g_s_per_kwh
    least_everywhere(board, grid, run, reserve_ratio, NOBODY, math.inf, told)
    best_g_s_per_kwh = math.inf
    for place in range(len(board.gpus)):
        best_g_s_per_kwh = min(best_g_s_per_kwh, told[0, place], told[1, place])
    soon, late = _NOTHING, _NOTHING
    for place in range(len(board.gpus)):
        if not _is_surely_above(told[0, place], best_g_s_per_kwh):
            found = _at_once(board, curves, run, deadline_s, place)
            if found.integral_g_s_per_kwh < soon.integral_g_s_per_kwh:
                soon = found
        if not _is_surely_above(told[1, place], best_g_s_per_kwh):
            found = _later(board, curves, run, reserve_ratio, place, scratch.stretches_s)
            if found.place >= 0 and (late.place < 0 or _is_better(found, late)):
                late = found
    _tell(soon, scratch, 0)
    _tell(late, scratch, 1)


def _tell(one: Found, scratch: Scratch, index: int) -> None:
    scratch.places[index] = one.place
    scratch.start_at_s[index], scratch.end_at_s[index] = one.start_at_s, one.end_at_s
    scratch.integrals_g_s_per_kwh[index] = one.integral_g_s_per_kwh


def _is_surely_above(least_g_s_per_kwh: float, price_g_s_per_kwh: float) -> bool:
    margin = SURE_RATIO * (abs(price_g_s_per_kwh) + abs(least_g_s_per_kwh))
    return math.isinf(least_g_s_per_kwh) or least_g_s_per_kwh > price_g_s_per_kwh + margin


def _is_better(one: Found, other: Found) -> bool:
    tie = TIE_RATIO * abs(other.integral_g_s_per_kwh)
    difference = one.integral_g_s_per_kwh - other.integral_g_s_per_kwh
    return difference < -tie or (difference <= tie and one.start_at_s < other.start_at_s)


def _at_once(board: Taken, curves: GridCurves, run: Run, deadline_s: float, place: int) -> Found:
    """As `known_at_once`."""
    most = board.gpus[place] - run.gpus
    start_at_s = _first_start_at_s(board.times_s[place], board.taken[place], most, run.from_s, run.whole_s)
    end_at_s = min(start_at_s + run.whole_s, max(deadline_s, start_at_s))
    is_whole = end_at_s - start_at_s >= run.whole_s - ROUNDING_S
    is_known = run.from_s <= start_at_s + ROUNDING_S and end_at_s <= run.until_s + ROUNDING_S
    if math.isinf(start_at_s) or not is_whole or not is_known:
        return _NOTHING
    edges, sums = curves.edges_at_s, curves.sums_g_s_per_kwh[place]
    integral = curves.pue[place] * (_until(edges, sums, end_at_s) - _until(edges, sums, start_at_s))
    return Found(place, start_at_s, end_at_s, integral)


def _first_start_at_s(times_s: Floats, taken: Ints, most: int, from_s: float, whole_s: float) -> float:
    """As `Occupancy.earliest_start_at_s`."""
    enough_s = whole_s - ROUNDING_S
    first_s, step = math.inf, _last_up_to(times_s, from_s)
    while step < len(times_s) and times_s[step] < math.inf:
        begin_s = max(times_s[step], from_s)
        if taken[step] <= most:
            first_s = min(first_s, begin_s)
        elif first_s < math.inf:
            if begin_s - first_s >= enough_s and begin_s > first_s:
                return first_s
            first_s = math.inf
        step += 1
    return first_s


def _later(board: Taken, curves: GridCurves, run: Run, reserve_ratio: float, place: int, stretches_s: Floats) -> Found:
    """As `cheapest_window` of one curve in the room with head-room."""
    gpus = board.gpus[place]
    if run.gpus > gpus:
        return _NOTHING
    most = max(gpus - run.gpus - int(gpus * reserve_ratio), 0)
    count = _lay_stretches(board.times_s[place], board.taken[place], most, run, stretches_s)
    if count == 0:
        return _NOTHING
    edges, sums = curves.edges_at_s, curves.sums_g_s_per_kwh[place]
    last_sum = sums[min(_last_up_to(edges, run.until_s) + 1, len(edges) - 1)]
    lowest, _, _ = _least(edges, sums, run.whole_s, stretches_s, count, -math.inf)
    noise = TIE_RATIO * abs(lowest) + SUM_ROUNDING_RATIO * abs(last_sum)
    integral, start_at_s, ends_by_s = _least(edges, sums, run.whole_s, stretches_s, count, lowest + noise)
    return Found(place, start_at_s, min(start_at_s + run.whole_s, ends_by_s), curves.pue[place] * integral)


def _lay_stretches(times_s: Floats, taken: Ints, most: int, run: Run, stretches_s: Floats) -> int:
    """How many stretches of known time are free for long enough: their first and last starts, and their ends."""
    count, free_s, begin_s = 0, math.inf, run.from_s
    step = _last_up_to(times_s, run.from_s)
    while True:
        is_over = begin_s >= run.until_s
        if is_over or taken[step] > most:
            end_s = min(begin_s, run.until_s)
            if free_s < end_s and end_s - free_s >= run.whole_s - ROUNDING_S:
                stretches_s[count, 0] = free_s
                stretches_s[count, 1] = max(free_s, end_s - run.whole_s)
                stretches_s[count, 2] = end_s
                count += 1
            free_s = math.inf
        else:
            free_s = min(free_s, begin_s)
        if is_over:
            return count
        step += 1
        begin_s = times_s[step] if step < len(times_s) else math.inf


def _least(
    edges_at_s: Floats,
    sums_g_s_per_kwh: Floats,
    whole_s: float,
    stretches_s: Floats,
    count: int,
    enough_g_s_per_kwh: float,
) -> tuple[float, float, float]:
    """The least integral of all candidates; or, of those that are low enough, that with the earliest start.

    With its start and the end of its stretch. Of two with one start that on a step comes first, then that on a border.
    """
    least_g_s_per_kwh, chosen_s, ends_by_s = math.inf, math.inf, math.inf
    first_s, last_s = stretches_s[0, 0], stretches_s[count - 1, 1]
    for index in range(count):
        from_s, to_s, end_s = stretches_s[index, 0], stretches_s[index, 1], stretches_s[index, 2]
        place = _first_from(edges_at_s, from_s)
        while place < len(edges_at_s) and edges_at_s[place] <= to_s:  # it begins on a step
            integral_g_s_per_kwh = (
                _until(edges_at_s, sums_g_s_per_kwh, edges_at_s[place] + whole_s) - sums_g_s_per_kwh[place]
            )
            if _comes_before(integral_g_s_per_kwh, edges_at_s[place], least_g_s_per_kwh, chosen_s, enough_g_s_per_kwh):
                least_g_s_per_kwh, chosen_s, ends_by_s = integral_g_s_per_kwh, edges_at_s[place], end_s
            place += 1
        for start_s in (from_s, to_s):
            integral_g_s_per_kwh = _until(edges_at_s, sums_g_s_per_kwh, start_s + whole_s) - _until(
                edges_at_s, sums_g_s_per_kwh, start_s
            )
            if _comes_before(integral_g_s_per_kwh, start_s, least_g_s_per_kwh, chosen_s, enough_g_s_per_kwh):
                least_g_s_per_kwh, chosen_s, ends_by_s = integral_g_s_per_kwh, start_s, end_s
        place = max(_first_from(edges_at_s, from_s + whole_s) - 1, _first_from(edges_at_s, first_s + whole_s))
        while place < len(edges_at_s) and edges_at_s[place] < last_s + whole_s:  # it ends on a step
            start_s = max(edges_at_s[place] - whole_s, first_s)  # rounding must not start it early
            if count > 1 and start_s > to_s:
                break
            integral_g_s_per_kwh = sums_g_s_per_kwh[place] - _until(edges_at_s, sums_g_s_per_kwh, start_s)
            if (count == 1 or start_s >= from_s) and _comes_before(
                integral_g_s_per_kwh, start_s, least_g_s_per_kwh, chosen_s, enough_g_s_per_kwh
            ):
                least_g_s_per_kwh, chosen_s, ends_by_s = integral_g_s_per_kwh, start_s, end_s
            place += 1
    return least_g_s_per_kwh, chosen_s, ends_by_s


def _comes_before(
    integral_g_s_per_kwh: float, start_s: float, least_g_s_per_kwh: float, chosen_s: float, enough_g_s_per_kwh: float
) -> bool:
    """Whether it is less, where nothing is enough yet; else whether it is enough and begins earlier."""
    if enough_g_s_per_kwh == -math.inf:
        return integral_g_s_per_kwh < least_g_s_per_kwh
    return integral_g_s_per_kwh <= enough_g_s_per_kwh and start_s < chosen_s


def _until(edges_at_s: Floats, sums_g_s_per_kwh: Floats, instant_s: float) -> float:
    """The integral up to an instant, as `numpy.interp` has it."""
    place = _last_up_to(edges_at_s, instant_s)
    if place >= len(edges_at_s) - 1:
        return float(sums_g_s_per_kwh[-1])
    if instant_s <= edges_at_s[place]:
        return float(sums_g_s_per_kwh[place])
    slope = (sums_g_s_per_kwh[place + 1] - sums_g_s_per_kwh[place]) / (edges_at_s[place + 1] - edges_at_s[place])
    return float(slope * (instant_s - edges_at_s[place]) + sums_g_s_per_kwh[place])


def _last_up_to(edges_at_s: Floats, instant_s: float) -> int:
    """The last edge up to the instant; the first where none is."""
    return max(_first_after(edges_at_s, instant_s) - 1, 0)


def _first_after(edges_at_s: Floats, instant_s: float) -> int:
    low, high = 0, len(edges_at_s)
    while low < high:
        middle = (low + high) // 2
        if edges_at_s[middle] <= instant_s:
            low = middle + 1
        else:
            high = middle
    return low


def _first_from(edges_at_s: Floats, instant_s: float) -> int:
    """The first edge from the instant on."""
    low, high = 0, len(edges_at_s)
    while low < high:
        middle = (low + high) // 2
        if edges_at_s[middle] < instant_s:
            low = middle + 1
        else:
            high = middle
    return low
