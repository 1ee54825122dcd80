"""Open jobs planned by a weighted sum of grams, dollars, litres and waiting, with any planner of grams.

The planner is given regions and forecasts whose grams are the units of the objective (objective.py says how), so its
order, its head-room and its guards hold as they are. What it answers is told in true grams again, and the objective
beside it: both are added up from the original series by code that the search knows nothing of. Where a price that
counts is not known, nothing is known, and work runs early. Decides no place itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scheduler.jobs import Job
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.choices import Grid
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.plan import Forecasts, Placement, Plan, Refusal, Region, Segment
from scheduler.planning.planner import Freed, OpenJob, Planner
from scheduler.planning.run_phases import in_phases
from scheduler.planning.weighed.kept_budgets import BudgetedPlanner
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.objective import (
    GRAMS,
    Components,
    Sites,
    Weights,
    components,
    effective,
    value_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedPlanner:
    """`inner` on a grid of costs. `sites` has each region by name."""

    inner: Planner
    weights: Weights
    sites: Sites

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        grid = self.cost_grid([one.job for one in open_jobs], regions, forecasts)
        found = self.inner.plan([_in_costs(one) for one in open_jobs], grid.regions, grid.forecasts, now_s)
        return self._all_told(found, open_jobs, regions, forecasts)

    def refill(
        self,
        open_jobs: Sequence[OpenJob],
        freed: Sequence[Freed],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Plan:
        grid = self.cost_grid([one.job for one in open_jobs], regions, forecasts)
        beside = [_in_costs(one) for one in open_jobs]
        found = self.inner.refill(beside, freed, grid.regions, grid.forecasts, now_s)
        return self._all_told(found, open_jobs, regions, forecasts)

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        grid = self.cost_grid([newcomer.job], regions, forecasts)
        beside = [_in_costs(one) for one in others]
        answer = self.inner.place(_in_costs(newcomer), beside, grid.regions, grid.forecasts, now_s)
        return answer if isinstance(answer, Refusal) else self._told(answer, newcomer, regions, forecasts)

    def cost_grid(self, jobs: Sequence[Job], regions: Sequence[Region], forecasts: Forecasts) -> Grid:
        """The regions and forecasts whose grams are units of the objective, for these jobs."""
        case = effective(FleetCase(jobs=jobs, regions=regions, forecasts=forecasts), self.sites, self.weights)
        rates = case.gpu_rate_gco2e_per_s
        charged = [replace(one, gpu_gco2e_per_s=rates.get(one.name, 0.0)) for one in case.regions]
        return Grid(regions=charged, forecasts=case.forecasts)

    def components(
        self, job: Job, segments: Sequence[Segment], regions: Sequence[Region], forecasts: Forecasts
    ) -> Components:
        """What the segments cost in each unit; grams are NaN where the grid is not known."""
        case = FleetCase(jobs=[job], regions=regions, forecasts=forecasts)
        return components(case, self.sites, job, in_phases(job, segments))

    def value(
        self, job: Job, segments: Sequence[Segment], regions: Sequence[Region], forecasts: Forecasts
    ) -> float | None:
        """The objective of the segments; None where something that counts is not known."""
        known = {region.name for region in regions}
        if not all(one.region in known for one in segments):
            return None
        found = value_of(self.weights, self.components(job, segments, regions, forecasts))
        return None if math.isnan(found) else found

    def _all_told(
        self, found: Plan, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts
    ) -> Plan:
        known = {one.job.id: one for one in open_jobs}
        told = {
            name: self._told(placement, known[name], regions, forecasts) for name, placement in found.placements.items()
        }
        return replace(found, placements=told)

    def _told(self, found: Placement, one: OpenJob, regions: Sequence[Region], forecasts: Forecasts) -> Placement:
        """The placement in true grams, with its objective; what was first said of starting at once stays."""
        board, at_once = Board(regions, forecasts, Occupancy(())), found.at_once
        grams, value = None, None
        if one.planned is not None:
            grams, value = one.planned.baseline_emissions_gco2e, one.planned.baseline_cost
        if at_once is not None:
            first = (at_once,)
            grams = board.job_gco2e(one.job, first) if grams is None else grams
            value = self.value(one.job, first, regions, forecasts) if value is None else value
        return replace(
            found,
            emissions_gco2e=board.job_gco2e(one.job, found.segments),
            baseline_emissions_gco2e=grams,
            objective_cost=self.value(one.job, found.segments, regions, forecasts),
            baseline_cost=value,
        )


def unit_of(weights: Weights) -> str:
    """Grams or dollars where the weights make it so, else a weighted sum of several units."""
    if weights == GRAMS:
        return "gCO2e"
    in_usd = weights.per_usd == 1 and weights.per_l == weights.per_waiting_kwh_h == 0
    return "USD" if in_usd else "weighted"


def weighing(planner: Planner) -> WeighedPlanner | None:
    """The planner by an objective, within budgets or not; None where only grams count."""
    inner = _unbudgeted(planner)
    return inner if isinstance(inner, WeighedPlanner) else None


def _unbudgeted(planner: Planner) -> Planner:
    return planner.inner if isinstance(planner, BudgetedPlanner) else planner


def reserve_ratio_of(planner: Planner) -> float:
    """The share of GPUs that a planner keeps free beside work that waits."""
    inner = weighing(planner) or _unbudgeted(planner)
    inner = inner.inner if isinstance(inner, WeighedPlanner) else inner
    return inner.reserve_ratio if isinstance(inner, FleetPlanner) else 0.0


def _in_costs(one: OpenJob) -> OpenJob:
    """The open job with its plan so far in units of the objective, as the inner planner made it."""
    if one.planned is None:
        return one
    planned = replace(
        one.planned, emissions_gco2e=one.planned.objective_cost, baseline_emissions_gco2e=one.planned.baseline_cost
    )
    return replace(one, planned=planned)
