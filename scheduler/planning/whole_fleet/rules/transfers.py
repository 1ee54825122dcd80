"""Data that has to follow its job to another region: what moving it costs, how long it takes, and whether it pays.

The data leaves when the job may start first, and the job waits for it. Where the plan sends a job away from its data,
the regions are compared by what the job would pay in each alone, the move included, and the job is bound to the best.
So the choice knows carbon and prices but no crowd. Decides no price of energy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.cheapest_place import cheapest_place
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.objective import Components, Sites, Weights, energy_components, value_of
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.rules.narrowing import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What a job reads, and the region where it lies."""

    region: str
    size_gb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Between any two regions of the fleet."""

    gb_per_s: float
    kwh_per_gb: float = 0.0
    usd_per_gb: float = 0.0


class Transfers:
    """The rule that a job away from its data has paid for it and waited for it."""

    def __init__(
        self, case: FleetCase, sites: Sites, weights: Weights, data: Mapping[str, Data], link: Link | None
    ) -> None:
        self._case, self._sites, self._weights = case, sites, weights
        self._data, self._link = data if link is not None else {}, link
        self._asked = {job.id: job for job in case.jobs}
        self._bound: set[str] = set()

    def prepared(self, jobs: Mapping[str, Job]) -> Change:
        """Nothing: a job may go anywhere as long as it is worth it."""
        return Change()

    def change(self, case: FleetCase, places: Assignment) -> Change:
        away = [job for job in case.jobs if job.id in places and self._is_away(job.id, places[job.id])]
        away = [job for job in away if job.id not in self._bound]
        if not away:
            return Change()
        self._bound |= {job.id for job in away}
        bound = {job.id: self._cheapest(job, case) for job in away}
        return Change(
            jobs={name: job for name, job in bound.items() if job is not None},
            refused={name: "region: its data arrives too late anywhere" for name, job in bound.items() if job is None},
        )

    def charges(self, job: Job, segments: Sequence[Segment]) -> Components:
        """What moving the data of a job to where it runs costs."""
        regions = {one.region for one in segments}
        return self.charge(job.id, regions.pop()) if self._is_away(job.id, segments) else Components()

    def has_data(self, name: str) -> bool:
        """Whether the job reads what lies in a region."""
        return name in self._data

    def leaves_at_s(self, job: Job) -> float:
        """When the data of a job leaves that may have another earliest start than it was asked for with."""
        return min(job.earliest_start_at_s, self._asked[job.id].earliest_start_at_s)

    @property
    def at_home(self) -> list[Job]:
        """The jobs of the case, each where its data lies if it may run there: what they do without a plan."""
        found: list[Job] = []
        for job in self._case.jobs:
            home = self._data[job.id].region if job.id in self._data else ""
            is_allowed = bool(home) and (not job.regions or home in job.regions)
            found.append(replace(job, regions=(home,)) if is_allowed else job)
        return found

    @property
    def least_cost(self) -> float:
        """What all moves together cost at least: nothing, unless moving data is paid for."""
        return sum(self._least_cost(name) for name in self._data)

    def _least_cost(self, name: str) -> float:
        every = [value_of(self._weights, self.charge(name, region.name)) for region in self._case.regions]
        return min([0.0, *(one for one in every if not math.isnan(one))])

    def _is_away(self, name: str, segments: Sequence[Segment]) -> bool:
        return name in self._data and any(one.region != self._data[name].region for one in segments)

    def _cheapest(self, job: Job, case: FleetCase) -> Job | None:
        """The job bound to the region where it pays least alone, the move included."""
        best, best_cost = None, math.inf
        for index in case.allowed(job):
            here = self._here(job, case, case.regions[index].name)
            if here is None:
                continue
            rates = Rates.of(replace(case, jobs=[here]))
            if place := cheapest_place(here, rates):
                # The rates count in units of the first weight.
                move_cost = value_of(self._weights, self.charge(job.id, here.regions[0])) / self._weights.first_factor
                cost = rates.cost_of(here, place) + (math.inf if math.isnan(move_cost) else move_cost)
                if cost < best_cost:
                    best, best_cost = here, cost
        return best

    def _here(self, job: Job, case: FleetCase, region: str) -> Job | None:
        """The job in one region, from when its data is there; None where that is too late."""
        ready_s = max(job.earliest_start_at_s, self.ready_s(job.id, region))
        here = replace(job, regions=(region,))
        if ready_s + case.shortest_s(here) > job.deadline_at_s + ROUNDING_S:
            return None
        return replace(here, earliest_start_at_s=ready_s)

    def ready_s(self, name: str, region: str, leaves_at_s: float | None = None) -> float:
        """When the data is there; it leaves when the job was asked to start first, unless that is told."""
        data, asked = self._data[name], self._asked[name]
        from_s = asked.earliest_start_at_s if leaves_at_s is None else leaves_at_s
        if region == data.region or self._link is None:
            return from_s
        return from_s + data.size_gb / self._link.gb_per_s

    def charge(self, name: str, region: str, leaves_at_s: float | None = None) -> Components:
        """Energy of the network at the grid and price of where the data lies, while it is under way."""
        data, link = self._data[name], self._link
        if region == data.region or link is None or data.size_gb == 0:
            return Components()
        from_s = self._asked[name].earliest_start_at_s if leaves_at_s is None else leaves_at_s
        under_way = Segment(start_at_s=from_s, end_at_s=self.ready_s(name, region, from_s), region=data.region)
        energy = energy_components(self._case, self._sites, data.size_gb * link.kwh_per_gb, under_way)
        return Components(
            transfer_kwh=energy.energy_kwh,
            transfer_gco2e=energy.grid_gco2e,
            transfer_usd=None
            if energy.electricity_usd is None and link.kwh_per_gb
            else ((energy.electricity_usd or 0.0) + data.size_gb * link.usd_per_gb),
        )
