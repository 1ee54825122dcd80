"""Where every pool of tokens would run alone, at given prices of capacity.

Each takes its tokens where one more costs least, as many GPUs at once as a region has or its power cap allows. Exact
for a pool alone, so the prices of the bound are all that pools and jobs know of each other. Moves no price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.token_pools import Pool

_J_PER_KWH = 3.6e6
# A pool that lacks so little of its tokens lacks them by rounding.
_ROUNDING_RATIO = 1e-9


class OwnPools:
    """All pools of a case. Raises ValueError where one alone cannot have its tokens."""

    def __init__(self, pools: Sequence[Pool], rates: Rates) -> None:
        self._pools = [_Alone.of(pool, rates) for pool in pools]

    def choose(self, rates: Rates, gpu_s: Floats, facility_j: Floats, near_gco2e_per_s: float = 0.0) -> float:
        """The pools' own minimum at these prices, in sum; adds what they use to the cells, the cheapest alone."""
        return sum(one.fill(rates, gpu_s, facility_j) for one in self._pools)

    @property
    def mean_gpus(self) -> float:
        """How many GPUs all pools hold in the mean over their windows."""
        return sum(one.mean_gpus for one in self._pools)

    @property
    def mean_w(self) -> float:
        return sum(one.mean_gpus * float(one.power_w.mean()) for one in self._pools)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Alone:
    """A pool with the regions it may use, each (regions, 1), and what it could hold of each cell at most, in GPU-s."""

    tokens: float
    waiting_gco2e_per_j: float
    window_s: float
    rows: list[int]
    tokens_per_s: Floats
    power_w: Floats
    facility_w: Floats
    most_gpu_s: Floats

    @classmethod
    def of(cls, pool: Pool, rates: Rates) -> _Alone:
        case, edges = rates.case, rates.edges_at_s
        found = {index: pool.density_in(region.name) for index, region in enumerate(case.regions)}
        densities = [one for one in found.values() if one is not None]
        rows = [index for index, one in found.items() if one is not None]
        power_w = np.array([[one.power_w] for one in densities])
        pue = np.array([[case.regions[index].pue] for index in rows])
        caps = np.array([[case.power_caps_w.get(case.regions[index].name, math.inf)] for index in rows])
        powered = np.divide(caps, power_w * pue, where=power_w > 0, out=np.full_like(caps, math.inf))
        most_gpus = np.minimum(rates.free_gpus[rows], powered)
        open_s = np.minimum(edges[1:], pool.deadline_at_s) - np.maximum(edges[:-1], pool.earliest_start_at_s)
        most_gpu_s = most_gpus * np.maximum(open_s, 0.0)
        return cls(
            tokens=pool.tokens,
            waiting_gco2e_per_j=pool.waiting_cost_per_kwh / _J_PER_KWH,
            window_s=pool.deadline_at_s - pool.earliest_start_at_s,
            rows=rows,
            tokens_per_s=np.array([[one.tokens_per_s] for one in densities]),
            power_w=power_w,
            facility_w=power_w * pue,
            most_gpu_s=np.where(np.isnan(rates.carbon_g_per_kwh[rows]), 0.0, most_gpu_s),
        )

    @property
    def mean_gpus(self) -> float:
        return self.tokens / float(self.tokens_per_s.mean()) / self.window_s

    def fill(self, rates: Rates, gpu_s: Floats, facility_j: Floats) -> float:
        carbon = np.nan_to_num(rates.site_g_per_kwh[self.rows]) / _J_PER_KWH - self.waiting_gco2e_per_j
        held = rates.gpu_price_gco2e_per_s[self.rows] + rates.gpu_rates_gco2e_per_s[self.rows, None]
        cost = self.power_w * carbon + self.facility_w * rates.power_price_gco2e_per_j[self.rows] + held
        order = (cost / self.tokens_per_s).argsort(axis=None, kind="stable")
        most_tokens = (self.most_gpu_s * self.tokens_per_s).ravel()[order]
        before_tokens = np.cumsum(most_tokens) - most_tokens
        taken_tokens = np.clip(self.tokens - before_tokens, 0.0, most_tokens)
        if taken_tokens.sum() < self.tokens * (1.0 - _ROUNDING_RATIO):
            raise ValueError("a bound is for pools that could have their tokens, were they alone")
        row, cell = np.unravel_index(order, cost.shape)
        taken_gpu_s = np.zeros_like(cost)
        taken_gpu_s[row, cell] = taken_tokens / self.tokens_per_s[row, 0]
        gpu_s[self.rows] += taken_gpu_s
        facility_j[self.rows] += taken_gpu_s * self.facility_w
        return float((taken_gpu_s * cost).sum())
