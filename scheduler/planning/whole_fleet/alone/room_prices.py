"""How many jobs no plan can have in time, as prices of room prove it: the bound of bound.py in another coin.

Carbon is free. A job pays for the room that it holds, or stays out and pays 1. What all pay, less what the room earns,
is at most the number of jobs that any plan refuses, for any prices. Each way to weigh the widths of jobs (packings.py)
has prices of its own in each cell, and a job pays all of them. Regions that are alike for all these jobs share one
price: among them no other prices prove more. Power caps are left away, which can only make the number smaller.

Jobs are handed on to windows.py and fillings.py as jobs of one GPU each, in a fleet in which each kind of region has
one region for each width. Knows no plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.plan import Region
from scheduler.planning.whole_fleet.alone.ascent import LAST_STEP_RATIO, Slopes
from scheduler.planning.whole_fleet.alone.fillings import Fillings
from scheduler.planning.whole_fleet.alone.packings import ways_to_weigh
from scheduler.planning.whole_fleet.alone.windows import Windows
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates

# The first step of a price, beside the price at which the job that holds the most room pays 1.
_FIRST_STEP_RATIO = 1.5
# What rounding can add to a sum over all cells, beside its largest part, is less than twice this for each of them.
_ROUNDING_RATIO = 2 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Proof:
    """No plan refuses fewer jobs than `least_jobs`, a fraction. `rounds_out` counts how often each job stayed out."""

    least_jobs: float
    prices_per_s: Floats
    rounds_out: Mapping[str, int]


class RoomPrices:
    """The room of a fleet, and what jobs that may or may not be planned pay for it at any prices.

    Each job must have some known window, and neither phases nor levels.
    """

    def __init__(self, case: FleetCase, jobs: Sequence[Job]) -> None:
        self._widths = sorted({job.gpus for job in jobs})
        kinds = _alike(case, jobs)
        own = _fleet_of_widths(case, jobs, [case.regions[some[0]] for some in kinds], self._widths)
        rates = Rates.of(replace(case, jobs=jobs, pools=()))
        self._rates = _in_cells_of(rates, own, [some[0] for some in kinds for _ in self._widths])
        free = rates.free_gpus[[some[0] for some in kinds]]
        self._weights, is_way = _weights(free, self._widths)
        count = np.array([float(len(some)) for some in kinds])
        self._capacity = np.where(is_way, count[None, :, None], 0.0)
        self._choices: list[Windows | Fillings] = []
        for kind, some in ((Windows, False), (Fillings, True)):
            if part := [job for job in own.jobs if (job.interruption is not None) == some]:
                self._choices.append(kind(part, self._rates, most_gco2e=1.0))
        widest = {job.id: float(self._weights[..., self._widths.index(job.gpus)].max()) for job in jobs}
        self._price_per_s = 1.0 / max(1.0, *(widest[job.id] * case.shortest_s(job) for job in jobs))

    @property
    def pairs(self) -> int:
        """Jobs times what each looks at in a round."""
        return len(self._rates.case.jobs) * len(self._rates.case.regions)

    @property
    def edges_at_s(self) -> Floats:
        return self._rates.edges_at_s

    def priced_ratio(self, prices_per_s: Floats) -> Floats:
        """What all room costs in each cell beside the dearest cell, (cells,)."""
        paid: Floats = (prices_per_s * self._capacity).sum(axis=(0, 1))
        return paid / max(float(paid.max(initial=0.0)), np.finfo(np.float64).tiny)

    def climbed(self, rounds: int) -> Proof:
        """From no prices on."""
        lengths_s, steps = self._rates.lengths_s, Slopes((1,))
        prices = best = np.zeros_like(self._capacity)
        least, over = self._answer(prices)
        for number in range(1, rounds + 1):
            step = _FIRST_STEP_RATIO * self._price_per_s * LAST_STEP_RATIO ** (number / rounds)
            slope_ratio = over / (np.maximum(self._capacity, 1.0) * lengths_s)
            prices = np.maximum(prices + step * steps.aimed(slope_ratio), 0.0)
            value, over = self._answer(prices)
            if value > least:
                least, best = value, prices
        rounds_out = {name: out for one in self._choices for name, out in one.rounds_out.items()}
        return Proof(least_jobs=least, prices_per_s=best, rounds_out=rounds_out)

    def _answer(self, prices_per_s: Floats) -> tuple[float, Floats]:
        """What the prices prove, and by how much the jobs' choices exceed the room, in each way."""
        ways, kinds, cells = prices_per_s.shape
        of_width = np.einsum("fkc,fkcw->kwc", prices_per_s, self._weights).reshape(-1, cells)
        rates = self._rates.with_prices(of_width, self._rates.power_price_gco2e_per_j)
        held_s, unused = np.zeros_like(of_width), np.zeros_like(of_width)
        paid = sum(one.choose(rates, held_s, unused) for one in self._choices)
        lengths_s = self._rates.lengths_s
        earned = float((prices_per_s * self._capacity * lengths_s).sum())
        over = np.einsum("kwc,fkcw->fkc", held_s.reshape(kinds, -1, cells), self._weights)
        jobs = len(self._rates.case.jobs)
        largest = jobs * float((of_width * lengths_s).sum(axis=1).max()) + abs(paid) + abs(earned)
        rounding = _ROUNDING_RATIO * ways * cells * largest
        return paid - earned - rounding, over - self._capacity * lengths_s


