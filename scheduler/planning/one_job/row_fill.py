"""The rows of a search in plain Python: the same as `piece_kernels.fill_rows`, to the last bit, a row at a time.

Knows steps, rows and costs; where the steps come from, piece_rows.py knows.
"""

from __future__ import annotations

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.one_job.piece_kernels import (
    END,
    FINISH,
    RIPEN_FIRST,
    RIPEN_MIDDLE,
    SAVE,
    Ints,
    Rows,
    Rule,
    Steps,
)
from scheduler.planning.one_job.work_price import INFINITE


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
    """As the kernel of that name, a row at a time.

    `paused_cost` is by work done, now; `running_cost` by region and work done less the instant plus all slots, less
    what was earned.
    """
    best_cost, best_row, best_done = INFINITE, -1, 0
    shift, current = rule.slots + rule.shortest, [-1] * len(running_cost)
    scratch = np.empty(len(paused_cost))
    start_cost, end_cost, saved_cost = starts.cost, ends.cost, saved.cost
    least, low, upto = _bounds(steps, saved, starts, ends)
    for kind, region, at, stretch, reach, row, earned, first, since, to in zip(
        *(one.tolist() for one in (*steps, least, low, upto)), strict=True
    ):
        running = running_cost[region]
        if current[region] != stretch:
            current[region] = stretch
            running.fill(INFINITE)
        if kind == RIPEN_MIDDLE:
            place = shift - at + first
            now, begun = running[place : place + to - since], scratch[: to - since]
            np.add(start_cost[since:to], rule.fee_cost - earned, out=begun)
            np.minimum(now, begun, out=now)
        elif kind == END:
            ended, place = end_cost[since:to], rule.slots - at + first
            np.add(running[place : place + to - since], earned, out=ended)
            paused = paused_cost[first : first + to - since]
            np.minimum(paused, ended, out=paused)
        elif kind == SAVE:
            saved_cost[since:to] = paused_cost[first : first + to - since]
        elif kind == RIPEN_FIRST:
            running[shift - at] = min(running[shift - at], -earned)
        else:
            most_end = at + rule.restore + rule.work - first  # of a last piece with the least done before it
            first_end, last_end = most_end - (to - since) + 1, min(reach, most_end)
            if last_end < first_end:
                continue
            before = start_cost[since + most_end - last_end : to]
            finished = before[::-1] + sums_cost[region, first_end : last_end + 1]
            end = int(finished.argmin())  # among equals the earliest
            total_cost = float(finished[end]) + rule.fee_cost - earned
            if total_cost < best_cost:
                best_cost, best_row, best_done = total_cost, row, first + most_end - first_end - end
    return best_cost, best_row, best_done


def _bounds(steps: Steps, saved: Rows, starts: Rows, ends: Rows) -> tuple[Ints, Ints, Ints]:
    """The least work done in the row of each step, and where its costs begin and end."""
    least, low, upto = np.zeros((3, len(steps.kind)), dtype=np.int64)
    for kind, rows in ((RIPEN_MIDDLE, starts), (END, ends), (SAVE, saved), (FINISH, starts)):
        of_kind = (steps.kind == kind).nonzero()[0]
        row = steps.row[of_kind]
        least[of_kind], low[of_kind] = rows.least[row], rows.offset[row]
        upto[of_kind] = rows.offset[row] + rows.wide[row]
    return least, low, upto
