"""A lower bound on what any plan of these jobs emits, by Lagrangian decomposition: prices for capacity.

Give capacity a price y >= 0 at each instant, region and resource. For every plan that keeps within capacity, the sum
over jobs of emissions plus prices paid, minus capacity times the integral of the price, is at most the plan's
emissions, because at each instant the use does not exceed the capacity that is subtracted. Let each job now minimise
emissions plus prices on its own, whatever the others do: the sum can only fall. So for any prices at all the result is
a lower bound on every plan, wherever between two cells its jobs start. Prices that are constant on cells cost
tightness, never validity.

The job's own minimum is exact. A contiguous job pays a piecewise linear function of its start that bends only where one
end of the run meets an edge of the cells or its own limits, so only these starts are looked at; emissions and prices
are integrals over the real interval. A job that may pause is relaxed: it takes its cheapest instants, in the cheapest
region at each, which no choice of pieces can undercut as long as pauses cost nothing.

The prices are found by subgradient ascent: the price of a cell rises where the jobs' choices exceed its capacity. Steps
are Polyak's towards the emissions of a known plan, with the direction averaged against zigzag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.curve import Intervals, long_enough, overlap
from scheduler.planning.rates import Rates, cumulated

Indexes = NDArray[np.intp]

_J_PER_KWH = 3.6e6

DEFAULT_ROUNDS = 300
# The share of the direction that is kept from round to round, and how a stalled ascent shortens its steps.
_INERTIA_RATIO = 0.6
_FIRST_STEP_RATIO = 1.0
_PATIENCE_ROUNDS = 12
_SHORTER_RATIO = 0.6
_LEAST_STEP_RATIO = 1e-3
# A slope this small, in GPUs squared times seconds, is none: the prices are the best there are.
_FLAT = 1e-6
# The bound is a difference of large sums. Twice their worst rounding for each cell that is summed, and this share of
# the result, are given away, so that rounding never makes it too high.
_ROUNDING_OF_SUMS_RATIO = 2 * float(np.finfo(np.float64).eps)
_ROUNDING_RATIO = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """No plan of the jobs emits less than `lower_bound_gco2e`; `rates` hold the prices that prove it."""

    lower_bound_gco2e: float
    rates: Rates


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Answer:
    """The dual value at some prices, and its slope in them: use minus capacity, as a mean over each cell."""

    value_gco2e: float
    over_gpus: Floats
    over_w: Floats


def lower_bound(jobs: Sequence[Job], rates: Rates, known_plan_gco2e: float, rounds: int = DEFAULT_ROUNDS) -> Bound:
    """The best bound found for a plan of these jobs of the fleet, from the prices in `rates` on.

    `known_plan_gco2e` only guides the length of the steps. Each job must have some known window.
    """
    if not jobs:
        return Bound(lower_bound_gco2e=0.0, rates=rates)
    choices = _Jobs(jobs, rates)
    ascent = _Ascent(rates=rates, target_gco2e=known_plan_gco2e)
    for _ in range(rounds):
        if not ascent.step(choices.answer(ascent.rates)):
            break
    return Bound(lower_bound_gco2e=ascent.best_gco2e - _ROUNDING_RATIO * abs(ascent.best_gco2e), rates=ascent.best)


@dataclass(slots=True, kw_only=True)
class _Ascent:
    """Where the ascent is: the present prices, the best so far, and how bold its steps are."""

    rates: Rates
    target_gco2e: float
    best: Rates = field(init=False)
    best_gco2e: float = -np.inf
    step_ratio: float = _FIRST_STEP_RATIO
    stalled_rounds: int = 0
    directions: tuple[Floats, Floats] = field(init=False)

    def __post_init__(self) -> None:
        self.best = self.rates
        nothing = np.zeros_like(self.rates.carbon_g_per_kwh)
        self.directions = (nothing, nothing)

    def step(self, answer: _Answer) -> bool:
        """Move to the next prices; False when there is nothing left to gain."""
        self._remember(answer)
        missing_gco2e = max(self.target_gco2e, self.best_gco2e * (1 + 1e-4)) - answer.value_gco2e
        gpus, power = self._aimed(answer)
        # A direction whose parts cancel is short; a step measured by it alone would leap out of all proportion.
        square = max(self._square(*self._possible(answer.over_gpus, answer.over_w)), self._square(gpus, power))
        if missing_gco2e <= 0 or square <= _FLAT or self.step_ratio < _LEAST_STEP_RATIO:
            return False
        length = self.step_ratio * missing_gco2e / square
        self.rates = self.rates.with_prices(
            np.maximum(self.rates.gpu_price_gco2e_per_s + length * gpus, 0.0),
            np.maximum(self.rates.power_price_gco2e_per_j + length * power * self._watt_ratio**2, 0.0),
        )
        return True

    def _remember(self, answer: _Answer) -> None:
        if answer.value_gco2e > self.best_gco2e + 1e-5 * abs(self.best_gco2e):
            self.stalled_rounds = 0
        else:
            self.stalled_rounds += 1
        if answer.value_gco2e > self.best_gco2e:
            self.best, self.best_gco2e = self.rates, answer.value_gco2e
        if self.stalled_rounds >= _PATIENCE_ROUNDS:
            self.step_ratio *= _SHORTER_RATIO
            self.stalled_rounds = 0
            self.rates = self.best

    def _aimed(self, answer: _Answer) -> tuple[Floats, Floats]:
        """The slope mixed with the direction so far, as far as prices can follow it."""
        keep = _INERTIA_RATIO
        gpus = (1 - keep) * answer.over_gpus + keep * self.directions[0]
        power_w = (1 - keep) * answer.over_w + keep * self.directions[1]
        self.directions = (gpus, power_w)
        return self._possible(gpus, power_w)

    def _possible(self, gpus: Floats, power_w: Floats) -> tuple[Floats, Floats]:
        """Nothing where a price is zero and would fall."""
        gpus = np.where((self.rates.gpu_price_gco2e_per_s <= 0) & (gpus < 0), 0.0, gpus)
        power_w = np.where((self.rates.power_price_gco2e_per_j <= 0) & (power_w < 0), 0.0, power_w)
        return gpus, power_w

    def _square(self, gpus: Floats, power_w: Floats) -> float:
        lengths_s = self.rates.lengths_s
        squares = gpus**2 + (power_w * self._watt_ratio) ** 2
        return float((squares * lengths_s).sum())

    @property
    def _watt_ratio(self) -> float:
        """How many GPUs a watt counts for, so that both resources weigh alike in a step."""
        case = self.rates.case
        return sum(job.gpus for job in case.jobs) / max(sum(job.power_w for job in case.jobs), 1e-9)


class _Part(Protocol):
    def choose(self, rates: Rates, gpu_s: Floats, facility_j: Floats) -> float:
        """The jobs' own minimum at these prices, in sum; adds what they use to the cells."""
        ...


