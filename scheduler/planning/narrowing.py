"""Rules that the joint planner does not know, kept by narrowing windows until its plan keeps them.

A rule looks at a whole plan and answers with smaller windows for some jobs, or with jobs to refuse; then the plan is
made again. Every answer takes something away, so this ends. What is taken away may have been the best choice, hence the
bound is one on the plans before any narrowing: it holds for every plan of the same jobs, with the rules or without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from scheduler.jobs import Job
from scheduler.planning.bound import lower_bound
from scheduler.planning.certificate import Certificate
from scheduler.planning.choosing import ChosenPlan, plan_for
from scheduler.planning.fleet_case import Assignment, FleetCase
from scheduler.planning.joint import RunNow
from scheduler.planning.objective import Objective, Sites, effective
from scheduler.planning.rates import Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Jobs with less time than before, by id, and jobs that cannot run, each with the reason."""

    jobs: Mapping[str, Job] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.jobs or self.refused)


class Rule(Protocol):
    def prepared(self, jobs: Mapping[str, Job]) -> Change:
        """What the rule takes away whatever the plan, without loss."""
        ...

    def change(self, case: FleetCase, places: Assignment) -> Change:
        """What the plan lacks; nothing when it keeps the rule. The case is the effective one of the objective."""
        ...


def plan_under(
    case: FleetCase,
    sites: Sites,
    objective: Objective,
    rules: Sequence[Rule],
    at_once: RunNow,
    generator: np.random.Generator,
) -> ChosenPlan:
    """The best plan found that keeps every rule, beside `at_once`. Raises LimitUnreachableError."""
    jobs = {job.id: job for job in case.jobs}
    refused: dict[str, str] = {}
    for rule in rules:
        _apply(rule.prepared(jobs), jobs, refused)
    widest = dict(jobs)
    first = found = plan_for(_of(case, jobs), sites, objective, generator)
    weights = objective.weights.over(objective.weights.first_factor)
    while change := _first_change(rules, effective(_of(case, jobs), sites, weights), found):
        _apply(change, jobs, refused)
        found = plan_for(_of(case, jobs), sites, objective, generator)
    plan = replace(found.plan, case=case, reasons={**found.plan.reasons, **refused}, run_now=at_once)
    if found is first:
        return replace(found, plan=plan)
    proof, grams = _proofs(case, sites, objective, widest, first, found)
    return replace(found, plan=replace(plan, certificate=grams), proof=proof)


def _first_change(rules: Sequence[Rule], case: FleetCase, found: ChosenPlan) -> Change:
    return next((one for rule in rules if (one := rule.change(case, found.plan.segments))), Change())


def _apply(change: Change, jobs: dict[str, Job], refused: dict[str, str]) -> None:
    jobs.update({name: job for name, job in change.jobs.items() if name in jobs})
    refused.update({name: reason for name, reason in change.refused.items() if jobs.pop(name, None) is not None})


def _of(case: FleetCase, jobs: Mapping[str, Job]) -> FleetCase:
    return replace(case, jobs=[jobs[job.id] for job in case.jobs if job.id in jobs])


def _proofs(
    case: FleetCase,
    sites: Sites,
    objective: Objective,
    widest: Mapping[str, Job],
    first: ChosenPlan,
    found: ChosenPlan,
) -> tuple[Certificate, Certificate]:
    """Of the objective and of the grid's grams, with bounds on plans of the same jobs in their widest windows."""
    if found.plan.segments.keys() == first.plan.segments.keys():
        bounds = (first.proof.lower_bound_gco2e, first.plan.certificate.lower_bound_gco2e)
    else:
        planned = _of(case, {name: widest[name] for name in found.plan.segments})
        scale = objective.weights.first_factor
        plain = effective(planned, sites, objective.weights.over(scale))
        bounds = (
            scale * _bound_of(plain, found.proof.emissions_gco2e / scale),
            _bound_of(planned, found.plan.certificate.emissions_gco2e),
        )
    every = (found.proof.emissions_gco2e, found.plan.certificate.emissions_gco2e)
    proof, grams = (
        Certificate(emissions_gco2e=one, lower_bound_gco2e=min(one, bound))
        for one, bound in zip(every, bounds, strict=True)
    )
    return proof, grams


def _bound_of(case: FleetCase, known_cost: float) -> float:
    return lower_bound(case.jobs, Rates.of(case), known_cost).lower_bound_gco2e if case.jobs else 0.0
