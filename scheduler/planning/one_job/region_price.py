"""The price for work of work_price.py where a job in pieces may change region at each pause.

Between two pauses the job stays in its region, so one sweep over the slots finds the cheapest pieces over all regions
at a price, and the same bound holds. No piece that begins within a stretch as long as a middle piece can end within it,
so the sweep takes such stretches one after another, each at once for all its slots and regions. Pieces may touch, and
costs may be below zero. Knows slots, regions and costs; at least two pieces.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.planning.one_job.work_price import INFINITE, Span

Bools = NDArray[np.bool_]

# A piece as (region index, first slot, slot after the last).
RegionSpan = tuple[int, int, int]

# Running into a closed slot costs so many times more than anything that is worth it.
_CLOSED_RATIO = 100.0


@dataclass(frozen=True, eq=False, kw_only=True)
class RegionLine:
    """Two or more pieces in several regions. `slot_cost` and `is_open` have shape (regions, slots).

    The rest counts slots; lengths and costs are as those of a PieceLine.
    """

    slot_cost: Floats
    is_open: Bools
    first: int
    middle: int
    last: int
    held_steps: float
    overhead_steps: float
    pause_cost: float
    cell: int = 1

    @property
    def slots(self) -> int:
        return len(self.slot_cost[0])

    @cached_property
    def sums_cost(self) -> Floats:
        """Running sums of open slots, shape (regions, slots + 1)."""
        return _sums(np.where(self.is_open, self.slot_cost, 0.0))

    @cached_property
    def closings(self) -> Floats:
        """How often a region has closed up to each instant, shape (regions, slots + 1)."""
        closed = np.concatenate((np.zeros((len(self.is_open), 1), dtype=np.bool_), ~self.is_open), axis=1)
        return _sums((closed[:, 1:] & ~closed[:, :-1]).astype(np.float64))

    @cached_property
    def is_shut(self) -> Bools:
        """Where nothing may begin, shape (regions, slots + 1)."""
        return np.concatenate((~self.is_open, np.ones((len(self.is_open), 1), dtype=np.bool_)), axis=1)

    def mirrored(self) -> RegionLine:
        """The same line with time reversed: the last piece becomes the first."""
        return replace(
            self,
            slot_cost=self.slot_cost[:, ::-1],
            is_open=self.is_open[:, ::-1],
            first=self.last,
            last=self.first,
        )

    def lacking_steps(self, pieces: list[RegionSpan]) -> float:
        """How much more these would have to hold to do the work; below zero when they do too much."""
        held = sum(end - start for _, start, end in pieces)
        return self.held_steps + (len(pieces) - 1) * self.overhead_steps - held

    def least_price_cost(self) -> float:
        return -INFINITE

    def swept(self, price_cost: float) -> RegionSweep:
        return _swept(self, price_cost)


@dataclass(frozen=True, eq=False, kw_only=True)
class RegionSweep:
    """The cheapest choices at one price, up to each instant, as those of a Sweep.

    Shapes are (regions, slots + 1), that of `paused_cost` is (slots + 1,).
    """

    line: RegionLine
    price_cost: float
    earned_cost: Floats
    first_begun_cost: Floats  # of a first piece that may end by then, less `earned_cost`
    paused_cost: Floats
    running_cost: Floats
    finished_cost: Floats = field(init=False)  # the least of a whole choice by where its last piece begins

    def __post_init__(self) -> None:
        ahead = least_ahead(self.earned_cost, self.line.last)
        begun = self.paused_cost + self.fee_cost - self.earned_cost
        object.__setattr__(self, "finished_cost", np.where(self.line.is_shut, INFINITE, begun + ahead))

    @property
    def fee_cost(self) -> float:
        return self.line.pause_cost + self.price_cost * self.line.overhead_steps

    @property
    def offset_cost(self) -> float:
        return self.price_cost * self.line.held_steps

    def least_cost(self) -> float:
        """The bound: no choice that does all the work costs less. Infinite when there is no choice."""
        return float(self.finished_cost.min()) + self.offset_cost

    def ended_cost(self) -> Floats:
        """The least cost of the pieces up to the one that ends at each instant."""
        return self.running_cost + self.earned_cost

    def begun_cost(self) -> Floats:
        """What `running_cost` is the least of, by where a later piece begins."""
        return np.where(self.line.is_shut, INFINITE, -self.earned_cost) + self.fee_cost + self.paused_cost

    def pieces(self) -> list[RegionSpan]:
        """A choice that attains the bound, whatever work it does."""
        line, ended_cost, begun_cost = self.line, self.ended_cost(), self.begun_cost()
        region, start = (int(one) for one in np.unravel_index(self.finished_cost.argmin(), self.finished_cost.shape))
        end = start + line.last + int(self.earned_cost[region, start + line.last :].argmin())
        found = [(region, start, end)]
        while True:
            end = int((self.paused_cost[: start + 1] <= self.paused_cost[start]).argmax())
            region = int(ended_cost[:, end].argmin())
            earlier = begun_cost[region, : max(0, end - line.middle + 1)]
            if len(earlier) == 0 or earlier.min() > self.running_cost[region, end]:
                begun = -self.earned_cost[region, : end - line.first + 1]
                begun = np.where(line.is_shut[region, : len(begun)], INFINITE, begun)
                return [(region, int(begun.argmin()), end), *found]
            start = int(earlier.argmin())
            found.insert(0, (region, start, end))


def _sums(steps: Floats) -> Floats:
    return np.concatenate((np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)), axis=1)


def least_ahead(array: Floats, length: int) -> Floats:
    """For each instant the least value from so much later on, row by row; infinite where there is none."""
    least = np.full(array.shape, INFINITE)
    if length < array.shape[1]:
        ahead = np.minimum.accumulate(array[:, length:][:, ::-1], axis=1)
        least[:, : array.shape[1] - length] = ahead[:, ::-1]
    return least


def _swept(line: RegionLine, price_cost: float) -> RegionSweep:
    count = line.slots + 1
    earned = line.sums_cost - price_cost * np.arange(count)
    earned += line.closings * (_CLOSED_RATIO * (1.0 + float(earned.max() - earned.min())))
    fee_cost = line.pause_cost + price_cost * line.overhead_steps
    begins = np.where(line.is_shut, INFINITE, -earned)
    first_begun = np.full(earned.shape, INFINITE)
    first_begun[:, line.first :] = np.minimum.accumulate(begins, axis=1)[:, : max(0, count - line.first)]
    begins += fee_cost
    running, paused = first_begun.copy(), np.full(count, INFINITE)
    latest, least = np.full(len(earned), INFINITE), INFINITE
    begun = np.full((len(earned), line.middle), INFINITE)
    for since in range(0, count, line.middle):
        here = slice(since, since + line.middle)
        now = running[:, here]
        wide = now.shape[1]
        begun[:, 0] = np.minimum(begun[:, 0], latest)
        later = np.minimum.accumulate(begun[:, :wide], axis=1)
        np.minimum(now, later, out=now)
        latest = later[:, -1]
        ended = (now + earned[:, here]).min(axis=0)
        ended[0] = min(ended[0], least)
        np.minimum.accumulate(ended, out=paused[here])
        least = paused[since + wide - 1]
        begun = begins[:, here] + paused[here]
    return RegionSweep(
        line=line,
        price_cost=price_cost,
        earned_cost=earned,
        first_begun_cost=first_begun,
        paused_cost=paused,
        running_cost=running,
    )


def spans_within(is_open: Bools) -> tuple[tuple[Span, ...], ...]:
    """The open stretches of each region."""
    borders = np.zeros((len(is_open), 1), dtype=np.int8)
    turns = np.diff(np.concatenate((borders, is_open.astype(np.int8), borders), axis=1), axis=1)
    return tuple(tuple((int(since), int(to)) for since, to in np.flatnonzero(row).reshape(-1, 2)) for row in turns)