class _Jobs:
    """All jobs at once: what each chooses at given prices, in arrays that do not change from round to round."""

    def __init__(self, jobs: Sequence[Job], rates: Rates) -> None:
        case = rates.case
        contiguous = [job for job in jobs if job.interruption is None]
        pausing = [job for job in jobs if job.interruption is not None]
        self._parts: list[_Part] = []
        if contiguous:
            self._parts.append(_Windows(contiguous, rates))
        if pausing:
            self._parts.append(_Fillings(pausing, rates))
        self._all_gpus = sum(job.gpus for job in jobs)
        self._all_w = sum(job.power_w for job in jobs) * max(region.pue for region in case.regions)
        self._gpus = rates.free_gpus
        caps = [[case.power_caps_w.get(region.name, np.inf)] for region in case.regions]
        self._caps_w = np.array(caps, dtype=np.float64)
        self._is_capped = np.isfinite(self._caps_w)

    def answer(self, rates: Rates) -> _Answer:
        gpu_s, facility_j = np.zeros_like(rates.carbon_g_per_kwh), np.zeros_like(rates.carbon_g_per_kwh)
        value_gco2e = 0.0
        for part in self._parts:
            value_gco2e += part.choose(rates, gpu_s, facility_j)
        lengths_s = rates.lengths_s
        caps_w = np.where(self._is_capped, self._caps_w, 0.0)
        earned_gco2e = float((rates.gpu_price_gco2e_per_s * self._gpus * lengths_s).sum())
        earned_gco2e += float((rates.power_price_gco2e_per_j * caps_w * lengths_s).sum())
        value_gco2e -= earned_gco2e + self._rounding_gco2e(rates, value_gco2e, earned_gco2e)
        over_w = np.where(self._is_capped, facility_j / lengths_s - caps_w, 0.0)
        return _Answer(value_gco2e=value_gco2e, over_gpus=gpu_s / lengths_s - self._gpus, over_w=over_w)

    def _rounding_gco2e(self, rates: Rates, *sums_gco2e: float) -> float:
        """The most that rounding can have added: each window's price is a difference of sums over all cells."""
        lengths_s = rates.lengths_s
        per_gpu = float((rates.gpu_price_gco2e_per_s * lengths_s).sum())
        per_w = float((rates.power_price_gco2e_per_j * lengths_s).sum())
        largest_gco2e = self._all_gpus * per_gpu + self._all_w * per_w + sum(abs(one) for one in sums_gco2e)
        return _ROUNDING_OF_SUMS_RATIO * len(lengths_s) * largest_gco2e


