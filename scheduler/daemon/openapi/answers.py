"""The schemas of answers, which handlers build as plain tables: what they have and what may be null.

Each stands under the name by which operations.py calls it. tests/contracts/test_openapi.py holds real answers against
them, with nothing more allowed than is written here.
"""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.batch_standing import BatchPhase
from scheduler.batches import BatchStatus, FilePurpose
from scheduler.daemon.openapi.notation import (
    ANY_OBJECT,
    EPOCH_S,
    FLAG,
    INSTANT,
    NUMBER,
    TEXT,
    WHOLE,
    Json,
    an_object,
    list_of,
    named,
    one_of,
    or_null,
    states_of,
    table_of,
)
from scheduler.daemon.quota_book import SetBy
from scheduler.daemon.request_records import Stage
from scheduler.fine_tuning import PAUSED_BY_CLIENT, STATUS
from scheduler.first_plans import PlannedBy
from scheduler.jobs import JobKind, JobState, Purpose
from scheduler.keys import GRANTABLE, KeyState
from scheduler.quotas import What, Window
from scheduler.savings_by import By
from shaping.deployment import ErrorClass

_LEVELS = ("info", "warn", "error")


def _openai_list(item: str) -> Json:
    return an_object(
        object=one_of("list"),
        data=list_of(named(item)),
        first_id=or_null(TEXT),
        last_id=or_null(TEXT),
        has_more=FLAG,
    )


def _list(item: str, **more: Json) -> Json:
    return an_object(object=one_of("list"), data=list_of(named(item)), **more)


