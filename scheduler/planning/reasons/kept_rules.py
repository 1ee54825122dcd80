"""What else holds the jobs of a fleet's plan beside room and time: order, budgets, a limit on the whole, kinds of GPU.

A place that others' spending leaves no money for is none. As in the planner, one that overdraws a period is looked for
before it and after it, so a place is true, and within an overdrawn period none is looked for. Decides no plan.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from intensity_feeds.series import Basis, Signal
from scheduler.jobs import Job
from scheduler.planning.open_jobs.choices import Choice, FreeTime
from scheduler.planning.plan import Forecasts, Region, Segment
from scheduler.planning.reasons.fleet_places import FleetPlaces
from scheduler.planning.reasons.nearest_change import OtherTypes
from scheduler.planning.whole_fleet.fleet_case import Assignment
from scheduler.planning.whole_fleet.joint import FleetPlan
from scheduler.planning.whole_fleet.objective import Limit, Objective, Sites, components
from scheduler.planning.whole_fleet.rules.budgets import Budget, Budgets
from scheduler.planning.whole_fleet.rules.precedence import After
from scheduler.planning.whole_fleet.rules.transfers import Transfers

_ROUNDING_RATIO = 1e-9
# More and more weight on what is limited, beside what the plan costs for each unit of it.
_TILTS = (0.1, 0.5, 2.0, 1000.0)

Period = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A job that may run on some types of GPU only, and the regions that it would have otherwise.

    `of_any_type` are those of its zones, `of_any_zone` those of its types, `with_also` its own with one type more.
    """

    types: tuple[str, ...]
    of_any_type: tuple[str, ...]
    of_any_zone: tuple[str, ...]
    with_also: Mapping[str, tuple[str, ...]]

    def others(self, job: Job) -> Iterator[OtherTypes]:
        for name, regions in self.with_also.items():
            yield OtherTypes(job=replace(job, regions=regions), types=(*self.types, name), asked_types=self.types)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRules:
    """What a plan kept. `sites` None: nothing beside the grid is charged.

    By the job's id, `written` has the regions and zones as the file names them, where a job names any or has types.
    """

    sites: Sites | None = None
    objective: Objective = Objective()
    after: After = field(default_factory=dict)
    budgets: Sequence[Budget] = ()
    moves: Transfers | None = None
    typed: Mapping[str, Typed] = field(default_factory=dict)
    written: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Order:
    """What a job's neighbours, as they are planned, leave of its time."""

    def __init__(self, after: After, planned: Assignment) -> None:
        self._after, self._planned = after, planned
        self._followers: dict[str, list[str]] = {}
        for name, every in after.items():
            for before in every:
                self._followers.setdefault(before, []).append(name)

    def within(self, job: Job) -> Job | None:
        """The job between those before and after it; None where nothing is left, or one before it does not run."""
        before = self._after.get(job.id, ())
        if any(name not in self._planned for name in before):
            return None
        from_s = max([job.earliest_start_at_s, *(self._planned[name][-1].end_at_s for name in before)])
        starts_s = [
            self._planned[name][0].start_at_s for name in self._followers.get(job.id, ()) if name in self._planned
        ]
        to_s = min([job.deadline_at_s, *starts_s])
        return replace(job, earliest_start_at_s=from_s, deadline_at_s=to_s) if to_s > from_s else None

    def neighbours(self, job: Job) -> tuple[str, ...]:
        """Those that leave it less time than it was asked for with."""
        before = [
            name
            for name in self._after.get(job.id, ())
            if name in self._planned and self._planned[name][-1].end_at_s > job.earliest_start_at_s
        ]
        after = [
            name
            for name in self._followers.get(job.id, ())
            if name in self._planned and self._planned[name][0].start_at_s < job.deadline_at_s
        ]
        return (*before, *after)


