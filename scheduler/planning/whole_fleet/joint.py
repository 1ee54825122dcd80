"""A whole fleet planned at once, every job known from the start: the best plan found, and how far from the best it is.

Several plans are drafted on slots (drafts.py), and the best of them is searched for better ones. What comes out is
compared with running everything at once, with the greedy plan and, where a job finds no place, with the earliest
deadline first. So the plan never refuses more jobs than these have late, and with as many jobs never emits more. A
small fleet is polished off the slots, and of places that emit as much each job gets the earliest. First it plans as
many jobs as it can, then it saves carbon. Knows no file and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scheduler.jobs import Job
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.bound import Bound, lower_bound
from scheduler.planning.whole_fleet.alone.grams_proof import least_gco2e_by_windows
from scheduler.planning.whole_fleet.alone.windows import classes
from scheduler.planning.whole_fleet.certificate import Certificate, flaws, recomputed_gco2e
from scheduler.planning.whole_fleet.exchange import Exchange
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase, Room
from scheduler.planning.whole_fleet.greedy import greedy, greedy_if_better
from scheduler.planning.whole_fleet.local_search import Draft, polished
from scheduler.planning.whole_fleet.no_later import no_later
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.slots.clearing import Clearing
from scheduler.planning.whole_fleet.slots.fewest_refused import drafted
from scheduler.planning.whole_fleet.slots.plan import SlotPlan
from scheduler.planning.whole_fleet.slots.search import Search
from scheduler.planning.whole_fleet.slots.settling import Settling
from scheduler.planning.whole_fleet.token_pools import PoolRun
from scheduler.planning.whole_fleet.unplannable import Reason, crowded_out, never_possible

# How many slots the search looks at: some hundred looks for each job, and about 5 s of work at most. In a small fleet
# each job is a large share of the whole, and worth more of them.
LEAST_CELLS, CELLS_PER_JOB, MOST_CELLS = 60_000_000, 1_000_000, 500_000_000
# What that leaves a small fleet goes to a second search.
AGAIN_CELLS_PER_JOB = 5_000_000
# Pairs of job and region from which on the seconds go to the bound: the search is for jobs that find no place.
_LARGE_PAIRS, _LARGE_CELLS = 40_000, 150_000_000
# Off the slots: fleets with so many pairs of job and region are polished, those with so few jobs try exchanges too.
_MOST_POLISHED, _MOST_EXCHANGED, TRIES = 4000, 100, 200
# A plan this close to the bound is good enough; searching on would cost time and save nothing that can be measured.
ENOUGH_GAP_RATIO = 0.002
_POLISH_ROUNDS = 4
# What it takes to settle a dozen jobs: about a second.
SETTLED_CELLS = 120_000_000
# Fleets of so many jobs are cleared stretch by stretch as well, and those of up to so many settled before and after.
_LEAST_CLEARED, _LEAST_UNCLEARED, _MOST_SETTLED = 20, 500, 200
CLEARED_CELLS_PER_JOB, MOST_CLEARED_CELLS = 10_000_000, 1_000_000_000
# At the full prices many places cost the same, and the dirtiest of them is as good as any.
_DAMPED_RATIO = 0.8
# Windows of so many jobs are gone through for a better bound, with so many starts looked at: about a second at most.
_MOST_BY_WINDOWS, WINDOWS_LOOKED_PER_JOB, MOST_WINDOWS_LOOKED = 400, 1_000_000, 50_000_000
# Where that is not enough, room is sold to sets of jobs, with so many starts and prices looked at: some 5 s more.
SETS_LOOKED = 150_000_000
# Of a plan this close to what prices prove, windows are asked whether it is near enough before it is cleared.
_NEAR_GAP_RATIO = 0.01
# What is proved is a little less than what was asked for.
_ROUNDING_RATIO = 1e-8
# The search changes who is planned but little: the prices that guided it are good ones to prove it with.
_PROVING_ROUNDS, _PROVING_STEP_RATIO, _WIDE_GAP_RATIO = 70, 0.03, 0.05
_MOST_GUIDING_ROUNDS, _LEAST_GUIDING_ROUNDS, _GUIDED_PAIRS = 200, 70, 1_000_000
# What equal jobs save goes to more rounds, up to so many times as many: their prices take the longest to settle.
_MOST_ROUNDS_FOR_EQUALS = 3
# Prices of a month take more rounds than those of a week, and may take more time.
_LONG_S = 8 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNow:
    """Every job as early as there is room, by earliest start: what it emits (None: not known) and how many are late."""

    segments: Assignment
    emissions_gco2e: float | None
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """Where each planned job runs, why each other is refused, and what is proved about the whole.

    The certificate's bound holds for every plan of the jobs that are planned here; `token_filling` adds the pools. No
    plan refuses fewer jobs than `fewest_refused`.
    """

    case: FleetCase
    segments: Assignment
    reasons: Mapping[str, Reason]
    certificate: Certificate
    run_now: RunNow
    job_gco2e: Mapping[str, float] = field(default_factory=dict)
    pools: Mapping[str, PoolRun] = field(default_factory=dict)
    fewest_refused: int = 0


def plan_fleet(case: FleetCase, generator: np.random.Generator) -> FleetPlan:
    """The best plan found; the same arguments give the same plan."""
    empty = Room(case) if any(region.held for region in case.regions) else None
    reasons = {job.id: reason for job in case.jobs if (reason := never_possible(case, job, empty)) is not None}
    at_once = run_now(case)
    possible = replace(case, jobs=[job for job in case.jobs if job.id not in reasons])
    if not possible.jobs:
        nothing = Certificate(emissions_gco2e=0.0, lower_bound_gco2e=0.0)
        fewest = len(reasons)
        return FleetPlan(
            case=case, segments={}, reasons=reasons, certificate=nothing, run_now=at_once, fewest_refused=fewest
        )
    found = _searched(possible, at_once, generator)
    best, never = found.segments, len(reasons)
    reasons |= crowded_out(possible, best)
    jobs = {job.id: job for job in possible.jobs}
    emissions = {name: recomputed_gco2e(case, jobs[name], segments) for name, segments in best.items()}
    certificate = Certificate(emissions_gco2e=sum(emissions.values()), lower_bound_gco2e=found.bound_gco2e)
    assert not (wrong := flaws(case, best)), wrong
    return FleetPlan(
        case=case,
        segments=best,
        reasons=reasons,
        certificate=certificate,
        run_now=at_once,
        job_gco2e=emissions,
        fewest_refused=never + found.fewest_refused,
    )


def _taken(case: FleetCase, assignment: Assignment) -> Room:
    room = Room(case)
    for job in _planned(case, assignment):
        room.take(job, assignment[job.id])
    return room


def run_now(case: FleetCase) -> RunNow:
    """In one piece each, in order of earliest start, then of the file, where it can start first."""
    room, segments, late = Room(case), {}, 0
    emissions_gco2e = 0.0
    for job in sorted(case.jobs, key=lambda one: one.earliest_start_at_s):
        run = first_run(case, room, job, job.earliest_start_at_s)
        if not run:
            late += 1
            continue
        segments[job.id] = run
        room.take(job, run)
        late += run[-1].end_at_s > job.deadline_at_s + 1e-6
        emissions_gco2e += recomputed_gco2e(case, job, run)
    known = None if np.isnan(emissions_gco2e) else emissions_gco2e
    return RunNow(segments=segments, emissions_gco2e=known, late=late)


def first_run(case: FleetCase, room: Room, job: Job, ready_s: float) -> tuple[Segment, ...]:
    """In one piece where it can start first from then on; nothing where it never can."""
    first, first_at_s = None, np.inf  # an elastic job may run on fewer GPUs than it does at once
    for region in (case.regions[index] for index in case.allowed(job)):
        start_at_s = room.earliest_start_at_s(job, region.name, ready_s, case.lasts_s(job, region))
        if start_at_s < first_at_s:
            first, first_at_s = region, start_at_s
        if first_at_s <= ready_s:
            break
    return () if first is None else case.run(job, first, first_at_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The best plan, the bound for the jobs it plans, and how many jobs every plan refuses."""

    segments: Assignment
    bound_gco2e: float
    fewest_refused: int


