"""The baseline: every job as early as there is room, first come first served, whatever the grid emits."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.planning.fleet import Joint, packed, placed_or_refused, with_others_taken
from scheduler.planning.placing import Need, need
from scheduler.planning.plan import Cause, Forecasts, Placement, Plan, Refusal, Region
from scheduler.planning.planner import OpenJob


class RunNowPlanner:
    """Higher priority first, then in order of submission; each job at the earliest instant beside those before it."""

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        joint = Joint.of(open_jobs, regions, forecasts, now_s)
        return packed(joint, sorted(joint.needs, key=first_come), Cause.RUN_NOW, postpones_late=False).plan()

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        board = with_others_taken(others, regions, forecasts)
        wanted = need(newcomer, now_s)
        assert wanted is not None, "a newcomer does not run yet"
        return placed_or_refused(board, wanted, board.earliest(wanted, Cause.RUN_NOW))


def first_come(wanted: Need) -> tuple[int, float, str]:
    return -wanted.job.priority, wanted.job.submitted_at_s, wanted.job.id
