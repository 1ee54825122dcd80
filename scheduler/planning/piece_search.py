"""The cheapest two or more pieces on a line of slots: exact, by searching only where an optimum can be.

The bound of work_price.py leaves out every slot at which no choice below a limit begins or ends a piece. Over the few
that remain, the least cost is kept for each amount of work done: once for the job paused, once for it running, where a
row is shifted and offset instead of being extended slot by slot. The limit starts just above the bound and is raised
until a choice is found below it; that choice is the optimum, since none below the limit was left out.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.work_price import INFINITE, PieceTask, Sweep, best_price, least_ahead, sweep, work_of

# The limit above the bound: first so many slots at the price, then so many times more.
_FIRST_LIMIT_SLOTS, _LIMIT_FACTOR = 0.05, 6.0
# What sums of some thousand slots lose, as a share of them.
_ROUNDING_RATIO = 1e-12

Span = tuple[int, int]  # first slot, slot after the last


class TooWideError(Exception):
    """The search would keep more than it may; `cells` says how much."""

    def __init__(self, cells: int) -> None:
        self.cells = cells
        super().__init__(f"{cells} cells")


def cheapest_spans(task: PieceTask, most_cost: float, max_cells: int) -> list[Span] | None:
    """The cheapest pieces, at least two, in order of time; None when none cost less than `most_cost`.

    Raises TooWideError.
    """
    if task.work < 2 * task.shortest or not task.stretches:
        return None
    most_cost = min(most_cost, _dearest_cost(task))
    priced = best_price(task, most_cost)
    if priced is None:
        return None
    if work_of(task, pieces := priced.pieces()) == task.work:
        return pieces
    return _raised(task, priced, most_cost, max_cells)


def _dearest_cost(task: PieceTask) -> float:
    """More than any choice costs."""
    pauses = task.work // task.shortest
    slots_cost = sum(float(np.abs(task.slot_cost[since:to]).sum()) for since, to in task.stretches)
    return 1.0 + 2.0 * (slots_cost + pauses * task.pause_cost)


def _raised(task: PieceTask, onward: Sweep, most_cost: float, max_cells: int) -> list[Span] | None:
    """The search below one limit after another."""
    back = sweep(task.mirrored(), onward.price_cost)
    bound_cost, offset_cost = onward.least_cost(), onward.offset_cost
    above_cost = _FIRST_LIMIT_SLOTS * abs(onward.price_cost)
    slip_cost = _ROUNDING_RATIO * (float(np.abs(onward.earned_cost).max()) + abs(offset_cost))
    while True:
        limit_cost = min(most_cost, bound_cost + above_cost) + slip_cost
        found = _Search(task, onward, _Places.within(onward, back, limit_cost - offset_cost), max_cells)
        if found.best_cost + offset_cost <= limit_cost:
            return found.pieces()
        if limit_cost >= most_cost:
            return None
        # Dearer than the limit, it is a choice all the same: nothing above it is of interest.
        most_cost = min(most_cost, found.best_cost + offset_cost)
        above_cost *= _LIMIT_FACTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """The instants at which pieces may begin and end below a limit."""

    first_starts: frozenset[int]
    starts: frozenset[int]
    ends: frozenset[int]

    @classmethod
    def within(cls, onward: Sweep, back: Sweep, limit_cost: float) -> _Places:
        """All but those through which no choice costs less; `back` is the sweep of the mirrored task."""
        task, earned, fee_cost = onward.task, onward.earned_cost, onward.fee_cost
        to_come = back.paused_before_cost()[::-1]  # of the pieces that begin after an instant
        ends = onward.running_cost + earned + fee_cost + to_come
        begun = back.running_cost[::-1] + back.earned_cost[::-1]  # of the piece that begins there and all that follow
        starts = onward.paused_before_cost() + fee_cost + begun
        first_starts = least_ahead(earned + fee_cost + to_come, task.stretches, task.first) - earned
        return cls(
            first_starts=_at_most(first_starts, limit_cost),
            starts=_at_most(starts, limit_cost),
            ends=_at_most(ends, limit_cost),
        )

    def instants(self, task: PieceTask) -> list[int]:
        """All at which something changes: a piece may begin, has run long enough to end, or ends."""
        ripe = {start + task.first for start in self.first_starts} | {start + task.middle for start in self.starts}
        return sorted(self.starts | self.ends | ripe)


def _at_most(array: Floats, cost: float) -> frozenset[int]:
    return frozenset(np.flatnonzero(array <= cost).tolist())


@dataclass(slots=True)
class _Search:
    """Least costs at one price for each amount of work done, and what tells how the best came about."""

    task: PieceTask
    onward: Sweep
    places: _Places
    max_cells: int
    earned_cost: list[float] = field(init=False)
    paused_cost: Floats = field(init=False)  # by work done, now
    running_cost: Floats = field(init=False)  # by work done less the instant plus all slots, less `earned_cost`
    before_cost: dict[int, Floats] = field(init=False, default_factory=dict)  # by start: the costs before it
    ended_at: list[tuple[int, Floats]] = field(init=False, default_factory=list)  # end, and the costs after it
    best_cost: float = field(init=False, default=INFINITE)
    best: tuple[int, int] = field(init=False, default=(0, 0))  # start of the last piece, work done before

    def __post_init__(self) -> None:
        wide = self.task.work - self.task.shortest + 1
        if (cells := wide * (len(self.places.starts) + len(self.places.ends))) > self.max_cells:
            raise TooWideError(cells)
        self.earned_cost = self.onward.earned_cost.tolist()
        self.paused_cost = np.full(wide, INFINITE)
        self.running_cost = np.full(wide + self.task.slots, INFINITE)
        instants = self.places.instants(self.task)
        for since, to in self.task.stretches:
            self.running_cost.fill(INFINITE)
            for at in instants[bisect_left(instants, since) : bisect_right(instants, to)]:
                self._ripen(at, since)
                if at in self.places.starts:
                    self._begin(at, to)
                if at in self.places.ends:
                    self._end(at)

    def _ripen(self, at: int, since: int) -> None:
        """Pieces that have now run long enough to end."""
        task = self.task
        done = task.shortest - at + task.slots
        if (start := at - task.first) >= since and start in self.places.first_starts:
            self.running_cost[done] = min(self.running_cost[done], -self.earned_cost[start])
        if (start := at - task.middle) >= since and start in self.places.starts:
            before = self.before_cost[start]
            now = self.running_cost[done : done + len(before) - task.shortest]
            np.minimum(now, before[: len(now)] + (self.onward.fee_cost - self.earned_cost[start]), out=now)

    def _begin(self, at: int, to: int) -> None:
        """A further piece; as the last one it runs until all the work is done."""
        task = self.task
        self.before_cost[at] = self.paused_cost
        wide = len(self.paused_cost)
        most_end = at + task.restore + task.work  # of a last piece with no work before it
        first_end, last_end = most_end - wide + 1, min(to, most_end)
        if last_end < first_end:
            return
        before = self.paused_cost[most_end - last_end :][::-1]
        cost = before + self.onward.earned_cost[first_end : last_end + 1]
        end = first_end + int(cost.argmin())  # among equals the earliest
        total_cost = float(cost[end - first_end]) + self.onward.fee_cost - self.earned_cost[at]
        if total_cost < self.best_cost:
            self.best_cost, self.best = total_cost, (at, most_end - end)

    def _end(self, at: int) -> None:
        now = self.running_cost[self.task.slots - at :][: len(self.paused_cost)] + self.earned_cost[at]
        self.paused_cost = np.minimum(self.paused_cost, now)
        self.ended_at.append((at, self.paused_cost))

    def pieces(self) -> list[Span]:
        """The best choice, walked back by which sums its costs are equal to."""
        start, done = self.best
        found = [(start, start + self.task.restore + self.task.work - done)]
        while True:
            cost = self.before_cost[start][done]
            end = next(at for at, after in self.ended_at if after[done] == cost)
            start, before = self._begun(end, done, cost)
            found.insert(0, (start, end))
            if before == 0:
                return found
            done = before

    def _begun(self, end: int, done: int, cost: float) -> tuple[int, int]:
        """Where the piece that ends there with so much done began, and the work done before it."""
        task, earned = self.task, self.earned_cost
        since = max(since for since, _ in task.stretches if since <= end)
        start = end - done - task.first_restore - task.checkpoint
        if start >= since and start in self.places.first_starts and -earned[start] + earned[end] == cost:
            return start, 0
        for start, paused in self.before_cost.items():
            before = done - (end - start - task.overhead)
            if since <= start <= end - task.middle and before > 0:
                sum_cost = paused[before] + (self.onward.fee_cost - earned[start]) + earned[end]
                if sum_cost == cost:
                    return start, before
        raise AssertionError("every cost kept is one of these sums")
