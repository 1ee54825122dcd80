"""From a place to what can be explained: one job with what is free beside all others. Decides nothing.

A job without a fleet, and the open jobs of an engine; a fleet that is planned as a whole is in in_fleet.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from intensity_feeds.feed import Answer
from scheduler.jobs import Job
from scheduler.planning.one_job.single import Comparison
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.choices import Beside, Grid
from scheduler.planning.open_jobs.fleet import with_others_taken
from scheduler.planning.open_jobs.needs import need
from scheduler.planning.plan import Cause, Placement, Region, Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.reasons.explanation import Explanation, Ground, Placed, explain, ground_of_answer


def explain_lone_job(
    job: Job, found: Comparison, grid: Grid, at_once: Segment, grounds: Mapping[str, Ground]
) -> Explanation:
    """Why a job without a fleet is where it is: nobody else is there, so capacity never binds."""
    everywhere = Beside(occupancy=Occupancy(grid.regions), regions=grid.regions)
    placed = Placed(
        job=job,
        segments=found.best.segments,
        cause=Cause.CLEANEST,
        emissions_gco2e=found.best.emissions_gco2e,
        room=everywhere,
        empty=everywhere,
        not_before_s=min(series.start_at_s for series in grid.forecasts.values()),
        at_once=at_once,
        at_once_gco2e=None if found.at_once is None else found.at_once.emissions_gco2e,
    )
    return explain(placed, grid, grounds)


def explain_open_job(
    job_id: str,
    open_jobs: Sequence[OpenJob],
    grid: Grid,
    answers: Mapping[str, Answer | None],
    now_s: float,
    reserve_ratio: float,
) -> Explanation | None:
    """Why an open job of an engine is where it is; None where it has no place."""
    one = next((one for one in open_jobs if one.job.id == job_id), None)
    if one is None or one.planned is None:
        return None
    others = [other for other in open_jobs if other.job.id != job_id]
    grounds = {zone: ground_of_answer(answer, now_s) for zone, answer in answers.items() if answer is not None}
    return explain(placed_open(one, one.planned, others, grid, now_s, reserve_ratio), grid, grounds)


def placed_open(
    one: OpenJob, placement: Placement, others: Sequence[OpenJob], grid: Grid, now_s: float, reserve_ratio: float
) -> Placed:
    """An open job of an engine beside the others; `others` may not hold it."""
    beside = with_others_taken(others, grid.regions, grid.forecasts).occupancy
    free = [replace(region, held=()) for region in grid.regions]
    unheld = with_others_taken(others, free, grid.forecasts).occupancy
    open_ended = [replace(region, power_cap_w=None) for region in grid.regions]
    uncapped = with_others_taken(others, open_ended, grid.forecasts).occupancy
    wanted = need(one, now_s)
    is_running = one.running is not None or wanted is None
    return Placed(
        job=one.job if wanted is None else _left_of(one.job, wanted.work_s, wanted.earliest_s),
        segments=placement.segments,
        cause=placement.cause,
        emissions_gco2e=placement.emissions_gco2e,
        room=Beside(occupancy=beside, regions=grid.regions, reserve_ratio=reserve_ratio),
        room_without_reserve=Beside(occupancy=beside, regions=grid.regions) if reserve_ratio > 0 else None,
        unheld=Beside(occupancy=unheld, regions=free, reserve_ratio=reserve_ratio) if _holds(grid.regions) else None,
        uncapped=Beside(occupancy=uncapped, regions=open_ended, reserve_ratio=reserve_ratio)
        if open_ended != list(grid.regions)
        else None,
        empty=Beside(occupancy=Occupancy(grid.regions), regions=grid.regions),
        not_before_s=now_s,
        # The baseline is of the whole job; beside what is left of one it would claim what is behind it as saved.
        at_once_gco2e=placement.baseline_emissions_gco2e if one.done_s == 0 else None,
        restores_first=wanted is not None and wanted.restores_first,
        is_running=is_running,
    )


def _holds(regions: Sequence[Region]) -> bool:
    return any(region.held for region in regions)


def _left_of(job: Job, work_s: float, earliest_s: float) -> Job:
    """The job as it is now; one that is late has a deadline behind its start, which no job may have."""
    return replace(
        job, duration_s=work_s, earliest_start_at_s=earliest_s, deadline_at_s=max(job.deadline_at_s, earliest_s + 1.0)
    )
