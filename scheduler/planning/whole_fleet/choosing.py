"""A fleet planned for an objective: the plan, what it costs in every unit, and how far from the best it can be.

A limit on grams or dollars is kept by a multiplier. For any multiplier m >= 0, objective plus m times what is limited,
less m times the limit, is at most the objective of every plan within the limit; so the bound of the planner on the
left, less m times the limit, bounds all plans within it. The multiplier is sought between a plan that keeps the limit
and one that does not, each time where the line through the two makes both cost the same: that is where a plan between
them would show. What is found is improved by moving single jobs (within_limit.py); what is lost still is in the gap.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import Certificate, flaws
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.joint import FleetPlan, RunNow, plan_fleet, run_now
from scheduler.planning.whole_fleet.objective import (
    Components,
    Limit,
    Limited,
    Objective,
    Sites,
    Weights,
    components,
    effective,
    total,
    value_of,
    waiting_offset_cost,
)
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.within_limit import WithinLimit

# Multipliers that are tried between the two ends. Each is a whole plan; the line meets the trade-off within a few.
MOST_MULTIPLIERS = 7
# What is left of the limit is filled by the last multiplier, then by less and less of it; never by none at all, so that
# time in which the limited is not known stays unknown.
_RATIOS = (1.0, 0.5, 0.1, 1e-9)
_REACHING_RATIOS = (1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 16.0)
# Plans on either side of the limit, nearest first, from which plans between them are sought.
_STARTS = 4
_ROUNDING_RATIO = 1e-9
_EMISSION_ROUNDS = 200


class LimitUnreachableError(Exception):
    """No plan was found within the limit. `least_cost` is the least that was found, `bound_cost` the least there is."""

    def __init__(self, limit: Limit, least_cost: float, bound_cost: float) -> None:
        self.limit, self.least_cost, self.bound_cost = limit, least_cost, bound_cost
        super().__init__(f"{limit.what} cannot be held below {limit.most_cost:g}: the least found is {least_cost:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPlan:
    """`plan` speaks of the grid's grams as ever; `proof` is in units of the objective and holds within its limit."""

    plan: FleetPlan
    objective: Objective
    proof: Certificate
    job_components: Mapping[str, Components]

    @property
    def components(self) -> Components:
        return total(self.job_components.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """A plan at one multiplier: its objective without the multiplier's share, and the bound with it."""

    segments: Assignment
    reasons: Mapping[str, str]
    paid: Mapping[str, Components]
    factor: float
    bound_cost: float
    cost: float
    limited_cost: float
    fewest_refused: int


def plan_for(
    case: FleetCase,
    sites: Sites,
    objective: Objective,
    generator: np.random.Generator,
    at_once: RunNow | None = None,
) -> ChosenPlan:
    """The best plan found, beside `at_once` where that is known already. Raises LimitUnreachableError."""
    best = _Search(case, sites, objective, generator).run()
    scale = objective.weights.first_factor
    proof = Certificate(emissions_gco2e=scale * best.cost, lower_bound_gco2e=scale * min(best.bound_cost, best.cost))
    is_plain = objective.limit is None and effective(case, sites, objective.weights.over(scale)) is case
    plan = FleetPlan(
        case=case,
        segments=best.segments,
        reasons=best.reasons,
        certificate=_in_grams(case, best, best.bound_cost if is_plain else None),
        run_now=run_now(case) if at_once is None else at_once,
        job_gco2e={name: one.grid_gco2e for name, one in best.paid.items()},
        fewest_refused=best.fewest_refused,
    )
    return ChosenPlan(plan=plan, objective=objective, proof=proof, job_components=best.paid)


class _Search:
    """Plans of one case at multipliers, each made once; weights are divided by the first that counts."""

    def __init__(self, case: FleetCase, sites: Sites, objective: Objective, generator: np.random.Generator) -> None:
        self._case, self._sites, self._generator = case, sites, generator
        self._weights = objective.weights.over(objective.weights.first_factor)
        self._limit = objective.limit
        self._jobs = {job.id: job for job in case.jobs}
        self._tries: list[_Try] = []

    def run(self) -> _Try:
        free = self._planned(self._weights, 0.0)
        if self._limit is None or self._is_within(free.limited_cost):
            return free
        kept = self._least_limited()
        self._narrowed(free, kept)
        within = [one for one in self._tries if self._is_within(one.limited_cost)]
        best = self._improved(min(within, key=lambda one: (len(one.reasons), one.cost)))
        return replace(best, bound_cost=self._best_bound_cost(best))

    def _planned(self, weights: Weights, factor: float) -> _Try:
        found = plan_fleet(effective(self._case, self._sites, weights), self._generator)
        bound_cost = _net_cost(self._case, weights, found.segments, found.certificate.lower_bound_gco2e)
        return self._noted(found.segments, found.reasons, factor, bound_cost, found.fewest_refused)

    def _noted(
        self, segments: Assignment, reasons: Mapping[str, str], factor: float, bound_cost: float, fewest_refused: int
    ) -> _Try:
        paid = {name: components(self._case, self._sites, self._jobs[name], one) for name, one in segments.items()}
        in_all = total(paid.values())
        limited_cost = 0.0 if self._limit is None else in_all.of(self._limit.what)
        made = _Try(
            segments=segments,
            reasons=reasons,
            paid=paid,
            factor=factor,
            bound_cost=bound_cost,
            cost=value_of(self._weights, in_all),
            limited_cost=np.inf if limited_cost is None else limited_cost,
            fewest_refused=fewest_refused,
        )
        self._tries.append(made)
        return made

    def _least_limited(self) -> _Try:
        """The plan with the least of what is limited. Its bound is on that alone, and says nothing of the objective."""
        assert self._limit is not None
        found = plan_fleet(effective(self._case, self._sites, _alone(self._limit.what)), self._generator)
        kept = self._noted(found.segments, found.reasons, 0.0, -np.inf, found.fewest_refused)
        if not self._is_within(kept.limited_cost):
            bound_cost = found.certificate.lower_bound_gco2e
            raise LimitUnreachableError(self._limit, kept.limited_cost, bound_cost)
        return kept

    def _narrowed(self, beyond: _Try, within: _Try) -> None:
        """Between a plan beyond the limit and one within it, until the line through both shows no other."""
        assert self._limit is not None
        for _ in range(MOST_MULTIPLIERS):
            saved_cost = beyond.limited_cost - within.limited_cost
            factor = (within.cost - beyond.cost) / saved_cost if saved_cost > 0 else 0.0
            if factor <= 0:
                return
            found = self._planned(self._weights.and_more_on(self._limit.what, factor), factor)
            line_cost = within.cost + factor * within.limited_cost
            if found.cost + factor * found.limited_cost >= line_cost - _ROUNDING_RATIO * abs(line_cost):
                return
            if self._is_within(found.limited_cost):
                within = found
            else:
                beyond = found

    def _improved(self, best: _Try) -> _Try:
        """The same jobs, moved as far as the limit still allows."""
        assert self._limit is not None
        what, factor = self._limit.what, max(one.factor for one in self._tries)
        limited = effective(self._case, self._sites, _alone(what))
        others = [one.segments for one in self._tries]
        same = [one for one in self._tries if one.segments.keys() == best.segments.keys()]
        for start in sorted(same, key=lambda one: abs(one.limited_cost - self._most_cost))[:_STARTS]:
            within = WithinLimit(self._weighed(0.0), limited, start.segments, self._most_cost)
            within.reach((self._weighed(ratio * factor) for ratio in _REACHING_RATIOS), others)
            within.improve([self._weighed(ratio * factor) for ratio in _RATIOS], others)
            moved = self._noted(within.segments, best.reasons, best.factor, best.bound_cost, best.fewest_refused)
            if self._is_within(moved.limited_cost) and moved.cost < best.cost:
                best = moved
        return best

    @property
    def _most_cost(self) -> float:
        assert self._limit is not None
        return self._limit.most_cost

    def _weighed(self, factor: float) -> FleetCase:
        assert self._limit is not None
        return effective(self._case, self._sites, self._weights.and_more_on(self._limit.what, factor))

    def _best_bound_cost(self, best: _Try) -> float:
        """The best of the bounds on plans of the same jobs within the limit."""
        assert self._limit is not None
        same = [one for one in self._tries if one.segments.keys() == best.segments.keys()]
        found_cost = max(one.bound_cost - one.factor * self._limit.most_cost for one in same)
        if np.isfinite(found_cost) or not best.segments:
            return found_cost
        planned = [job for job in self._case.jobs if job.id in best.segments]
        return bound_cost_of(replace(self._case, jobs=planned), self._sites, self._weights)

    def _is_within(self, limited_cost: float) -> bool:
        assert self._limit is not None
        return limited_cost <= self._limit.most_cost + _ROUNDING_RATIO * abs(self._limit.most_cost)


def bound_cost_of(case: FleetCase, sites: Sites, weights: Weights) -> float:
    """No plan of all these jobs has less of the objective."""
    found = lower_bound(case.jobs, Rates.of(effective(case, sites, weights)))
    return _net_cost(case, weights, {job.id for job in case.jobs}, found.lower_bound_gco2e)


def _net_cost(case: FleetCase, weights: Weights, job_ids: Collection[str], effective_cost: float) -> float:
    """What the effective case charges, less what it charges for running at once."""
    return effective_cost - waiting_offset_cost(case, weights, job_ids)


def _alone(what: Limited) -> Weights:
    return Weights(per_gco2e=1.0) if what is Limited.GCO2E else Weights(per_usd=1.0)


def _in_grams(case: FleetCase, best: _Try, known_bound_gco2e: float | None) -> Certificate:
    """Of the emissions of the energy, whatever the plan was chosen by."""
    assert not (found := flaws(case, best.segments)), found
    emissions_gco2e = sum(one.grid_gco2e for one in best.paid.values())
    planned = [job for job in case.jobs if job.id in best.segments]
    if known_bound_gco2e is not None or not planned:
        bound_gco2e = known_bound_gco2e or 0.0
    else:
        bound_gco2e = lower_bound(planned, Rates.of(case), _EMISSION_ROUNDS).lower_bound_gco2e
    return Certificate(emissions_gco2e=emissions_gco2e, lower_bound_gco2e=min(bound_gco2e, emissions_gco2e))