def _alike(case: FleetCase, jobs: Sequence[Job]) -> list[list[int]]:
    """Indexes of regions, those together that no job tells apart."""
    asked = list(dict.fromkeys(tuple(case.allowed(job)) for job in jobs))
    known = Rates.of(replace(case, jobs=jobs, pools=())).known
    kinds: dict[tuple[object, ...], list[int]] = {}
    for index, region in enumerate(case.regions):
        allowed = tuple(index in some for some in asked)
        if any(allowed):
            key = (region.gpus, region.held, region.speed, tuple(known[index]), allowed)
            kinds.setdefault(key, []).append(index)
    return list(kinds.values())


def _fleet_of_widths(
    case: FleetCase, jobs: Sequence[Job], regions: Sequence[Region], widths: Sequence[int]
) -> FleetCase:
    """Each of the regions once for each width; each job on one GPU where it may be, by its own width."""
    every = [
        Region(name=f"{width} GPUs in {region.name}", zone=region.zone, gpus=1, speed=region.speed)
        for region in regions
        for width in widths
    ]
    allowed = {region.name: index for index, region in enumerate(case.regions)}
    own = [
        replace(
            job,
            gpus=1,
            power_w=1.0,
            regions=tuple(
                f"{job.gpus} GPUs in {region.name}" for region in regions if allowed[region.name] in case.allowed(job)
            ),
        )
        for job in jobs
    ]
    return FleetCase(jobs=own, regions=every, forecasts=case.forecasts)


def without_carbon(rates: Rates) -> Rates:
    """The same cells, where nobody pays for what a job emits."""
    return _in_cells_of(rates, rates.case, range(len(rates.known)))


def _in_cells_of(rates: Rates, case: FleetCase, index: Sequence[int]) -> Rates:
    """Without carbon, for regions that are known when those of these indexes are."""
    carbon = np.where(np.isnan(rates.carbon_g_per_kwh[index]), np.nan, 0.0)
    return Rates(
        case=case,
        edges_at_s=rates.edges_at_s,
        carbon_g_per_kwh=carbon,
        gpu_price_gco2e_per_s=np.zeros_like(carbon),
        power_price_gco2e_per_j=np.zeros_like(carbon),
        known=[rates.known[one] for one in index],
    )


def _weights(free_gpus: Floats, widths: Sequence[int]) -> tuple[Floats, Floats]:
    """Of shape (ways, kinds, cells, widths), and which ways there are, (ways, kinds, cells)."""
    by_gpus = {gpus: ways_to_weigh(int(gpus), widths) for gpus in np.unique(free_gpus).tolist()}
    ways = max(len(one) for one in by_gpus.values())
    weights = np.zeros((ways, *free_gpus.shape, len(widths)))
    is_way = np.zeros((ways, *free_gpus.shape), dtype=np.bool_)
    for gpus, some in by_gpus.items():
        here = free_gpus == gpus
        weights[: len(some), here] = some[:, None, :]
        is_way[: len(some), here] = gpus > 0
    return weights, is_way
