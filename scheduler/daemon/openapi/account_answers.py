"""What is answered of what was used: accounts, single requests, budgets and quotas."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.daemon.openapi.notation import (
    ANY_OBJECT,
    ENDS,
    FLAG,
    INSTANT,
    NUMBER,
    SPAN,
    TEXT,
    WHOLE,
    Json,
    an_object,
    answer_list,
    list_of,
    named,
    one_of,
    or_null,
    states_of,
    table_of,
)
from scheduler.daemon.quota_book import SetBy
from scheduler.daemon.request_records import Stage
from scheduler.first_plans import PlannedBy
from scheduler.quotas import What, Window
from scheduler.savings_by import By
from shaping.deployment import ErrorClass

_BANDS = an_object(
    of_energy_kwh=NUMBER,
    energy_kwh=ENDS,
    of_emissions_gco2e=or_null(NUMBER),
    emissions_gco2e=or_null(ENDS),
    of_avoided_gco2e=or_null(NUMBER),
    avoided_gco2e=or_null(ENDS),
)


def _accounted(categories: Json) -> Json:
    return {
        "uses": WHOLE,
        "energy_kwh": NUMBER,
        "metered_kwh": NUMBER,
        "unpriced_kwh": NUMBER,
        "priced_ratio": or_null(NUMBER),
        "emissions_gco2e": or_null(NUMBER),
        "at_once_emissions_gco2e": or_null(NUMBER),
        "avoided_gco2e": or_null(NUMBER),
        "savings_ratio": or_null(NUMBER),
        "unbanded_kwh": NUMBER,
        "bands": or_null(_BANDS),
        "by_category": categories,
    }


def _sum_of_account() -> dict[str, Json]:
    return {name: schema for name, schema in _accounted(ANY_OBJECT).items() if name != "by_category"}


_ACCOUNT = _accounted(table_of(named("Account")))
_BESIDE: Json = {
    "jobs": WHOLE,
    "planned": an_object(emissions_gco2e=NUMBER, at_once_emissions_gco2e=NUMBER),
    "realised": an_object(**_sum_of_account()),
}


_QUOTA: Json = {
    "tenant": TEXT,
    "set_by": or_null(states_of(SetBy)),
    "used": an_object(**{what.value: NUMBER for what in What}),
    "unpriced_kwh": NUMBER,
    "limits": list_of(an_object(what=states_of(What), per=states_of(Window), most=NUMBER, left=or_null(NUMBER))),
}


ACCOUNTS: Mapping[str, Json] = {
    "Account": an_object(**_ACCOUNT),
    "Savings": an_object(**SPAN, **_ACCOUNT),
    "SavingsOfOne": an_object(
        name=TEXT,
        **_sum_of_account(),
        requests=WHOLE,
        prompt_tokens=WHOLE,
        output_tokens=WHOLE,
        requests_j=NUMBER,
        requests_alone_j=or_null(NUMBER),
    ),
    "SavingsBy": answer_list("SavingsOfOne", group=states_of(By), **SPAN),
    "SavingsPlanned": an_object(**SPAN, **_BESIDE),
    "SavingsPlannedBy": an_object(
        object=one_of("list"),
        group=states_of(PlannedBy),
        **SPAN,
        data=list_of(an_object(name=TEXT, **_BESIDE)),
    ),
    "Request": an_object(
        id=TEXT,
        object=one_of("request"),
        stage=states_of(Stage),
        status=or_null(WHOLE),
        tenant=TEXT,
        endpoint=or_null(TEXT),
        asked_model=or_null(TEXT),
        model=or_null(TEXT),
        region=or_null(TEXT),
        service_tier=or_null(TEXT),
        latency_class=or_null(TEXT),
        is_streaming=or_null(FLAG),
        route=or_null(TEXT),
        route_chance=or_null(NUMBER),
        cascade=or_null(TEXT),
        joined=or_null(TEXT),
        arrived_at=or_null(INSTANT),
        released_at=or_null(INSTANT),
        ended_at=or_null(INSTANT),
        held_ms=or_null(WHOLE),
        released_because=or_null(TEXT),
        why=or_null(TEXT),
        prompt_tokens=or_null(WHOLE),
        output_tokens=or_null(WHOLE),
        energy_wh=or_null(NUMBER),
        basis=or_null(TEXT),
        error_class=or_null(states_of(ErrorClass)),
        energy_band_wh=or_null(ENDS),
        emissions_gco2e=or_null(NUMBER),
        emissions_band_gco2e=or_null(ENDS),
        at_once_emissions_gco2e=or_null(NUMBER),
        avoided_gco2e=or_null(NUMBER),
    ),
    "Budget": an_object(
        tenant=TEXT,
        unit=TEXT,
        per=TEXT,
        period=TEXT,
        at_most=NUMBER,
        settled=or_null(NUMBER),
        planned=or_null(NUMBER),
        left=or_null(NUMBER),
    ),
    "BudgetList": answer_list("Budget"),
    "Quota": an_object(**_QUOTA),
    "OneQuota": an_object(object=one_of("quota"), **_QUOTA),
    "QuotaList": answer_list("Quota", month=TEXT, ends=INSTANT),
}