class Spending:
    """What all jobs spend of budgets, and of what the whole plan may cost."""

    def __init__(self, found: FleetPlan, rules: FleetRules, *, keeps_limit: bool = True) -> None:
        self._case, self._sites = found.case, rules.sites or {}
        self._limit: Limit | None = rules.objective.limit if keeps_limit else None
        self._rule = Budgets(found.case, self._sites, rules.budgets, rules.moves)
        self._budgets = rules.budgets
        self._spent = [self._rule.ledger(one, found.case.jobs, found.segments) for one in rules.budgets]
        self._limited = {
            job.id: self._limited_cost(job, found.segments[job.id])
            for job in found.case.jobs
            if job.id in found.segments
        }

    def breach(self, job: Job, segments: Sequence[Segment]) -> Period | None:
        """The first period that the job would overdraw in this place, beside all others; all time for the limit."""
        for budget, spent in zip(self._budgets, self._spent, strict=True):
            if budget.tenant != job.tenant:
                continue
            own = self._rule.ledger(budget, [job], {job.id: tuple(segments)})
            for begin in sorted(own):
                others = [cost for name, cost in spent.get(begin, {}).items() if name != job.id]
                if _is_over(math.fsum(others) + own[begin][job.id], budget.most_cost):
                    return begin.timestamp(), budget.per.end(begin).timestamp()
        return (-math.inf, math.inf) if self._is_beyond_limit(job, segments) else None

    def _is_beyond_limit(self, job: Job, segments: Sequence[Segment]) -> bool:
        if self._limit is None:
            return False
        others = math.fsum(cost for name, cost in self._limited.items() if name != job.id)
        return _is_over(others + self._limited_cost(job, segments), self._limit.most_cost)

    def _limited_cost(self, job: Job, segments: Sequence[Segment]) -> float:
        if self._limit is None:
            return 0.0
        cost = components(self._case, self._sites, job, segments).of(self._limit.what)
        return math.inf if cost is None or math.isnan(cost) else cost


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlaces:
    """Places that spending allows. `tilted` weigh what is limited more, and are tried where the limit is in the way."""

    places: FleetPlaces
    spending: Spending
    tilted: Sequence[FleetPlaces] = ()

    @property
    def regions(self) -> Sequence[Region]:
        return self.places.regions

    @property
    def forecasts(self) -> Forecasts:
        return self.places.forecasts

    def kind_in(self, region: str) -> tuple[Signal, Basis] | None:
        return self.places.kind_in(region)

    def cheapest(
        self,
        job: Job,
        room: FreeTime,
        *,
        kind: tuple[Signal, Basis] | None = None,
        restores_first: bool = False,
        besides: frozenset[str] = frozenset(),
    ) -> Choice | None:
        """The cheapest of those that were looked at and that nobody's spending forbids."""
        found = self._within(job, room, besides)
        names = [self.places.priced.regions[index].name for index in self.places.priced.allowed(job)]
        if found is not None or len(names) < 2:
            return found
        own = [self._within(replace(job, regions=(name,)), room, besides) for name in names if name not in besides]
        return min((one for one in own if one is not None), key=lambda one: one.emissions_gco2e, default=None)

    def _within(self, job: Job, room: FreeTime, besides: frozenset[str]) -> Choice | None:
        found = self.places.cheapest(job, room, besides=besides)
        if found is None or (breach := self.spending.breach(job, found.segments)) is None:
            return found
        if math.isinf(breach[0]):
            choices = list(self._tilted(job, room, besides))
        else:
            choices = [one for part in _parts(job, breach) if (one := self._within(part, room, besides)) is not None]
        return min(choices, key=lambda one: one.emissions_gco2e, default=None)

    def _tilted(self, job: Job, room: FreeTime, besides: frozenset[str]) -> Iterator[Choice]:
        for places in self.tilted:
            found = places.cheapest(job, room, besides=besides)
            if found is not None and self.spending.breach(job, found.segments) is None:
                cost = self.places.cost_of(job, found.segments)
                if cost is not None:
                    yield Choice(segments=found.segments, emissions_gco2e=cost)


def tilted_places(places: FleetPlaces, found: FleetPlan, rules: FleetRules, plan_cost: float) -> list[FleetPlaces]:
    """The same with more weight on what the plan may only have so much of; none without such a limit."""
    limit = rules.objective.limit
    if limit is None or rules.sites is None:
        return []
    scale = abs(plan_cost) / abs(limit.most_cost) if plan_cost and limit.most_cost else 1.0
    weights = [places.weights.and_more_on(limit.what, scale * ratio) for ratio in _TILTS]
    return [FleetPlaces.of(found.case, rules.sites, one, rules.moves) for one in weights]


def _parts(job: Job, period: Period) -> Iterator[Job]:
    from_s, to_s = period
    if job.earliest_start_at_s < from_s < job.deadline_at_s:
        yield replace(job, deadline_at_s=from_s)
    if job.earliest_start_at_s < to_s < job.deadline_at_s:
        yield replace(job, earliest_start_at_s=to_s)


def _is_over(spent_cost: float, most_cost: float) -> bool:
    return spent_cost > most_cost + _ROUNDING_RATIO * abs(most_cost)
