"""How a fleet plan says what it was chosen by, and what it costs in every unit. Decides no number."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from slacktide.terminal import UsageProblem

if TYPE_CHECKING:
    from scheduler.planning.whole_fleet.choosing import ChosenPlan, LimitUnreachableError
    from scheduler.planning.whole_fleet.objective import Components, Objective


def objective_facts(found: ChosenPlan) -> dict[str, Any]:
    """The objective's value with its proof, and the sums it is made of; what is not known is null."""
    proof, limit = found.proof, found.objective.limit
    weights = found.objective.weights
    return {
        "unit": unit_of(found.objective),
        "weights": {
            "gco2e": weights.per_gco2e,
            "usd": weights.per_usd,
            "water_l": weights.per_l,
            "waiting_kwh_h": weights.per_waiting_kwh_h,
        },
        "limit": None if limit is None else {"what": str(limit.what), "at_most": limit.most_cost},
        "signal": next((str(one.signal) for one in found.plan.case.forecasts.values()), None),
        "value": proof.emissions_gco2e,
        "lower_bound": proof.lower_bound_gco2e if math.isfinite(proof.lower_bound_gco2e) else None,
        "gap_ratio": proof.gap_ratio,
        "components": component_facts(found.components),
    }


def component_facts(cost: Components) -> dict[str, float | None]:
    return {**asdict(cost), "gco2e": cost.gco2e, "usd": cost.usd}


def unit_of(objective: Objective) -> str:
    """Grams or dollars where the weights make it so, else a weighted sum of several units."""
    from scheduler.planning.whole_fleet.objective import GRAMS

    weights = objective.weights
    if weights == GRAMS:
        return "gCO2e"
    in_usd = weights.per_usd == 1 and weights.per_l == weights.per_waiting_kwh_h == 0
    return "USD" if in_usd else "weighted"


def objective_line(found: ChosenPlan) -> str:
    """What the plan costs, and of a limit how much is used."""
    cost, limit = found.components, found.objective.limit
    said = [f"{cost.energy_kwh:,.1f} kWh", f"{cost.gco2e:,.0f} gCO2e"]
    if cost.embodied_gco2e:
        said[-1] += f" ({cost.embodied_gco2e:,.0f} embodied)"
    said += [] if cost.usd is None else [f"{cost.usd:,.2f} USD"]
    said += [] if cost.water_l is None else [f"{cost.water_l:,.0f} l of water"]
    if found.objective.weights.per_waiting_kwh_h:
        said.append(f"{cost.waiting_kwh_h / max(_it_kwh(found), 1e-9):,.1f} h of waiting for a mean kWh")
    line = f"In all: {', '.join(said)}"
    if limit is None and unit_of(found.objective) == "gCO2e":
        return f"{line}."
    gap = "" if found.proof.gap_ratio is None else f", at most {found.proof.gap_ratio:.1%} above the least possible"
    held = "" if limit is None else f" with at most {limit.most_cost:,.6g} {limit.what}"
    value = f"{found.proof.emissions_gco2e:,.2f} ({unit_of(found.objective)})"
    return f"{line}.\nChosen by its objective{held}: {value}{gap}."


def _it_kwh(found: ChosenPlan) -> float:
    return sum(job.energy_kwh for job in found.plan.case.jobs if job.id in found.plan.segments)


def unreachable(problem: LimitUnreachableError) -> UsageProblem:
    """In the unit of the key that sets the limit, so that what helps can be written as it is told."""
    from scheduler.planning.whole_fleet.objective import Limited

    key, per_unit = ("at_most_kgco2e", 1000.0) if problem.limit.what is Limited.GCO2E else ("at_most_usd", 1.0)
    most, least = problem.limit.most_cost / per_unit, problem.least_cost / per_unit
    said = "no plan of these jobs can keep" if problem.bound_cost > problem.limit.most_cost else "no plan found keeps"
    enough = least + 1e-6 * abs(least)  # told with seven digits, rounded up
    return UsageProblem(
        f"{said} {key} = {most:.6g}: the least found is {least:.6g}",
        f"write {key} = {enough:.7g} or more, or plan fewer jobs",
    )
