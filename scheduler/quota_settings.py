"""[[tenant]] of the settings: what a tenant may use in a minute and in a month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.quotas import Limit, What, Window
from scheduler.setting_values import STRICT

# 0 lets nothing in, which is how a tenant is shut out without taking its keys away.
_Count = Annotated[int | None, Field(ge=0)]
_Amount = Annotated[float | None, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TenantSettings:
    """[[tenant]]: the most that a tenant may use; what is not named is not limited."""

    name: Annotated[str, Field(min_length=1, description="The tenant, as its keys name it; `default` without keys.")]
    requests_per_minute: Annotated[_Count, Field(description="Requests let in within any 60 seconds.")] = None
    tokens_per_minute: Annotated[
        _Count, Field(description="Tokens of prompts and answers within any 60 seconds, reserved at the start.")
    ] = None
    energy_kwh_per_minute: Annotated[
        _Amount, Field(description="Energy of the facility within 60 seconds, known when requests end.")
    ] = None
    gco2e_per_minute: Annotated[_Amount, Field(description="Grams within 60 seconds, known when requests end.")] = None
    usd_per_minute: Annotated[
        _Amount, Field(description="Electricity in dollars within 60 seconds, known when requests end.")
    ] = None
    requests_per_month: Annotated[_Count, Field(description="Requests and lines of batches in a month of UTC.")] = None
    tokens_per_month: Annotated[_Count, Field(description="Tokens of prompts and answers in a month.")] = None
    energy_kwh_per_month: Annotated[_Amount, Field(description="Energy of the facility in a month, jobs included.")] = (
        None
    )
    gco2e_per_month: Annotated[_Amount, Field(description="Grams in a month, jobs included.")] = None
    usd_per_month: Annotated[_Amount, Field(description="Electricity in dollars in a month, jobs included.")] = None


def limits_of(settings: Iterable[TenantSettings]) -> Mapping[str, tuple[Limit, ...]]:
    """The limits of each tenant that has some."""
    return {one.name: tuple(_limits(one)) for one in settings}


def _limits(one: TenantSettings) -> Iterable[Limit]:
    for field in fields(one):
        what, _, window = field.name.partition("_per_")
        most_cost = getattr(one, field.name) if window else None
        if most_cost is not None:
            yield Limit(what=What(what), window=Window(window), most_cost=most_cost)
