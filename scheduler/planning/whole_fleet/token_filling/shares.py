"""The cheapest way to share stretches of capacity among pools, exactly, with prices that prove it.

A linear programme: each stretch of capacity (a cell) is divided among pools, each of which wants an amount in all; a
pool that had a whole cell would get so much of what it wants there and pay so much. Cells know each other only through
the pools, and there are few pools. So the programme is solved by columns: at given prices of the pools' amounts each
cell goes to whom it is worth most, all cells of a block together make a column, and a small simplex over columns gives
the next prices. At any prices, what the pools would earn less what the cells would gain is a lower bound; it meets the
cost within some dozen rounds. Knows no time, no carbon and no GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats

Indexes = NDArray[np.intp]

# Cells that make a column together: one block takes twice the rounds of eight, 32 need more pivots than they save.
_BLOCKS = 8
# To leave all of what a pool wants costs so many times what the dearest way to serve it would.
_SHORT_FACTOR = 1e4
# Amounts differ by so little from what is asked, so that no two choices of the simplex are equal and it cannot circle.
_UNEQUAL_RATIO = 1e-8
_GOLDEN = 0.6180339887498949
_CLOSE_RATIO = 1e-9
_LEAST_PIVOT_RATIO = 1e-9
_ROUNDING_RATIO, _LARGEST_ROUNDING_RATIO = 1e-10, 1e-13
_MOST_ROUNDS, _MOST_PIVOTS = 2000, 20_000
NOBODY = -1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Shares:
    """`share_ratio` (pools, cells) of each cell, `short_ratio` (pools,) of what each pool wanted and did not get.

    `unit_cost` (pools,) is what one more unit would cost each pool. No division that gives each as much costs less
    than `bound_cost`.
    """

    share_ratio: Floats
    short_ratio: Floats
    unit_cost: Floats
    cost: float
    bound_cost: float


def cheapest_shares(
    gain_tokens: Floats, cost: Floats, wanted_tokens: Floats, short_factor: Floats | None = None
) -> Shares:
    """Divide the cells at the least cost; first as little as possible is left, as a share of what each wants.

    `gain_tokens` and `cost` (pools, cells) are of whole cells; a gain of 0 means that the pool cannot have the cell.
    Amounts are met and not exceeded, also where a cost is negative. With `short_factor` (pools,) what is left is
    weighed by it and by what the dearest way to serve the pool costs.
    """
    master = _Master(gain_tokens, cost, wanted_tokens, short_factor)
    for _ in range(_MOST_ROUNDS):
        master.pivot()
        if not master.has_new_columns():
            break
    return master.shares()


class _Master:
    """The columns so far and which of them are used. Rows are pools, in units of what they want, then blocks."""

    def __init__(self, gain_tokens: Floats, cost: Floats, wanted_tokens: Floats, short_factor: Floats | None) -> None:
        pools, cells = gain_tokens.shape
        blocks = min(_BLOCKS, max(cells, 1))
        self._pools, self._rows = pools, pools + blocks
        self._wanted_tokens, self._cell_costs = wanted_tokens, cost
        self._can = gain_tokens > 0
        self._gain_ratio = gain_tokens / wanted_tokens[:, None]
        self._borders: list[int] = np.linspace(0, cells, blocks + 1).astype(int).tolist()
        dearest_cost = self._dearest_cost()
        self._scale_cost = float(dearest_cost.max()) or 1.0
        short_cost = np.full(pools, self._scale_cost) if short_factor is None else short_factor * dearest_cost
        self._columns: Floats = np.eye(self._rows)
        self._column_costs = np.concatenate((_SHORT_FACTOR * short_cost, np.zeros(blocks)))
        self._basis = list(range(self._rows))
        self._owners: list[tuple[int, Indexes]] = []
        self._gained_cost = 0.0
        self._pivots = 0

    def _dearest_cost(self) -> Floats:
        """Of the dearest way to serve each pool whole."""
        nothing = np.zeros_like(self._cell_costs)
        whole = np.divide(np.abs(self._cell_costs), self._gain_ratio, where=self._can, out=nothing)
        dearest: Floats = whole.max(axis=1, initial=0.0)
        return dearest

    @property
    def _asked_ratio(self) -> Floats:
        """What is asked while columns are chosen: a little more of each pool than all, a little less of each block."""
        numbers = np.arange(self._rows)
        uneven = 0.5 + numbers * _GOLDEN % 1.0
        return 1.0 + _UNEQUAL_RATIO * np.where(numbers < self._pools, uneven, -uneven)

    def _priced(self) -> tuple[Floats, Floats]:
        """The inverse of the columns in use, and what one more of each row would cost."""
        inverse_ratio = np.linalg.inv(self._columns[:, self._basis]).astype(np.float64)
        prices: Floats = self._column_costs[self._basis] @ inverse_ratio
        return inverse_ratio, prices

    def pivot(self) -> None:
        """Use the columns so far at the least cost."""
        while self._pivots < _MOST_PIVOTS:
            inverse_ratio, prices = self._priced()
            reduced = self._column_costs - prices @ self._columns
            reduced[self._basis] = 0.0  # but for rounding
            best = int(reduced.argmin())
            if reduced[best] >= -self._tolerance_cost:
                return
            self._swap(best, inverse_ratio)

    def _swap(self, entering: int, inverse_ratio: Floats) -> None:
        used, change = inverse_ratio @ self._asked_ratio, inverse_ratio @ self._columns[:, entering]
        can_leave = change > _LEAST_PIVOT_RATIO * float(np.abs(change).max())
        ratio = np.divide(np.maximum(used, 0.0), change, where=can_leave, out=np.full(len(used), np.inf))
        self._basis[int(ratio.argmin())] = entering
        self._pivots += 1

    @property
    def _tolerance_cost(self) -> float:
        """A smaller gain is rounding: of what is paid, and of the largest cost in use, which may be that of a lack."""
        largest_cost = float(np.abs(self._column_costs[self._basis]).max())
        return _ROUNDING_RATIO * self._scale_cost + _LARGEST_ROUNDING_RATIO * largest_cost

    def has_new_columns(self) -> bool:
        """Ask each block what it would do at the present prices; False when it is what the columns do already."""
        _, prices = self._priced()
        worth = np.where(self._can, prices[: self._pools, None] * self._gain_ratio - self._cell_costs, -np.inf)
        owners = worth.argmax(axis=0)
        gained = np.maximum(worth[owners, np.arange(len(owners))], 0.0)
        owners[gained <= 0] = NOBODY
        self._gained_cost = float(gained.sum())
        cost = float(prices @ self._asked_ratio)
        if cost - (prices[: self._pools].sum() - self._gained_cost) <= _CLOSE_RATIO * abs(cost):
            return False
        before = len(self._owners)
        for block, (first, last) in enumerate(pairwise(self._borders)):
            if gained[first:last].sum() + prices[self._pools + block] > self._tolerance_cost:
                self._add(block, owners, first, last)
        return len(self._owners) > before

    def _add(self, block: int, owners: Indexes, first: int, last: int) -> None:
        cells = first + (owners[first:last] != NOBODY).nonzero()[0]
        who = owners[cells]
        column = np.zeros(self._rows)
        column[: self._pools] = np.bincount(who, weights=self._gain_ratio[who, cells], minlength=self._pools)
        column[self._pools + block] = 1.0
        self._columns = np.column_stack((self._columns, column))
        self._column_costs = np.append(self._column_costs, self._cell_costs[who, cells].sum())
        self._owners.append((first, owners[first:last].copy()))

    def shares(self) -> Shares:
        inverse_ratio, prices = self._priced()
        used = np.maximum(inverse_ratio.sum(axis=1), 0.0)
        share_ratio, short_ratio = np.zeros_like(self._cell_costs), np.zeros(self._pools)
        for column, ratio in zip(self._basis, used.tolist(), strict=True):
            if column < self._pools:
                short_ratio[column] = ratio
            elif column >= self._rows:
                first, owners = self._owners[column - self._rows]
                cells = (owners != NOBODY).nonzero()[0]
                share_ratio[owners[cells], first + cells] += ratio
        prices = prices[: self._pools]
        return Shares(
            share_ratio=share_ratio,
            short_ratio=short_ratio,
            unit_cost=prices / self._wanted_tokens,
            cost=float((share_ratio * self._cell_costs).sum()),
            bound_cost=float(prices @ (1.0 - short_ratio)) - self._gained_cost,
        )