_ENDS = an_object(low=NUMBER, high=NUMBER)
_BANDS = an_object(
    of_energy_kwh=NUMBER,
    energy_kwh=_ENDS,
    of_emissions_gco2e=or_null(NUMBER),
    emissions_gco2e=or_null(_ENDS),
    of_avoided_gco2e=or_null(NUMBER),
    avoided_gco2e=or_null(_ENDS),
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
_SPAN: Json = {"since": INSTANT, "until": INSTANT}
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

_OPENAI: Mapping[str, Json] = {
    "Completion": ANY_OBJECT | {"description": "the worker's answer, byte for byte"},
    "Model": an_object(id=TEXT, object=one_of("model"), created=EPOCH_S, owned_by=TEXT),
    "ModelList": _list("Model"),
    "File": an_object(
        id=TEXT,
        object=one_of("file"),
        bytes=WHOLE,
        created_at=EPOCH_S,
        expires_at=or_null(EPOCH_S),
        filename=TEXT,
        purpose=states_of(FilePurpose),
        status=one_of("processed"),
        status_details=or_null(TEXT),
    ),
    "FileList": _openai_list("File"),
    "DeletedFile": an_object(id=TEXT, object=one_of("file"), deleted=FLAG),
    "Batch": an_object(
        id=TEXT,
        object=one_of("batch"),
        endpoint=TEXT,
        model=or_null(TEXT),
        errors=or_null(
            an_object(
                object=one_of("list"),
                data=list_of(an_object(code=TEXT, message=TEXT, line=or_null(WHOLE), param=or_null(TEXT))),
            )
        ),
        input_file_id=TEXT,
        completion_window=TEXT,
        status=states_of(BatchStatus),
        output_file_id=or_null(TEXT),
        error_file_id=or_null(TEXT),
        created_at=EPOCH_S,
        in_progress_at=or_null(EPOCH_S),
        expires_at=EPOCH_S,
        finalizing_at=or_null(EPOCH_S),
        completed_at=or_null(EPOCH_S),
        failed_at=or_null(EPOCH_S),
        expired_at=or_null(EPOCH_S),
        cancelling_at=or_null(EPOCH_S),
        cancelled_at=or_null(EPOCH_S),
        request_counts=an_object(total=WHOLE, completed=WHOLE, failed=WHOLE),
        metadata=or_null(table_of(TEXT)),
    ),
    "BatchList": _openai_list("Batch"),
    "FineTuningJob": an_object(
        object=one_of("fine_tuning.job"),
        id=TEXT,
        model=TEXT,
        created_at=EPOCH_S,
        finished_at=or_null(EPOCH_S),
        fine_tuned_model=or_null(TEXT),
        organization_id=TEXT,
        result_files=list_of(TEXT),
        status=one_of(*sorted({*STATUS.values(), PAUSED_BY_CLIENT})),
        validation_file=or_null(TEXT),
        training_file=TEXT,
        hyperparameters=table_of(NUMBER),
        method={"type": "object", "properties": {"type": TEXT}, "required": ["type"], "additionalProperties": True},
        trained_tokens=or_null(WHOLE),
        seed=WHOLE,
        estimated_finish=or_null(EPOCH_S),
        integrations=list_of(ANY_OBJECT),
        metadata=or_null(table_of(TEXT)),
        error=or_null(an_object(code=TEXT, message=TEXT, param=or_null(TEXT))),
    ),
    "FineTuningJobList": _openai_list("FineTuningJob"),
    "FineTuningEvent": an_object(
        object=one_of("fine_tuning.job.event"),
        id=TEXT,
        created_at=EPOCH_S,
        level=one_of(*_LEVELS),
        message=TEXT,
        type=one_of("message", "metrics"),
        data=or_null(ANY_OBJECT),
    ),
    "FineTuningEventList": _openai_list("FineTuningEvent"),
    "FineTuningCheckpoint": an_object(
        object=one_of("fine_tuning.job.checkpoint"),
        id=TEXT,
        created_at=EPOCH_S,
        fine_tuned_model_checkpoint=TEXT,
        fine_tuning_job_id=TEXT,
        step_number=WHOLE,
        metrics=ANY_OBJECT,
    ),
    "FineTuningCheckpointList": _openai_list("FineTuningCheckpoint"),
}

_PLANS: Mapping[str, Json] = {
    "Placement": an_object(
        job=TEXT,
        start=INSTANT,
        end=INSTANT,
        cause=TEXT,
        why=TEXT,
        segments=list_of(an_object(start=INSTANT, end=INSTANT, region=TEXT, gpus=or_null(WHOLE))),
        emissions_gco2e=or_null(NUMBER),
        emissions_band_gco2e=or_null(_ENDS),
        baseline_emissions_gco2e=or_null(NUMBER),
        savings_ratio=or_null(NUMBER),
        value=or_null(NUMBER),
        baseline_value=or_null(NUMBER),
        value_savings_ratio=or_null(NUMBER),
        basis=one_of("forecast"),
    ),
    "Costs": an_object(
        grid_gco2e=or_null(NUMBER),
        embodied_gco2e=NUMBER,
        electricity_usd=NUMBER,
        hire_usd=NUMBER,
        water_l=NUMBER,
        waiting_kwh_h=or_null(NUMBER),
    ),
    "Plan": an_object(
        made_at=INSTANT,
        regions=list_of(
            an_object(
                name=TEXT,
                zone=TEXT,
                gpus=WHOLE,
                free_gpus=or_null(WHOLE),
                held_gpus=WHOLE,
                pue=NUMBER,
                power_cap_kw=or_null(NUMBER),
            )
        ),
        placements=list_of(named("Placement")),
    ),
}

_JOBS: Mapping[str, Json] = {
    "Job": an_object(
        id=TEXT,
        object=one_of("job"),
        state=states_of(JobState),
        kind=states_of(JobKind),
        label=TEXT,
        template=TEXT,
        purpose=states_of(Purpose),
        tenant=TEXT,
        priority=WHOLE,
        submitted_at=INSTANT,
        earliest_start=INSTANT,
        asked_earliest_start=or_null(INSTANT),
        deadline=INSTANT,
        duration_s=NUMBER,
        declared_duration_s=NUMBER,
        gpus=WHOLE,
        power_w=NUMBER,
        power_error_class=or_null(states_of(ErrorClass)),
        power_band_w=or_null(_ENDS),
        power_profile=list_of(an_object(duration_s=NUMBER, power_w=NUMBER)),
        elastic=list_of(an_object(gpus=WHOLE, speed=NUMBER)),
        run_gpus=or_null(WHOLE),
        interruptible=FLAG,
        regions=list_of(TEXT),
        on_hold_since=or_null(INSTANT),
        attempt=WHOLE,
        region=or_null(TEXT),
        started_at=or_null(INSTANT),
        ended_at=or_null(INSTANT),
        reason=TEXT,
        result=or_null(ANY_OBJECT),
        plan=or_null(named("Placement")),
    ),
    "JobDraft": an_object(
        object=one_of("job.draft"),
        duration_s=NUMBER,
        earliest_start=INSTANT,
        asked_earliest_start=or_null(INSTANT),
        plan=named("Placement"),
    ),
    "JobList": _list("Job", next_before=or_null(WHOLE)),
    "BatchExplained": an_object(
        batch=TEXT,
        status=states_of(BatchStatus),
        phase=states_of(BatchPhase),
        why=TEXT,
        deadline=INSTANT,
        waits_until=or_null(INSTANT),
        latest_start=or_null(INSTANT),
        need_s=or_null(NUMBER),
        done_ratio=or_null(NUMBER),
        lines=an_object(total=WHOLE, completed=WHOLE, failed=WHOLE, in_flight=WHOLE),
        region=or_null(TEXT),
        zone=or_null(TEXT),
        intensity=an_object(now_gco2e_per_kwh=or_null(NUMBER), then_gco2e_per_kwh=or_null(NUMBER)),
        forecast=or_null(an_object(rung=TEXT, feed=TEXT, age_s=NUMBER)),
    ),
    "JobExplained": an_object(
        job=TEXT,
        state=states_of(JobState),
        why=TEXT,
        latest_start=INSTANT,
        plan=or_null(named("Placement")),
        costs=or_null(named("Costs")),
        explanation=or_null(ANY_OBJECT),
        forecasts=table_of(or_null(an_object(rung=TEXT, feed=TEXT, age_s=NUMBER))),
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
        **_SPAN,
        zones=list_of(
            an_object(zone=TEXT, realised_until=or_null(INSTANT), points=list_of(an_object(**_POINT))),
        ),
    ),
}

_ACCOUNTS: Mapping[str, Json] = {
    "Account": an_object(**_ACCOUNT),
    "Savings": an_object(**_SPAN, **_ACCOUNT),
    "SavingsOfOne": an_object(
        name=TEXT,
        **_sum_of_account(),
        requests=WHOLE,
        prompt_tokens=WHOLE,
        output_tokens=WHOLE,
        requests_j=NUMBER,
        requests_alone_j=or_null(NUMBER),
    ),
    "SavingsBy": _list("SavingsOfOne", group=states_of(By), **_SPAN),
    "SavingsPlanned": an_object(**_SPAN, **_BESIDE),
    "SavingsPlannedBy": an_object(
        object=one_of("list"),
        group=states_of(PlannedBy),
        **_SPAN,
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
        energy_band_wh=or_null(_ENDS),
        emissions_gco2e=or_null(NUMBER),
        emissions_band_gco2e=or_null(_ENDS),
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
    "BudgetList": _list("Budget"),
    "Quota": an_object(**_QUOTA),
    "OneQuota": an_object(object=one_of("quota"), **_QUOTA),
    "QuotaList": _list("Quota", month=TEXT, ends=INSTANT),
}

_ACCESS: Mapping[str, Json] = {
    "Key": an_object(**_KEY),
    "KeyList": _list("Key"),
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
    "AuditList": _list("AuditEntry", next_before=or_null(WHOLE)),
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
    **_OPENAI,
    **_JOBS,
    **_PLANS,
    **_GRIDS,
    **_ACCOUNTS,
    **_ACCESS,
    **_DAEMON,
}
