"""Where a job of a whole fleet could be, were it a little different: its cheapest place by what the plan is chosen by.

Knows every kind of job and of GPU that the joint planner knows, charges and waits for data that has to move, and asks
the planner's own search for one job. What other rules forbid is not looked for here: kept_rules.py does that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

from intensity_feeds.series import Basis, Signal
from scheduler.jobs import Job
from scheduler.planning.open_jobs.choices import Choice, FreeTime
from scheduler.planning.plan import Forecasts, Region, Segment
from scheduler.planning.whole_fleet.alone.cheapest_place import cheapest_place
from scheduler.planning.whole_fleet.certificate import recomputed_gco2e
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.objective import (
    GRAMS,
    Site,
    Sites,
    Weights,
    effective,
    value_of,
    waiting_offset_cost,
)
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.rules.transfers import Transfers

# So much before the first start and after the last deadline, changes of a job are looked for.
AROUND_S = 14 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlaces:
    """The regions of a case at what an hour of each costs by the objective, in its own unit; `moves` of data cost too.

    With `tells_gpus` every segment says how many it has.
    """

    case: FleetCase
    priced: FleetCase
    rates: Rates
    weights: Weights = GRAMS
    moves: Transfers | None = None
    tells_gpus: bool = False

    @classmethod
    def of(
        cls, case: FleetCase, sites: Sites | None = None, weights: Weights = GRAMS, moves: Transfers | None = None
    ) -> Self:
        every = {region.name: Site() for region in case.regions} if sites is None else sites
        priced = effective(case, every, weights)
        return cls(case=case, priced=priced, rates=_wide_rates(priced), weights=weights, moves=moves)

    def wider(self, more_gpus: int) -> FleetPlaces:
        """The same were there so many more GPUs in each region."""
        return self._on(wider(self.case, more_gpus), wider(self.priced, more_gpus))

    def without_power_caps(self) -> FleetPlaces:
        return self._on(replace(self.case, power_caps_w={}), replace(self.priced, power_caps_w={}))

    def on_fixed_gpus(self) -> FleetPlaces:
        """The same with elastic jobs held to the GPUs that they have; segments say how many these are."""
        fixed = self._on(replace(self.case, scalings={}), replace(self.priced, scalings={}))
        return replace(fixed, tells_gpus=True)

    def _on(self, case: FleetCase, priced: FleetCase) -> FleetPlaces:
        return replace(self, case=case, priced=priced, rates=_wide_rates(priced))

    @property
    def regions(self) -> Sequence[Region]:
        return self.priced.regions

    @property
    def forecasts(self) -> Forecasts:
        return self.priced.forecasts

    def kind_in(self, region: str) -> tuple[Signal, Basis] | None:
        """None: a fleet has numbers of one kind only."""
        return None

    def cheapest(
        self,
        job: Job,
        room: FreeTime,
        *,
        kind: tuple[Signal, Basis] | None = None,
        restores_first: bool = False,
        besides: frozenset[str] = frozenset(),
    ) -> Choice | None:
        """The cheapest place in known and free time, within the job's own limits; not in the regions `besides`."""
        best: Choice | None = None
        for one, move_cost in self._variants(_without(job, besides, self.priced)):
            self.rates.forget(job.id)
            place = cheapest_place(one, self.rates, room)
            if not place:
                continue
            cost = self.rates.cost_of(one, place) - self.offset_cost(job) + move_cost
            if best is None or cost < best.emissions_gco2e:
                best = Choice(segments=place, emissions_gco2e=cost)
        return _with_gpus(best, job) if best is not None and self.tells_gpus else best

    def cost_of(self, job: Job, segments: Sequence[Segment]) -> float | None:
        """What a given place costs; None where something that counts is not known there."""
        cost = recomputed_gco2e(self.priced, job, segments) - self.offset_cost(job)
        if self.moves is not None:
            cost += value_of(self.weights, self.moves.charges(job, segments))
        return None if math.isnan(cost) else cost

    def offset_cost(self, job: Job) -> float:
        """What the rising price of waiting asks of the job even at once."""
        return waiting_offset_cost(self.case, self.weights, {job.id}) if self.weights.per_waiting_kwh_h else 0.0

    def _variants(self, job: Job | None) -> Iterator[tuple[Job, float]]:
        """The job, or, where its data has to follow it, the job in each region with what the move costs."""
        if job is None:
            return
        if self.moves is None or not self.moves.has_data(job.id):
            yield job, 0.0
            return
        for index in self.priced.allowed(job):
            region = self.priced.regions[index].name
            leaves_at_s = self.moves.leaves_at_s(job)
            ready_s = max(job.earliest_start_at_s, self.moves.ready_s(job.id, region, leaves_at_s))
            move_cost = value_of(self.weights, self.moves.charge(job.id, region, leaves_at_s))
            if ready_s < job.deadline_at_s and not math.isnan(move_cost):
                yield replace(job, regions=(region,), earliest_start_at_s=ready_s), move_cost


def wider(case: FleetCase, more_gpus: int) -> FleetCase:
    return replace(case, regions=[replace(region, gpus=region.gpus + more_gpus) for region in case.regions])


def _with_gpus(choice: Choice, job: Job) -> Choice:
    return replace(choice, segments=tuple(replace(one, gpus=job.gpus, power_w=job.power_w) for one in choice.segments))


def _without(job: Job, besides: frozenset[str], case: FleetCase) -> Job | None:
    if not besides:
        return job
    names = (case.regions[index].name for index in case.allowed(job))
    left = tuple(name for name in names if name not in besides)
    return replace(job, regions=left) if left else None


def _wide_rates(priced: FleetCase) -> Rates:
    """Over all the time in which a change of some job may be looked for."""
    ends_s = [(series.start_at_s, series.end_at_s) for series in priced.forecasts.values()]
    windows = [(job.earliest_start_at_s, job.deadline_at_s) for job in priced.jobs]
    first_s, last_s = min(one[0] for one in windows), max(one[1] for one in windows)
    from_s = min(first_s, max(first_s - AROUND_S, min(one[0] for one in ends_s)))
    to_s = max(last_s + 86_400.0, min(last_s + AROUND_S, max(one[1] for one in ends_s)))
    widest = replace(priced.jobs[0], earliest_start_at_s=from_s, deadline_at_s=to_s)
    return Rates.of(replace(priced, jobs=[widest], pools=()))
