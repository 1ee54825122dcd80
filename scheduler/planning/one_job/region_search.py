"""The cheapest two or more pieces in several regions: exact, by searching only where an optimum can be.

As piece_search.py, on the slots themselves, with the bound of region_price.py. Also for one region whose costs may be
below zero, where a pause can pay for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.one_job.piece_loops import Loops
from scheduler.planning.one_job.piece_rows import PieceRule, Places, RowSearch
from scheduler.planning.one_job.price_climb import climb
from scheduler.planning.one_job.region_price import (
    Bools,
    RegionLine,
    RegionSpan,
    RegionSweep,
    least_ahead,
    spans_within,
)
from scheduler.planning.one_job.work_price import INFINITE, PieceLine, best_price

# How many places the first limit leaves to be searched; then so many times more.
_FIRST_PLACES, _FACTOR = 100, 3
# What sums of some thousand slots lose, as a share of them.
_ROUNDING_RATIO = 1e-12
_WIDTH_RATIO = 1 / 32


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RegionTask:
    """What to place. `slot_cost` and `is_open` have shape (regions, slots)."""

    slot_cost: Floats
    is_open: Bools
    rule: PieceRule
    loops: Loops | None = None

    def line(self) -> RegionLine:
        return RegionLine(
            slot_cost=self.slot_cost,
            is_open=self.is_open,
            first=self.rule.first,
            middle=self.rule.middle,
            last=self.rule.last,
            held_steps=self.rule.held,
            overhead_steps=self.rule.overhead,
            pause_cost=self.rule.pause_cost,
        )


def cheapest_region_spans(task: RegionTask, most_cost: float, max_kept: int) -> list[RegionSpan] | None:
    """The cheapest pieces, at least two, in order of time; None when none cost less than `most_cost`.

    Raises TooWideError.
    """
    if task.rule.work < 2 * task.rule.shortest or not task.is_open.any():
        return None
    most_cost = min(most_cost, _dearest_cost(task))
    priced = best_region_price(task.line(), most_cost)
    if priced is None:
        return None
    pieces = priced.pieces()
    if priced.line.lacking_steps(pieces) == 0:
        return pieces
    return _raised(task, priced, most_cost, max_kept)


def _dearest_cost(task: RegionTask) -> float:
    """More than any choice costs."""
    pauses = task.rule.work // task.rule.shortest
    slots_cost = float(np.where(task.is_open, np.abs(task.slot_cost), 0.0).sum())
    return 1.0 + 2.0 * (slots_cost + pauses * task.rule.pause_cost)


def best_region_price(line: RegionLine, most_cost: float) -> RegionSweep | None:
    """A sweep at a price whose bound is about the highest; None when the bound shows that nothing costs less."""
    open_cost = np.where(line.is_open, line.slot_cost, INFINITE).min(axis=0)
    rates = np.sort(open_cost[np.isfinite(open_cost)])
    rank = min(len(rates) - 1, round(line.held_steps))
    price_cost = float(rates[rank])
    width_cost = _WIDTH_RATIO * float(rates[-1] - rates[0]) or 1.0
    guess = best_price(_freely(line, open_cost), most_cost)
    if guess is not None:
        price_cost, width_cost = guess.price_cost, width_cost / 4
    return climb(line, price_cost, width_cost, most_cost)


def _freely(line: RegionLine, open_cost: Floats) -> PieceLine:
    """As if a job might change region while it runs: good for a guess at the price."""
    (stretches,) = spans_within(np.isfinite(open_cost)[None])
    return PieceLine(
        instants=np.arange(line.slots + 1),
        sums_cost=np.concatenate(([0.0], np.cumsum(np.where(np.isfinite(open_cost), open_cost, 0.0)))),
        stretches=stretches,
        first=line.first,
        middle=line.middle,
        last=line.last,
        held_steps=line.held_steps,
        overhead_steps=line.overhead_steps,
        pause_cost=line.pause_cost,
        may_touch=True,
    )


def _raised(task: RegionTask, onward: RegionSweep, most_cost: float, max_kept: int) -> list[RegionSpan] | None:
    """The search below one limit after another."""
    through = _Through.of(onward, onward.line.mirrored().swept(onward.price_cost))
    offset_cost = onward.offset_cost
    slip_cost = _ROUNDING_RATIO * (float(np.abs(onward.earned_cost).max()) + abs(offset_cost))
    sums_cost = onward.line.sums_cost - onward.price_cost * np.arange(onward.line.slots + 1)
    stretches = spans_within(task.is_open)
    known: RowSearch | None = None
    most_places = _FIRST_PLACES
    while True:
        limit_cost = min(most_cost, through.reach_cost(most_places) + offset_cost)
        places = through.places(limit_cost + slip_cost - offset_cost)
        search = RowSearch(task.rule, stretches, onward.price_cost, sums_cost, places, max_kept, task.loops)
        # Dearer than the limit, it is a choice all the same: nothing above it is of interest.
        if (cost := search.best_cost + offset_cost) <= most_cost + slip_cost:
            most_cost, known = min(cost, most_cost), search
        if limit_cost >= most_cost:
            return None if known is None else known.pieces()
        most_places *= _FACTOR


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Through:
    """For each region and instant the least cost of all choices that begin or end a piece there."""

    first_start_cost: Floats
    start_cost: Floats
    last_start_cost: Floats
    end_cost: Floats
    costs: Floats = field(init=False)  # of the first, the other starts and the ends

    def __post_init__(self) -> None:
        costs = np.concatenate([one.ravel() for one in (self.first_start_cost, self.start_cost, self.end_cost)])
        object.__setattr__(self, "costs", costs[np.isfinite(costs)])

    @classmethod
    def of(cls, onward: RegionSweep, back: RegionSweep) -> _Through:
        to_come = back.paused_cost[::-1] + back.fee_cost
        begun = back.ended_cost()[:, ::-1] + back.fee_cost
        earned = onward.earned_cost
        first_start_cost = least_ahead(earned + to_come, onward.line.first) - earned
        return cls(
            first_start_cost=np.where(onward.line.is_shut, INFINITE, first_start_cost),
            start_cost=np.where(onward.line.is_shut, INFINITE, onward.paused_cost + begun),
            last_start_cost=onward.finished_cost,
            end_cost=onward.ended_cost() + to_come,
        )

    def reach_cost(self, places: int) -> float:
        """The limit below which so many are left."""
        return float(np.partition(self.costs, places)[places]) if places < len(self.costs) else INFINITE

    def places(self, limit_cost: float) -> Places:
        costs = (self.first_start_cost, self.start_cost, self.last_start_cost, self.end_cost)
        # Transposed, the flat index of an instant and a region is its key.
        first_starts, starts, last_starts, ends = (np.flatnonzero(limit_cost >= cost.T) for cost in costs)
        return Places(first_starts=first_starts, starts=starts, last_starts=last_starts, ends=ends)
