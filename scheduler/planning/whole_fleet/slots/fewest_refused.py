"""A draft that refuses as few jobs as it can, with prices that fit the jobs it plans.

Where the drafts of all jobs refuse some, prices of room say how many any plan must refuse, and who holds the most room
(alone/left_out.py). These are given up before anything is placed: the others then mostly find places at once, where a
search that refuses one job after another ends with many small ones refused for one large. Of a fleet with priorities
only the lowest is given up. Prices for jobs that do not all fit climb without end and guide nobody, so they are made
anew for those that are left. Knows no search for carbon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scheduler.jobs import Job
from scheduler.planning.whole_fleet.alone.beside_refused import least_refused_beside
from scheduler.planning.whole_fleet.alone.bound import Bound, lower_bound
from scheduler.planning.whole_fleet.alone.left_out import LeftOut, least_left_out
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.slots.drafts import best_draft, insist, make_room
from scheduler.planning.whole_fleet.slots.plan import SlotPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """`guide` holds the prices for the plan's jobs; no plan of the fleet refuses fewer jobs than `fewest_refused`."""

    plan: SlotPlan
    guide: Bound
    fewest_refused: int


def drafted(case: FleetCase, carbon: Rates, rounds: int, generator: np.random.Generator) -> Drafted:
    """The plan's own case leaves away the jobs that were given up."""
    guide = lower_bound(case.jobs, carbon, rounds)
    plan = best_draft(case, carbon, guide, generator)
    if not plan.refused:
        return Drafted(plan=plan, guide=guide, fewest_refused=0)
    out = least_left_out(case)
    if (rest := _rest(case, out, plan.refused)) is not None:
        guide = lower_bound(rest.jobs, carbon, rounds)
        fitting = best_draft(rest, carbon, guide, generator)
        if not fitting.refused and len(case.jobs) - len(rest.jobs) <= out.fewest:
            return Drafted(plan=fitting, guide=guide, fewest_refused=out.fewest)
        whole = _taken_over(case, carbon, fitting)
        make_room(whole, guide, generator)
        plan = min((plan, whole), key=lambda one: one.rank)
    fewest = _proved(plan, out.fewest)
    guide = lower_bound(_placed(plan), carbon, rounds)
    if plan.refused > fewest:
        refused = _refused(plan)
        plan = min((plan, best_draft(case, carbon, guide, generator)), key=lambda one: one.rank)
        if plan.refused > fewest:
            insist(plan, guide, generator, fewest)
            guide = lower_bound(_placed(plan), carbon, rounds)
        fewest = fewest if _refused(plan) == refused else _proved(plan, fewest)
    return Drafted(plan=plan, guide=guide, fewest_refused=fewest)


def _proved(plan: SlotPlan, fewest: int) -> int:
    """How many jobs every plan refuses, when so many are proved already: more where whom this one refuses shows it."""
    return max(fewest, least_refused_beside(plan.grid.case, _refused(plan))) if plan.refused > fewest else fewest


def _taken_over(case: FleetCase, carbon: Rates, fitting: SlotPlan) -> SlotPlan:
    """The same plan with room for all jobs of the fleet in its list."""
    whole = SlotPlan(case, carbon)
    places = {ask.job.id: fitting.places[ask.number] for ask in fitting.asks}
    for ask in whole.asks:
        if (place := places.get(ask.job.id)) is not None:
            whole.put(ask, place)
    return whole


def _rest(case: FleetCase, out: LeftOut, refused: int) -> FleetCase | None:
    """The fleet without those that are given up; None where nobody can be, or more than are refused would have to."""
    lowest = min(job.priority for job in case.jobs)
    given_up = [job.id for job in out.first if job.priority == lowest][: max(out.fewest, 1)]
    if not out.fewest <= len(given_up) <= refused or not given_up or len(given_up) == len(case.jobs):
        return None
    return replace(case, jobs=[job for job in case.jobs if job.id not in given_up])


def _refused(plan: SlotPlan) -> Sequence[Job]:
    return [ask.job for ask in plan.asks if plan.places[ask.number] is None]


def _placed(plan: SlotPlan) -> Sequence[Job]:
    return [ask.job for ask in plan.asks if plan.places[ask.number] is not None]