class _Windows:
    """Jobs in one piece: every start at which a minimum can lie, in one flat array over jobs and regions."""

    def __init__(self, jobs: Sequence[Job], rates: Rates) -> None:
        self._edges_at_s = rates.edges_at_s
        starts: list[Floats] = []
        owners: list[tuple[int, int, int]] = []
        for number, job in enumerate(jobs):
            for index in rates.case.allowed(job):
                found = _starts(job, rates.edges_at_s, rates.known[index])
                starts.append(found)
                owners.append((number, index, len(found)))
        job_of, region_of, counts = np.array(owners).T
        self._job = job_of.repeat(counts)
        self._first = np.flatnonzero(np.diff(self._job, prepend=-1))
        assert len(self._first) == len(jobs), "a job without a known window has no bound"
        region = region_of.repeat(counts)
        begin_s = np.concatenate(starts)
        pue = np.array([one.pue for one in rates.case.regions])
        self._gpus = np.array([float(job.gpus) for job in jobs])
        self._power_w = np.array([job.power_w for job in jobs])[self._job] * pue[region]
        duration_s = np.array([job.duration_s for job in jobs])[self._job]
        self._begin, self._end = self._place(region, begin_s), self._place(region, begin_s + duration_s)
        carbon = self._between(np.nan_to_num(rates.carbon_g_per_kwh), rates.lengths_s)
        held = self._gpus[self._job] * rates.gpu_rates_gco2e_per_s[region] * duration_s
        self._emissions_gco2e = self._power_w / pue[region] / _J_PER_KWH * carbon + held

    def choose(self, rates: Rates, gpu_s: Floats, facility_j: Floats) -> float:
        cost = self._emissions_gco2e + self._gpus[self._job] * self._between(
            rates.gpu_price_gco2e_per_s, rates.lengths_s
        )
        if rates.power_price_gco2e_per_j.any():
            cost += self._power_w * self._between(rates.power_price_gco2e_per_j, rates.lengths_s)
        least = np.minimum.reduceat(cost, self._first)
        hits = np.flatnonzero(cost == least[self._job])
        chosen = hits[np.unique(self._job[hits], return_index=True)[1]]
        self._use(self._gpus[self._job[chosen]], chosen, rates.lengths_s, gpu_s)
        self._use(self._power_w[chosen], chosen, rates.lengths_s, facility_j)
        return float(least.sum())

    def _place(self, region: Indexes, instants_s: Floats) -> tuple[Indexes, Floats]:
        """Flat index of the cell into arrays of (regions, cells + 1), and seconds into that cell."""
        edges = self._edges_at_s
        cell = np.clip(edges.searchsorted(instants_s, side="right") - 1, 0, len(edges) - 2)
        return region * len(edges) + cell, instants_s - edges[cell]

    def _between(self, per_s: Floats, lengths_s: Floats) -> Floats:
        """The integral of a step function over each candidate window."""
        sums = cumulated(per_s * lengths_s).ravel()
        steps = np.pad(per_s, ((0, 0), (0, 1))).ravel()
        (begin, into_begin_s), (end, into_end_s) = self._begin, self._end
        return (sums[end] + steps[end] * into_end_s) - (sums[begin] + steps[begin] * into_begin_s)

    def _use(self, values: Floats, chosen: Indexes, lengths_s: Floats, array: Floats) -> None:
        """Add amount times time in each cell: everything up to the end, less everything up to the begin."""
        for (cell, into_s), sign in ((self._end, 1.0), (self._begin, -1.0)):
            size = array.shape[0] * (array.shape[1] + 1)
            shape = (array.shape[0], array.shape[1] + 1)
            partly = np.bincount(cell[chosen], sign * values * into_s[chosen], size).reshape(shape)
            ends = np.bincount(cell[chosen], sign * values, size).reshape(shape)
            behind = ends[:, ::-1].cumsum(axis=1)[:, ::-1] - ends
            array += partly[:, :-1] + behind[:, :-1] * lengths_s


