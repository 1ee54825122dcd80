"""Budgets of a what-if: who is accepted, and what plans may spend, by the very rules of the daemon.

Keeps what was spent, as the daemon's ledger would, and asks admission.py and kept_budgets.py. Runs that have ended are
priced on what the grid really emitted, what is to come on the forecast. Decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from intensity_feeds.series import IntensitySeries
from scheduler.engine import Engine
from scheduler.jobs import Job
from scheduler.ledger import EnergyBasis, EnergyUse, Subject, realised_then_expected
from scheduler.planning.plan import Segment, power_w_of
from scheduler.planning.planner import Planner
from scheduler.planning.run_phases import in_phases
from scheduler.planning.weighed.admission import Admitted, Bill, BudgetStanding, admitted, planned
from scheduler.planning.weighed.kept_budgets import BudgetedPlanner
from scheduler.planning.weighed.spending import Spending
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.objective import Components, Sites, components
from scheduler.planning.whole_fleet.rules.budgets import Budget
from simulations.launcher import JobWork, Stretch, parts_of

_J_PER_KWH = 3.6e6
_LONGEST_PERIOD_S = 31 * 86_400.0


class JobBudgets:
    """`forecasts` is what every zone is known to emit from now on; whoever renews it changes it in place."""

    def __init__(
        self,
        budgets: Sequence[Budget],
        sites: Sites,
        works: Sequence[JobWork],
        realised: Mapping[str, IntensitySeries],
        forecasts: Mapping[str, IntensitySeries | None],
    ) -> None:
        self._budgets, self._sites, self._realised, self._forecasts = budgets, sites, realised, forecasts
        self._works = {work.job.id: work for work in works}
        self._spending = Spending()
        self._engine: Engine | None = None
        self._stretches: Sequence[Stretch] = ()
        self._counted, self._now_s = 0, 0.0
        self._promised: dict[str, Admitted] = {}

    def kept_by(self, planner: Planner) -> Planner:
        """The planner within these budgets."""
        return BudgetedPlanner(inner=planner, purse=self)

    def watch(self, engine: Engine, stretches: Sequence[Stretch]) -> None:
        """Whose jobs they pay for, and the list to which runs that have ended are added."""
        self._engine, self._stretches = engine, stretches

    def accepted(self, job: Job, now_s: float) -> Job | None:
        """The job as it is accepted, perhaps for a later period; None where no period can pay in time."""
        engine = self._watched()
        places = [(one.job, () if one.planned is None else one.planned.segments) for one in engine.open_jobs(now_s)]
        standings = self._standings(now_s, [*places, *self._unheard()])
        answer = admitted(job, lambda asked: engine.appraise(asked, now_s), standings, self.bill())
        if not isinstance(answer, Admitted):
            return None
        self._promised[job.id] = answer
        return answer.job

    def settled(self, now_s: float) -> Sequence[BudgetStanding]:
        """See kept_budgets.Purse."""
        return self._standings(now_s, self._unheard())

    def bill(self) -> Bill:
        """See kept_budgets.Purse."""
        regions, known = self._watched().regions, self._known()

        def bill(job: Job, segments: Sequence[Segment]) -> Components:
            case = FleetCase(jobs=[job], regions=regions, forecasts=known)
            return components(case, self._sites, job, in_phases(job, segments))

        return bill

    def _watched(self) -> Engine:
        assert self._engine is not None, "a fleet is watched before anything is asked"
        return self._engine

    def _unheard(self) -> list[tuple[Job, Sequence[Segment]]]:
        """Accepted a moment ago: the engine decides on them with everything else of the instant."""
        engine = self._watched()
        self._promised = {name: one for name, one in self._promised.items() if engine.job(name) is None}
        return [(one.job, one.placement.segments) for one in self._promised.values()]

    def _standings(self, now_s: float, places: Sequence[tuple[Job, Sequence[Segment]]]) -> list[BudgetStanding]:
        self._now_s = now_s
        self._count()
        bill = self.bill()
        return [self._standing(budget, now_s, places, bill) for budget in self._budgets]

    def _standing(
        self, budget: Budget, now_s: float, places: Sequence[tuple[Job, Sequence[Segment]]], bill: Bill
    ) -> BudgetStanding:
        begin = budget.per.begin(now_s)
        from_s, to_s = begin.timestamp(), budget.per.end(begin).timestamp()
        spent = self._spending.spent_cost(budget.tenant, budget.what, from_s, to_s, self._realised, self._sites)
        return BudgetStanding(budget=budget, begin=begin, settled_cost=spent, planned=planned(budget, places, bill))

    def _known(self) -> dict[str, IntensitySeries]:
        """What was realised in the periods under way, then what is expected."""
        found = {}
        for zone, series in self._realised.items():
            from_s, to_s = max(series.start_at_s, self._now_s - _LONGEST_PERIOD_S), min(series.end_at_s, self._now_s)
            past = series.between(from_s, to_s) if to_s > from_s else None
            known = realised_then_expected(past, self._forecasts.get(zone))
            if known is not None:
                found[zone] = known
        return found

    def _count(self) -> None:
        """Book the runs that have ended since."""
        regions = {one.name: one for one in self._watched().regions}
        for stretch in self._stretches[self._counted :]:
            work, region = self._works[stretch.job_id], regions[stretch.region]
            for part in parts_of(work, stretch):
                use = EnergyUse(
                    subject=Subject.JOB,
                    subject_id=stretch.job_id,
                    category=work.workload,
                    tenant=work.job.tenant,
                    region=region.name,
                    zone=region.zone,
                    started_at_s=part.start_at_s,
                    ended_at_s=part.end_at_s,
                    energy_kwh=power_w_of(work.job, part) * part.duration_s / _J_PER_KWH,
                    basis=EnergyBasis.MODELLED,
                    pue=region.pue,
                    at_once_at_s=part.start_at_s,
                    at_once_zone=region.zone,
                    at_once_pue=region.pue,
                )
                self._spending.add(use, work.job.gpus if stretch.gpus is None else stretch.gpus)
        self._counted = len(self._stretches)
