"""How many jobs no plan can have in time, and which of them the others would be rid of first.

The bound of bound.py in another coin: nobody pays for carbon, a job pays the prices of the room it holds, and one that
would pay more than 1 stays out and costs 1. What that makes in sum, less what capacity earns, is at most the number of
jobs that any plan refuses, for any prices; so the next whole number is proved. Jobs that stay out while the prices
climb are those that hold more than one job is worth. Few wide jobs fit side by side, which shares of them hide; so the
same is asked with numbers of GPUs that bring it out. Jobs with phases or levels are left away, which can only make the
number smaller. Knows no plan.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scheduler.jobs import Job
from scheduler.planning.whole_fleet.alone.bound import FIRST_STEP_RATIO, bound_of_choices
from scheduler.planning.whole_fleet.alone.fillings import Fillings
from scheduler.planning.whole_fleet.alone.windows import Windows
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.levels import levels_of
from scheduler.planning.whole_fleet.rates import Rates

ROUNDS = 200
# A bound this little above a whole number may be rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """No plan refuses fewer than `fewest` jobs; `first` are those that stay out at the prices, most often first."""

    fewest: int
    first: Sequence[Job]


def least_left_out(case: FleetCase, rounds: int = ROUNDS) -> LeftOut:
    """Each job must have some known window."""
    jobs = [job for job in case.jobs if job.id not in case.phases and levels_of(case, job) is None]
    found = [_left_out(case, some, rounds) for some in (jobs, *_widened(case, jobs)) if some]
    own = {job.id: job for job in jobs}
    by_fewest = sorted(found, key=lambda one: -one.fewest)
    first = {job.id: own[job.id] for one in by_fewest for job in one.first}
    return LeftOut(fewest=max((one.fewest for one in found), default=0), first=list(first.values()))


def _widened(case: FleetCase, jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """The jobs with other numbers of GPUs, such that whatever fits at once still does.

    Where all regions have n GPUs, and for some k of at most n / 2: more than n - k count as n, fewer than k as none. A
    share of a wide job then leaves no room for another one. Without such regions there are none.
    """
    sizes = {region.gpus for region in case.regions}
    if len(sizes) > 1 or case.power_caps_w or any(region.held for region in case.regions):
        return
    size, widest = sizes.pop(), max((job.gpus for job in jobs), default=0)
    for narrow in range(max(size - widest + 1, 1), size // 2 + 1):
        wide = [replace(job, gpus=size) if job.gpus > size - narrow else job for job in jobs if job.gpus >= narrow]
        if wide != list(jobs):
            yield wide


def _left_out(case: FleetCase, jobs: Sequence[Job], rounds: int) -> LeftOut:
    free = _without_charges(replace(case, jobs=jobs, pools=(), gpu_rate_gco2e_per_s={}))
    in_one_piece = [job for job in jobs if job.interruption is None]
    pausing = [job for job in jobs if job.interruption is not None]
    choices: list[Windows | Fillings] = []
    if in_one_piece:
        choices.append(Windows(in_one_piece, free, most_gco2e=1.0))
    if pausing:
        choices.append(Fillings(pausing, free, most_gco2e=1.0))
    # What a job holds is worth 1 at most: the widest and longest need the least of a price to stay out.
    price_per_gpu_s = 1.0 / max(1.0, *(job.gpus * case.shortest_s(job) for job in jobs))
    found = bound_of_choices(jobs, choices, free, rounds, FIRST_STEP_RATIO * price_per_gpu_s)
    rounds_out = {name: out for one in choices for name, out in one.rounds_out.items()}
    first = sorted((job for job in jobs if rounds_out[job.id]), key=lambda job: -rounds_out[job.id])
    return LeftOut(fewest=max(math.ceil(found.lower_bound_gco2e - _ROUNDING), 0), first=first)


def _without_charges(case: FleetCase) -> Rates:
    rates = Rates.of(case)
    return Rates(
        case=case,
        edges_at_s=rates.edges_at_s,
        carbon_g_per_kwh=np.where(np.isnan(rates.carbon_g_per_kwh), np.nan, 0.0),
        gpu_price_gco2e_per_s=rates.gpu_price_gco2e_per_s,
        power_price_gco2e_per_j=rates.power_price_gco2e_per_j,
        known=rates.known,
    )
