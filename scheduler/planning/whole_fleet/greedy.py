"""The greedy rule for a whole fleet: the least latest start first, each job at its cheapest place in what is left.

For a large fleet the rule is followed only as long as it can still end in a better plan than the one at hand. Under any
prices of capacity a plan of all jobs emits at least the bound of these prices and, beside it, what each of its jobs
pays at the prices beyond its own cheapest place; so the jobs placed so far bound what the whole will emit. Under the
prices of a good plan that is soon too much.
"""

from __future__ import annotations

import numpy as np

from scheduler.jobs import Job
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.whole_fleet.alone.bound import Bound
from scheduler.planning.whole_fleet.alone.cheapest_place import Place, cheapest_place
from scheduler.planning.whole_fleet.alone.fillings import Fillings
from scheduler.planning.whole_fleet.alone.windows import Windows
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.levels import levels_of
from scheduler.planning.whole_fleet.local_search import Draft, by_latest_start, filled
from scheduler.planning.whole_fleet.rates import Rates


def greedy(case: FleetCase) -> Assignment:
    """What the planner of the daemon makes of it when no job is still to come, so without head-room.

    That planner knows one kind of GPU; where there are others, each job in its order takes its cheapest place.
    """
    if not case.is_plain:
        carbon = Rates.of(case)
        return filled(case, carbon, carbon, by_latest_start).places
    now_s = min(job.earliest_start_at_s for job in case.jobs)
    planner = FleetPlanner(reserve_ratio=0.0)
    plan = planner.plan([OpenJob(job=job) for job in case.jobs], case.regions, case.forecasts, now_s)
    return {name: placement.segments for name, placement in plan.placements.items()}


def greedy_if_better(carbon: Rates, guide: Bound, refused: int, emissions_gco2e: float) -> Assignment:
    """The plan of the rule; nothing as soon as it is certain to be worse than so many refused jobs and grams.

    `guide` must be a bound on all jobs of the fleet, else only refused jobs are counted.
    """
    draft, regrets = Draft(carbon.case, carbon), _Regrets(carbon, guide.rates)
    left_out, least_gco2e = 0, guide.lower_bound_gco2e
    for job in sorted(carbon.case.jobs, key=by_latest_start):
        place = cheapest_place(job, carbon, draft.room)
        if place is None:
            left_out += 1
            if left_out > refused:
                return {}
            continue
        draft.put(job, place)
        if refused == 0:
            least_gco2e += regrets.of(job, place, draft.gco2e[job.id])
            if least_gco2e > emissions_gco2e:
                return {}
    return draft.places


class _Regrets:
    """What a place pays at prices beyond the least that its job could pay alone."""

    def __init__(self, carbon: Rates, priced: Rates) -> None:
        case, self._edges_at_s = carbon.case, carbon.edges_at_s
        self._ratio = {region.name: region.facility_ratio for region in case.regions}
        _, gpus, power = (after - before for before, after in zip(carbon.sums, priced.sums, strict=True))
        self._price_sums = {region.name: (gpus[row], power[row]) for row, region in enumerate(case.regions)}
        plain = [job for job in case.jobs if job.id not in case.phases and levels_of(case, job) is None]
        in_one_piece = [job for job in plain if job.interruption is None]
        pausing = [job for job in plain if job.interruption is not None]
        self._least_gco2e: dict[str, float] = {}
        if in_one_piece:
            self._least_gco2e |= Windows(in_one_piece, priced).least_gco2e(priced)
        if pausing:
            self._least_gco2e |= Fillings(pausing, priced).least_gco2e(priced)

    def of(self, job: Job, place: Place, emissions_gco2e: float) -> float:
        """None is counted of a job with phases or levels."""
        if job.id not in self._least_gco2e:
            return 0.0
        paid_gco2e = emissions_gco2e + sum(self._price_gco2e(job, one) for one in place)
        return max(paid_gco2e - self._least_gco2e[job.id], 0.0)

    def _price_gco2e(self, job: Job, one: Segment) -> float:
        ends_at_s = (one.start_at_s, one.end_at_s)
        gpu, power = (np.interp(ends_at_s, self._edges_at_s, sums) for sums in self._price_sums[one.region])
        return float(job.gpus * (gpu[1] - gpu[0]) + job.power_w * self._ratio[one.region] * (power[1] - power[0]))
