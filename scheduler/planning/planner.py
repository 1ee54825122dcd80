"""The seam between the engine and whoever makes its plans: one policy for daemon, command line and simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from scheduler.jobs import Job
from scheduler.planning.plan import Forecasts, Placement, Plan, Refusal, Region, Segment

# A piece that is not needed any more, and the GPUs that it held.
Freed = tuple[Segment, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJob:
    """A job that is not finished, with what is already decided about it.

    `done_s` of its duration is behind it (a pause, a checkpoint). `running` is the piece that is on GPUs now, to its
    expected end; a contiguous job's running piece is never moved. `planned` is its place in the plan so far, if any.
    `met_at_once` tells whether it would be in time had every job run at once since its submission; None: not known.
    """

    job: Job
    done_s: float = 0.0
    running: Segment | None = None
    planned: Placement | None = None
    met_at_once: bool | None = None

    @property
    def remaining_s(self) -> float:
        """Run time still to come, before overheads of pausing."""
        return max(0.0, self.job.duration_s - self.done_s)


class Planner(Protocol):
    """Places jobs jointly under capacity. Pure and deterministic: the same arguments give the same plan."""

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        """A whole new plan for all open jobs. A job that cannot be in time is refused and still placed, cause LATE."""
        ...

    def refill(
        self,
        open_jobs: Sequence[OpenJob],
        freed: Sequence[Freed],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Plan:
        """Room came free and nothing else changed: who moves there, or a whole new plan. The rest stays."""
        ...

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        """A place for one more job beside the running and planned pieces of `others`, which stay where they are."""
        ...