def _searched(case: FleetCase, at_once: RunNow, generator: np.random.Generator) -> _Found:
    carbon = Rates.of(case)
    first = drafted(case, carbon, _guiding_rounds(case), generator)
    plan, guide = first.plan, first.guide
    # Of the jobs that are not given up so many need not be planned.
    given_up = len(case.jobs) - len(plan.asks)
    enough = (first.fewest_refused - given_up, guide.lower_bound_gco2e * (1 + ENOUGH_GAP_RATIO))
    if efforts := _searched_cells(plan):
        search = Search(plan, plan.view(guide.rates), plan.view(guide.rates.damped(_DAMPED_RATIO)), generator)
        search.run_each(efforts, enough)
    if len(case.jobs) <= _MOST_SETTLED:
        Settling(plan, guide.rates, generator).run(SETTLED_CELLS, enough)
    searched, proof = plan.assignment(), guide
    proved = searched.keys()
    if _LEAST_CLEARED <= len(case.jobs) < _LEAST_UNCLEARED:
        proof = _proved(_planned(case, searched), guide, carbon, plan.rank[1])
        enough = (enough[0], _nearly_gco2e(_planned(case, searched), carbon, proof, plan.rank[1]))
        if plan.rank > enough:
            _clear(plan, guide, generator.spawn(1)[0], enough)
    found = plan.assignment()
    rank = _rank(case, found)
    # A large fleet's plan is proved before it is compared: the proof is what the greedy rule is given up by.
    if _is_large(case):
        proof, proved = _proved(_planned(case, found), guide, carbon, rank[1]), found.keys()
    known = list(_known(carbon, at_once, proof, rank))
    best, rank = _best(case, found, rank, known)
    if len(case.jobs) * len(case.regions) <= _MOST_POLISHED:
        # What was found before its stretches were cleared may end better off the slots, if seldom.
        others = [searched, *known] if searched != found else known
        best = no_later(carbon, _polished([best, *others], guide, carbon, generator))
        rank = _rank(case, best)
    if proof is guide or best.keys() != proved:
        proof = _proved(_planned(case, best), guide, carbon, rank[1])
    bound_gco2e = min(_by_windows(_planned(case, best), carbon, proof, rank[1], SETS_LOOKED), rank[1])
    return _Found(segments=best, bound_gco2e=bound_gco2e, fewest_refused=first.fewest_refused)


