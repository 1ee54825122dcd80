"""Why an open job is where it is when plans are made by an objective: the same questions, asked of a grid of costs.

So the limit that costs most is the one that costs most of the objective, and amounts are in its unit. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from intensity_feeds.feed import Answer
from scheduler.planning.plan import Forecasts, Region
from scheduler.planning.planner import OpenJob
from scheduler.planning.reasons.explanation import Explanation
from scheduler.planning.reasons.placed import explain_open_job
from scheduler.planning.weighed.planner import WeighedPlanner, unit_of
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.objective import waiting_offset_cost


def explain_by_objective(
    job_id: str,
    open_jobs: Sequence[OpenJob],
    planner: WeighedPlanner,
    regions: Sequence[Region],
    forecasts: Forecasts,
    answers: Mapping[str, Answer | None],
    now_s: float,
    reserve_ratio: float,
) -> Explanation | None:
    """As `explain_open_job`, in units of the planner's objective; None where the job has no place."""
    one = next((one for one in open_jobs if one.job.id == job_id), None)
    if one is None:
        return None
    grid = planner.cost_grid([one.job], regions, forecasts)
    zones = {region.name: region.zone for region in regions}
    known = {region.zone: answers.get(zones[region.name]) for region in grid.regions}
    told = [_in_costs(other, planner, regions, forecasts) if other is one else other for other in open_jobs]
    found = explain_open_job(job_id, told, grid, known, now_s, reserve_ratio)
    return None if found is None else replace(found, unit=unit_of(planner.weights))


def _in_costs(one: OpenJob, planner: WeighedPlanner, regions: Sequence[Region], forecasts: Forecasts) -> OpenJob:
    """With what its place costs on the grid of costs, which charges waiting from the job's earliest start."""
    if one.planned is None:
        return one
    case = FleetCase(jobs=[one.job], regions=regions, forecasts=forecasts)
    offset = waiting_offset_cost(case, planner.weights, {one.job.id})
    value, baseline = one.planned.objective_cost, one.planned.baseline_cost
    planned = replace(
        one.planned,
        emissions_gco2e=None if value is None else value + offset,
        baseline_emissions_gco2e=None if baseline is None else baseline + offset,
    )
    return replace(one, planned=planned)
