"""What the jobs of a comparison cost in every unit, from what really ran and what the grid and the prices really were.

Counts the jobs that both sides finished; requests have their energy and grams in the results, no bill. A unit of which
some part is not known is not known in sum. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scheduler.objective_settings import sites_of
from scheduler.planning.plan import Region
from scheduler.planning.weighed.planner import unit_of
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.objective import Components, Sites, components, total, value_of
from simulations.launcher import parts_of
from simulations.runs import Inputs, Runs, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCosts:
    """Both sides, and the objective of each in its unit; None where something that counts is not known."""

    unit: str
    baseline: Components
    policy: Components
    baseline_cost: float | None
    policy_cost: float | None

    @property
    def saved_costs(self) -> Mapping[str, float | None]:
        """Signed, by unit: negative where the policy costs more."""
        pairs = zip(_by_unit(self.baseline).items(), _by_unit(self.policy).values(), strict=True)
        return {name: None if one is None or other is None else one - other for (name, one), other in pairs}

    @property
    def objective_savings_ratio(self) -> float | None:
        """Of the objective; None where it is not known, or where running at once costs nothing or earns."""
        if self.baseline_cost is None or self.policy_cost is None or not self.baseline_cost > 0:
            return None
        return 1.0 - self.policy_cost / self.baseline_cost


def counts_costs(inputs: Inputs) -> bool:
    """Whether the scenario says what anything costs beside its grams."""
    scenario = inputs.scenario
    says = scenario.objective.weights != type(scenario.objective)().weights or bool(inputs.prices)
    return says or any(_is_priced(site) for site in sites_of(scenario.region, inputs.prices).items())


def job_costs(runs: Runs) -> JobCosts | None:
    """None where the scenario names no cost, or has no jobs."""
    inputs = runs.inputs
    if not inputs.jobs or not counts_costs(inputs):
        return None
    sites, weights = sites_of(inputs.scenario.region, inputs.prices), inputs.scenario.objective.weights
    both = runs.baseline.finished_at_s.keys() & runs.policy.finished_at_s.keys()
    case = FleetCase(jobs=[], regions=_regions(inputs), forecasts=inputs.grid.realised)
    baseline, policy = (_of_side(side, case, sites, both) for side in (runs.baseline, runs.policy))
    return JobCosts(
        unit=unit_of(weights),
        baseline=baseline,
        policy=policy,
        baseline_cost=_known(value_of(weights, baseline)),
        policy_cost=_known(value_of(weights, policy)),
    )


def plain_costs(costs: JobCosts | None) -> dict[str, Any] | None:
    """As JSON; what is not known is null."""
    if costs is None:
        return None
    return {
        "unit": costs.unit,
        "baseline": {**_plain(costs.baseline), "value": costs.baseline_cost},
        "policy": {**_plain(costs.policy), "value": costs.policy_cost},
        "saved": dict(costs.saved_costs),
        "value_savings_ratio": costs.objective_savings_ratio,
    }


def _of_side(side: Side, case: FleetCase, sites: Sites, counted: set[str]) -> Components:
    works = {work.job.id: work for work in side.works}
    return total(
        components(
            case,
            sites,
            works[one.job_id].job,
            parts_of(works[one.job_id], one),
        )
        for one in side.stretches
        if one.job_id in counted and one.end_at_s > one.start_at_s
    )


def _regions(inputs: Inputs) -> list[Region]:
    return [Region(name=one.name, zone=one.zone, gpus=one.gpus, pue=one.pue) for one in inputs.scenario.region]


def _is_priced(named: tuple[str, Any]) -> bool:
    site = named[1]
    return bool(
        site.usd_per_kwh is not None or site.usd_per_gpu_h or site.gco2e_per_gpu_h or site.wue_l_per_kwh is not None
    )


def _by_unit(cost: Components) -> dict[str, float | None]:
    return {
        "gco2e": _known(cost.gco2e),
        "usd": cost.usd,
        "water_l": cost.water_l,
        "waiting_kwh_h": _known(cost.waiting_kwh_h),
    }


def _plain(cost: Components) -> dict[str, float | None]:
    parts = {name: _known(value) for name, value in asdict(cost).items() if not name.startswith("transfer")}
    return {**parts, **_by_unit(cost)}


def _known(value: float | None) -> float | None:
    return None if value is None or value != value else value
