"""A lower bound on what any plan of these jobs emits, by Lagrangian decomposition: prices for capacity.

Give capacity a price y >= 0 at each instant, region and resource. For every plan that keeps within capacity, the sum
over jobs of emissions plus prices paid, minus capacity times the integral of the price, is at most the plan's
emissions, because at each instant the use does not exceed the capacity that is subtracted. Let each job now minimise
emissions plus prices on its own, whatever the others do: the sum can only fall. So for any prices at all the result is
a lower bound on every plan, wherever between two cells its jobs start. Prices that are constant on cells cost
tightness, never validity.

What a job would choose alone is exact for one that runs in one piece (windows.py), and relaxed for one that may
pause (fillings.py, levels.py). Pools of tokens take part like jobs (pools.py).

The prices are found by ascent: the price of a cell rises where the jobs' choices exceed its capacity and falls where
they leave room. Jobs that like the same hours would leap together from one place to the next, and the prices after
them; so what a job uses is spread over all places that cost it at most a part of a step more than its cheapest. What it
pays is always the least, so the bound stays one. Each price has a step of its own, the longer the steadier its slope,
and all steps shrink from round to round by a schedule; so an ascent needs no plan to aim at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.whole_fleet.alone.ascent import LAST_STEP_RATIO, Slopes
from scheduler.planning.whole_fleet.alone.choices import OwnChoice, own_choices
from scheduler.planning.whole_fleet.alone.pools import OwnPools
from scheduler.planning.whole_fleet.alone.windows import classes
from scheduler.planning.whole_fleet.rates import Rates

_J_PER_KWH = 3.6e6

DEFAULT_ROUNDS = 200
# The first step of a price, beside what a job pays for a GPU in the mean.
FIRST_STEP_RATIO = 1.5
# How much more a place that gets a share may cost, beside the present step; measured in docs/decisions/0048.
_NEAR_RATIO = 0.3
# With more pairs of a job and a region, equal jobs counted once, a round of it takes twice as long, and time is short.
_MOST_SPREAD_PAIRS = 20_000
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
class Capacity:
    """GPUs and watts of the facility that jobs may use in the mean of each cell; watts are infinite without a cap."""

    gpus: Floats
    caps_w: Floats

    @classmethod
    def of(cls, rates: Rates) -> Capacity:
        """All that the fleet has."""
        caps = [[rates.case.power_caps_w.get(region.name, np.inf)] for region in rates.case.regions]
        return cls(gpus=rates.free_gpus, caps_w=np.array(caps, dtype=np.float64))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Answer:
    """The dual value at some prices, and its slope in them: use minus capacity, as a mean over each cell."""

    value_gco2e: float
    over_gpus: Floats
    over_w: Floats


def lower_bound(
    jobs: Sequence[Job],
    rates: Rates,
    rounds: int = DEFAULT_ROUNDS,
    first_step_ratio: float = FIRST_STEP_RATIO,
    capacity: Capacity | None = None,
) -> Bound:
    """The best bound found for a plan of these jobs and of all pools of the fleet, from the prices in `rates` on.

    Shorter steps keep to good prices. Each job must have some known window, each pool room for its tokens. `capacity`
    is what other jobs leave, or None for all that the fleet has.
    """
    if not jobs and not rates.case.pools:
        return Bound(lower_bound_gco2e=0.0, rates=rates)
    choices = _Jobs(jobs, own_choices(jobs, rates), rates, capacity or Capacity.of(rates))
    step_gco2e_per_s = first_step_ratio * _mean_gco2e_per_s(rates, choices.w_per_gpu)
    pairs = len(classes(jobs, rates.case)) * len(rates.case.regions)
    return _climbed(choices, rates, rounds, step_gco2e_per_s, _NEAR_RATIO if pairs <= _MOST_SPREAD_PAIRS else 0.0)


def bound_of_choices(
    jobs: Sequence[Job], choices: Sequence[OwnChoice], rates: Rates, rounds: int, first_step_gco2e_per_s: float
) -> Bound:
    """The same for jobs that choose in another way, or pay in another coin: prices rise by no more than the step."""
    return _climbed(_Jobs(jobs, choices, rates, Capacity.of(rates)), rates, rounds, first_step_gco2e_per_s, 0.0)


def _climbed(choices: _Jobs, rates: Rates, rounds: int, first_step_gco2e_per_s: float, near_ratio: float) -> Bound:
    answer = choices.answer(rates)
    ascent = _Ascent(rates=rates, best=rates, best_gco2e=answer.value_gco2e, capacity=choices.capacity)
    for number in range(1, rounds + 1):
        step_gco2e_per_s = first_step_gco2e_per_s * LAST_STEP_RATIO ** (number / rounds)
        ascent.step(answer, step_gco2e_per_s)
        answer = choices.answer(ascent.rates, near_ratio * step_gco2e_per_s)
        ascent.remember(answer)
    return Bound(lower_bound_gco2e=ascent.best_gco2e - _ROUNDING_RATIO * abs(ascent.best_gco2e), rates=ascent.best)


def _mean_gco2e_per_s(rates: Rates, w_per_gpu: float) -> float:
    """What a GPU pays in the mean over all regions and times: the prices that send jobs elsewhere are of this size."""
    known = np.isfinite(rates.carbon_g_per_kwh)
    carbon = float(np.abs(rates.carbon_g_per_kwh[known]).mean()) if known.any() else 0.0
    return w_per_gpu * carbon / _J_PER_KWH + float(np.abs(rates.gpu_rates_gco2e_per_s).mean())


@dataclass(slots=True, kw_only=True)
class _Ascent:
    """Where the ascent is: the present prices, the best so far, and the slopes behind it."""

    rates: Rates
    best: Rates
    best_gco2e: float
    capacity: tuple[Floats, Floats]
    gpu_slopes: Slopes = field(init=False)
    power_slopes: Slopes = field(init=False)

    def __post_init__(self) -> None:
        shape = self.rates.carbon_g_per_kwh.shape
        self.gpu_slopes, self.power_slopes = Slopes(shape), Slopes(shape)

    def step(self, answer: _Answer, gpu_step_gco2e_per_s: float) -> None:
        """Move to the next prices."""
        gpus, caps_w = self.capacity
        gpu = self.gpu_slopes.aimed(answer.over_gpus / gpus)
        power = self.power_slopes.aimed(answer.over_w / caps_w)
        self.rates = self.rates.with_prices(
            np.maximum(self.rates.gpu_price_gco2e_per_s + gpu_step_gco2e_per_s * gpu, 0.0),
            np.maximum(self.rates.power_price_gco2e_per_j + gpu_step_gco2e_per_s * gpus / caps_w * power, 0.0),
        )

    def remember(self, answer: _Answer) -> None:
        if answer.value_gco2e > self.best_gco2e:
            self.best, self.best_gco2e = self.rates, answer.value_gco2e


class _Jobs:
    """All jobs at once: what they choose at given prices, and what they use by it."""

    def __init__(self, jobs: Sequence[Job], choices: Sequence[OwnChoice], rates: Rates, capacity: Capacity) -> None:
        case = rates.case
        self._parts: list[OwnChoice] = list(choices)
        pools = OwnPools(case.pools, rates)
        if case.pools:
            self._parts.append(pools)
        most_w = sum(case.most_w(job) for job in jobs) + pools.mean_w
        self._all_gpus = sum(case.most_gpus(job) for job in jobs) + pools.mean_gpus
        self._all_w = most_w * max(region.facility_ratio for region in case.regions)
        self.w_per_gpu = (sum(job.power_w for job in jobs) + pools.mean_w) / (
            sum(job.gpus for job in jobs) + pools.mean_gpus
        )
        self._gpus, self._caps_w = capacity.gpus, capacity.caps_w
        self._is_capped = np.isfinite(self._caps_w)

    @property
    def capacity(self) -> tuple[Floats, Floats]:
        """GPUs and watts of each region and cell; one where there is none."""
        return np.maximum(self._gpus, 1.0), np.where(self._is_capped, np.maximum(self._caps_w, 1e-9), 1.0)

    def answer(self, rates: Rates, near_gco2e_per_s: float = 0.0) -> _Answer:
        gpu_s, facility_j = np.zeros_like(rates.carbon_g_per_kwh), np.zeros_like(rates.carbon_g_per_kwh)
        value_gco2e = 0.0
        for part in self._parts:
            value_gco2e += part.choose(rates, gpu_s, facility_j, near_gco2e_per_s)
        lengths_s = rates.lengths_s
        caps_w = np.where(self._is_capped, self._caps_w, 0.0)
        earned_gco2e = float((rates.gpu_price_gco2e_per_s * self._gpus * lengths_s).sum())
        earned_gco2e += float((rates.power_price_gco2e_per_j * caps_w * lengths_s).sum())
        value_gco2e -= earned_gco2e + self._rounding_gco2e(rates, value_gco2e, earned_gco2e)
        over_w = np.where(self._is_capped, facility_j / lengths_s - caps_w, 0.0)
        over_gpus = gpu_s / lengths_s - self._gpus
        return _Answer(value_gco2e=value_gco2e, over_gpus=over_gpus, over_w=over_w)

    def _rounding_gco2e(self, rates: Rates, *sums_gco2e: float) -> float:
        """The most that rounding can have added: each window's price is a difference of sums over all cells."""
        lengths_s = rates.lengths_s
        per_gpu = float((rates.gpu_price_gco2e_per_s * lengths_s).sum())
        per_w = float((rates.power_price_gco2e_per_j * lengths_s).sum())
        largest_gco2e = self._all_gpus * per_gpu + self._all_w * per_w + sum(abs(one) for one in sums_gco2e)
        return _ROUNDING_OF_SUMS_RATIO * len(lengths_s) * largest_gco2e
