"""How many jobs no plan can have in time, and which of them the others would be rid of first.

What prices of room prove (room_prices.py) of all jobs at once, or of parts of them: no job is in two parts, so every
plan refuses at least what it must of each, and each of these numbers is whole. Crowds of jobs that come at different
times are such parts. Jobs that stay out while the prices climb are those that hold more than one job is worth. Where
watts are limited, the same is asked of prices for them. Jobs with phases or levels are left away, which can only make
the number smaller. Knows no plan.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scheduler.jobs import Job
from scheduler.planning.whole_fleet.alone.bound import FIRST_STEP_RATIO, bound_of_choices
from scheduler.planning.whole_fleet.alone.crowds import crowds
from scheduler.planning.whole_fleet.alone.fillings import Fillings
from scheduler.planning.whole_fleet.alone.room_prices import RoomPrices, without_carbon
from scheduler.planning.whole_fleet.alone.windows import Windows
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.levels import levels_of
from scheduler.planning.whole_fleet.rates import Rates

ROUNDS = 200
# A large fleet gets fewer rounds: one looks at every pair of a job and a kind of region.
_COUNTED_PAIRS, _LEAST_ROUNDS = 2_000_000, 50
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
    if not jobs:
        return LeftOut(fewest=0, first=())
    room = RoomPrices(case, jobs)
    rounds = min(max(_COUNTED_PAIRS // room.pairs, _LEAST_ROUNDS), rounds)
    proof = room.climbed(rounds)
    rounds_out, fewest = Counter(proof.rounds_out), _whole(proof.least_jobs)
    if len(parts := crowds(jobs, room.edges_at_s, room.priced_ratio(proof.prices_per_s))) > 1:
        found = [RoomPrices(case, part).climbed(rounds) for part in parts]
        fewest = max(fewest, sum(_whole(one.least_jobs) for one in found))
    if case.power_caps_w:
        least, stay_out = _by_watts(case, jobs, rounds)
        rounds_out, fewest = rounds_out + stay_out, max(fewest, _whole(least))
    first = sorted((job for job in jobs if rounds_out[job.id]), key=lambda job: -rounds_out[job.id])
    return LeftOut(fewest=fewest, first=first)


def _whole(least_jobs: float) -> int:
    return max(math.ceil(least_jobs - _ROUNDING), 0)


def _by_watts(case: FleetCase, jobs: Sequence[Job], rounds: int) -> tuple[float, Counter[str]]:
    """What prices of GPUs and watts prove, and how often each job stayed out."""
    free = without_carbon(Rates.of(replace(case, jobs=jobs, pools=(), gpu_rate_gco2e_per_s={})))
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
    return found.lower_bound_gco2e, Counter({name: out for one in choices for name, out in one.rounds_out.items()})
