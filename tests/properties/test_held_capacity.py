"""GPUs that a region holds are never lent: at every instant, by every planner, and the bound knows it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Hold, Region, Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.holds import together
from scheduler.planning.whole_fleet.joint import plan_fleet
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_series, most_taken

HOURS, GPUS = 8, 3

holds = st.lists(
    st.builds(
        lambda start, length, gpus: Hold(
            start_at_s=MIDNIGHT_S + start * HOUR_S, end_at_s=MIDNIGHT_S + (start + length) * HOUR_S, gpus=gpus
        ),
        st.floats(-1, HOURS),
        st.floats(0.1, 4),
        st.integers(1, GPUS),
    ),
    max_size=3,
)
intensities = st.lists(st.integers(1, 50).map(float), min_size=HOURS, max_size=HOURS)


@st.composite
def cases(draw: st.DrawFn) -> FleetCase:
    jobs = [
        a_job(
            f"job-{number}",
            duration_s=draw(st.floats(600, 3 * HOUR_S)),
            within_s=draw(st.floats(3, HOURS)) * HOUR_S,
            gpus=draw(st.integers(1, 2)),
        )
        for number in range(draw(st.integers(1, 5)))
    ]
    held = together(draw(holds), GPUS)
    return FleetCase(
        jobs=jobs,
        regions=[Region(name="DE", zone="DE", gpus=GPUS, held=held)],
        forecasts={"DE": a_series(*draw(intensities))},
    )


def used_with_holds(case: FleetCase, plan: dict[str, tuple[Segment, ...]]) -> int:
    """The most that jobs and holds take at once, counted by a sweep of its own."""
    gpus = {job.id: job.gpus for job in case.jobs}
    held = [(piece, gpus[name]) for name, segments in plan.items() for piece in segments]
    kept = [
        (Segment(start_at_s=one.start_at_s, end_at_s=one.end_at_s, region="DE"), one.gpus)
        for one in case.regions[0].held
    ]
    return most_taken([*held, *kept], "DE")


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(cases())
def test_jobs_and_holds_together_never_take_more_than_there_is(case: FleetCase) -> None:
    found = plan_fleet(case, np.random.default_rng(1))
    assert used_with_holds(case, dict(found.segments)) <= GPUS
    assert used_with_holds(case, dict(found.run_now.segments)) <= GPUS
    assert found.certificate.lower_bound_gco2e <= found.certificate.emissions_gco2e
    open_jobs = [OpenJob(job=job) for job in case.jobs]
    daemon = FleetPlanner().plan(open_jobs, case.regions, case.forecasts, MIDNIGHT_S)
    assert used_with_holds(case, {name: one.segments for name, one in daemon.placements.items()}) <= GPUS


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 7), max_size=3, unique=True), intensities)
def test_the_bound_of_one_job_beside_whole_hours_held_is_its_best_hour(hours: list[int], row: list[float]) -> None:
    held = together(
        [Hold(start_at_s=MIDNIGHT_S + h * HOUR_S, end_at_s=MIDNIGHT_S + (h + 1) * HOUR_S, gpus=1) for h in hours], 1
    )
    case = FleetCase(
        jobs=[a_job(duration_s=HOUR_S, within_s=HOURS * HOUR_S)],
        regions=[Region(name="DE", zone="DE", gpus=1, held=held)],
        forecasts={"DE": a_series(*row)},
    )
    found = plan_fleet(case, np.random.default_rng(1))
    least = min((value for hour, value in enumerate(row) if hour not in hours), default=math.inf)
    assert found.certificate.emissions_gco2e == pytest.approx(least)
    assert found.certificate.lower_bound_gco2e <= least + 1e-9
