"""One job in pieces on a line of slots: what is to be placed, and the lines on which a price for its work is sought.

A looser line has whole cells of constant cost, on which pieces may be shorter and may touch; a tight one has the very
instants. Searches for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.one_job.piece_loops import Loops
from scheduler.planning.one_job.piece_rows import PieceRule
from scheduler.planning.one_job.work_price import Ints, PieceLine, Span

# A tight line of more instants than these takes longer than a loose one saves.
MANY_VERTICES = 2500


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PieceTask:
    """What to place. `slot_cost` has shape (slots,) and is not below zero; the rest counts slots.

    The cost is the same within each cell of `cell` slots, the first of which ends after `first_cell` of them. A piece
    stays within one of `stretches`, which grow and lie apart. Each pause costs its overheads at the slots' own cost,
    and `pause_cost` besides.
    """

    slot_cost: Floats
    stretches: tuple[Span, ...]
    rule: PieceRule
    cell: int = 1
    first_cell: int = 1
    loops: Loops | None = None
    sums_cost: Floats = field(init=False)  # what all slots up to each instant cost

    def __post_init__(self) -> None:
        object.__setattr__(self, "sums_cost", np.concatenate(([0.0], np.cumsum(self.slot_cost))))

    @property
    def borders(self) -> Ints:
        """The stretches, shape (stretches, 2)."""
        return np.array(self.stretches, dtype=np.int64).reshape(-1, 2)

    @property
    def slots(self) -> int:
        return len(self.slot_cost)

    @property
    def early(self) -> int:
        """Slots of the first cell that lie before the line."""
        return self.cell - self.first_cell

    @property
    def suits_cells(self) -> bool:
        """Whether a line in cells tells enough: no pause for nothing."""
        return self.rule.overhead > 0 or self.rule.pause_cost > 0

    def line(self) -> PieceLine:
        """The one on which a bound comes fastest."""
        if self.cell == 1:
            return self.among(np.arange(self.slots + 1), is_all=True)
        lengths = (0, self.rule.first, self.rule.middle, self.rule.last)
        off = {way * length % self.cell for length in lengths for way in (-1, 1)}
        is_long = len(off) * self.slots > MANY_VERTICES * self.cell
        return self.in_cells() if self.suits_cells and is_long else self.at_vertices()

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
            first=self.rule.first // cell * cell,
            middle=self.rule.middle // cell * cell,
            last=self.rule.last // cell * cell,
            held_steps=self.rule.held,
            overhead_steps=self.rule.overhead,
            pause_cost=self.rule.pause_cost,
            cell=cell,
            may_touch=cell > 1,
            loops=self.loops,
        )

    def at_vertices(self) -> PieceLine:
        """The tight line: the borders of cells and stretches, and what lies a shortest piece off them.

        At any price some cheapest choice has all its borders there, and the others would only be between two of them.
        """
        edges = np.arange(self.first_cell - self.cell, self.slots + self.cell, self.cell)
        edges = np.concatenate((edges, np.array(self.stretches).ravel()))
        lengths = {0, self.rule.first, self.rule.middle, self.rule.last}
        return self.among(np.concatenate([edges + way * length for length in lengths for way in (-1, 1)]), is_all=False)

    def among(self, instants: Ints, *, is_all: bool) -> PieceLine:
        """The tight line with borders at some instants only."""
        is_one = np.zeros(self.slots + 1, dtype=np.bool_)
        is_one[instants[(instants >= 0) & (instants <= self.slots)]] = True
        inside = np.flatnonzero(is_one)
        spans = [inside.searchsorted((since, to + 1)).tolist() for since, to in self.stretches]
        return PieceLine(
            instants=inside,
            sums_cost=self.sums_cost[inside],
            stretches=tuple((since, upto - 1) for since, upto in spans if upto - 1 > since),
            first=self.rule.first,
            middle=self.rule.middle,
            last=self.rule.last,
            held_steps=self.rule.held,
            overhead_steps=self.rule.overhead,
            pause_cost=self.rule.pause_cost,
            may_touch=not is_all,  # what ends between two instants is less than half of what ends at either
            is_all=is_all,
            loops=self.loops,
        )

    def stretch_of(self, slots: Ints) -> Ints:
        """The stretch in which each slot lies."""
        index: Ints = self.borders[:, 0].searchsorted(slots, side="right") - 1
        return index

    def lacking(self, pieces: Sequence[Span]) -> int:
        """How many slots more the pieces would have to hold; below zero when they do too much."""
        held = self.rule.held + (len(pieces) - 1) * self.rule.overhead
        return held - sum(end - start for start, end in pieces)

    def is_kept_by(self, pieces: list[Span]) -> bool:
        """Whether the pieces do exactly the work and break no rule."""
        last = len(pieces) - 1
        least = [self.rule.first, *[self.rule.middle] * (last - 1), self.rule.last]
        return (
            self.lacking(pieces) == 0
            and all(end - start >= length for (start, end), length in zip(pieces, least, strict=True))
            and all(any(since <= start and end <= to for since, to in self.stretches) for start, end in pieces)
        )
