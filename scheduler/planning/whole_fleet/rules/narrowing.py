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
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import Certificate
from scheduler.planning.whole_fleet.choosing import ChosenPlan, bound_cost_of, plan_for
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.joint import RunNow
from scheduler.planning.whole_fleet.objective import (
    Components,
    Objective,
    Sites,
    Weights,
    components,
    effective,
    total,
    value_of,
)
from scheduler.planning.whole_fleet.rates import Rates


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


class Charged(Protocol):
    """What jobs pay beside what the planner weighs."""

    def charges(self, job: Job, segments: Sequence[Segment]) -> Components: ...

    @property
    def least_cost(self) -> float:
        """What all charges together cost at least, wherever the jobs run."""
        ...


def plan_under(
    case: FleetCase,
    sites: Sites,
    objective: Objective,
    rules: Sequence[Rule],
    at_once: RunNow,
    generator: np.random.Generator,
    charged: Charged | None = None,
) -> ChosenPlan:
    """The best plan found that keeps every rule, beside `at_once`. Raises LimitUnreachableError.

    `charged` is paid by jobs beside what the planner weighs, and is in no limit.
    """
    jobs = {job.id: job for job in case.jobs}
    refused: dict[str, str] = {}
    for rule in rules:
        _apply(rule.prepared(jobs), jobs, refused)
    widest = dict(jobs)
    first = found = plan_for(_of(case, jobs), sites, objective, generator, at_once)
    weights = objective.weights.over(objective.weights.first_factor)
    while change := _first_change(rules, effective(_of(case, jobs), sites, weights), found):
        _apply(change, jobs, refused)
        found = plan_for(_of(case, jobs), sites, objective, generator, at_once)
    asked = {job.id: job for job in case.jobs}
    # What a rule takes away at once costs no grams, but might cost room: then nothing is proved of who is refused.
    fewest_refused = first.plan.fewest_refused if widest == asked else 0
    reasons = {**found.plan.reasons, **refused}
    plan = replace(found.plan, case=case, reasons=reasons, run_now=at_once, fewest_refused=fewest_refused)
    paid = {name: _paid(case, sites, asked[name], jobs[name], found, charged) for name in plan.segments}
    least_cost = charged.least_cost if charged else 0.0
    if found is first:
        bounds = (first.proof.lower_bound_gco2e, first.plan.certificate.lower_bound_gco2e)
    else:
        bounds = _bounds(_of(case, widest), sites, objective, first, found)
    later_cost = _later_cost(objective.weights, asked, {name: widest[name] for name in plan.segments})
    return replace(
        found,
        plan=replace(plan, certificate=_proof(plan.certificate.emissions_gco2e, bounds[1])),
        proof=_proof(value_of(objective.weights, total(paid.values())), bounds[0] + later_cost + least_cost),
        job_components=paid,
    )


def _paid(
    case: FleetCase, sites: Sites, asked: Job, planned: Job, found: ChosenPlan, charged: Charged | None
) -> Components:
    """Of a job as it was asked for: what it waits is counted from then."""
    segments = found.plan.segments[asked.id]
    own = found.job_components[asked.id] if planned == asked else components(case, sites, asked, segments)
    return own if charged is None else total([own, charged.charges(asked, segments)])


def _first_change(rules: Sequence[Rule], case: FleetCase, found: ChosenPlan) -> Change:
    return next((one for rule in rules if (one := rule.change(case, found.plan.segments))), Change())


def _apply(change: Change, jobs: dict[str, Job], refused: dict[str, str]) -> None:
    jobs.update({name: job for name, job in change.jobs.items() if name in jobs})
    refused.update({name: reason for name, reason in change.refused.items() if jobs.pop(name, None) is not None})


def _of(case: FleetCase, jobs: Mapping[str, Job]) -> FleetCase:
    return replace(case, jobs=[jobs[job.id] for job in case.jobs if job.id in jobs])


def _bounds(
    widest: FleetCase, sites: Sites, objective: Objective, first: ChosenPlan, found: ChosenPlan
) -> tuple[float, float]:
    """On the objective and on the grid's grams of any plan of the jobs that are planned, in their widest windows."""
    if found.plan.segments.keys() == first.plan.segments.keys():
        return first.proof.lower_bound_gco2e, first.plan.certificate.lower_bound_gco2e
    planned = replace(widest, jobs=[job for job in widest.jobs if job.id in found.plan.segments])
    if not planned.jobs:
        return 0.0, 0.0
    scale = objective.weights.first_factor
    cost = bound_cost_of(planned, sites, objective.weights.over(scale))
    grams = lower_bound(planned.jobs, Rates.of(planned))
    return scale * cost, grams.lower_bound_gco2e


def _proof(emissions_gco2e: float, bound_gco2e: float) -> Certificate:
    return Certificate(emissions_gco2e=emissions_gco2e, lower_bound_gco2e=min(bound_gco2e, emissions_gco2e))


def _later_cost(weights: Weights, asked: Mapping[str, Job], widest: Mapping[str, Job]) -> float:
    """What the jobs wait more when it is counted from when they were asked for, not from when others have ended."""
    waited_kwh_h = sum(
        job.energy_kwh * (job.earliest_start_at_s - asked[name].earliest_start_at_s) / 3600.0
        for name, job in widest.items()
    )
    return weights.per_waiting_kwh_h * waited_kwh_h
