"""What is answered of jobs: their plan, their state, and why they run there and then."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.batch_standing import BatchPhase
from scheduler.batches import BatchStatus
from scheduler.daemon.openapi.notation import (
    ANY_OBJECT,
    ENDS,
    FLAG,
    INSTANT,
    NUMBER,
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
from scheduler.jobs import JobKind, JobState, Purpose
from shaping.deployment import ErrorClass

_FORECAST = an_object(rung=TEXT, feed=TEXT, age_s=NUMBER)

PLANS: Mapping[str, Json] = {
    "Placement": an_object(
        job=TEXT,
        start=INSTANT,
        end=INSTANT,
        cause=TEXT,
        why=TEXT,
        segments=list_of(an_object(start=INSTANT, end=INSTANT, region=TEXT, gpus=or_null(WHOLE))),
        emissions_gco2e=or_null(NUMBER),
        emissions_band_gco2e=or_null(ENDS),
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

JOBS: Mapping[str, Json] = {
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
        power_band_w=or_null(ENDS),
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
    "JobList": answer_list("Job", next_before=or_null(WHOLE)),
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
        forecast=or_null(_FORECAST),
    ),
    "JobExplained": an_object(
        job=TEXT,
        state=states_of(JobState),
        why=TEXT,
        latest_start=INSTANT,
        plan=or_null(named("Placement")),
        costs=or_null(named("Costs")),
        explanation=or_null(ANY_OBJECT),
        forecasts=table_of(or_null(_FORECAST)),
    ),
}
