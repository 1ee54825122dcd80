"""A fleet's held GPUs are named as what holds a job, in the plan of a file and in front of an engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.planning.open_jobs.choices import Grid
from scheduler.planning.plan import Cause, Hold, Placement, Region, Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.reasons.explanation import LimitKind
from scheduler.planning.reasons.in_fleet import FleetReasons
from scheduler.planning.reasons.placed import explain_open_job
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_series

HELD = Region(
    name="DE",
    zone="DE",
    gpus=2,
    held=(Hold(start_at_s=MIDNIGHT_S + 2 * HOUR_S, end_at_s=MIDNIGHT_S + 3 * HOUR_S, gpus=2),),
)
GRID = {"DE": a_series(500, 400, 100, 300)}


def test_each_job_of_a_file_would_have_the_held_hour_were_it_not_held() -> None:
    jobs = [a_job(f"job-{number}", within_s=4 * HOUR_S, gpus=2) for number in range(2)]
    found = plan_fleet(FleetCase(jobs=jobs, regions=[HELD], forecasts=GRID), np.random.default_rng(0))
    explained = list(FleetReasons(found).explanations())
    saves = {
        one.start_at_s: {limit.kind: limit.saves_gco2e for limit in one.limits}.get(LimitKind.HELD) for one in explained
    }
    assert saves == {MIDNIGHT_S + HOUR_S: pytest.approx(300), MIDNIGHT_S + 3 * HOUR_S: pytest.approx(200)}


def test_an_open_job_beside_others_is_held_by_maintenance_only_where_they_leave_room() -> None:
    job = a_job(within_s=4 * HOUR_S)
    piece = Segment(start_at_s=MIDNIGHT_S + 3 * HOUR_S, end_at_s=MIDNIGHT_S + 4 * HOUR_S, region="DE")
    mine = OpenJob(
        job=job,
        planned=Placement(
            job_id=job.id,
            segments=(piece,),
            cause=Cause.CLEANEST,
            emissions_gco2e=300.0,
            baseline_emissions_gco2e=500.0,
        ),
    )
    grid = Grid(regions=[HELD], forecasts=GRID)
    found = explain_open_job(job.id, [mine], grid, {}, MIDNIGHT_S, 0.0)
    assert found is not None
    assert [(one.kind, one.saves_gco2e) for one in found.limits] == [(LimitKind.HELD, 200)]
    # Somebody's run reaches over the window: without the hold there would be no room either.
    other_job = a_job("other", within_s=9 * HOUR_S, gpus=2, duration_s=3 * HOUR_S)
    running = Segment(start_at_s=MIDNIGHT_S, end_at_s=MIDNIGHT_S + 3 * HOUR_S, region="DE")
    crowded = explain_open_job(job.id, [mine, OpenJob(job=other_job, running=running)], grid, {}, MIDNIGHT_S, 0.0)
    assert crowded is not None
    assert LimitKind.HELD not in {one.kind for one in crowded.limits}
    without = explain_open_job(job.id, [mine], replace(grid, regions=[replace(HELD, held=())]), {}, MIDNIGHT_S, 0.0)
    assert without is not None
    assert LimitKind.HELD not in {one.kind for one in without.limits}
