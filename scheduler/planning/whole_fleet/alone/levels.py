"""When and at which level every job that has several levels would run alone, at given prices of capacity.

Relaxed as those that may pause are: at each instant any level of the job, and shares of it at two. No real choice
undercuts that, as pausing and changing the level cost nothing. Knows no capacity and moves no price.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.whole_fleet.levels import REST, Hull, Indexes, Levels, hull_of
from scheduler.planning.whole_fleet.rates import Rates

# Numbers in one table of jobs by steps: what fits the processor's cache.
_MOST_NUMBERS = 500_000
# Work that is short by this share is done: it is a sum over some thousand cells.
_ROUNDING_RATIO = 1e-9


class LevelFillings:
    """Jobs with levels, relaxed. Those of equal levels order their instants alike."""

    def __init__(self, jobs: Sequence[Job], levels: Sequence[Levels], rates: Rates) -> None:
        kinds: dict[tuple[object, ...], list[tuple[Job, Levels]]] = {}
        for pair in sorted(zip(jobs, levels, strict=True), key=lambda one: one[0].earliest_start_at_s):
            kinds.setdefault(pair[1].kind, []).append(pair)
        self._batches = [batch for some in kinds.values() for batch in _batches(some, rates)]

    def choose(self, rates: Rates, gpu_s: Floats, facility_j: Floats, near_gco2e_per_s: float = 0.0) -> float:
        """The sum of the least costs; adds what is used to the cells, of the cheapest filling alone."""
        return sum(batch.fill(rates, gpu_s, facility_j) for batch in self._batches)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Choice:
    """What the jobs of a batch do within some of their levels: the work of each in each step, and what it costs."""

    part: Indexes
    hull: Hull
    step: Indexes
    cell: Indexes
    taken_s: Floats
    costs: Floats


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Batch:
    """Jobs of one kind: the cells from `first` on in which any of them may run, and for how long, (jobs, cells)."""

    levels: Levels
    first: int
    open_s: Floats
    need_s: Floats

    def fill(self, rates: Rates, gpu_s: Floats, facility_j: Floats) -> float:
        """The sum of the least costs; adds what is used to the cells."""
        levels, cells = self.levels, np.arange(self.first, self.first + self.open_s.shape[1])
        costs = rates.level_costs(levels.row, levels.gpus, levels.power_w, cells)
        choices = [self._choice(part, costs) for part in levels.by_region()]
        every = np.array([choice.costs for choice in choices])
        chosen = every.argmin(axis=0)
        for number, choice in enumerate(choices):
            self._count(choice, chosen == number, rates, gpu_s, facility_j)
        least = every.min(axis=0)
        assert np.isfinite(least).all(), "a job without enough known time has no bound"
        return float(least.sum())

    def _choice(self, part: Indexes, costs: Floats) -> _Choice:
        hull = hull_of(self.levels.speed[part], costs[part])
        order = hull.slope_cost.ravel().argsort(kind="stable")
        order = order[np.isfinite(hull.slope_cost.ravel()[order])]
        step, cell = np.divmod(order, costs.shape[1])
        most_s = self.open_s[:, cell] * hull.gain_speed[step, cell]
        done_s = most_s.cumsum(axis=1)
        taken_s = np.clip(self.need_s - (done_s - most_s), 0.0, most_s)
        sums = taken_s @ hull.slope_cost[step, cell]
        held_s = done_s[:, -1] if len(order) else np.zeros(len(self.need_s))
        sums[held_s < self.need_s[:, 0] * (1 - _ROUNDING_RATIO)] = np.inf
        return _Choice(part=part, hull=hull, step=step, cell=cell, taken_s=taken_s, costs=sums)

    def _count(self, choice: _Choice, is_mine: Indexes, rates: Rates, gpu_s: Floats, facility_j: Floats) -> None:
        """A step from one level to the next gives up the one and holds the other, for the time that its work takes."""
        hull, levels = choice.hull, self.levels
        spent_s = choice.taken_s[is_mine].sum(axis=0) / hull.gain_speed[choice.step, choice.cell]
        ratios = np.array([region.facility_ratio for region in rates.case.regions])
        for levels_at, sign in ((hull.high, 1.0), (hull.low, -1.0)):
            at = levels_at[choice.step, choice.cell]
            runs = at != REST
            level = choice.part[at[runs]]
            where = (levels.row[level], self.first + choice.cell[runs])
            np.add.at(gpu_s, where, sign * levels.gpus[level] * spent_s[runs])
            np.add.at(facility_j, where, sign * levels.power_w[level] * ratios[where[0]] * spent_s[runs])


def _batches(some: Sequence[tuple[Job, Levels]], rates: Rates) -> Iterator[_Batch]:
    steps = len(some[0][1].row) * len(rates.lengths_s)
    together = max(1, min(256, _MOST_NUMBERS // steps))
    for first in range(0, len(some), together):
        yield _batch(some[first : first + together], rates.edges_at_s)


def _batch(some: Sequence[tuple[Job, Levels]], edges_at_s: Floats) -> _Batch:
    earliest_s = np.array([[job.earliest_start_at_s] for job, _ in some])
    deadline_s = np.array([[job.deadline_at_s] for job, _ in some])
    first = max(int(edges_at_s.searchsorted(earliest_s.min(), side="right")) - 1, 0)
    last = int(edges_at_s.searchsorted(deadline_s.max()))
    edges = edges_at_s[first : last + 1]
    return _Batch(
        levels=some[0][1],
        first=first,
        open_s=np.maximum(np.minimum(edges[1:], deadline_s) - np.maximum(edges[:-1], earliest_s), 0.0),
        need_s=np.array([[levels.work_s] for _, levels in some]),
    )
