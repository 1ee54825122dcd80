"""What to change of a refused job, in a fleet planned from a file and in front of an engine.

Both try a changed job beside all others as they are planned: so whoever applies one change leaves nobody else worse.
Decides no kind of change; nearest_change.py does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from scheduler.jobs import Job
from scheduler.planning.open_jobs.fleet import with_others_taken
from scheduler.planning.open_jobs.placing import allowed_regions, need
from scheduler.planning.plan import Cause, Forecasts, Region
from scheduler.planning.planner import OpenJob
from scheduler.planning.reasons.nearest_change import Change, nearest_changes
from scheduler.planning.reasons.placed import full_room, grid_of
from scheduler.planning.whole_fleet.fleet_case import FleetCase, Room
from scheduler.planning.whole_fleet.joint import FleetPlan

# Whoever is told a change needs a while to send the job again; what is told holds for so long.
TIME_TO_ANSWER_S = 600.0
# A suggestion takes a millisecond or two; of more refused jobs than this the file is wrong, not the jobs.
MOST_REFUSED = 2000


def changes_in_fleet(found: FleetPlan) -> Mapping[str, list[Change]]:
    """For each refused job the changes with which it has a place beside the plan, in time that the trace knows."""
    if not found.reasons:
        return {}
    grid, room, case = grid_of(found.case), full_room(found), found.case
    begins_s = min(series.start_at_s for series in case.forecasts.values())
    return {
        job.id: nearest_changes(
            job,
            case.regions,
            lambda changed: grid.cheapest(changed, room) is not None,
            not_before_s=begins_s,
            first_finish_s=_first_finish_s(case, room, job),
        )
        for job in islice((one for one in case.jobs if one.id in found.reasons), MOST_REFUSED)
    }


def changes_beside(
    job: Job, others: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float
) -> list[Change]:
    """The changes with which a job has a place beside the open jobs when it is submitted at `now_s`, or before."""
    board = with_others_taken(others, regions, forecasts)

    def is_feasible(changed: Job) -> bool:
        wanted = need(OpenJob(job=changed), now_s)
        assert wanted is not None, "a newcomer does not run yet"
        place = board.earliest(wanted, Cause.RUN_NOW)
        return place is not None and place.is_in_time

    wanted = need(OpenJob(job=job), now_s)
    first = None if wanted is None else board.at_once(wanted)
    return nearest_changes(
        job,
        regions,
        is_feasible,
        not_before_s=max(now_s, job.submitted_at_s),
        first_finish_s=None if first is None else first.end_at_s,
    )


def _first_finish_s(case: FleetCase, room: Room, job: Job) -> float | None:
    """When it could end if only the room counted; a guess, as the trace may not know that time."""
    names = [one.name for one in allowed_regions(job, case.regions) if one.gpus >= job.gpus]
    starts = [room.earliest_start_at_s(job, name, job.earliest_start_at_s, job.duration_s) for name in names]
    finite = [start for start in starts if start < float("inf")]
    return min(finite) + job.duration_s if finite else None
