"""Why a job of a fleet has no place, in words. What would have one is another question: suggestions.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S, curve, long_enough, overlap
from scheduler.planning.plan import Region
from scheduler.planning.whole_fleet.alone.cheapest_place import cheapest_place
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.levels import levels_of
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.quantities import format_duration, format_instant

Reason = str


def never_possible(case: FleetCase, job: Job) -> Reason | None:
    """Why not even an empty fleet could run the job in time; None when it could."""
    named = [region for region in case.regions if not job.regions or region.name in job.regions]
    if not named:
        return f"region: the fleet has none of {', '.join(job.regions)}"
    fewest, power_w = case.least_need(job)
    if fewest > (most := max(region.gpus for region in named)):
        return f"gpus: needs {fewest} GPUs at once, the largest allowed region has {most}"
    if not any(region.zone in case.forecasts for region in named):
        return f"forecast: nothing is known of {', '.join(region.zone for region in named)}"
    fitting = [case.regions[index] for index in case.allowed(job)]
    if not fitting:
        return f"power: {power_w / 1000:.3f} kW with its PUE is more than the power cap where it may run"
    lasts_s = case.shortest_s(job)
    if lasts_s > job.deadline_at_s - job.earliest_start_at_s + ROUNDING_S:
        return f"deadline: runs {format_duration(lasts_s)}, longer than the time it has"
    if not _has_known_time(case, job, fitting):
        return "forecast: the trace has no whole window for it where it may run"
    return None


def crowded_out(job: Job) -> Reason:
    """Why a job found no room beside the others."""
    gpus = "1 GPU" if job.gpus == 1 else f"{job.gpus} GPUs"
    return f"capacity: the room for {gpus} is taken by other jobs until {format_instant(job.deadline_at_s)}"


def _has_known_time(case: FleetCase, job: Job, fitting: Sequence[Region]) -> bool:
    if levels_of(case, job) is not None:
        return cheapest_place(job, Rates.of(replace(case, jobs=[job]))) is not None
    return any(_has_known_time_in(case, job, region) for region in fitting)


def _has_known_time_in(case: FleetCase, job: Job, region: Region) -> bool:
    series, lasts_s = case.forecasts[region.zone], case.lasts_s(job, region)
    part = curve(region.name, series, region.pue, job.earliest_start_at_s, job.deadline_at_s)
    if part is None:
        return False
    inside = overlap(((job.earliest_start_at_s, job.deadline_at_s),), part.known)
    if job.interruption is not None:
        return sum(to_s - from_s for from_s, to_s in inside) >= lasts_s - ROUNDING_S
    return bool(long_enough(inside, lasts_s))
