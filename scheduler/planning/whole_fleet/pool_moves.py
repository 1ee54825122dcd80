"""Jobs moved for the sake of pools: what a GPU is worth to them at each instant, and plans that heed it.

The pouring says what a token more would cost each pool, and so what a GPU more is worth to them. Jobs that pay more for
their place than they gain by it go elsewhere, all at once and then one by one; each time the pools are poured anew, and
only what leaves fewer tokens short, or as few at less cost, is kept. Decides no bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.local_search import Draft, by_size, cost_of
from scheduler.planning.whole_fleet.pouring import Poured, poured
from scheduler.planning.whole_fleet.rates import Rates

_J_PER_KWH = 3.6e6
# All at once by a part of what GPUs are worth to the pools, in turn; then one by one, each of which pours once.
_DAMPED_RATIOS = (1.0, 0.7, 0.4)
_MOST_TRIES = 150
_LEAST_GAIN_RATIO = 1e-9


def moved_for_pools(priced: FleetCase, jobs: Assignment, filled: Poured) -> tuple[Assignment, Poured]:
    """The same jobs where jobs and pools together cost least, as far as moves of jobs find it."""
    return _Moves(priced, jobs, filled).best()


def worth_gco2e_per_s(carbon: Rates, token_cost: Mapping[str, float]) -> Floats:
    """What a GPU more is worth to the pools in each cell, (regions, cells), by what a token more would cost them."""
    case, edges = carbon.case, carbon.edges_at_s
    worth = np.zeros_like(carbon.carbon_g_per_kwh)
    for pool in case.pools:
        inside = (edges[1:] > pool.earliest_start_at_s) & (edges[:-1] < pool.deadline_at_s)
        for row, region in enumerate(case.regions):
            if (density := pool.density_in(region.name)) is None:
                continue
            paid = carbon.carbon_g_per_kwh[row] - pool.waiting_cost_per_kwh
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
        self._start, self._filled = jobs, filled
        self._rank = self._ranked(self._draft, filled)
        self._tries = _MOST_TRIES

    def best(self) -> tuple[Assignment, Poured]:
        if len(self._draft.places) < len(self._planned):
            return self._start, self._filled
        has_moved = True
        while has_moved and self._tries > 0:
            has_moved = self._has_moved_all()
        while self._has_moved_one():
            pass
        return dict(self._draft.places), self._filled

    @staticmethod
    def _ranked(draft: Draft, filled: Poured) -> tuple[float, float]:
        short_ratio, cost = filled.rank
        return short_ratio, cost + draft.rank[1]

    def _worth(self, ratio: float) -> Rates:
        worth = worth_gco2e_per_s(self._carbon, self._filled.token_cost)
        return self._carbon.with_prices(ratio * worth, np.zeros_like(worth))

    def _has_moved_all(self) -> bool:
        for ratio in _DAMPED_RATIOS:
            trial = self._draft.copy()
            trial.reinsert(sorted(self._planned, key=by_size), self._worth(ratio))
            if self._is_kept(trial):
                return True
        return False

    def _has_moved_one(self) -> bool:
        """The first that helps, of those that gain most by what their place is worth."""
        rates = self._worth(1.0)
        wishes = sorted(
            (-gain_cost, job.id, job, place) for job in self._planned for gain_cost, place in self._wish(job, rates)
        )
        for _, _, job, place in wishes:
            if self._tries <= 0:
                return False
            trial = self._draft.copy()
            trial.take_out(job)
            trial.put(job, place)
            if self._is_kept(trial):
                return True
        return False

    def _wish(self, job: Job, rates: Rates) -> Iterator[tuple[float, tuple[Segment, ...]]]:
        """Where the job would rather be, and what it gains by it; nothing where it is best off."""
        before, curves = self._draft.places[job.id], rates.curves(job)
        if self._draft.reinsert([job], rates):
            after = self._draft.take_out(job)
            self._draft.put(job, before)
            yield cost_of(before, curves) - cost_of(after, curves), after

    def _is_kept(self, trial: Draft) -> bool:
        if trial.places == self._draft.places or len(trial.places) < len(self._planned):
            return False
        self._tries -= 1
        filled = poured(self._priced, trial.places)
        rank = self._ranked(trial, filled)
        least = self._rank[1] - _LEAST_GAIN_RATIO * abs(self._rank[1])
        if rank[0] > self._rank[0] or (rank[0] == self._rank[0] and rank[1] >= least):
            return False
        self._draft, self._filled, self._rank = trial, filled, rank
        return True
