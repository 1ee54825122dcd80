"""Why a job of a fleet has no place, in words. What would have one is another question: suggestions.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S, curve, long_enough, overlap
from scheduler.planning.plan import Region
from scheduler.planning.whole_fleet.alone.cheapest_place import cheapest_place
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase, Room
from scheduler.planning.whole_fleet.levels import levels_of
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.quantities import format_duration, format_instant

Reason = str


def never_possible(case: FleetCase, job: Job, empty: Room | None = None) -> Reason | None:
    """Why not even an empty fleet could run the job in time; None when it could, as far as this can be told at once.

    `empty` is the room of the empty fleet, where regions hold GPUs.
    """
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
        return f"power_cap: {power_w / 1000:.3f} kW with its PUE is more than the power cap where it may run"
    lasts_s = case.shortest_s(job)
    if lasts_s > job.deadline_at_s - job.earliest_start_at_s + ROUNDING_S:
        return f"deadline: runs {format_duration(lasts_s)}, longer than the time it has"
    if not _has_time(case, job, fitting, None):
        known = case.forecasts[fitting[0].zone]
        span = f"from {format_instant(known.start_at_s)} to {format_instant(known.end_at_s)}"
        return f"forecast: the trace has no whole window for it where it may run; it has {fitting[0].zone} {span}"
    if empty is not None and not _has_time(case, job, fitting, empty):
        return f"held: too many GPUs are reserved or in maintenance for it until {_deadline(job)}"
    return None


def crowded_out(case: FleetCase, places: Assignment) -> dict[str, Reason]:
    """Why each job that could run alone found no room beside the others, by its id."""
    out = [job for job in case.jobs if job.id not in places]
    if not case.power_caps_w or not out:
        return {job.id: _taken(job) for job in out}
    uncapped = replace(case, power_caps_w={})
    room, rates = Room(uncapped), Rates.of(replace(uncapped, jobs=out))
    for job in case.jobs:
        room.take(job, places.get(job.id, ()))
    return {
        job.id: _taken(job) if cheapest_place(job, rates, room) is None else _short_of_power(case, job) for job in out
    }


def _taken(job: Job) -> Reason:
    return f"capacity: the room for {_gpus(job)} is taken by other jobs until {_deadline(job)}"


def _short_of_power(case: FleetCase, job: Job) -> Reason:
    needs = f"{case.least_need(job)[1] / 1000:.3f} kW"
    return f"power_cap: other jobs draw too much of the power cap for its {needs} until {_deadline(job)}"


def _gpus(job: Job) -> str:
    return "1 GPU" if job.gpus == 1 else f"{job.gpus} GPUs"


def _deadline(job: Job) -> str:
    return format_instant(job.deadline_at_s)


def _has_time(case: FleetCase, job: Job, fitting: Sequence[Region], empty: Room | None) -> bool:
    """Whether it has a place in known time and, where `empty` is given, in what regions do not hold."""
    if levels_of(case, job) is None and any(_has_time_in(case, job, region, empty) for region in fitting):
        return True
    may_have = levels_of(case, job) is not None or job.interruption is not None
    return may_have and cheapest_place(job, Rates.of(replace(case, jobs=[job])), empty) is not None


def _has_time_in(case: FleetCase, job: Job, region: Region, empty: Room | None) -> bool:
    series, lasts_s = case.forecasts[region.zone], case.lasts_s(job, region)
    part = curve(region.name, series, region.pue, job.earliest_start_at_s, job.deadline_at_s)
    if part is None:
        return False
    inside = overlap(((job.earliest_start_at_s, job.deadline_at_s),), part.known)
    if empty is not None:
        inside = overlap(inside, empty.free(job, region.name))
    if job.interruption is not None:
        return sum(to_s - from_s for from_s, to_s in inside) >= lasts_s - ROUNDING_S
    return bool(long_enough(inside, lasts_s))