def _best(
    case: FleetCase, found: Assignment, rank: tuple[int, float], known: Sequence[Assignment]
) -> tuple[Assignment, tuple[int, float]]:
    """The best of all, and its rank; of those that refuse more nobody asks what they emit."""
    best = found
    for one in known:
        if len(case.jobs) - len(one) <= rank[0] and (its := _rank(case, one)) < rank:
            best, rank = one, its
    return best, rank


def _proved(jobs: Sequence[Job], guide: Bound, carbon: Rates, emissions_gco2e: float) -> Bound:
    """The bound for the jobs that are planned; from no prices on where those at hand are good for other jobs only."""
    rounds = 2 * _PROVING_ROUNDS if _is_long(carbon.case) else _PROVING_ROUNDS
    proof = lower_bound(jobs, guide.rates, rounds, _PROVING_STEP_RATIO)
    if emissions_gco2e <= proof.lower_bound_gco2e + _WIDE_GAP_RATIO * abs(proof.lower_bound_gco2e):
        return proof
    anew = lower_bound(jobs, lower_bound(jobs, carbon).rates, _PROVING_ROUNDS, _PROVING_STEP_RATIO)
    return max(proof, anew, key=lambda one: one.lower_bound_gco2e)


def _by_windows(jobs: Sequence[Job], carbon: Rates, proof: Bound, emissions_gco2e: float, sets_looked: int) -> float:
    """What prices prove or, where that is not near enough in a small fleet, what going through windows does."""
    enough_gco2e = emissions_gco2e / (1 + ENOUGH_GAP_RATIO)
    if len(jobs) > _MOST_BY_WINDOWS or proof.lower_bound_gco2e >= enough_gco2e:
        return proof.lower_bound_gco2e
    looked = min(WINDOWS_LOOKED_PER_JOB * len(jobs), MOST_WINDOWS_LOOKED)
    found_gco2e = least_gco2e_by_windows(jobs, carbon, enough_gco2e, looked, sets_looked)
    return proof.lower_bound_gco2e if found_gco2e is None else max(proof.lower_bound_gco2e, found_gco2e)


def _nearly_gco2e(jobs: Sequence[Job], carbon: Rates, proof: Bound, emissions_gco2e: float) -> float:
    """What is near enough to the best plan of these jobs; where prices nearly prove a plan so, windows may."""
    least_gco2e = proof.lower_bound_gco2e
    if emissions_gco2e <= least_gco2e + _NEAR_GAP_RATIO * abs(least_gco2e):
        least_gco2e = _by_windows(jobs, carbon, proof, emissions_gco2e, sets_looked=0)
    return least_gco2e * (1 + ENOUGH_GAP_RATIO) * (1 + _ROUNDING_RATIO)


