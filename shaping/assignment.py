"""A batch of queries over several models: the most expected quality that an energy budget buys.

Decides which model each query gets, and proves how far from the best that can be. Knows no model and no meter: quality
and energy are tables. The relaxed problem falls apart into the convex hull of each query, so it is solved exactly by
one sort; at most one query is left with a part of a step, and what that leaves of the budget buys single better models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shaping.router_model import Vector

Indices = NDArray[np.int64]

# What is left of the budget after the sort is less than one step, and buys a few moves; more would be a defect.
_MOST_MOVES = 1000


class BudgetTooSmallError(ValueError):
    """Even the cheapest model for every query takes more than the budget."""

    def __init__(self, budget_j: float, least_j: float) -> None:
        self.budget_j, self.least_j = budget_j, least_j
        super().__init__(f"a budget of {budget_j:.6g} J cannot serve this batch: it takes at least {least_j:.6g} J")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assignment:
    """The column of each query's model, shape (queries,), and what it comes to.

    No assignment within the budget has more expected quality in all than `bound_ratio`; `price_ratio_per_j` is what one
    more joule would buy.
    """

    models: Indices
    energy_j: float
    quality_ratio: float
    bound_ratio: float
    price_ratio_per_j: float

    @property
    def gap_ratio(self) -> float:
        """How far below the bound it is at most, as a part of the bound."""
        return 0.0 if self.bound_ratio <= 0 else max(0.0, 1.0 - self.quality_ratio / self.bound_ratio)


def assign(quality: Vector, energy: Vector, budget_j: float) -> Assignment:
    """The assignment of most quality within the budget.

    `quality` (0 to 1) and `energy` (joules) have shape (queries, models). Raises BudgetTooSmallError, and ValueError
    for tables that do not match or hold what is no number.
    """
    _check(quality, energy)
    count = len(quality)
    if count == 0:
        return Assignment(
            models=np.zeros(0, dtype=np.int64), energy_j=0.0, quality_ratio=0.0, bound_ratio=0.0, price_ratio_per_j=0.0
        )
    cheapest = np.lexsort((-quality, energy), axis=1)[:, 0]
    least_j = float(_picked(energy, cheapest).sum())
    if least_j > budget_j:
        raise BudgetTooSmallError(budget_j, least_j)
    steps = _hulls(quality, energy, cheapest)
    models, bound_gain, price = _bought(steps, cheapest, budget_j - least_j)
    models = _topped_up(quality, energy, models, budget_j)
    return Assignment(
        models=models,
        energy_j=float(_picked(energy, models).sum()),
        quality_ratio=float(_picked(quality, models).sum()),
        bound_ratio=float(_picked(quality, cheapest).sum()) + bound_gain,
        price_ratio_per_j=price,
    )


def _check(quality: Vector, energy: Vector) -> None:
    if quality.shape != energy.shape or quality.ndim != 2 or quality.shape[1] == 0:
        raise ValueError(f"quality {quality.shape} and energy {energy.shape} must both be (queries, models)")
    if not (np.isfinite(quality).all() and np.isfinite(energy).all() and (energy >= 0).all()):
        raise ValueError("quality and energy must be finite, and energy zero or more")


def _picked(table: Vector, models: Indices) -> Vector:
    return np.take_along_axis(table, models[:, None], axis=1)[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Steps:
    """From each vertex of a query's hull to the next, all of shape (steps, queries); no step has slope 0."""

    model: Indices
    slope: Vector
    quality: Vector
    energy: Vector


def _hulls(quality: Vector, energy: Vector, cheapest: Indices) -> _Steps:
    """Walk the upper hull of all queries at once: always to the model that gives most quality per joule more."""
    at, found = cheapest, []
    for _ in range(quality.shape[1] - 1):
        better = quality - _picked(quality, at)[:, None]
        dearer = energy - _picked(energy, at)[:, None]
        is_ahead = (better > 0) & (dearer > 0)
        slopes = np.where(is_ahead, better, 0.0) / np.where(is_ahead, dearer, 1.0)
        steepest = slopes.max(axis=1)
        # Of equal slopes the farthest: the vertices in between are on the edge.
        following = np.where(slopes >= steepest[:, None], dearer, -1.0).argmax(axis=1)
        following = np.where(steepest > 0, following, at)
        found.append((following, steepest, _picked(better, following), _picked(dearer, following)))
        at = following
    if not found:
        empty = np.zeros((0, len(quality)))
        return _Steps(model=empty.astype(np.int64), slope=empty, quality=empty, energy=empty)
    model, slope, more, cost = (np.array(column) for column in zip(*found, strict=True))
    # Rounding must not let a later step overtake an earlier one of the same query.
    return _Steps(model=model, slope=np.minimum.accumulate(slope, axis=0), quality=more, energy=cost)


def _bought(steps: _Steps, cheapest: Indices, left_j: float) -> tuple[Indices, float, float]:
    """Steps in order of their slope until the budget ends; the models, the relaxed gain, and the price at the end."""
    order = np.argsort(-steps.slope.ravel(), kind="stable")
    order = order[: int(np.count_nonzero(steps.slope))]
    spent = np.cumsum(steps.energy.ravel()[order])
    count = int(np.searchsorted(spent, left_j, side="right"))
    models = cheapest.copy()
    taken = order[:count]
    # Earlier steps of a query come earlier, so the last write is its farthest vertex.
    queries = len(cheapest)
    farthest = np.full(queries, -1)
    np.maximum.at(farthest, taken % queries, taken // queries)
    moved = farthest >= 0
    models[moved] = steps.model[farthest[moved], np.flatnonzero(moved)]
    gain = float(steps.quality.ravel()[taken].sum())
    if count == len(order):
        return models, gain, 0.0
    price = float(steps.slope.ravel()[order[count]])
    part_j = left_j - (float(spent[count - 1]) if count else 0.0)
    return models, gain + price * part_j, price


def _topped_up(quality: Vector, energy: Vector, models: Indices, budget_j: float) -> Indices:
    """Spend what the last whole step left: the best single change that fits, until none does."""
    models = models.copy()
    left_j = budget_j - float(_picked(energy, models).sum())
    better = quality - _picked(quality, models)[:, None]
    dearer = energy - _picked(energy, models)[:, None]
    for _ in range(_MOST_MOVES):
        gains = np.where(dearer <= left_j, better, 0.0)
        row, column = divmod(int(gains.argmax()), quality.shape[1])
        if gains[row, column] <= 0:
            break
        left_j -= float(dearer[row, column])
        models[row] = column
        better[row] = quality[row] - quality[row, column]
        dearer[row] = energy[row] - energy[row, column]
    return models
