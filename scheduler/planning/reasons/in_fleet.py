"""Why each job of a whole fleet's plan is where it is: what was lifted, one limit at a time, and what else there was.

Everything that the planner weighs counts, in the unit of the objective. Decides no sentence and no plan.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import islice

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.open_jobs.choices import Choice
from scheduler.planning.plan import Cause, Segment
from scheduler.planning.reasons.explanation import (
    APART_S,
    LIFTED_S,
    Explanation,
    Ground,
    Lift,
    Limit,
    LimitKind,
    Other,
    Placed,
    Places,
    explain,
    ground_of_trace,
)
from scheduler.planning.reasons.fleet_places import FleetPlaces
from scheduler.planning.reasons.fleet_rooms import FleetRooms
from scheduler.planning.reasons.kept_rules import FleetRules, KeptPlaces, Order, Spending, tilted_places
from scheduler.planning.reasons.nearest_change import Change, nearest_changes
from scheduler.planning.weighed.planner import unit_of
from scheduler.planning.whole_fleet.certificate import Certificate
from scheduler.planning.whole_fleet.fleet_case import FleetCase, gpus_of
from scheduler.planning.whole_fleet.joint import FleetPlan, RunNow

_NO_RULES = FleetRules()
# A suggestion takes a millisecond or two; of more refused jobs than this the file is wrong, not the jobs.
MOST_REFUSED = 2000


class FleetReasons:
    """A plan with what it kept; explains its jobs one at a time."""

    def __init__(self, found: FleetPlan, rules: FleetRules = _NO_RULES) -> None:
        self._found, self._rules = found, rules
        self.case, self.order = found.case, Order(rules.after, found.segments)
        self.rooms = FleetRooms(found)
        self.own = FleetPlaces.of(found.case, rules.sites, rules.objective.weights, rules.moves)
        self._without: dict[LimitKind, Places] = dict(self._places_without())
        self.places: Places = self._as_kept(self.own)
        self._uncapped: Places = self._as_kept(self.own.without_power_caps()) if self.case.power_caps_w else self.own
        self._fixed: Places = self._as_kept(self.own.on_fixed_gpus()) if self.case.scalings else self.own
        self.not_before_s = min((one.start_at_s for one in found.case.forecasts.values()), default=0.0)
        self._wider: dict[int, Places] = {}
        self._grounds = self._known_grounds()

    def explanations(self, job_ids: Collection[str] | None = None) -> Iterator[Explanation]:
        """Of each planned job, in the order of the file; only of those named, where some are."""
        for job in self.case.jobs:
            if job.id in self._found.segments and (job_ids is None or job.id in job_ids):
                yield self.explanation(job)

    def explanation(self, job: Job) -> Explanation:
        segments = self._found.segments[job.id]
        most = self.case.most_gpus(job)
        is_elastic = job.id in self.case.scalings
        if is_elastic:
            self._prepare_wider(most)
        with self.rooms.without(job):
            placed = self._placed(job, segments)
            told = explain(placed, self.places, self._grounds)
            return replace(
                told,
                limits=tuple(self._named(one) for one in told.limits),
                unit=unit_of(self._rules.objective.weights),
                gpus=_gpus_of(job, segments) if is_elastic else None,
                on_more=self._on_more(job, segments) if is_elastic else None,
            )

    def _placed(self, job: Job, segments: tuple[Segment, ...]) -> Placed:
        at_once = self._found.run_now.segments.get(job.id)
        within = self.order.within(job) or job
        return Placed(
            job=within,
            segments=segments,
            cause=Cause.CLEANEST,
            emissions_gco2e=self.own.cost_of(job, segments),
            room=self.rooms.room,
            empty=self.rooms.empty,
            not_before_s=self.not_before_s,
            at_once=_whole(at_once) if at_once else None,
            at_once_gco2e=self.own.cost_of(job, at_once) if at_once else None,
            lifts=tuple(self._lifts(job, within)),
            others=tuple(self._others(job, within, segments)),
        )

    # -- what would help ---------------------------------------------------------------------------------------------

    def changes(self) -> dict[str, list[Change]]:
        """For each refused job the changes with which it has a place beside the plan, in time that the trace knows."""
        refused = (job for job in self.case.jobs if job.id in self._found.reasons)
        return {job.id: self._changes(job) for job in islice(refused, MOST_REFUSED)}

    def _changes(self, job: Job) -> list[Change]:
        typed = self._rules.typed.get(job.id)
        known = [one for one in self.case.regions if typed is None or one.name in typed.of_any_zone]
        changes = nearest_changes(
            job,
            known,
            self._has_place,
            not_before_s=self.not_before_s,
            first_finish_s=self._first_finish_s(job),
            has_one_size=job.id not in self.case.scalings and job.id not in self.case.phases,
            other_types=[] if typed is None else list(typed.others(job)),
        )
        written = self._rules.written.get(job.id)
        return changes if written is None else [_as_written(one, written) for one in changes]

    def _has_place(self, job: Job) -> bool:
        within = self.order.within(job)
        return within is not None and self.places.cheapest(within, self.rooms.room) is not None

    def _first_finish_s(self, job: Job) -> float | None:
        """When it could end if only the room counted; a guess, as the trace may not know that time."""
        ends_s = []
        for index in self.case.allowed(job):
            region = self.case.regions[index]
            lasts_s = self.case.lasts_s(job, region)
            start_at_s = self.rooms.room.earliest_start_at_s(job, region.name, job.earliest_start_at_s, lasts_s)
            ends_s.append(start_at_s + lasts_s)
        first_s = min(ends_s, default=math.inf)
        return None if math.isinf(first_s) else first_s

    # -- one limit at a time -------------------------------------------------------------------------------------------

    def _lifts(self, job: Job, within: Job) -> Iterator[Lift]:
        """What is more particular comes first: of equal savings it is the one to name."""
        room = self.rooms.room
        if within != job:
            yield Lift(kind=LimitKind.AFTER, job=job, room=room, by=self.order.neighbours(job))
        for kind, lifted in self.rooms.lifted.items():
            yield Lift(
                kind=kind, job=within, room=lifted, places=self._uncapped if kind is LimitKind.POWER_CAP else None
            )
        for kind, freer in self._without.items():
            if kind is not LimitKind.DATA or (self._rules.moves is not None and self._rules.moves.has_data(job.id)):
                yield Lift(kind=kind, job=within, room=room, places=freer, by=self._payers(kind, job))
        yield Lift(kind=LimitKind.CAPACITY, job=within, room=self.rooms.empty)
        if job.id in self.case.scalings:
            most = self.case.most_gpus(job)
            yield Lift(
                kind=LimitKind.GPUS, job=within, room=self.rooms.wider(most), places=self._wider[most], by=(str(most),)
            )
        for kind, lifted_job in self._elsewhere(job):
            if (one := self.order.within(lifted_job)) is not None:
                yield Lift(kind=kind, job=one, room=room)

    def _elsewhere(self, job: Job) -> Iterator[tuple[LimitKind, Job]]:
        """At other times, in other regions."""
        yield LimitKind.DEADLINE, replace(job, deadline_at_s=job.deadline_at_s + LIFTED_S)
        earlier_s = max(self.not_before_s, job.earliest_start_at_s - LIFTED_S)
        # Where waiting costs, it is counted from the earliest start: before it there is nothing to compare.
        if earlier_s < job.earliest_start_at_s - ROUNDING_S and not self.own.weights.per_waiting_kwh_h:
            yield LimitKind.EARLIEST_START, replace(job, earliest_start_at_s=earlier_s)
        typed = self._rules.typed.get(job.id)
        if typed is not None:
            yield LimitKind.GPU_TYPES, replace(job, regions=typed.of_any_type)
        if self._rules.written.get(job.id, job.regions):
            yield LimitKind.REGIONS, replace(job, regions=() if typed is None else typed.of_any_zone)

    @property
    def _spends(self) -> bool:
        return bool(self._rules.budgets) or self._rules.objective.limit is not None

    def _as_kept(self, places: FleetPlaces) -> Places:
        """Within what may be spent, where that is limited."""
        return self._kept(places, Spending(self._found, self._rules)) if self._spends else places

    def _kept(self, places: FleetPlaces, spending: Spending) -> KeptPlaces:
        plan_cost = sum(
            self.own.cost_of(job, self._found.segments[job.id]) or 0.0
            for job in self.case.jobs
            if job.id in self._found.segments
        )
        tilted = tilted_places(places, self._found, self._rules, plan_cost)
        return KeptPlaces(places=places, spending=spending, tilted=tilted)

    def _places_without(self) -> Iterator[tuple[LimitKind, Places]]:
        rules = self._rules
        if rules.moves is not None:
            yield LimitKind.DATA, self._as_kept(replace(self.own, moves=None))
        if rules.budgets:
            unpaid = replace(rules, budgets=())
            yield LimitKind.BUDGET, self._kept(self.own, Spending(self._found, unpaid))
        if rules.objective.limit is not None:
            spending = Spending(self._found, rules, keeps_limit=False)
            yield LimitKind.OBJECTIVE_LIMIT, KeptPlaces(places=self.own, spending=spending)

    def _payers(self, kind: LimitKind, job: Job) -> tuple[str, ...]:
        return (job.tenant,) if kind is LimitKind.BUDGET else ()

    def _prepare_wider(self, more_gpus: int) -> None:
        self.rooms.wider(more_gpus)
        if more_gpus not in self._wider:
            self._wider[more_gpus] = self._as_kept(self.own.wider(more_gpus))

    # -- what else there was -------------------------------------------------------------------------------------------

    def _others(self, job: Job, within: Job, segments: tuple[Segment, ...]) -> Iterator[Other]:
        """In one piece where it already runs: as long as it would be the same choice, well before it or well after."""
        here = replace(within, regions=tuple(dict.fromkeys(one.region for one in segments)), interruption=None)
        if job.id in self.case.scalings:
            for one in self._on_counts(here):
                is_same = len(segments) == 1 and gpus_of(job, segments[0]) == one.gpus
                for other in self._apart(one, segments) if is_same else (one,):
                    yield Other(job=other, places=self._fixed)
        elif job.id not in self.case.phases and len(segments) > 1:
            yield Other(job=here)
        else:
            yield from (Other(job=one) for one in self._apart(here, segments))

    def _apart(self, job: Job, segments: tuple[Segment, ...]) -> Iterator[Job]:
        region, start_at_s = self.case.region(segments[0].region), segments[0].start_at_s
        lasts_s = self.case.lasts_s(job, region)
        before_s = min(job.deadline_at_s, start_at_s - APART_S + lasts_s)
        if before_s - lasts_s >= job.earliest_start_at_s:
            yield replace(job, deadline_at_s=before_s)
        after_s = start_at_s + APART_S
        if after_s + lasts_s <= job.deadline_at_s + ROUNDING_S:
            yield replace(job, earliest_start_at_s=after_s)

    def _on_counts(self, job: Job) -> Iterator[Job]:
        """An elastic job on a fixed number of GPUs, for each that was measured, growing."""
        w_per_gpu = job.power_w / job.gpus
        for gpus, speed in self.case.counts(job):
            yield replace(job, gpus=gpus, duration_s=job.duration_s / speed, power_w=w_per_gpu * gpus)

    def _on_more(self, job: Job, segments: tuple[Segment, ...]) -> Choice | None:
        """On the most GPUs all along; None where it runs on so many now, or cannot."""
        within = self.order.within(job) or job
        *_, widest = self._on_counts(replace(within, interruption=None))
        if widest.gpus <= _gpus_of(job, segments)[1]:
            return None
        return self._fixed.cheapest(widest, self.rooms.room)

    def _named(self, limit: Limit) -> Limit:
        """With the pools that hold the better place."""
        if limit.kind is not LimitKind.POOL or limit.instead is None:
            return limit
        places = limit.instead.segments
        names = (
            pool.name
            for pool in self.case.pools
            if any(_meet(one, other) for one in self._found.pools[pool.name].segments for other in places)
        )
        return replace(limit, by=tuple(names))

    def _known_grounds(self) -> Mapping[str, Ground]:
        return {
            priced.zone: ground_of_trace(self.case.forecasts[region.zone])
            for region, priced in zip(self.case.regions, self.own.regions, strict=True)
            if region.zone in self.case.forecasts
        }


def explain_alone(case: FleetCase, segments: tuple[Segment, ...], at_once: tuple[Segment, ...]) -> Explanation:
    """Why the only job of a case is where it is: nobody else is there. `at_once` is empty where that is not known."""
    (job,) = case.jobs
    run = RunNow(segments={job.id: at_once} if at_once else {}, emissions_gco2e=None, late=0)
    nothing = Certificate(emissions_gco2e=0.0, lower_bound_gco2e=0.0)
    found = FleetPlan(case=case, segments={job.id: segments}, reasons={}, certificate=nothing, run_now=run)
    return FleetReasons(found).explanation(job)


def _gpus_of(job: Job, segments: tuple[Segment, ...]) -> tuple[int, int]:
    counts = [gpus_of(job, one) for one in segments]
    return min(counts), max(counts)


def _as_written(change: Change, written: tuple[str, ...]) -> Change:
    """With the regions that the file names, and those that the change adds."""
    added = tuple(name for name in change.changed.regions if name not in change.asked.regions)
    asked = replace(change.asked, regions=written)
    return replace(change, asked=asked, changed=replace(change.changed, regions=(*written, *added)))


def _meet(one: Segment, other: Segment) -> bool:
    return one.region == other.region and one.start_at_s < other.end_at_s and other.start_at_s < one.end_at_s


def _whole(segments: tuple[Segment, ...]) -> Segment:
    return replace(segments[0], end_at_s=segments[-1].end_at_s)
