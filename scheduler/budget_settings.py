"""[[budget]] of the settings: what a tenant may spend in a day or a month, in the words of a fleet's file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.planning.whole_fleet.rules.budgets import Budget, Per, Spent
from scheduler.setting_values import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BudgetSettings:
    """[[budget]]: what a tenant's jobs and requests may spend in each period; jobs beyond it are not accepted."""

    tenant: Annotated[str, Field(min_length=1, description="Whose budget it is; * is everybody together.")]
    gco2e: Annotated[
        float | None, Field(ge=0, allow_inf_nan=False, description="Grams, embodied carbon of jobs included.")
    ] = None
    kwh: Annotated[float | None, Field(ge=0, allow_inf_nan=False, description="Energy of the facility.")] = None
    usd: Annotated[float | None, Field(ge=0, allow_inf_nan=False, description="Electricity, and hire for jobs.")] = None
    per: Annotated[Per, Field(description="Period, in UTC.")] = Per.DAY

    def __post_init__(self) -> None:
        if self.gco2e is None and self.kwh is None and self.usd is None:
            raise ValueError("limits nothing: write gco2e, kwh or usd")


def budgets_of(settings: Iterable[BudgetSettings]) -> list[Budget]:
    """One budget for each thing that a table limits."""
    return [
        Budget(tenant=one.tenant, what=what, most_cost=most_cost, per=one.per)
        for one in settings
        for what, most_cost in ((Spent.GCO2E, one.gco2e), (Spent.KWH, one.kwh), (Spent.USD, one.usd))
        if most_cost is not None
    ]