class _Fillings:
    """Jobs that may pause, relaxed: their cheapest instants, in the cheapest region at each."""

    def __init__(self, jobs: Sequence[Job], rates: Rates) -> None:
        edges, case = rates.edges_at_s, rates.case
        earliest_s = np.array([[job.earliest_start_at_s] for job in jobs])
        deadline_s = np.array([[job.deadline_at_s] for job in jobs])
        inside_s = np.minimum(edges[1:], deadline_s) - np.maximum(edges[:-1], earliest_s)
        self._open_s = np.maximum(inside_s, 0.0)
        self._need_s = np.array([[job.duration_s] for job in jobs])
        self._gpus = np.array([float(job.gpus) for job in jobs])
        self._power_w = np.array([job.power_w for job in jobs])
        self._pue = np.array([region.pue for region in case.regions])
        self._is_allowed = np.array(
            [[index in case.allowed(job) for index in range(len(case.regions))] for job in jobs]
        )

    def choose(self, rates: Rates, gpu_s: Floats, facility_j: Floats) -> float:
        rate, region = self._cheapest(rates)
        order = rate.argsort(axis=1, kind="stable")
        open_s = np.take_along_axis(np.where(np.isfinite(rate), self._open_s, 0.0), order, axis=1)
        before_s = np.cumsum(open_s, axis=1) - open_s
        taken_s = np.empty_like(open_s)
        np.put_along_axis(taken_s, order, np.clip(self._need_s - before_s, 0.0, open_s), axis=1)
        for index in range(len(self._pue)):
            here_s = np.where(region == index, taken_s, 0.0)
            gpu_s[index] += self._gpus @ here_s
            facility_j[index] += self._pue[index] * (self._power_w @ here_s)
        return float((np.where(taken_s > 0, rate, 0.0) * taken_s).sum())

    def _cheapest(self, rates: Rates) -> tuple[Floats, Indexes]:
        """The least cost per second of each job in each cell, and the region that has it; infinite where unknown."""
        least = np.full(self._open_s.shape, np.inf)
        which = np.zeros(self._open_s.shape, dtype=np.intp)
        for index, carbon in enumerate(rates.carbon_g_per_kwh):
            rate = np.outer(self._power_w / _J_PER_KWH, np.nan_to_num(carbon))
            rate[:, np.isnan(carbon)] = np.inf
            held = rates.gpu_price_gco2e_per_s[index] + rates.gpu_rates_gco2e_per_s[index]
            rate += np.outer(self._gpus, held)
            rate += np.outer(self._power_w * self._pue[index], rates.power_price_gco2e_per_j[index])
            rate[~self._is_allowed[:, index]] = np.inf
            better = rate < least
            least[better], which[better] = rate[better], index
        return least, which


def _starts(job: Job, edges_at_s: Floats, known: Intervals) -> Floats:
    """Where the cost of a window can have its minimum over all known starts."""
    found: list[Floats] = []
    spans = long_enough(overlap(((job.earliest_start_at_s, job.deadline_at_s),), known), job.duration_s)
    for from_s, to_s in spans:
        latest_s = max(from_s, to_s - job.duration_s)
        candidates = np.concatenate((edges_at_s, edges_at_s - job.duration_s, (from_s, latest_s)))
        found.append(candidates[(candidates >= from_s) & (candidates <= latest_s)])
    return np.unique(np.concatenate(found)) if found else np.zeros(0)
