"""What the plan expected of each job when it started, kept until it can be held beside what became of it.

In memory, of jobs that started and succeeded in this life of the daemon: nothing is planned by it. Knows no store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.jobs import Job
from scheduler.planning.plan import Placement

MAX_JOBS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPlan:
    """The forecast under which a job started, beside running at once."""

    job_id: str
    tenant: str
    emissions_gco2e: float
    at_once_emissions_gco2e: float


class FirstPlans:
    """One daemon's."""

    def __init__(self) -> None:
        self._under_way: dict[str, FirstPlan] = {}  # the oldest leave first: those that failed never leave else
        self._succeeded: deque[FirstPlan] = deque(maxlen=MAX_JOBS)

    def started(self, job: Job, placement: Placement, done_s: float) -> None:
        """A run was ordered. Later pieces, and places whose grid nobody knows, say nothing of the whole."""
        emitted_gco2e, at_once_gco2e = placement.emissions_gco2e, placement.baseline_emissions_gco2e
        if done_s > 0 or emitted_gco2e is None or at_once_gco2e is None:
            return
        if len(self._under_way) >= MAX_JOBS:
            del self._under_way[next(iter(self._under_way))]
        self._under_way[job.id] = FirstPlan(
            job_id=job.id, tenant=job.tenant, emissions_gco2e=emitted_gco2e, at_once_emissions_gco2e=at_once_gco2e
        )

    def succeeded(self, job: Job) -> None:
        """All of its work is done; what failed or was cancelled is no measure of a forecast."""
        if (found := self._under_way.pop(job.id, None)) is not None:
            self._succeeded.append(found)

    def known(self, tenant: str | None) -> Sequence[FirstPlan]:
        """Of jobs that have succeeded, of one tenant or of all."""
        return [one for one in self._succeeded if tenant in (None, one.tenant)]
