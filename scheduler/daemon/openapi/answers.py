"""The schemas of answers, which handlers build as plain tables: what they have and what may be null.

Each stands under the name by which operations.py calls it; those of larger subjects are in the files beside this one.
tests/contracts/test_openapi.py holds real answers against them, with nothing more allowed than is written here.
"""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.daemon.openapi.account_answers import ACCOUNTS
from scheduler.daemon.openapi.job_answers import JOBS, PLANS
from scheduler.daemon.openapi.notation import (
    ANY_OBJECT,
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
from scheduler.daemon.openapi.openai_answers import OPENAI
from scheduler.keys import GRANTABLE, KeyState

_ERRORS: Mapping[str, Json] = {
    "Error": an_object(
        error=an_object(
            ("suggestions",),
            message=TEXT,
            type=TEXT,
            param=or_null({"type": "string", "description": "the field or header that was wrong"}),
            code=or_null({"type": "string", "description": "stable, for programs"}),
            suggestions=list_of(ANY_OBJECT) | {"description": "changes of the request that were tried and help"},
        )
    ),
}

_POINT: Json = {"start": INSTANT, "end": INSTANT, "gco2e_per_kwh": or_null(NUMBER)}
_BAND = an_object(p10_gco2e_per_kwh=NUMBER, p50_gco2e_per_kwh=NUMBER, p90_gco2e_per_kwh=NUMBER)
_GRIDS: Mapping[str, Json] = {
    "Intensity": an_object(
        now=INSTANT,
        zones=list_of(
            an_object(
                ("feed", "age_s", "signal", "basis", "quality"),
                zone=TEXT,
                rung=or_null(TEXT),
                feed=TEXT,
                age_s=NUMBER,
                signal=TEXT,
                basis=TEXT,
                quality=TEXT,
                gco2e_per_kwh=or_null(NUMBER),
                points=list_of(an_object(**_POINT, expected=or_null(_BAND))),
            )
        ),
    ),
    "PastIntensity": an_object(
        **SPAN,
        zones=list_of(
            an_object(zone=TEXT, realised_until=or_null(INSTANT), points=list_of(an_object(**_POINT))),
        ),
    ),
}

_KEY: Json = {
    "object": one_of("key"),
    "id": TEXT,
    "name": TEXT,
    "tenant": or_null(TEXT),
    "scopes": list_of(one_of(*GRANTABLE)),
    "state": states_of(KeyState),
    "created_at": INSTANT,
    "created_by": TEXT,
    "expires_at": or_null(INSTANT),
    "revoked_at": or_null(INSTANT),
    "replaced_by": or_null(TEXT),
}

_ACCESS: Mapping[str, Json] = {
    "Key": an_object(**_KEY),
    "KeyList": answer_list("Key"),
    "NewKey": an_object(**_KEY, key={"type": "string", "description": "shown this once"}),
    "RotatedKey": an_object(**_KEY, key={"type": "string", "description": "shown this once"}, replaces=named("Key")),
    "AuditEntry": an_object(
        at=INSTANT,
        key=TEXT,
        tenant=or_null(TEXT),
        action=TEXT,
        target=TEXT,
        status=WHOLE,
        code=or_null(TEXT),
        request=TEXT,
    ),
    "AuditList": answer_list("AuditEntry", next_before=or_null(WHOLE)),
    "Session": an_object(object=one_of("session"), key=or_null(TEXT), tenant=or_null(TEXT), scopes=list_of(TEXT)),
}

_DAEMON: Mapping[str, Json] = {
    "Alive": an_object(status=one_of("alive")),
    "Ready": an_object(status=one_of("ready", "not ready"), problems=list_of(TEXT), remarks=list_of(TEXT)),
    "Metering": an_object(
        worker=TEXT,
        is_metered=FLAG,
        source=or_null(TEXT),
        since=or_null(INSTANT),
        problem=or_null(TEXT),
        fix=or_null(TEXT),
    ),
    "Status": an_object(
        now=INSTANT,
        speed=NUMBER,
        policy=TEXT,
        problems=list_of(TEXT),
        requests=an_object(held=WHOLE, running=WHOLE),
        workers=an_object(configured=WHOLE, up=WHOLE, metering=or_null(list_of(named("Metering")))),
        jobs=table_of(WHOLE),
        account=named("Savings"),
    ),
    "ThisDocument": ANY_OBJECT,
}

SCHEMAS: Mapping[str, Json] = {
    **_ERRORS,
    **OPENAI,
    **JOBS,
    **PLANS,
    **_GRIDS,
    **ACCOUNTS,
    **_ACCESS,
    **_DAEMON,
}
