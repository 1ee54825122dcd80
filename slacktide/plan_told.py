"""A plan of a file with all that is said about it, for the table, the JSON and the page alike. Decides no sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scheduler.jobs import Job
from scheduler.planning.reasons.change_text import changes_text
from scheduler.planning.reasons.explanation import GRAMS_UNIT, Explanation
from scheduler.planning.reasons.in_fleet import FleetReasons
from scheduler.planning.reasons.kept_rules import FleetRules
from scheduler.planning.reasons.nearest_change import Change
from scheduler.planning.weighed.planner import unit_of
from scheduler.planning.whole_fleet.certificate import Certificate
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import FleetPlan
from scheduler.quantities import format_instant

# An explanation takes one to three milliseconds; beyond so many jobs only those that are asked for are explained.
MOST_EXPLAINED = 2000
# One of a job with a least run takes some 20 to 40 ms, one of an elastic job 6 to 20.
_LEAST_RUN_COUNTS, _ELASTIC_COUNTS = 20, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A plan with all that is said about it: why each job is where it is, and what to change of those refused.

    `proof` is of what the plan was chosen by, in that `unit`.
    """

    plan: FleetPlan
    explanations: Mapping[str, Explanation]
    changes: Mapping[str, Sequence[Change]]
    is_by_grams_alone: bool = True
    unit: str = GRAMS_UNIT
    proof: Certificate | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the whole plan rests on where the trace knows less than the jobs ask."""
        return tuple(_notes(self.plan))

    def reason(self, job_id: str) -> str:
        """One sentence: that it is the cleanest place, or why there is none and what would have one."""
        refused = self.plan.reasons.get(job_id)
        if refused is None:
            return "cleanest" if self.is_by_grams_alone else "chosen by the objective and the rules of the fleet"
        changes = changes_text(self.changes.get(job_id, ()))
        return f"{refused}; {changes}" if changes else refused


def told_of(
    found: FleetPlan,
    rules: FleetRules,
    explained: Collection[str] = (),
    *,
    needs_all: bool,
    is_by_grams_alone: bool = True,
    proof: Certificate | None = None,
) -> Told:
    """What is said about a plan. Explanations cost more than a table needs: only those that will be read are made."""
    chosen = set(explained)
    if needs_all and explains_all(found.case):
        chosen |= set(found.segments)
    reasons = FleetReasons(found, rules) if chosen or found.reasons else None
    return Told(
        plan=found,
        explanations={} if reasons is None else {one.job_id: one for one in reasons.explanations(chosen)},
        changes={} if reasons is None else reasons.changes(),
        is_by_grams_alone=is_by_grams_alone,
        unit=unit_of(rules.objective.weights),
        proof=proof,
    )


def _notes(found: FleetPlan) -> Iterator[str]:
    zone, ends_at_s = min(((zone, one.end_at_s) for zone, one in found.case.forecasts.items()), key=lambda end: end[1])
    if any(one.deadline_at_s > ends_at_s for some in (found.case.jobs, found.case.pools) for one in some):
        ends = f"{format_instant(ends_at_s)} in {zone}"
        yield f"the trace ends at {ends}, before the last finish_by; nothing is planned where it has no number"
    if found.run_now.emissions_gco2e is None:
        yield "run at once, some work would run where the trace has no number; its emissions are not known"


def explains_all(case: FleetCase) -> bool:
    """Whether every job is explained, not only those that are asked for."""
    return sum(_counts(case, job) for job in case.jobs) <= MOST_EXPLAINED


def _counts(case: FleetCase, job: Job) -> int:
    if job.id in case.scalings:
        return _ELASTIC_COUNTS
    return _LEAST_RUN_COUNTS if job.interruption is not None and job.interruption.min_run_s > 0 else 1