def _guiding_rounds(case: FleetCase) -> int:
    """As many as a few seconds hold: what a round takes grows with jobs times regions, equal jobs counted once."""
    rounds = _GUIDED_PAIRS // (len(case.jobs) * len(case.regions))
    rounds = min(max(rounds, _MOST_GUIDING_ROUNDS if _is_long(case) else _LEAST_GUIDING_ROUNDS), _MOST_GUIDING_ROUNDS)
    return rounds * min(len(case.jobs) // len(classes(case.jobs, case)), _MOST_ROUNDS_FOR_EQUALS)


def _is_long(case: FleetCase) -> bool:
    from_s, to_s = min(job.earliest_start_at_s for job in case.jobs), max(job.deadline_at_s for job in case.jobs)
    return to_s - from_s > _LONG_S


def _is_large(case: FleetCase) -> bool:
    return len(case.jobs) * len(case.regions) >= _LARGE_PAIRS


def _searched_cells(plan: SlotPlan) -> Sequence[int]:
    """Of each search in turn: a short one may end in a valley that a long one, warm for longer, leaves again."""
    if _is_large(plan.grid.case) and not _is_long(plan.grid.case):
        return (_LARGE_CELLS,) if plan.refused else ()
    first = min(max(CELLS_PER_JOB * len(plan.asks), LEAST_CELLS), MOST_CELLS)
    again = min(AGAIN_CELLS_PER_JOB * len(plan.asks), MOST_CELLS - first)
    return (first, again) if again > 0 else (first,)


def _clear(plan: SlotPlan, guide: Bound, generator: np.random.Generator, enough: tuple[int, float]) -> None:
    """Stretches cleared and filled anew, then handfuls settled; draws of its own, so that all else stays as it was."""
    cells = min(CLEARED_CELLS_PER_JOB * len(plan.asks), MOST_CLEARED_CELLS)
    Clearing(plan, guide.rates, generator).run(cells, enough)
    if len(plan.asks) <= _MOST_SETTLED:
        Settling(plan, guide.rates, generator).run(SETTLED_CELLS, enough)


def _known(carbon: Rates, at_once: RunNow, guide: Bound, rank: tuple[int, float]) -> Iterator[Assignment]:
    """Plans that the best must not be worse than, beside one of this rank; `guide` is a bound on its jobs."""
    case = carbon.case
    yield _in_known_time(case, at_once.segments)
    if rank[0] > 0:
        yield _in_known_time(case, by_deadline(case))
    yield _in_known_time(case, greedy_if_better(carbon, guide, *rank) if _is_large(case) else greedy(case))


def _polished(known: Sequence[Assignment], guide: Bound, carbon: Rates, generator: np.random.Generator) -> Assignment:
    """Off the slots: jobs moved to the instant, one by one and, in a small fleet, by exchanges."""
    drafts = []
    for one in known:
        draft = Draft(carbon.case, carbon)
        draft.take_over(one, carbon.case.jobs)
        drafts.append(polished(draft, _POLISH_ROUNDS))
    best = min(drafts, key=lambda draft: draft.rank)
    if len(carbon.case.jobs) <= _MOST_EXCHANGED:
        Exchange(best, guide.rates, generator).run(TRIES, guide.lower_bound_gco2e * (1 + ENOUGH_GAP_RATIO))
        polished(best, _POLISH_ROUNDS)
    return best.places


def _rank(case: FleetCase, assignment: Assignment) -> tuple[int, float]:
    """Fewer refused jobs first, then fewer grams."""
    emissions = (recomputed_gco2e(case, job, assignment[job.id]) for job in case.jobs if job.id in assignment)
    return len(case.jobs) - len(assignment), sum(emissions)


def by_deadline(case: FleetCase) -> Assignment:
    """Earliest deadline first, each as early as there is room, and only those in time."""
    room, segments = Room(case), {}
    for job in sorted(case.jobs, key=lambda one: one.deadline_at_s):
        run = first_run(case, room, job, job.earliest_start_at_s)
        if run and run[-1].end_at_s <= job.deadline_at_s:
            segments[job.id] = run
            room.take(job, run)
    return segments


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


def _planned(case: FleetCase, assignment: Assignment) -> list[Job]:
    return [job for job in case.jobs if job.id in assignment]


def _is_known(case: FleetCase, zone: str, one: Segment) -> bool:
    return zone in case.forecasts and case.forecasts[zone].covers(one.start_at_s, one.end_at_s)
