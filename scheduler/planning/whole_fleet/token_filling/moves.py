"""Jobs moved for the sake of pools: what a GPU is worth to them at each instant, and plans that heed it.

The pouring says what a token more would cost each pool, and so what a GPU more is worth to them. Jobs that pay more for
their place than they gain by it go elsewhere, all at once and then one by one; each time the pools are poured anew, and
only what leaves fewer tokens short, or as few at less cost, is kept. Decides no bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import permutations

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.local_search import Draft, by_latest_start, by_size, filled
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.token_filling.pouring import Poured, poured

_J_PER_KWH = 3.6e6
# All at once by a part of what GPUs are worth to the pools, in turn; then one by one, each of which pours once.
_DAMPED_RATIOS = (1.0, 0.7, 0.4)
_MOST_TRIES, _LEAST_TRIES, _TRIED_JOBS = 150, 20, 15_000
_GUIDED_RATIOS, _STARTS = (1.0, 0.8), 2
_LEAST_GAIN_RATIO = 1e-9


def moved_for_pools(
    priced: FleetCase, jobs: Assignment, filled: Poured, guide: Rates | None
) -> tuple[Assignment, Poured]:
    """The same jobs where jobs and pools together cost least, as far as moves of jobs find it.

    `guide` has prices of capacity that jobs and pools together pay; with it, plans are begun anew as well.
    """
    starts = [_Moves(priced, jobs, filled)]
    if guide is not None:
        starts += _anew(priced, jobs, guide)
    best = min((one.best() for one in sorted(starts, key=lambda one: one.rank)[:_STARTS]), key=lambda one: one.rank)
    return best.places, best.filled


def _anew(priced: FleetCase, jobs: Assignment, guide: Rates) -> Iterator[_Moves]:
    """The jobs in turn where carbon and prices are least, in several orders and by several parts of the prices."""
    planned = replace(priced, jobs=[job for job in priced.jobs if job.id in jobs])
    carbon = Rates.of(priced)
    for ratio in _GUIDED_RATIOS:
        for order in (by_size, by_latest_start):
            places = filled(planned, carbon, guide.damped(ratio), order).places
            if len(places) == len(jobs):
                yield _Moves(priced, places, poured(priced, places))


def worth_gco2e_per_s(carbon: Rates, token_cost: Mapping[str, float]) -> Floats:
    """What a GPU more is worth to the pools in each cell, (regions, cells), by what a token more would cost them."""
    case, edges = carbon.case, carbon.edges_at_s
    worth, site_g_per_kwh = np.zeros_like(carbon.carbon_g_per_kwh), carbon.site_g_per_kwh
    for pool in case.pools:
        inside = (edges[1:] > pool.earliest_start_at_s) & (edges[:-1] < pool.deadline_at_s)
        for row, region in enumerate(case.regions):
            if (density := pool.density_in(region.name)) is None:
                continue
            paid = site_g_per_kwh[row] - pool.waiting_cost_per_kwh
            paid = density.power_w * paid / _J_PER_KWH + carbon.gpu_rates_gco2e_per_s[row]
            gained = np.nan_to_num(density.tokens_per_s * token_cost[pool.name] - paid, nan=0.0)
            worth[row] = np.maximum(worth[row], np.where(inside, gained, 0.0))
    return worth


class _Moves:
    """Plans of the same jobs at other places, with the pools poured beside each."""

    def __init__(self, priced: FleetCase, jobs: Assignment, filled: Poured) -> None:
        self._priced = priced
        self._carbon = Rates.of(priced)
        self._planned = [job for job in priced.jobs if job.id in jobs]
        self._draft = Draft(replace(priced, jobs=self._planned), self._carbon)
        self._draft.take_over(jobs, self._planned)
        self.places, self.filled = jobs, filled
        self.rank = self._ranked(self._draft, filled)
        self._tries = max(min(_MOST_TRIES, _TRIED_JOBS // len(self._planned)), _LEAST_TRIES) if jobs else 0

    def best(self) -> _Moves:
        """Itself, moved until nothing helps any more."""
        if len(self._draft.places) < len(self._planned):  # places that rounding keeps from being taken over
            return self
        while self._tries > 0 and self._has_moved_all():
            pass
        while self._tries > 0 and (self._has_moved_one() or self._has_moved_two()):
            pass
        return self

    @staticmethod
    def _ranked(draft: Draft, filled: Poured) -> tuple[float, float]:
        short_ratio, cost = filled.rank
        return short_ratio, cost + draft.rank[1]

    def _worth(self, ratio: float) -> Rates:
        worth = worth_gco2e_per_s(self._carbon, self.filled.token_cost)
        return self._carbon.with_prices(ratio * worth, np.zeros_like(worth))

    def _has_moved_all(self) -> bool:
        for ratio in _DAMPED_RATIOS:
            before = dict(self._draft.places)
            self._draft.reinsert(sorted(self._planned, key=by_size), self._worth(ratio))
            if self._is_kept(before):
                return True
        return False

    def _has_moved_one(self) -> bool:
        """Whether any has, of those that gain most by what their place is worth, each tried alone."""
        rates, has_moved = self._worth(1.0), False
        wishes = ((job, *wish) for job in self._planned for wish in self._wish(job, rates))
        for job, _, place in sorted(wishes, key=lambda one: (-one[1], one[0].id)):
            if self._tries <= 0:
                break
            before = {job.id: self._draft.take_out(job)}
            self._draft.put(job, place if self._draft.room.fits(job, place) else before[job.id])
            has_moved = self._is_kept(before) or has_moved
        return has_moved

    def _has_moved_two(self) -> bool:
        """Two jobs taken out, and put back one after the other where carbon and worth are least."""
        rates = self._worth(1.0)
        for pair in permutations(sorted(self._planned, key=by_size), 2):
            if self._tries <= 0:
                return False
            before = {job.id: self._draft.take_out(job) for job in pair}
            self._draft.fill(pair, rates)
            if self._is_kept(before):
                return True
        return False

    def _wish(self, job: Job, rates: Rates) -> Iterator[tuple[float, tuple[Segment, ...]]]:
        """Where the job would rather be, and what it gains by it; nothing where it is best off."""
        before = self._draft.places[job.id]
        if self._draft.reinsert([job], rates):
            after = self._draft.take_out(job)
            self._draft.put(job, before)
            yield rates.cost_of(job, before) - rates.cost_of(job, after), after

    def _is_kept(self, before: Assignment) -> bool:
        """Whether the draft as it has become is better with the pools poured anew; else it is as `before` again."""
        if all(self._draft.places.get(name) == place for name, place in before.items()):
            return False
        if len(self._draft.places) == len(self._planned):
            self._tries -= 1
            filled = poured(self._priced, self._draft.places)
            rank = self._ranked(self._draft, filled)
            least = self.rank[1] - _LEAST_GAIN_RATIO * abs(self.rank[1])
            if rank[0] < self.rank[0] or (rank[0] == self.rank[0] and rank[1] < least):
                self.filled, self.rank, self.places = filled, rank, dict(self._draft.places)
                return True
        moved = [job for job in self._planned if job.id in before]
        for job in moved:
            if job.id in self._draft.places:
                self._draft.take_out(job)
        for job in moved:
            self._draft.put(job, before[job.id])
        return False
