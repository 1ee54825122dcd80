"""A plan of a file with all that is said about it, for the table, the JSON and the page alike. Decides no sentence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from scheduler.planning.reasons.change_text import changes_text
from scheduler.planning.reasons.explanation import Explanation
from scheduler.planning.reasons.in_fleet import FleetReasons
from scheduler.planning.reasons.kept_rules import FleetRules
from scheduler.planning.reasons.nearest_change import Change
from scheduler.planning.whole_fleet.joint import FleetPlan

# An explanation takes about a millisecond; beyond so many jobs only those that are asked for are explained.
MOST_EXPLAINED = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A plan with all that is said about it: why each job is where it is, and what to change of those refused."""

    plan: FleetPlan
    explanations: Mapping[str, Explanation]
    changes: Mapping[str, Sequence[Change]]
    is_by_grams_alone: bool = True

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
) -> Told:
    """What is said about a plan. Explanations cost more than a table needs: only those that will be read are made."""
    chosen = set(explained)
    if needs_all and len(found.case.jobs) <= MOST_EXPLAINED:
        chosen |= set(found.segments)
    if not chosen and not found.reasons:
        return Told(plan=found, explanations={}, changes={}, is_by_grams_alone=is_by_grams_alone)
    reasons = FleetReasons(found, rules)
    return Told(
        plan=found,
        explanations={one.job_id: one for one in reasons.explanations(chosen)},
        changes=reasons.changes(),
        is_by_grams_alone=is_by_grams_alone,
    )
