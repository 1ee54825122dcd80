"""The loops that a search for pieces spends its time in, over arrays, as a compiler takes them.

Twins of `work_price.sweep`, of `Sweep.pieces` and of `piece_rows.RowSearch`, to the last bit: the same sums in the same
order. Plain Python has those instead, in which whole rows are one call; here each number is a step. Decides nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats

Ints = NDArray[np.int64]

RIPEN_FIRST, RIPEN_MIDDLE, END, SAVE, FINISH = 0, 1, 2, 3, 4


class Steps(NamedTuple):
    """What happens in turn to the rows of a search, shape (steps,).

    `row` counts the starts or the ends whose row it is, or what is saved; `reach` is the end of the stretch,
    `earned_cost` the sums where the piece begins or ends.
    """

    kind: Ints
    region: Ints
    at: Ints
    stretch: Ints
    reach: Ints
    row: Ints
    earned_cost: Floats


class Rows(NamedTuple):
    """Rows of costs by work done: so many from `least` on, at `offset` of `cost`. Rows may share their costs."""

    least: Ints
    wide: Ints
    offset: Ints
    cost: Floats


class Rule(NamedTuple):
    """What the pieces must be, in slots, and what a pause is charged."""

    work: int
    shortest: int
    restore: int
    slots: int
    fee_cost: float


def sweep(
    earned_cost: Floats,
    stretches: Ints,
    first_ripe: Ints,
    middle_ripe: Ints,
    fee_cost: float,
    touching: int,
    paused_cost: Floats,
    running_cost: Floats,
) -> None:
    """Fills `paused_cost` (n + 1,), one ahead, and `running_cost` (n,); stretches have shape (stretches, 2)."""
    paused_cost[0] = math.inf
    least = math.inf
    done = 0
    for number in range(len(stretches)):
        since, to = stretches[number, 0], stretches[number, 1]
        while done < since:
            running_cost[done] = math.inf
            done += 1
            paused_cost[done] = least
        lowest, best, begun, position = math.inf, math.inf, since, since
        for here in range(since, to + 1):
            while begun < first_ripe[here]:
                if -earned_cost[begun] < lowest:
                    lowest = -earned_cost[begun]
                begun += 1
            while position < middle_ripe[here]:
                cost = paused_cost[position + touching] - earned_cost[position] + fee_cost
                if cost < best:
                    best = cost
                position += 1
            least_running = lowest if lowest < best else best
            running_cost[here] = least_running
            cost = least_running + earned_cost[here]
            if cost < least:
                least = cost
            paused_cost[here + 1] = least
        done = to + 1
    while done < len(running_cost):
        running_cost[done] = math.inf
        done += 1
        paused_cost[done] = least


def walk_back(
    earned_cost: Floats,
    paused_cost: Floats,
    running_cost: Floats,
    finished_cost: Floats,
    stretches: Ints,
    first_ripe: Ints,
    middle_ripe: Ints,
    last_ripe: Ints,
    fee_cost: float,
    touching: int,
    found: Ints,
) -> int:
    """Fills `found` (most pieces, 2) with the positions of the cheapest pieces, the last one first; how many."""
    start = 0
    for here in range(len(finished_cost)):
        if finished_cost[here] < finished_cost[start]:
            start = here
    number = 0
    while not stretches[number, 0] <= start <= stretches[number, 1]:
        number += 1
    end = last_ripe[start]
    for here in range(end, stretches[number, 1] + 1):
        if earned_cost[here] < earned_cost[end]:
            end = here
    found[0, 0], found[0, 1] = start, end
    count = 1
    while True:
        end = start - 1 + touching
        while end > 0 and paused_cost[end - 1] <= paused_cost[end]:
            end -= 1
        number = 0
        while not stretches[number, 0] <= end <= stretches[number, 1]:
            number += 1
        since = stretches[number, 0]
        ripe = end
        while ripe > since and running_cost[ripe - 1] <= running_cost[ripe]:
            ripe -= 1
        start = since
        while start < first_ripe[ripe] and -earned_cost[start] != running_cost[ripe]:
            start += 1
        is_first = start < first_ripe[ripe]
        if not is_first:
            start = since
            while paused_cost[start - 1 + touching] - earned_cost[start] + fee_cost != running_cost[ripe]:
                start += 1
        found[count, 0], found[count, 1] = start, end
        count += 1
        if is_first:
            return count


def fill_rows(
    rule: Rule,
    steps: Steps,
    saved: Rows,
    starts: Rows,
    ends: Rows,
    sums_cost: Floats,
    paused_cost: Floats,
    running_cost: Floats,
) -> tuple[float, int, int]:
    """Carries out the steps: the least cost of all, the row of its last start, and the work done before that."""
    best_cost, best_row, best_done = math.inf, -1, 0
    current = np.full(len(running_cost), -1, dtype=np.int64)
    for step in range(len(steps.kind)):
        kind, region, at, earned = steps.kind[step], steps.region[step], steps.at[step], steps.earned_cost[step]
        row = steps.row[step]
        running = running_cost[region]
        if current[region] != steps.stretch[step]:
            current[region] = steps.stretch[step]
            running[:] = math.inf
        if kind == RIPEN_FIRST:
            place = rule.shortest - at + rule.slots
            if -earned < running[place]:
                running[place] = -earned
        elif kind == RIPEN_MIDDLE:
            before = starts.cost[starts.offset[row] : starts.offset[row] + starts.wide[row]]
            now = running[rule.shortest - at + rule.slots + starts.least[row] :]
            fee_cost = rule.fee_cost - earned
            for index in range(len(before)):
                cost = before[index] + fee_cost
                now[index] = cost if cost < now[index] else now[index]
        elif kind == END:
            ended = ends.cost[ends.offset[row] : ends.offset[row] + ends.wide[row]]
            paused = paused_cost[ends.least[row] :]
            now = running[rule.slots - at + ends.least[row] :]
            for index in range(len(ended)):
                cost = now[index] + earned
                ended[index] = cost
                paused[index] = cost if cost < paused[index] else paused[index]
        elif kind == SAVE:
            before = saved.cost[saved.offset[row] : saved.offset[row] + saved.wide[row]]
            paused = paused_cost[saved.least[row] :]
            for index in range(len(before)):
                before[index] = paused[index]
        else:
            before = starts.cost[starts.offset[row] : starts.offset[row] + starts.wide[row]]
            most_end = at + rule.restore + rule.work - starts.least[row]
            first_end, last_end = most_end - len(before) + 1, min(steps.reach[step], most_end)
            if last_end < first_end:
                continue
            sums = sums_cost[region, first_end : last_end + 1]
            backward = before[::-1]
            lowest = math.inf
            for index in range(len(sums)):
                cost = backward[index] + sums[index]
                lowest = cost if cost < lowest else lowest
            done = starts.least[row] + len(before) - 1
            for index in range(len(sums)):
                if backward[index] + sums[index] == lowest:
                    done -= index
                    break
            total_cost = lowest + rule.fee_cost - earned
            if total_cost < best_cost:
                best_cost, best_row, best_done = total_cost, row, done
    return best_cost, best_row, best_done
