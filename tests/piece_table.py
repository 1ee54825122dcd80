"""The cheapest set of pieces on a grid of equal slots, by dynamic programming over (slot, state, slots of work done).

States: not begun, paused, running in a region with a later pause (its checkpoint is already counted), running the last
piece in a region. A piece enters the running states only after its overheads and shortest run are behind it, so no
state has to remember when it began. Every choice on the grid is covered, so the answer is the optimum on the grid.
Knows slots and costs; what a slot is, the caller knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats

Bools = NDArray[np.bool_]
INFINITE = np.inf

# A piece as (region index, first slot, slot after the last).
GridPiece = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GridTask:
    """What to place. `slot_cost` and `is_open` have shape (regions, slots); the rest counts slots.

    `shortest` is the least work of a piece, `checkpoint` and `restore` the overheads at its end and begin. The first
    piece restores only when `restores_first`; every piece after the first costs `interruption_cost` besides.
    """

    slot_cost: Floats
    is_open: Bools
    work: int
    shortest: int
    checkpoint: int
    restore: int
    restores_first: bool
    interruption_cost: float

    @property
    def regions(self) -> int:
        return len(self.slot_cost)

    @property
    def slots(self) -> int:
        return len(self.slot_cost[0])

    @property
    def first_piece(self) -> int:
        """Least length of the first of several pieces."""
        return self.shortest + self.checkpoint + (self.restore if self.restores_first else 0)

    @property
    def middle_piece(self) -> int:
        return self.shortest + self.checkpoint + self.restore

    @property
    def last_piece(self) -> int:
        return self.shortest + self.restore


def cheapest_pieces_on_grid(task: GridTask) -> list[GridPiece] | None:
    """The cheapest choice of two or more pieces, in order of time; None when there is none."""
    if task.work < 2 * task.shortest:
        return None
    return _Table(task).solved()


@dataclass(slots=True)
class _Table:
    """Costs of the present slot, and for each slot and amount of work how it was reached."""

    task: GridTask
    running_cost: Floats = field(init=False)  # (regions, work + 1): a pause follows
    last_cost: Floats = field(init=False)  # (regions, work + 1): no pause follows
    paused_cost: Floats = field(init=False)  # (lookback, work + 1): a ring over the latest slots
    running_began: Bools = field(init=False)  # (slots + 1, regions, work + 1): the shortest run ended here
    last_began: Bools = field(init=False)
    paused_from: NDArray[np.int8] = field(init=False)  # (slots + 1, work + 1): region that paused here, or -1
    best: tuple[float, int, int] = field(init=False)  # cost, slot, region

    def __post_init__(self) -> None:
        task = self.task
        wide = task.work + 1
        self.running_cost = np.full((task.regions, wide), INFINITE)
        self.last_cost = np.full((task.regions, wide), INFINITE)
        self.paused_cost = np.full((task.middle_piece + 1, wide), INFINITE)
        self.running_began = np.zeros((task.slots + 1, task.regions, wide), dtype=np.bool_)
        self.last_began = np.zeros((task.slots + 1, task.regions, wide), dtype=np.bool_)
        self.paused_from = np.full((task.slots + 1, wide), -1, dtype=np.int8)
        self.best = (INFINITE, 0, 0)

    def solved(self) -> list[GridPiece] | None:
        task = self.task
        step_cost = np.where(task.is_open, task.slot_cost, INFINITE)
        first = _stretch_costs(task, task.first_piece)
        middle = _stretch_costs(task, task.middle_piece) + task.interruption_cost
        last = _stretch_costs(task, task.last_piece) + task.interruption_cost
        for slot in range(1, task.slots + 1):
            self._extend(self.running_cost, step_cost[:, slot - 1])
            self._begin(self.running_cost, self.running_began[slot], slot - task.middle_piece, middle[:, slot])
            self._begin_first(slot, first[:, slot])
            self._extend(self.last_cost, step_cost[:, slot - 1])
            self._begin(self.last_cost, self.last_began[slot], slot - task.last_piece, last[:, slot])
            self._pause(slot)
            self._finish(slot)
        return self._traced() if self.best[0] < INFINITE else None

    def _extend(self, costs: Floats, step_cost: Floats) -> None:
        costs[:, 1:] = costs[:, :-1] + step_cost[:, None]
        costs[:, 0] = INFINITE

    def _begin(self, costs: Floats, began: Bools, from_slot: int, piece_cost: Floats) -> None:
        """Pieces after a pause whose shortest run ends now."""
        if from_slot < 0 or not np.isfinite(piece_cost).any():
            return
        shortest = self.task.shortest
        paused = self.paused_cost[from_slot % len(self.paused_cost)]
        after = paused[: len(paused) - shortest] + piece_cost[:, None]
        kept = costs[:, shortest:]
        np.less(after, kept, out=began[:, shortest:])
        np.minimum(kept, after, out=kept)

    def _begin_first(self, slot: int, piece_cost: Floats) -> None:
        # Nobody has paused before the first piece ends, so this amount of work has no other beginning.
        shortest = self.task.shortest
        better = piece_cost < self.running_cost[:, shortest]
        self.running_cost[better, shortest] = piece_cost[better]
        self.running_began[slot, better, shortest] = True

    def _pause(self, slot: int) -> None:
        lookback = len(self.paused_cost)
        before, now = self.paused_cost[(slot - 1) % lookback], self.paused_cost[slot % lookback]
        region = self.running_cost.argmin(axis=0)
        ended = self.running_cost[region, np.arange(self.running_cost.shape[1])]
        pauses = ended < before
        self.paused_from[slot, pauses] = region[pauses]
        np.minimum(before, ended, out=now)

    def _finish(self, slot: int) -> None:
        region = int(self.last_cost[:, -1].argmin())
        cost = float(self.last_cost[region, -1])
        if cost < self.best[0]:
            self.best = (cost, slot, region)

    def _traced(self) -> list[GridPiece]:
        """Walk back from the best end through the recorded choices."""
        task, (_, slot, region) = self.task, self.best
        slot, work, piece = _piece_back(self.last_began, slot, region, task.work, task.last_piece, task.shortest)
        pieces = [piece]
        while work > 0:
            while self.paused_from[slot, work] < 0:
                slot -= 1
            region = int(self.paused_from[slot, work])
            slot, work, piece = _piece_back(
                self.running_began, slot, region, work, task.middle_piece, task.shortest, task.first_piece
            )
            pieces.append(piece)
        return pieces[::-1]


def _piece_back(
    began: Bools, slot: int, region: int, work: int, least: int, shortest: int, least_first: int = 0
) -> tuple[int, int, GridPiece]:
    """The piece that ends at `slot`: the slot it began, the work done before it, and itself."""
    end = slot
    while not began[slot, region, work]:
        slot, work = slot - 1, work - 1
    start = slot - (least_first if least_first and work == shortest else least)
    return start, work - shortest, (region, start, end)


def _stretch_costs(task: GridTask, length: int) -> Floats:
    """Cost of running `length` slots that end before each slot, shape (regions, slots + 1); infinite where closed."""
    costs = np.full((task.regions, task.slots + 1), INFINITE)
    if length > task.slots:
        return costs
    cost = _prefix_sums(np.where(task.is_open, task.slot_cost, 0.0))
    closed = _prefix_sums((~task.is_open).astype(np.float64))
    free = closed[:, length:] - closed[:, : task.slots + 1 - length] == 0
    costs[:, length:] = np.where(free, cost[:, length:] - cost[:, : task.slots + 1 - length], INFINITE)
    return costs


def _prefix_sums(slot_cost: Floats) -> Floats:
    return np.concatenate((np.zeros((len(slot_cost), 1)), np.cumsum(slot_cost, axis=1)), axis=1)


def total_cost(task: GridTask, pieces: Sequence[GridPiece]) -> float:
    """What a choice costs; for comparing one choice with another."""
    energy = sum(float(task.slot_cost[region, start:end].sum()) for region, start, end in pieces)
    return energy + task.interruption_cost * (len(pieces) - 1)
