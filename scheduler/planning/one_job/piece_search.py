"""The cheapest two or more pieces on a line of slots: exact, by searching only where an optimum can be.

The bound of work_price.py is taken on a looser line, of whole cells of constant cost instead of slots, on which pieces
may be shorter. It leaves out every instant at which no choice below a limit begins or ends a piece; between two borders
of a cell such costs are concave, so a straight line between them is below them. Over the few instants that remain, the
least cost is kept for each amount of work done: once for the job paused, once for it running, where a row is shifted
and offset instead of being extended slot by slot. The limit starts just above the bound and is raised until a choice
is found below it; that choice is the optimum, since none below the limit was left out.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.one_job.work_price import (
    INFINITE,
    Ints,
    PieceLine,
    Span,
    Sweep,
    best_price,
    price_near,
    sweep,
)

# How many places the first limit leaves, to be searched or to be made tight; then so many times more.
_FIRST_PLACES, _FIRST_LOOSE_PLACES, _FACTOR = 60, 150, 3
# A tight line of more instants than these takes longer than a loose one saves.
_MANY_VERTICES = 2500
# What sums of some thousand slots lose, as a share of them.
_ROUNDING_RATIO = 1e-12


class TooWideError(Exception):
    """The search would keep more than it may; `kept` says how many costs."""

    def __init__(self, kept: int) -> None:
        self.kept = kept
        super().__init__(f"{kept} costs")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PieceTask:
    """What to place. `slot_cost` has shape (slots,) and is not below zero; the rest counts slots.

    The cost is the same within each cell of `cell` slots, the first of which ends after `first_cell` of them. A piece
    stays within one of `stretches`, which grow and lie apart. Each pause costs its overheads at the slots' own cost,
    and `pause_cost` besides.
    """

    slot_cost: Floats
    stretches: tuple[Span, ...]
    work: int
    shortest: int
    checkpoint: int
    restore: int
    first_restore: int
    pause_cost: float
    cell: int = 1
    first_cell: int = 1
    sums_cost: Floats = field(init=False)  # what all slots up to each instant cost

    def __post_init__(self) -> None:
        object.__setattr__(self, "sums_cost", np.concatenate(([0.0], np.cumsum(self.slot_cost))))

    @property
    def slots(self) -> int:
        return len(self.slot_cost)

    @property
    def first(self) -> int:
        """Least length of the first piece; `middle` and `last` likewise."""
        return self.first_restore + self.shortest + self.checkpoint

    @property
    def middle(self) -> int:
        return self.restore + self.shortest + self.checkpoint

    @property
    def last(self) -> int:
        return self.restore + self.shortest

    @property
    def overhead(self) -> int:
        return self.checkpoint + self.restore

    @property
    def early(self) -> int:
        """Slots of the first cell that lie before the line."""
        return self.cell - self.first_cell

    @property
    def suits_cells(self) -> bool:
        """Whether a line in cells tells enough: no pause for nothing."""
        return self.overhead > 0 or self.pause_cost > 0

    def line(self) -> PieceLine:
        """The one on which a bound comes fastest."""
        if self.cell == 1:
            return self.among(np.arange(self.slots + 1), is_all=True)
        vertices = self.at_vertices()
        return self.in_cells() if self.suits_cells and len(vertices.instants) > _MANY_VERTICES else vertices

    def in_cells(self) -> PieceLine:
        """A looser line: stretches reach to the borders of their cells, pieces may touch and be shorter by part of one.

        A pause that is shorter than a cell lies between one that is a cell long and none.
        """
        cell, early = self.cell, self.early
        borders = np.arange(-(-(self.slots + early) // cell) + 1) * cell - early
        rates_cost = self.slot_cost[np.clip(borders[:-1], 0, None)]
        stretches: list[Span] = []
        for since, to in self.stretches:
            looser = (since + early) // cell, -(-(to + early) // cell)
            if stretches and looser[0] <= stretches[-1][1]:
                looser = stretches.pop()[0], looser[1]
            stretches.append(looser)
        return PieceLine(
            instants=borders,
            sums_cost=np.concatenate(([0.0], np.cumsum(rates_cost * cell))),
            stretches=tuple(stretches),
            first=self.first // cell * cell,
            middle=self.middle // cell * cell,
            last=self.last // cell * cell,
            held_steps=self.work + self.first_restore,
            overhead_steps=self.overhead,
            pause_cost=self.pause_cost,
            cell=cell,
            may_touch=cell > 1,
        )

    def at_vertices(self) -> PieceLine:
        """The tight line: the borders of cells and stretches, and what lies a shortest piece off them.

        At any price some cheapest choice has all its borders there, and the others would only be between two of them.
        """
        edges = np.arange(self.first_cell - self.cell, self.slots + self.cell, self.cell)
        edges = np.concatenate((edges, np.array(self.stretches).ravel()))
        lengths = {0, self.first, self.middle, self.last}
        return self.among(np.concatenate([edges + way * length for length in lengths for way in (-1, 1)]), is_all=False)

    def among(self, instants: Ints, *, is_all: bool) -> PieceLine:
        """The tight line with borders at some instants only."""
        inside = np.unique(instants[(instants >= 0) & (instants <= self.slots)])
        spans = [inside.searchsorted((since, to + 1)).tolist() for since, to in self.stretches]
        return PieceLine(
            instants=inside,
            sums_cost=self.sums_cost[inside],
            stretches=tuple((since, upto - 1) for since, upto in spans if upto - 1 > since),
            first=self.first,
            middle=self.middle,
            last=self.last,
            held_steps=self.work + self.first_restore,
            overhead_steps=self.overhead,
            pause_cost=self.pause_cost,
            cell=self.cell,
            may_touch=not is_all,  # what ends between two instants is less than half of what ends at either
            is_all=is_all,
        )

    def is_kept_by(self, pieces: list[Span]) -> bool:
        """Whether the pieces do exactly the work and break no rule."""
        last = len(pieces) - 1
        least = [self.first, *[self.middle] * (last - 1), self.last]
        return (
            sum(end - start for start, end in pieces) == self.work + self.first_restore + last * self.overhead
            and all(end - start >= length for (start, end), length in zip(pieces, least, strict=True))
            and all(any(since <= start and end <= to for since, to in self.stretches) for start, end in pieces)
        )


def cheapest_spans(task: PieceTask, most_cost: float, max_kept: int) -> list[Span] | None:
    """The cheapest pieces, at least two, in order of time; None when none cost less than `most_cost`.

    Raises TooWideError.
    """
    if task.work < 2 * task.shortest or not task.stretches:
        return None
    most_cost = min(most_cost, _dearest_cost(task))
    priced = best_price(task.line(), most_cost)
    if priced is None:
        return None
    pieces = priced.pieces()
    if task.is_kept_by(pieces):
        return pieces
    return _raised(task, priced, most_cost, max_kept)


def _dearest_cost(task: PieceTask) -> float:
    """More than any choice costs."""
    pauses = task.work // task.shortest
    slots_cost = sum(float(np.abs(task.slot_cost[since:to]).sum()) for since, to in task.stretches)
    return 1.0 + 2.0 * (slots_cost + pauses * task.pause_cost)


def _raised(task: PieceTask, onward: Sweep, most_cost: float, max_kept: int) -> list[Span] | None:
    """The search below one limit after another, or of what a tight line leaves there."""
    through = _Through.of(task, onward, sweep(onward.line.mirrored(), onward.price_cost))
    offset_cost, is_tight = onward.offset_cost, onward.line.is_all
    slip_cost = _ROUNDING_RATIO * (float(np.abs(onward.earned_cost).max()) + abs(offset_cost))
    known: list[Span] | None = None
    for rise in itertools.count():
        most_places = (_FIRST_PLACES if is_tight or rise == 0 else _FIRST_LOOSE_PLACES) * _FACTOR**rise
        limit_cost = min(most_cost, through.reach_cost(most_places) + offset_cost)
        places = through.places(limit_cost + slip_cost - offset_cost)
        if is_tight or rise == 0:
            search = _Search(task, onward.price_cost, places, max_kept)
            # Dearer than the limit, it is a choice all the same: nothing above it is of interest.
            if (cost := search.best_cost + offset_cost) <= most_cost + slip_cost:
                most_cost, known = min(cost, most_cost), search.pieces()
        elif found := _tightened(task, places, onward, limit_cost, max_kept):
            return found
        if limit_cost >= most_cost and (is_tight or rise > 0):
            return known
    raise AssertionError("the limit reaches every place")


def _tightened(
    task: PieceTask, places: _Places, loose: Sweep, limit_cost: float, max_kept: int
) -> list[Span] | None:
    """The search below a limit, on the tight line of the places that are left below it."""
    left = places.first_starts | places.starts | places.ends | places.last_ends
    line = task.among(np.fromiter(left, dtype=np.int64, count=len(left)), is_all=True)
    priced = price_near(line, loose.price_cost, limit_cost)
    return None if priced is None else _raised(task, priced, limit_cost, max_kept)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Through:
    """For each instant no more than the least cost of all choices that begin or end a piece there."""

    first_start_cost: Floats
    start_cost: Floats
    end_cost: Floats
    last_end_cost: Floats

    @classmethod
    def of(cls, task: PieceTask, onward: Sweep, back: Sweep) -> _Through:
        """From the sweeps over a line; `back` is that of the mirrored one."""
        line, earned, fee_cost = onward.line, onward.earned_cost, onward.fee_cost
        to_come = back.paused_before_cost()[::-1]  # of the pieces that begin after an instant
        end_cost = onward.running_cost + earned + fee_cost + to_come
        begun = back.running_cost[::-1] + back.earned_cost[::-1]  # of the piece that begins there and all that follow
        start_cost = onward.paused_before_cost() + fee_cost + begun
        first_start_cost = line.least_ahead(earned + fee_cost + to_come, line.first) - earned
        last_start_cost = onward.paused_before_cost() + fee_cost - earned
        last_end_cost = back.line.least_ahead(last_start_cost[::-1], line.last)[::-1] + earned
        return cls(
            first_start_cost=_between(first_start_cost, line, task),
            start_cost=_between(start_cost, line, task),
            end_cost=_between(end_cost, line, task),
            last_end_cost=_between(last_end_cost, line, task),
        )

    def reach_cost(self, places: int) -> float:
        """The limit below which so many are left."""
        costs = np.concatenate((self.first_start_cost, self.start_cost, self.end_cost))
        costs = costs[np.isfinite(costs)]
        return float(np.partition(costs, places)[places]) if places < len(costs) else INFINITE

    def places(self, limit_cost: float) -> _Places:
        return _Places(
            first_starts=_at_most(self.first_start_cost, limit_cost),
            starts=_at_most(self.start_cost, limit_cost),
            ends=_at_most(self.end_cost, limit_cost),
            last_ends=_at_most(self.last_end_cost, limit_cost),
        )


def _between(cost: Floats, line: PieceLine, task: PieceTask) -> Floats:
    """Straight lines between the instants of a line; infinite where an instant is: nothing is possible next to it."""
    if len(line.instants) == task.slots + 1:
        return cost
    if line.is_all:
        alone = np.full(task.slots + 1, INFINITE)
        alone[line.instants] = cost
        return alone
    slots = np.arange(task.slots + 1)
    following = np.clip(line.instants.searchsorted(slots), 1, len(cost) - 1)
    before = following - 1
    ratio = (slots - line.instants[before]) / (line.instants[following] - line.instants[before])
    with np.errstate(invalid="ignore"):  # no share of what is infinite
        between: Floats = cost[before] * (1 - ratio) + cost[following] * ratio
    between[~np.isfinite(between)] = INFINITE
    inside = line.instants[(line.instants >= 0) & (line.instants <= task.slots)]
    between[inside] = cost[line.instants.searchsorted(inside)]
    return between


def _at_most(array: Floats, cost: float) -> frozenset[int]:
    return frozenset(np.flatnonzero(array <= cost).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """The instants at which pieces may begin and end below a limit."""

    first_starts: frozenset[int]
    starts: frozenset[int]
    ends: frozenset[int]
    last_ends: frozenset[int]

    def instants(self, task: PieceTask) -> list[int]:
        """All at which something changes: a piece may begin, has run long enough to end, or ends."""
        ripe = {start + task.first for start in self.first_starts} | {start + task.middle for start in self.starts}
        return sorted(self.starts | self.ends | ripe)


@dataclass(slots=True)
class _Search:
    """Least costs at one price for each amount of work done, and what tells how the best came about."""

    task: PieceTask
    price_cost: float
    places: _Places
    max_kept: int
    sums_cost: Floats = field(init=False)  # the running sum of cost less price
    earned_cost: list[float] = field(init=False)  # the same, for single values
    fee_cost: float = field(init=False)
    paused_cost: Floats = field(init=False)  # by work done, now
    running_cost: Floats = field(init=False)  # by work done less the instant plus all slots, less `earned_cost`
    before_cost: dict[int, Floats] = field(init=False, default_factory=dict)  # by start: the costs before it
    ended_at: list[tuple[int, Floats]] = field(init=False, default_factory=list)  # end, and the costs after it
    best_cost: float = field(init=False, default=INFINITE)
    best: tuple[int, int] = field(init=False, default=(0, 0))  # start of the last piece, work done before

    def __post_init__(self) -> None:
        wide = self.task.work - self.task.shortest + 1
        if (kept := wide * len(self.places.ends)) > self.max_kept:
            raise TooWideError(kept)
        self.sums_cost = self.task.sums_cost - self.price_cost * np.arange(self.task.slots + 1)
        self.earned_cost = self.sums_cost.tolist()
        self.fee_cost = self.task.pause_cost + self.price_cost * self.task.overhead
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
            np.minimum(now, before[: len(now)] + (self.fee_cost - self.earned_cost[start]), out=now)

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
        cost = before + self.sums_cost[first_end : last_end + 1]
        end = first_end + int(cost.argmin())  # among equals the earliest
        total_cost = float(cost[end - first_end]) + self.fee_cost - self.earned_cost[at]
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
                sum_cost = paused[before] + (self.fee_cost - earned[start]) + earned[end]
                if sum_cost == cost:
                    return start, before
        raise AssertionError("every cost kept is one of these sums")
