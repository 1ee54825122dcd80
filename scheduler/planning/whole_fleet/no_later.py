"""Of places that emit as much, the one in fewer pieces, and of these the earlier: nobody waits or pauses for nothing.

A search for grams is blind among equals, and on a flat grid it leaves a job wherever it looked last. Here jobs move one
by one beside all others, and none to a place that emits more. Searches for nothing cleaner.
"""

from __future__ import annotations

from dataclasses import replace

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.whole_fleet.alone.cheapest_place import Place, cheapest_place
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase, gpus_of
from scheduler.planning.whole_fleet.local_search import Draft
from scheduler.planning.whole_fleet.rates import Rates

# Who moves makes room for who follows; after so many rounds what is left is minutes.
_ROUNDS = 4
_EQUAL_RATIO = 1e-12


def no_later(carbon: Rates, places: Assignment) -> Assignment:
    """The plan with every job in as few pieces and as early as costs nothing; it emits no more than before."""
    draft = Draft(carbon.case, carbon)
    draft.take_over(places, carbon.case.jobs)
    if draft.places.keys() != places.keys():
        return places
    jobs = {job.id: job for job in carbon.case.jobs}
    for _ in range(_ROUNDS):
        order = sorted(
            draft.places, key=lambda name: (jobs[name].earliest_start_at_s, draft.places[name][0].start_at_s)
        )
        moved = [name for name in order if _moved(draft, jobs[name])]
        if not moved:
            break
    return draft.places


def _moved(draft: Draft, job: Job) -> bool:
    before = draft.places[job.id]
    if len(before) == 1 and before[0].start_at_s <= job.earliest_start_at_s + ROUNDING_S:
        return False
    draft.take_out(job)
    best = min((before, *_equals(draft, job, before)), key=lambda place: _lateness(job, place))
    is_better = _lateness(job, best) < _lateness(job, before)
    draft.put(job, best if is_better else before)
    return is_better


def _equals(draft: Draft, job: Job, before: Place) -> list[Place]:
    """Other places that emit no more."""
    asked = _in_one_piece(draft.case, job)
    found = [cheapest_place(one, draft.carbon, draft.room) for one in ([asked] if asked is not None else [])]
    if asked is None or len(before) > 1:
        found.append(cheapest_place(job, draft.carbon, draft.room))
    cost = draft.carbon.cost_of(job, before)
    most = cost + _EQUAL_RATIO * abs(cost)
    return [one for one in found if one is not None and draft.carbon.cost_of(job, one) <= most]


def _in_one_piece(case: FleetCase, job: Job) -> Job | None:
    """The job as if it might not pause; None for one whose power or GPUs change along the run."""
    return None if job.id in case.phases or job.id in case.scalings else replace(job, interruption=None)


def _lateness(job: Job, place: Place) -> tuple[int, float]:
    """How many pieces, and the instant in the middle of the work, to a second."""
    gpu_s = sum(gpus_of(job, one) * one.duration_s for one in place)
    middles = sum(gpus_of(job, one) * one.duration_s * (one.start_at_s + one.end_at_s) / 2 for one in place)
    return len(place), round(middles / gpu_s)
