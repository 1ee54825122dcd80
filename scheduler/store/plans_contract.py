"""What a store has to promise of the plans under which jobs first started, and of the uses to hold beside them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from scheduler.first_plans import FirstPlan, KeptPlan
from scheduler.ledger import EnergyUse


class PlanReads(Protocol):
    """What may be asked at any time, beside the writer."""

    def kept_plans(
        self, since_at_s: float, until_at_s: float, *, limit: int, tenant: str | None = None
    ) -> Sequence[KeptPlan]:
        """Of jobs that succeeded in [since, until), the latest first."""

    def uses_of_jobs(self, job_ids: Collection[str]) -> Sequence[EnergyUse]:
        """All of them in memory, so ask for thousands of jobs and not for more."""


class Plans(PlanReads, Protocol):
    """The one writer's view."""

    def keep_plan(self, plan: FirstPlan) -> None:
        """The first of a job stays; another one changes nothing."""
