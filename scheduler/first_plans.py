"""What the plan expected of a job when it first started, to be held beside what became of it; and how many such pairs
are sorted. Knows no store, prices nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from scheduler.jobs import Job
from scheduler.ledger import EnergyUse
from scheduler.planning.plan import Placement

# The argument of a template that names the model it is about.
_MODEL = "model"


class PlannedBy(StrEnum):
    DAY = "day"
    MONTH = "month"
    TENANT = "tenant"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPlan:
    """The forecast under which a job started, beside running at once. `model` is empty where none is named."""

    job_id: str
    tenant: str
    model: str
    planned_at_s: float
    emissions_gco2e: float
    at_once_emissions_gco2e: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlan:
    """The first plan of a job that has succeeded since."""

    plan: FirstPlan
    ended_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Plans and all that was used for their jobs."""

    plans: Sequence[FirstPlan]
    uses: Sequence[EnergyUse]


def first_plan(job: Job, placement: Placement | None, done_s: float, now_s: float) -> FirstPlan | None:
    """Of a run that is ordered. Later pieces, and places whose grid nobody knows, say nothing of the whole."""
    if placement is None or done_s > 0:
        return None
    emitted_gco2e, at_once_gco2e = placement.emissions_gco2e, placement.baseline_emissions_gco2e
    if emitted_gco2e is None or at_once_gco2e is None:
        return None
    return FirstPlan(
        job_id=job.id,
        tenant=job.tenant,
        model=dict(job.arguments).get(_MODEL, ""),
        planned_at_s=now_s,
        emissions_gco2e=emitted_gco2e,
        at_once_emissions_gco2e=at_once_gco2e,
    )


def compared(kept: Iterable[KeptPlan], uses: Iterable[EnergyUse], by: PlannedBy | None = None) -> dict[str, Compared]:
    """By name in its order, all under the empty name where it is by nothing. A plan without a use is left out.

    Days and months are the calendar's in UTC, by the end of the job: both sides of a comparison stand under one name.
    """
    uses_of: dict[str, list[EnergyUse]] = {}
    for use in uses:
        uses_of.setdefault(use.subject_id, []).append(use)
    heaps: dict[str, list[FirstPlan]] = {}
    for one in kept:
        if one.plan.job_id in uses_of:
            heaps.setdefault("" if by is None else _NAMES[by](one), []).append(one.plan)
    return {
        name: Compared(plans=plans, uses=[use for plan in plans for use in uses_of[plan.job_id]])
        for name, plans in sorted(heaps.items())
    }


def _day(one: KeptPlan) -> str:
    return datetime.fromtimestamp(one.ended_at_s, UTC).date().isoformat()


_NAMES: Mapping[PlannedBy, Callable[[KeptPlan], str]] = {
    PlannedBy.DAY: _day,
    PlannedBy.MONTH: lambda one: _day(one)[:7],
    PlannedBy.TENANT: lambda one: one.plan.tenant,
    PlannedBy.MODEL: lambda one: one.plan.model,
}
