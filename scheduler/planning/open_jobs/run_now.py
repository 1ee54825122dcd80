"""The baseline: every job as early as there is room, first come first served, whatever the grid emits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.planning.open_jobs.board_loops import BoardLoops
from scheduler.planning.open_jobs.draft import Joint, run_now_draft
from scheduler.planning.open_jobs.fleet import placed_or_refused, with_others_taken
from scheduler.planning.open_jobs.needs import need
from scheduler.planning.plan import Cause, Forecasts, Placement, Plan, Refusal, Region
from scheduler.planning.planner import Freed, OpenJob


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNowPlanner:
    """Higher priority first, then in order of submission; each job at the earliest instant beside those before it.

    The plans are the same with compiled `loops`.
    """

    loops: BoardLoops | None = None

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        return run_now_draft(Joint.of(open_jobs, regions, forecasts, now_s, loops=self.loops)).plan()

    def refill(
        self,
        open_jobs: Sequence[OpenJob],
        freed: Sequence[Freed],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Plan:
        return self.plan(open_jobs, regions, forecasts, now_s)

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        board = with_others_taken(others, regions, forecasts, loops=self.loops)
        wanted = need(newcomer, now_s)
        assert wanted is not None, "a newcomer does not run yet"
        return placed_or_refused(board, wanted, board.earliest(wanted, Cause.RUN_NOW))
