"""Why a job of a fleet has no place: the limit that stands in the way, not the nearest word for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption, Job
from scheduler.planning.plan import Hold, Region
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

FLAT = {"DE": a_series(*[300.0] * 12), "FR": a_series(*[300.0] * 12, zone="FR")}


def reasons(
    *jobs: Job,
    regions: Sequence[Region] = (a_region(gpus=2),),
    caps_w: Mapping[str, float] | None = None,
    forecasts: Mapping[str, IntensitySeries] = FLAT,
) -> Mapping[str, str]:
    case = FleetCase(jobs=jobs, regions=regions, forecasts=forecasts, power_caps_w=caps_w or {})
    return plan_fleet(case, np.random.default_rng(0)).reasons


def test_gpus_that_others_hold_are_a_matter_of_capacity() -> None:
    found = reasons(a_job("a", gpus=2, within_s=HOUR_S), a_job("b", gpus=2, within_s=HOUR_S))

    assert list(found.values()) == ["capacity: the room for 2 GPUs is taken by other jobs until 2022-03-01T01:00:00Z"]


def test_power_that_others_draw_is_a_matter_of_the_cap() -> None:
    jobs = [a_job(name, power_w=700, within_s=HOUR_S) for name in ("a", "b")]

    assert list(reasons(*jobs, caps_w={"DE": 1000}).values()) == [
        "power_cap: other jobs draw too much of the power cap for its 0.700 kW until 2022-03-01T01:00:00Z"
    ]


def test_under_a_cap_that_is_wide_enough_it_is_still_capacity() -> None:
    jobs = [a_job(name, gpus=2, power_w=700, within_s=HOUR_S) for name in ("a", "b")]

    assert [one.partition(":")[0] for one in reasons(*jobs, caps_w={"DE": 5000}).values()] == ["capacity"]


def test_maintenance_is_not_the_fault_of_other_jobs() -> None:
    region = Region(
        name="DE", zone="DE", gpus=2, held=(Hold(start_at_s=MIDNIGHT_S, end_at_s=MIDNIGHT_S + 5 * HOUR_S, gpus=2),)
    )

    assert reasons(a_job(duration_s=2 * HOUR_S, within_s=6 * HOUR_S), regions=[region]) == {
        "job": "held: too many GPUs are reserved or in maintenance for it until 2022-03-01T06:00:00Z"
    }


def test_a_job_before_the_trace_is_told_what_the_trace_has() -> None:
    assert reasons(a_job(earliest_s=MIDNIGHT_S - 9 * HOUR_S, within_s=8 * HOUR_S)) == {
        "job": "forecast: the trace has no whole window for it where it may run; "
        "it has DE from 2022-03-01T00:00:00Z to 2022-03-01T12:00:00Z"
    }


def test_a_job_that_may_pause_is_possible_in_two_regions_that_are_each_known_for_too_short_a_time() -> None:
    grid = {"DE": a_series(*[300.0] * 2), "FR": a_series(*[300.0] * 2, zone="FR", start_at_s=MIDNIGHT_S + 2 * HOUR_S)}
    job = a_job(duration_s=3 * HOUR_S, within_s=4 * HOUR_S, interruption=Interruption())

    assert not reasons(job, regions=[a_region("DE"), a_region("FR")], forecasts=grid)
