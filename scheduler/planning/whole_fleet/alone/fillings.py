"""When every job that may pause would run alone, at given prices of capacity.

Relaxed: each takes its cheapest instants, in the cheapest region at each, which no choice of pieces can undercut as
long as pauses cost nothing. Knows no capacity and moves no price.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.whole_fleet.rates import Rates

Indexes = NDArray[np.intp]

_J_PER_KWH = 3.6e6
# Jobs filled together: enough to be quick, few enough that their windows are alike.
_TOGETHER = 256


class Fillings:
    """Jobs that may pause, relaxed.

    Those of equal power per GPU and equal regions order their instants alike. One that would pay more stays out for
    `most_gco2e`; `rounds_out` counts how often, by its id.
    """

    def __init__(self, jobs: Sequence[Job], rates: Rates, most_gco2e: float = np.inf) -> None:
        self._most_gco2e = most_gco2e
        case = rates.case
        kinds: dict[tuple[float, tuple[int, ...]], list[Job]] = {}
        for job in sorted(jobs, key=lambda one: one.earliest_start_at_s):
            kinds.setdefault((job.power_w / job.gpus, tuple(case.allowed(job))), []).append(job)
        self._kinds = [
            (power_w, np.array(allowed, dtype=np.intp), _batches(some, rates.edges_at_s))
            for (power_w, allowed), some in kinds.items()
        ]
        self._facility_ratio = np.array([[region.facility_ratio] for region in case.regions])

    def choose(self, rates: Rates, gpu_s: Floats, facility_j: Floats, near_gco2e_per_s: float = 0.0) -> float:
        """The sum of the least costs; adds what is used to the cells.

        What a job takes of cells that cost up to `near_gco2e_per_s` less or more than its dearest is evened out.
        """
        value = 0.0
        for power_w, least, region, batches in self._by_kind(rates):
            for batch in batches:
                paid_gco2e, order, taken_gpu_s = batch.fill(least, self._most_gco2e, near_gco2e_per_s)
                value += paid_gco2e
                at = (region[order], order)
                gpu_s[at] += taken_gpu_s
                facility_j[at] += power_w * self._facility_ratio[at[0], 0] * taken_gpu_s
        return value

    def least_gco2e(self, rates: Rates) -> dict[str, float]:
        """What each job pays at least, by its id."""
        found: dict[str, float] = {}
        for _, least, _, batches in self._by_kind(rates):
            for batch in batches:
                order, taken_s = batch.taken_s(least)
                paid_gco2e = batch.paid_gco2e(least, order, taken_s)
                found |= zip(batch.ids, paid_gco2e.tolist(), strict=True)
        return found

    def _by_kind(self, rates: Rates) -> Iterator[tuple[float, Floats, Indexes, Sequence[_Batch]]]:
        """Of each kind its power per GPU, what a GPU pays in each cell where that is least, where, and its jobs."""
        carbon = np.where(np.isnan(rates.carbon_g_per_kwh), np.inf, rates.carbon_g_per_kwh) / _J_PER_KWH
        held = rates.gpu_price_gco2e_per_s + rates.gpu_rates_gco2e_per_s[:, None]
        power = rates.power_price_gco2e_per_j * self._facility_ratio
        for power_w, allowed, batches in self._kinds:
            # An unknown cell stays infinite for a job without power too.
            unknown = np.isinf(carbon[allowed])
            costs = power_w * (np.where(unknown, 0.0, carbon[allowed]) + power[allowed]) + held[allowed]
            costs[unknown] = np.inf
            row = costs.argmin(axis=0)
            yield power_w, costs[row, np.arange(len(row))], allowed[row], batches

    @property
    def rounds_out(self) -> dict[str, int]:
        batches = [batch for _, _, some in self._kinds for batch in some]
        return {name: int(rounds) for one in batches for name, rounds in zip(one.ids, one.rounds_out, strict=True)}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Batch:
    """Jobs of one kind: the cells from `first` on in which any of them may run, and for how long, (jobs, cells)."""

    first: int
    ids: Sequence[str]
    open_s: Floats
    need_s: Floats
    gpus: Floats
    rounds_out: NDArray[np.int64]

    def fill(
        self, rate_gco2e_per_s: Floats, most_gco2e: float, near_gco2e_per_s: float
    ) -> tuple[float, Indexes, Floats]:
        """The sum of the least costs, none above `most_gco2e`; the cells, and what is taken of each."""
        order, taken_s = self.taken_s(rate_gco2e_per_s)
        gpus, out_gco2e = self.gpus, 0.0
        if math.isfinite(most_gco2e):
            stays = self.paid_gco2e(rate_gco2e_per_s, order, taken_s) <= most_gco2e
            self.rounds_out[~stays] += 1
            gpus, out_gco2e = gpus * stays, most_gco2e * float((~stays).sum())
        taken_gpu_s = gpus @ taken_s
        rate = rate_gco2e_per_s[self.first + order]
        paid_gco2e = float(taken_gpu_s @ rate) + out_gco2e
        if near_gco2e_per_s > 0.0:
            taken_gpu_s = gpus @ self._evened_s(order, taken_s, rate, near_gco2e_per_s)
        return paid_gco2e, self.first + order, taken_gpu_s

    def _evened_s(self, order: Indexes, taken_s: Floats, rate_gco2e_per_s: Floats, near_gco2e_per_s: float) -> Floats:
        """As much of each job in all, evened out over the cells that cost about what its dearest does."""
        last = taken_s.shape[1] - 1 - (taken_s[:, ::-1] > 0.0).argmax(axis=1)
        dearest = rate_gco2e_per_s[last][:, None]
        is_near = np.abs(rate_gco2e_per_s - dearest) <= near_gco2e_per_s
        open_s = self.open_s[:, order] * is_near
        share = (taken_s * is_near).sum(axis=1, keepdims=True) / np.maximum(open_s.sum(axis=1, keepdims=True), 1e-9)
        evened: Floats = np.where(is_near, open_s * share, taken_s)
        return evened

    def taken_s(self, rate_gco2e_per_s: Floats) -> tuple[Indexes, Floats]:
        """The cells from the cheapest on, and how much of each every job takes, (jobs, cells)."""
        rate = rate_gco2e_per_s[self.first : self.first + self.open_s.shape[1]]
        order = rate.argsort(kind="stable")
        order = order[np.isfinite(rate[order])]
        open_s = self.open_s[:, order]
        left_s = self.need_s - (np.cumsum(open_s, axis=1) - open_s)
        return order, np.clip(left_s, 0.0, open_s)

    def paid_gco2e(self, rate_gco2e_per_s: Floats, order: Indexes, taken_s: Floats) -> Floats:
        """What each job pays for what it takes."""
        paid: Floats = self.gpus * (taken_s @ rate_gco2e_per_s[self.first + order])
        return paid


def _batches(jobs: Sequence[Job], edges_at_s: Floats) -> list[_Batch]:
    return [_batch(jobs[first : first + _TOGETHER], edges_at_s) for first in range(0, len(jobs), _TOGETHER)]


def _batch(jobs: Sequence[Job], edges_at_s: Floats) -> _Batch:
    earliest_s = np.array([[job.earliest_start_at_s] for job in jobs])
    deadline_s = np.array([[job.deadline_at_s] for job in jobs])
    first = max(int(edges_at_s.searchsorted(earliest_s.min(), side="right")) - 1, 0)
    last = int(edges_at_s.searchsorted(deadline_s.max()))
    edges = edges_at_s[first : last + 1]
    return _Batch(
        first=first,
        ids=[job.id for job in jobs],
        open_s=np.maximum(np.minimum(edges[1:], deadline_s) - np.maximum(edges[:-1], earliest_s), 0.0),
        need_s=np.array([[job.duration_s] for job in jobs]),
        gpus=np.array([float(job.gpus) for job in jobs]),
        rounds_out=np.zeros(len(jobs), dtype=np.int64),
    )
