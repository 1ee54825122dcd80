"""The very best assignment of a batch within its budget, where it can be had in reasonable time.

Decides by dynamic programming over what the relaxed solution leaves open: at its price most queries have one model that
any better assignment must keep, and only the rest has to be searched. Gives up at a stated size and then says so; the
assignment it began with stands either way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from shaping.assignment import Assignment, Indices, assign
from shaping.router_model import Vector

MOST_STATES = 50_000
# Sums of some thousand ratios differ by this much with the order of adding.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proven:
    """An assignment, and whether it is known that none is better."""

    assignment: Assignment
    is_optimal: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _States:
    """Partial assignments worth going on with; each knows its state in the row before and the model it took."""

    energy: Vector
    quality: Vector
    parents: Indices
    models: Indices


def assign_optimally(quality: Vector, energy: Vector, budget_j: float, *, most_states: int = MOST_STATES) -> Proven:
    """As `assign`, and then the best of what is still open. Raises what `assign` raises."""
    begun = assign(quality, energy, budget_j)
    if begun.bound_ratio - begun.quality_ratio <= _ROUNDING:
        return Proven(assignment=begun, is_optimal=True)
    worth = quality - begun.price_ratio_per_j * energy
    best_worth = worth.max(axis=1)
    # Any assignment is below the bound by at least the losses of its choices.
    is_open = best_worth[:, None] - worth <= begun.bound_ratio - begun.quality_ratio + _ROUNDING
    rows = np.flatnonzero(is_open.sum(axis=1) > 1)
    models = np.where(is_open, worth, -np.inf).argmax(axis=1)
    searched = _search(quality, energy, budget_j, begun, is_open, rows, models, best_worth, most_states)
    if searched is None:
        return Proven(assignment=begun, is_optimal=False)
    return Proven(assignment=_better(quality, energy, begun, searched, budget_j), is_optimal=True)


def _better(quality: Vector, energy: Vector, begun: Assignment, models: Indices, budget_j: float) -> Assignment:
    every = np.arange(len(models))
    energy_j, quality_ratio = float(energy[every, models].sum()), float(quality[every, models].sum())
    if quality_ratio <= begun.quality_ratio or energy_j > budget_j:
        return begun
    return replace(begun, models=models, energy_j=energy_j, quality_ratio=quality_ratio)


def _search(
    quality: Vector,
    energy: Vector,
    budget_j: float,
    begun: Assignment,
    is_open: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
    rows: Indices,
    models: Indices,
    best_worth: Vector,
    most_states: int,
) -> Indices | None:
    """The best models with `rows` open and all others fixed; None where there are too many states."""
    fixed = np.setdiff1d(np.arange(len(models)), rows)
    least = np.where(is_open, energy, np.inf).min(axis=1)
    states = _States(
        energy=np.array([energy[fixed, models[fixed]].sum()]),
        quality=np.array([quality[fixed, models[fixed]].sum()]),
        parents=np.zeros(1, dtype=np.int64),
        models=np.zeros(1, dtype=np.int64),
    )
    history = []
    for place, row in enumerate(rows.tolist()):
        rest = rows[place + 1 :]
        states = _extended(states, quality[row], energy[row], np.flatnonzero(is_open[row]))
        left_j = budget_j - states.energy
        hope = states.quality + begun.price_ratio_per_j * left_j + best_worth[rest].sum()
        is_alive = (left_j >= least[rest].sum() - _ROUNDING * budget_j) & (hope >= begun.quality_ratio - _ROUNDING)
        states = _undominated(_picked(states, np.flatnonzero(is_alive)))
        if len(states.energy) > most_states:
            return None
        history.append(states)
    return _traced(history, rows, models, budget_j)


def _extended(states: _States, quality: Vector, energy: Vector, options: Indices) -> _States:
    count = len(states.energy)
    return _States(
        energy=(states.energy[:, None] + energy[options]).ravel(),
        quality=(states.quality[:, None] + quality[options]).ravel(),
        parents=np.repeat(np.arange(count), len(options)),
        models=np.tile(options, count),
    )


def _undominated(states: _States) -> _States:
    """Without those that another one beats in quality for no more energy."""
    order = np.lexsort((-states.quality, states.energy))
    best_before = np.maximum.accumulate(np.concatenate([[-np.inf], states.quality[order][:-1]]))
    return _picked(states, order[states.quality[order] > best_before])


def _picked(states: _States, places: Indices) -> _States:
    return _States(
        energy=states.energy[places],
        quality=states.quality[places],
        parents=states.parents[places],
        models=states.models[places],
    )


def _traced(history: list[_States], rows: Indices, models: Indices, budget_j: float) -> Indices:
    """From the best last state back to the first row."""
    found = models.copy()
    if not history or not len(history[-1].energy):
        return found
    last = history[-1]
    at = int(np.where(last.energy <= budget_j, last.quality, -np.inf).argmax())
    for states, row in zip(reversed(history), reversed(rows.tolist()), strict=True):
        found[row] = states.models[at]
        at = int(states.parents[at])
    return found
