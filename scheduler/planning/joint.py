"""A whole fleet planned at once, every job known from the start: the best plan found, and how far from the best it is.

Several plans are made: the greedy one, the one that runs everything as early as possible, and those that the prices of
the bound suggest. Each is polished, the best is improved by exchanges, and the bound is raised once more against it. So
the plan never refuses more jobs than the greedy planner or than running at once would have late, and with as many jobs
never emits more. First it plans as many jobs as it can, then it saves carbon. Knows no file and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scheduler.jobs import Job
from scheduler.planning.bound import lower_bound
from scheduler.planning.certificate import Certificate, flaws, recomputed_gco2e
from scheduler.planning.exchange import Exchange
from scheduler.planning.fleet import FleetPlanner
from scheduler.planning.fleet_case import Assignment, FleetCase, Room
from scheduler.planning.local_search import Draft, by_latest_start, by_size, filled, polished
from scheduler.planning.plan import Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.rates import Rates
from scheduler.planning.unplannable import Reason, crowded_out, never_possible

# Exchanges: so many for each job, within limits that keep a small plan thorough and a large one within seconds.
TRIES_PER_JOB, FEWEST_TRIES, MOST_TRIES = 5, 400, 1600
# A plan this close to the bound is good enough; searching on would cost time and save nothing that can be measured.
ENOUGH_GAP_RATIO = 0.002
_POLISH_ROUNDS = 4
_GUIDING_ROUNDS, _PROVING_ROUNDS = 200, 400


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNow:
    """Every job as early as there is room, by earliest start: what it emits (None: not known) and how many are late."""

    segments: Assignment
    emissions_gco2e: float | None
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """Where each planned job runs, why each other is refused, and what is proved about the whole.

    The certificate's bound holds for every plan of the jobs that are planned here.
    """

    case: FleetCase
    segments: Assignment
    reasons: Mapping[str, Reason]
    certificate: Certificate
    run_now: RunNow
    job_gco2e: Mapping[str, float] = field(default_factory=dict)


def plan_fleet(case: FleetCase, generator: np.random.Generator) -> FleetPlan:
    """The best plan found; the same arguments give the same plan."""
    reasons = {job.id: reason for job in case.jobs if (reason := never_possible(case, job)) is not None}
    at_once = run_now(case)
    possible = replace(case, jobs=[job for job in case.jobs if job.id not in reasons])
    if not possible.jobs:
        nothing = Certificate(emissions_gco2e=0.0, lower_bound_gco2e=0.0)
        return FleetPlan(case=case, segments={}, reasons=reasons, certificate=nothing, run_now=at_once)
    best, bound_gco2e = _searched(possible, at_once, generator)
    reasons |= {job.id: crowded_out(job) for job in best.refused}
    jobs = {job.id: job for job in possible.jobs}
    emissions = {name: recomputed_gco2e(case, jobs[name], segments) for name, segments in best.places.items()}
    certificate = Certificate(emissions_gco2e=sum(emissions.values()), lower_bound_gco2e=bound_gco2e)
    assert not (found := flaws(case, best.places)), found
    return FleetPlan(
        case=case,
        segments=best.places,
        reasons=reasons,
        certificate=certificate,
        run_now=at_once,
        job_gco2e=emissions,
    )


def run_now(case: FleetCase) -> RunNow:
    """In one piece each, in order of earliest start, then of the file, where it can start first."""
    room, segments, late = Room(case), {}, 0
    emissions_gco2e = 0.0
    for job in sorted(case.jobs, key=lambda one: one.earliest_start_at_s):
        only = first_window(case, room, job, job.earliest_start_at_s)
        if only is None:
            late += 1
            continue
        segments[job.id] = (only,)
        room.take(job, (only,))
        late += only.end_at_s > job.deadline_at_s + 1e-6
        emissions_gco2e += recomputed_gco2e(case, job, (only,))
    known = None if np.isnan(emissions_gco2e) else emissions_gco2e
    return RunNow(segments=segments, emissions_gco2e=known, late=late)


def first_window(case: FleetCase, room: Room, job: Job, ready_s: float) -> Segment | None:
    """In one piece where it can start first from then on; None where it never can."""
    names = [case.regions[index].name for index in case.allowed(job)]
    starts = {name: room.earliest_start_at_s(job, name, ready_s, job.duration_s) for name in names}
    if not starts:
        return None
    first = min(starts, key=lambda name: starts[name])
    return Segment(start_at_s=starts[first], end_at_s=starts[first] + job.duration_s, region=first)


def _searched(case: FleetCase, at_once: RunNow, generator: np.random.Generator) -> tuple[Draft, float]:
    """The best draft, and the bound for the jobs it plans."""
    carbon = Rates.of(case)
    best = _best(_unpriced_drafts(case, carbon, at_once))
    guide = lower_bound(_planned_jobs(best), carbon, best.rank[1], _GUIDING_ROUNDS)
    best = _best([best, *_priced_drafts(case, carbon, guide.rates)])
    tries = min(max(TRIES_PER_JOB * len(case.jobs), FEWEST_TRIES), MOST_TRIES)
    Exchange(best, guide.rates, generator).run(tries, guide.lower_bound_gco2e * (1 + ENOUGH_GAP_RATIO))
    polished(best, _POLISH_ROUNDS)
    proof = lower_bound(_planned_jobs(best), guide.rates, best.rank[1], _PROVING_ROUNDS)
    return best, min(proof.lower_bound_gco2e, best.rank[1])


def _unpriced_drafts(case: FleetCase, carbon: Rates, at_once: RunNow) -> Iterator[Draft]:
    for known in (_greedy(case), at_once.segments):
        draft = Draft(case, carbon)
        draft.take_over(_in_known_time(case, known), case.jobs)
        yield polished(draft, _POLISH_ROUNDS)
    yield polished(filled(case, carbon, carbon, by_latest_start), _POLISH_ROUNDS)


def _priced_drafts(case: FleetCase, carbon: Rates, priced: Rates) -> Iterator[Draft]:
    for order in (by_latest_start, by_size):
        yield polished(filled(case, carbon, priced, order), _POLISH_ROUNDS)


def _best(drafts: Sequence[Draft] | Iterator[Draft]) -> Draft:
    return min(drafts, key=lambda draft: draft.rank)


def _greedy(case: FleetCase) -> Assignment:
    """What the planner of the daemon makes of it when no job is still to come, so without head-room."""
    now_s = min(job.earliest_start_at_s for job in case.jobs)
    planner = FleetPlanner(reserve_ratio=0.0)
    plan = planner.plan([OpenJob(job=job) for job in case.jobs], case.regions, case.forecasts, now_s)
    return {name: placement.segments for name, placement in plan.placements.items()}


def _in_known_time(case: FleetCase, assignment: Assignment) -> dict[str, tuple[Segment, ...]]:
    """Without the jobs that are late, and those that run where nothing is known."""
    zones = {region.name: region.zone for region in case.regions}
    deadlines = {job.id: job.deadline_at_s for job in case.jobs}
    return {
        name: segments
        for name, segments in assignment.items()
        if name in deadlines
        and segments[-1].end_at_s <= deadlines[name]
        and all(_is_known(case, zones[one.region], one) for one in segments)
    }


def _planned_jobs(draft: Draft) -> list[Job]:
    return [job for job in draft.case.jobs if job.id in draft.places]


def _is_known(case: FleetCase, zone: str, one: Segment) -> bool:
    return zone in case.forecasts and case.forecasts[zone].covers(one.start_at_s, one.end_at_s)
