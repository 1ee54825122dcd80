"""What to change of a job that is refused in front of an engine; in_fleet.py does it for a fleet planned from a file.

Both try a changed job beside all others as they are planned: so whoever applies one change leaves nobody else worse.
Decides no kind of change; nearest_change.py does.
"""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.jobs import Job
from scheduler.planning.open_jobs.fleet import with_others_taken
from scheduler.planning.open_jobs.needs import need
from scheduler.planning.plan import Cause, Forecasts, Region
from scheduler.planning.planner import OpenJob
from scheduler.planning.reasons.nearest_change import Change, nearest_changes

# Whoever is told a change needs a while to send the job again; what is told holds for so long.
TIME_TO_ANSWER_S = 600.0


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
