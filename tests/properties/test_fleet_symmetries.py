"""What must not change a fleet plan, what must never make it worse, and inputs at the edge of sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption, Job
from scheduler.planning.whole_fleet.certificate import flaws
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import FleetPlan, plan_fleet
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

HOURS = 12
WEEK_S = 7 * 24 * HOUR_S

intensities = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)


@st.composite
def whole_hour_jobs(draw: st.DrawFn) -> list[Job]:
    jobs = []
    for number in range(draw(st.integers(2, 6))):
        duration_h = draw(st.integers(1, 4))
        earliest_h = draw(st.integers(0, HOURS - duration_h))
        jobs.append(
            a_job(
                f"job-{number}",
                duration_s=duration_h * HOUR_S,
                earliest_s=MIDNIGHT_S + earliest_h * HOUR_S,
                within_s=draw(st.integers(duration_h, HOURS - earliest_h)) * HOUR_S,
                gpus=draw(st.integers(1, 2)),
                interruption=draw(st.sampled_from((None, Interruption()))),
            )
        )
    return jobs


def a_case(jobs: Sequence[Job], *rows: Sequence[float], gpus: int = 2, start_at_s: float = MIDNIGHT_S) -> FleetCase:
    names = [f"Z{index}" for index in range(len(rows))]
    forecasts = {name: a_series(*row, zone=name, start_at_s=start_at_s) for name, row in zip(names, rows, strict=True)}
    return FleetCase(jobs=jobs, regions=[a_region(name, gpus=gpus) for name in names], forecasts=forecasts)


def planned(case: FleetCase) -> FleetPlan:
    found = plan_fleet(case, np.random.default_rng(5))
    assert flaws(case, found.segments) == ()
    assert found.certificate.lower_bound_gco2e <= found.certificate.emissions_gco2e
    return found


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(whole_hour_jobs(), intensities, intensities)
def test_scaling_all_intensities_changes_no_segment(jobs: list[Job], row: list[float], other: list[float]) -> None:
    one = planned(a_case(jobs, row, other))
    four = planned(a_case(jobs, [4 * value for value in row], [4 * value for value in other]))
    assert four.segments == one.segments
    assert four.certificate.emissions_gco2e == pytest.approx(4 * one.certificate.emissions_gco2e)


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(whole_hour_jobs(), intensities)
def test_shifting_all_times_shifts_the_plan(jobs: list[Job], row: list[float]) -> None:
    later = [
        replace(job, earliest_start_at_s=job.earliest_start_at_s + WEEK_S, deadline_at_s=job.deadline_at_s + WEEK_S)
        for job in jobs
    ]
    one, other = planned(a_case(jobs, row)), planned(a_case(later, row, start_at_s=MIDNIGHT_S + WEEK_S))
    assert set(one.segments) == set(other.segments)
    for name, segments in one.segments.items():
        shifted = [replace(it, start_at_s=it.start_at_s + WEEK_S, end_at_s=it.end_at_s + WEEK_S) for it in segments]
        assert list(other.segments[name]) == shifted


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(whole_hour_jobs(), intensities, intensities)
def test_more_room_or_one_more_region_never_hurts_beyond_the_certified_gap(
    jobs: list[Job], row: list[float], other: list[float]
) -> None:
    tight = planned(a_case(jobs, row))
    for wide in (planned(a_case(jobs, row, gpus=3)), planned(a_case(jobs, row, other))):
        assert len(wide.reasons) <= len(tight.reasons)
        if len(wide.reasons) == len(tight.reasons) == 0:
            certified_gco2e = wide.certificate.emissions_gco2e - wide.certificate.lower_bound_gco2e
            assert wide.certificate.emissions_gco2e <= tight.certificate.emissions_gco2e + certified_gco2e + 1e-6


def late_by_deadline(case: FleetCase) -> int:
    """Earliest deadline first on one region, each job at its first free hours; those that find none are skipped."""
    free, late = [case.regions[0].gpus] * (3 * HOURS), 0
    for job in sorted(case.jobs, key=lambda one: one.deadline_at_s):
        first, last = (round((at_s - MIDNIGHT_S) / HOUR_S) for at_s in (job.earliest_start_at_s, job.deadline_at_s))
        length = round(job.duration_s / HOUR_S)
        starts = [at for at in range(first, last - length + 1) if min(free[at : at + length]) >= job.gpus]
        late += not starts
        for hour in range(starts[0], starts[0] + length) if starts else ():
            free[hour] -= job.gpus
    return late


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.lists(whole_hour_jobs(), min_size=2, max_size=3), intensities)
def test_no_more_jobs_are_refused_than_are_late_by_the_earliest_deadline_first(
    lists: list[list[Job]], row: list[float]
) -> None:
    jobs = [replace(job, id=f"{number}-{job.id}") for number, some in enumerate(lists) for job in some]
    case = a_case(jobs, row)
    assert len(planned(case).reasons) <= late_by_deadline(case)


def test_a_job_without_slack_runs_when_it_must() -> None:
    job = a_job(duration_s=5000.0, earliest_s=MIDNIGHT_S + 77.0, within_s=5000.0)
    (only,) = planned(a_case([job], [500.0, 100.0, 50.0])).segments["job"]
    assert (only.start_at_s, only.end_at_s) == pytest.approx((MIDNIGHT_S + 77.0, MIDNIGHT_S + 5077.0))


def test_jobs_in_a_single_slot_are_planned_side_by_side_and_the_rest_refused() -> None:
    jobs = [a_job(f"job-{number}", within_s=HOUR_S) for number in range(3)]
    found = planned(a_case(jobs, [200.0]))
    assert len(found.segments) == 2
    assert [reason.partition(":")[0] for reason in found.reasons.values()] == ["capacity"]


def test_where_nothing_is_known_every_job_is_refused_for_want_of_a_forecast() -> None:
    case = replace(a_case([a_job()], [100.0]), forecasts={})
    found = planned(case)
    assert found.reasons == {"job": "forecast: nothing is known of Z0"}
    assert found.certificate.gap_ratio == 0.0


def test_no_run_touches_a_gap_or_the_time_after_the_forecast() -> None:
    nan = float("nan")
    jobs = [a_job(f"job-{number}", duration_s=2 * HOUR_S) for number in range(2)]
    found = planned(a_case(jobs, [500.0, 400.0, nan, 10.0, nan, 300.0, 200.0], gpus=1))
    starts = sorted((one.start_at_s - MIDNIGHT_S) / HOUR_S for (one,) in found.segments.values())
    assert starts == [0.0, 5.0]


def test_negative_intensity_is_sought_and_the_bound_still_holds() -> None:
    jobs = [a_job(f"job-{number}", within_s=4 * HOUR_S) for number in range(3)]
    found = planned(a_case(jobs, [300.0, -50.0, 100.0, 200.0], gpus=1))
    # 1 kW for an hour each, one after the other in the three cleanest hours.
    assert found.certificate.emissions_gco2e == pytest.approx(-50.0 + 100.0 + 200.0)


def test_a_flat_forecast_leaves_nothing_to_gain() -> None:
    jobs = [a_job(f"job-{number}", within_s=12 * HOUR_S, duration_s=3 * HOUR_S) for number in range(4)]
    found = planned(a_case(jobs, [100.0] * HOURS, gpus=1))
    assert found.certificate.gap_ratio == pytest.approx(0.0, abs=1e-6)


@pytest.mark.slow
def test_a_thousand_equal_jobs_fill_the_cleanest_hours() -> None:
    # 1000 hours of work on 100 GPUs: the ten cleanest of twelve hours, which emit 100 g to 1000 g for each.
    jobs = [a_job(f"job-{number}", within_s=HOURS * HOUR_S) for number in range(1000)]
    row = [100.0 * (1 + (5 * hour) % HOURS) for hour in range(HOURS)]
    found = planned(a_case(jobs, row, gpus=100))
    assert found.reasons == {}
    assert found.certificate.emissions_gco2e == pytest.approx(100 * 5500.0)
    assert found.certificate.gap_ratio is not None
    # The plan is the optimum; equal jobs all follow a price at once, so the prices of the bound settle only slowly.
    assert found.certificate.gap_ratio < 0.01


def test_a_zone_whose_series_is_empty_of_numbers_holds_no_work() -> None:
    case = a_case([a_job()], [100.0, 90.0])
    unknown = IntensitySeries.regular("Z0", MIDNIGHT_S, HOUR_S, [float("nan")] * 2)
    found = planned(replace(case, forecasts={"Z0": unknown}))
    assert found.segments == {}
    assert found.reasons["job"].startswith("forecast:")
