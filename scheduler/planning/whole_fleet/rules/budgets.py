"""What a tenant may spend in a day or a month: who spends how much when, and who has to move or stay out.

A run counts where its time lies, cut at the ends of the periods, in UTC. When a period is overdrawn it is
filled anew, more priority and then the order of the file first. A job that no longer fits is moved into another period
of its window where the budget has room for what it would spend alone; a job with no such period is refused. No job is
moved within a period to spend less there. Decides no price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.cheapest_place import cheapest_place
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.objective import Components, Sites, components
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.rules.narrowing import Change, Charged

_ROUNDING_RATIO = 1e-9
EVERYBODY = "*"


class Spent(StrEnum):
    """What a budget is of. Energy is the facility's, grams hold embodied carbon, dollars hold hire."""

    GCO2E = "gco2e"
    KWH = "kwh"
    USD = "usd"

    def of(self, cost: Components) -> float:
        """Infinite where it is not known: what is not known cannot be shown to be within a budget."""
        found = {Spent.GCO2E: cost.gco2e, Spent.KWH: cost.energy_kwh + cost.transfer_kwh, Spent.USD: cost.usd}[self]
        return float("inf") if found is None or found != found else found


class Per(StrEnum):
    DAY = "day"
    MONTH = "month"

    def begin(self, instant_s: float) -> datetime:
        midnight = datetime.fromtimestamp(instant_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight if self is Per.DAY else midnight.replace(day=1)

    def end(self, begin: datetime) -> datetime:
        """Of the period that begins then."""
        return begin + timedelta(days=1) if self is Per.DAY else (begin + timedelta(days=32)).replace(day=1)

    def named(self, begin: datetime) -> str:
        return begin.strftime("%Y-%m-%d" if self is Per.DAY else "%Y-%m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one tenant may spend in each period, or all of them together: tenant `*`."""

    tenant: str
    what: Spent
    most_cost: float
    per: Per = Per.DAY

    @property
    def is_everybodys(self) -> bool:
        return self.tenant == EVERYBODY

    @property
    def who(self) -> str:
        return "everybody together" if self.is_everybodys else self.tenant

    def covers(self, tenant: str) -> bool:
        """Whether what this tenant spends counts in it."""
        return self.is_everybodys or self.tenant == tenant


Ledger = dict[datetime, dict[str, float]]  # begin of the period -> what each job spends in it


class Budgets:
    """The rule that no tenant spends more than its budgets in any period."""

    def __init__(
        self, case: FleetCase, sites: Sites, budgets: Sequence[Budget], charged: Charged | None = None
    ) -> None:
        self._case, self._sites, self._budgets, self._charged = case, sites, budgets, charged
        # A job leaves a period once; found overdrawn in it again, it has no other.
        self._moved: set[tuple[str, datetime]] = set()

    def prepared(self, jobs: Mapping[str, Job]) -> Change:
        """Nothing: what a job spends depends on where it runs."""
        return Change()

    def change(self, case: FleetCase, places: Assignment) -> Change:
        rates = Rates.of(case) if case.jobs and self._budgets else None
        for budget in self._budgets:
            ledger = self.ledger(budget, case.jobs, places)
            for begin in sorted(ledger):
                if rates is not None and self._is_over(sum(ledger[begin].values()), budget):
                    return self._relieved(budget, ledger, begin, case, rates)
        return Change()

    def ledger(self, budget: Budget, jobs: Sequence[Job], places: Assignment) -> Ledger:
        found: Ledger = {}
        for job in jobs:
            if budget.covers(job.tenant) and job.id in places:
                if self._charged is not None:
                    # Paid where the run begins, as far as a day can tell.
                    first = found.setdefault(budget.per.begin(places[job.id][0].start_at_s), {})
                    first[job.id] = budget.what.of(self._charged.charges(job, places[job.id]))
                for begin, piece in cut(places[job.id], budget.per):
                    spent = budget.what.of(components(self._case, self._sites, job, (piece,)))
                    period = found.setdefault(begin, {})
                    period[job.id] = period.get(job.id, 0.0) + spent
        return found

    def _relieved(self, budget: Budget, ledger: Ledger, begin: datetime, case: FleetCase, rates: Rates) -> Change:
        """The period filled anew, more priority and then an earlier line first; who finds it full leaves."""
        order = {job.id: (-job.priority, number) for number, job in enumerate(case.jobs)}
        jobs = {job.id: job for job in case.jobs}
        moved: dict[str, Job] = {}
        refused: dict[str, str] = {}
        period, spent_cost = dict(ledger[begin]), 0.0
        # What earns is counted first: it makes room for the others.
        for name in sorted(period, key=lambda one: (period[one] > 0, order[one])):
            if not self._is_over(spent_cost + period[name], budget):
                spent_cost += period[name]
                continue
            del ledger[begin][name]
            if (other := self._elsewhere(budget, ledger, begin, jobs[name], rates)) is not None:
                moved[name] = other
            else:
                refused[name] = _reason(budget, begin, period[name], spent_cost)
        return Change(jobs=moved, refused=refused)

    def _elsewhere(self, budget: Budget, ledger: Ledger, begin: datetime, job: Job, rates: Rates) -> Job | None:
        """The job in the nearest other period that it fits into, and that has room for it; None when none has."""
        if (job.id, begin) in self._moved:
            return None
        self._moved.add((job.id, begin))
        rates.curves(job)
        for window in _windows(job, rates.case.shortest_s(job), begin, budget.per):
            place = cheapest_place(window, rates)
            if place is None:
                continue
            spent = [
                (start, budget.what.of(components(self._case, self._sites, job, (piece,))))
                for start, piece in cut(place, budget.per)
            ]
            sums = [sum(ledger.get(start, {}).values()) + cost for start, cost in spent]
            if not any(self._is_over(one, budget) for one in sums):
                for start, cost in spent:
                    period = ledger.setdefault(start, {})
                    period[job.id] = period.get(job.id, 0.0) + cost
                return window
        return None

    def _is_over(self, spent_cost: float, budget: Budget) -> bool:
        return spent_cost > budget.most_cost + _ROUNDING_RATIO * abs(budget.most_cost)


def cut(segments: Sequence[Segment], per: Per) -> Iterator[tuple[datetime, Segment]]:
    """The segments by period, cut where one period ends."""
    for one in segments:
        start_at_s = one.start_at_s
        while start_at_s < one.end_at_s:
            begin = per.begin(start_at_s)
            end_at_s = min(one.end_at_s, per.end(begin).timestamp())
            yield begin, replace(one, start_at_s=start_at_s, end_at_s=end_at_s)
            start_at_s = end_at_s


def _windows(job: Job, shortest_s: float, begin: datetime, per: Per) -> Iterator[Job]:
    """The job with only the time after the period, then with only the time before it, as far as it fits in there."""
    begin_s, end_s = begin.timestamp(), per.end(begin).timestamp()
    if max(end_s, job.earliest_start_at_s) + shortest_s <= job.deadline_at_s + ROUNDING_S:
        yield replace(job, earliest_start_at_s=max(end_s, job.earliest_start_at_s))
    if job.earliest_start_at_s + shortest_s <= min(begin_s, job.deadline_at_s) + ROUNDING_S:
        yield replace(job, deadline_at_s=min(begin_s, job.deadline_at_s))


def _reason(budget: Budget, begin: datetime, own_cost: float, spent_cost: float) -> str:
    what, period = budget.what, budget.per.named(begin)
    over_cost = spent_cost + own_cost - budget.most_cost
    return (
        f"budget: needs {own_cost:,.4g} {what} in {period}, where {budget.who} has spent {spent_cost:,.4g} "
        f"of {budget.most_cost:,.4g}: {over_cost:,.4g} too much"
    )
