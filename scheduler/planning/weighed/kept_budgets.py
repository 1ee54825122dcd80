"""Plans that are made again keep to what is left of budgets: a job moves into another period only if that can pay.

Whoever was accepted was charged for a place. A new forecast may make a place in another day or month the better one;
then that period has to pay too. A job whose new place it cannot pay is held to the periods of the place that it has,
and the plan is made again; several such jobs enter by priority, then by submission. No job becomes late for it, neither
the one that is held nor another: then they move where all are in time, as what was accepted stays so. What a job costs
in its own periods may grow with a forecast; that is nobody's move. Where more of it would move into one of them than
that can pay, it is held to its place. Decides no place itself, and no price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from scheduler.planning.plan import Forecasts, Placement, Plan, Refusal, Region
from scheduler.planning.planner import Freed, OpenJob, Planner
from scheduler.planning.weighed.admission import Bill, BudgetStanding, can_pay, charges
from scheduler.planning.whole_fleet.rules.budgets import Budget, Per

# Each round holds somebody to his periods or lets somebody go; two are the rule.
_MOST_ROUNDS = 4

_ROUNDING_RATIO = 1e-9

# A job of which more has moved into a period than that can pay.
_Beyond = tuple[str, Budget, datetime]


class Purse(Protocol):
    """What is known of budgets when a plan is made."""

    def settled(self, now_s: float) -> Sequence[BudgetStanding]:
        """Every budget with what is spent, and planned for jobs that no plan knows yet."""
        ...

    def bill(self) -> Bill:
        """What segments of a job cost on what is known now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetedPlanner:
    """`inner` within what `purse` has left."""

    inner: Planner
    purse: Purse

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        asked = {one.job.id: one for one in open_jobs}
        held: dict[str, OpenJob] = {}
        freed: set[str] = set()
        standings, bill = self.purse.settled(now_s), self.purse.bill()
        found = self.inner.plan(open_jobs, regions, forecasts, now_s)
        late_anyway = found.refusals.keys()
        for _ in range(_MOST_ROUNDS):
            late = held.keys() if found.refusals.keys() - late_anyway else set()
            beyond = [one for one in _beyond(found.placements, asked, standings, bill) if one[0] not in freed]
            if not late and not beyond:
                break
            freed |= late
            held = {name: one for name, one in held.items() if name not in late}
            for name, budget, begin in beyond:
                narrowed = _held_to_its_periods(held.get(name, asked[name]), budget, begin)
                if narrowed is None:
                    freed.add(name)
                else:
                    held[name] = narrowed
            found = self.inner.plan([held.get(name, one) for name, one in asked.items()], regions, forecasts, now_s)
        return found

    def refill(
        self,
        open_jobs: Sequence[OpenJob],
        freed: Sequence[Freed],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Plan:
        found = self.inner.refill(open_jobs, freed, regions, forecasts, now_s)
        asked = {one.job.id: one for one in open_jobs}
        stays = {name: one.planned for name, one in asked.items() if one.planned is not None}
        placements = {**stays, **found.placements}
        if any(_beyond(placements, asked, self.purse.settled(now_s), self.purse.bill())):
            return self.plan(open_jobs, regions, forecasts, now_s)
        return found

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        """A job that was never placed is admission's matter; one that goes on is held to its periods."""
        answer = self.inner.place(newcomer, others, regions, forecasts, now_s)
        if newcomer.planned is None or isinstance(answer, Refusal):
            return answer
        asked = {one.job.id: one for one in (*others, newcomer)}
        stays = {one.job.id: one.planned for one in others if one.planned is not None}
        placements = {**stays, newcomer.job.id: answer}
        for name, budget, begin in _beyond(placements, asked, self.purse.settled(now_s), self.purse.bill()):
            narrowed = _held_to_its_periods(newcomer, budget, begin) if name == newcomer.job.id else None
            if narrowed is not None:
                again = self.inner.place(narrowed, others, regions, forecasts, now_s)
                return again if isinstance(again, Placement) else answer
        return answer


def _beyond(
    placements: Mapping[str, Placement],
    open_jobs: Mapping[str, OpenJob],
    standings: Sequence[BudgetStanding],
    bill: Bill,
) -> Iterator[_Beyond]:
    """Who has moved more of its cost into a period than that can pay, beside all that were in it before."""
    for standing in standings:
        budget = standing.budget
        entering: list[tuple[tuple[int, float, str], datetime, float]] = []
        used: dict[datetime, float] = {}
        for name, placement in placements.items():
            one = open_jobs[name]
            if not budget.covers(one.job.tenant):
                continue
            before = {} if one.planned is None else charges(budget, one.job, one.planned.segments, bill)
            for begin, own_cost in charges(budget, one.job, placement.segments, bill).items():
                kept_cost = min(own_cost, before.get(begin, 0.0))
                used[begin] = used.get(begin, standing.used_cost(begin)) + kept_cost
                if own_cost > kept_cost + _ROUNDING_RATIO * abs(kept_cost):
                    rank = (-one.job.priority, one.job.submitted_at_s, name)
                    entering.append((rank, begin, own_cost - kept_cost))
        for (_, _, name), begin, more_cost in sorted(entering):
            if can_pay(budget, used[begin] + more_cost):
                used[begin] += more_cost
            else:
                yield name, budget, begin


def _held_to_its_periods(one: OpenJob, budget: Budget, begin: datetime) -> OpenJob | None:
    """With only the time of the periods in which it has its place; without one, before the period that cannot pay.

    Where the period that cannot pay is one of its own, only the time of its place is left: elsewhere in them more of it
    may fall into that one.
    """
    job, per = one.job, budget.per
    from_s, to_s = job.earliest_start_at_s, begin.timestamp()
    if one.planned is not None and _lies_in(one.planned, per, begin):
        from_s, to_s = one.planned.start_at_s, one.planned.end_at_s
    elif one.planned is not None:
        from_s = per.begin(one.planned.start_at_s).timestamp()
        to_s = per.end(per.begin(one.planned.segments[-1].start_at_s)).timestamp()
        to_s = max(to_s, per.end(per.begin(one.planned.end_at_s - 1.0)).timestamp())
    earliest_s, deadline_s = max(job.earliest_start_at_s, from_s), min(job.deadline_at_s, to_s)
    if not deadline_s > earliest_s:
        return None
    return replace(one, job=replace(job, earliest_start_at_s=earliest_s, deadline_at_s=deadline_s))


def _lies_in(placement: Placement, per: Per, begin: datetime) -> bool:
    """Whether some of it is in the period."""
    from_s, to_s = begin.timestamp(), per.end(begin).timestamp()
    return any(one.start_at_s < to_s and from_s < one.end_at_s for one in placement.segments)
