"""Whether a tenant's budgets can pay for a job, and from when on: at its submission, before it is accepted.

A job is charged for its place period by period, like what its tenant has spent and has planned. Where a period cannot
pay it waits for the next one that can, as far as its deadline allows: its earliest start becomes the begin of that
period, and what was asked stays with it. Whoever is accepted stays accepted; how plans that are made again keep to
budgets is told in kept_budgets.py. Knows no ledger and no planner; both are asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.plan import Placement, Refusal, Segment
from scheduler.planning.run_phases import in_phases
from scheduler.planning.whole_fleet.objective import Components
from scheduler.planning.whole_fleet.rules.budgets import Budget, Ledger, cut

# A job that waits longer than this for its budget is asked to come again.
MOST_PERIODS = 31
_ROUNDING_RATIO = 1e-9

Place = Callable[[Job], Placement | Refusal]
# What segments of a job cost in each unit.
Bill = Callable[[Job, Sequence[Segment]], Components]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStanding:
    """One budget as it stands: what was settled in the period under way, and what is planned in each.

    Infinite where it is not known.
    """

    budget: Budget
    begin: datetime
    settled_cost: float
    planned: Ledger

    def used_cost(self, begin: datetime) -> float:
        """Settled and planned in the period that begins then."""
        planned_cost = math.fsum(self.planned.get(begin, {}).values())
        return planned_cost + (self.settled_cost if begin == self.begin else 0.0)

    @property
    def planned_cost(self) -> float:
        """In the period under way."""
        return math.fsum(self.planned.get(self.begin, {}).values())

    @property
    def left_cost(self) -> float:
        return self.budget.most_cost - self.used_cost(self.begin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The job as it is accepted, and where it would run."""

    job: Job
    placement: Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdrawn:
    """Which budget cannot pay in which period: it has `used_cost` of it already, and the job costs `own_cost` there."""

    budget: Budget
    begin: datetime
    own_cost: float
    used_cost: float

    @property
    def text(self) -> str:
        what, period, tenant = self.budget.what, self.budget.per.named(self.begin), self.budget.who
        if math.isinf(self.used_cost):
            return f"budget: what {tenant} has used in {period} is not known in {what}"
        if math.isinf(self.own_cost):
            return f"budget: what the job costs in {period} is not known in {what}"
        over_cost = self.used_cost + self.own_cost - self.budget.most_cost
        return (
            f"budget: needs {self.own_cost:,.4g} {what} in {period}, where {tenant} has used or planned "
            f"{self.used_cost:,.4g} of {self.budget.most_cost:,.4g}: {over_cost:,.4g} too much"
        )


def admitted(job: Job, place: Place, standings: Sequence[BudgetStanding], bill: Bill) -> Admitted | Overdrawn | Refusal:
    """The job in the first period that can pay for it; a Refusal where it had no place to begin with."""
    mine = [one for one in standings if one.budget.covers(job.tenant)]
    first: Overdrawn | Refusal | None = None
    for window in _windows(job, mine):
        answer = place(window)
        if isinstance(answer, Refusal):
            first = first or answer
            continue
        over = overdrawn(window, answer.segments, mine, bill)
        if over is None:
            return Admitted(job=window, placement=answer)
        first = first or over
    assert first is not None, "the job as it is asked for is always tried"
    return first


def overdrawn(
    job: Job, segments: Sequence[Segment], standings: Sequence[BudgetStanding], bill: Bill
) -> Overdrawn | None:
    """The first budget that cannot pay for these segments, in its first such period; None when all can."""
    for one in standings:
        for begin, own_cost in sorted(charges(one.budget, job, segments, bill).items()):
            used_cost = one.used_cost(begin)
            if own_cost > 0 and not can_pay(one.budget, used_cost + own_cost):
                return Overdrawn(budget=one.budget, begin=begin, own_cost=own_cost, used_cost=used_cost)
    return None


def can_pay(budget: Budget, sum_cost: float) -> bool:
    """Whether a period's sum is within the budget."""
    return sum_cost <= budget.most_cost + _ROUNDING_RATIO * abs(budget.most_cost)


def charges(budget: Budget, job: Job, segments: Sequence[Segment], bill: Bill) -> Mapping[datetime, float]:
    """What segments of a job cost of a budget, by the begin of the period."""
    found: dict[datetime, float] = {}
    for begin, piece in cut(in_phases(job, segments), budget.per):
        found[begin] = found.get(begin, 0.0) + budget.what.of(bill(job, (piece,)))
    return found


def planned(budget: Budget, places: Sequence[tuple[Job, Sequence[Segment]]], bill: Bill) -> Ledger:
    """What the places of a tenant's open jobs will cost of its budget, by period and job."""
    found: Ledger = {}
    for job, segments in places:
        if budget.covers(job.tenant):
            for begin, cost in charges(budget, job, segments, bill).items():
                found.setdefault(begin, {})[job.id] = cost
    return found


def _windows(job: Job, standings: Sequence[BudgetStanding]) -> Iterator[Job]:
    """The job as it is asked for, then with only the time from the begin of each later period in which it fits."""
    yield job
    begins = {begin for one in standings for begin in _begins_s(job, one.budget)}
    for begin_s in sorted(begins)[:MOST_PERIODS]:
        yield replace(job, earliest_start_at_s=begin_s, asked_earliest_start_at_s=job.earliest_start_at_s)


def _begins_s(job: Job, budget: Budget) -> Iterator[float]:
    begin = budget.per.end(budget.per.begin(job.earliest_start_at_s))
    while begin.timestamp() + job.duration_s <= job.deadline_at_s + ROUNDING_S:
        yield begin.timestamp()
        begin = budget.per.end(begin)
