"""A plan of a fleet waits, pauses and moves only where something is saved by it."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.jobs import Interruption, Job
from scheduler.planning.plan import Region, Segment
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from scheduler.planning.whole_fleet.no_later import no_later
from scheduler.planning.whole_fleet.rates import Rates
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

FLAT = {"DE": a_series(*[300.0] * 48), "FR": a_series(*[300.0] * 48, zone="FR")}


def at(start_h: float, end_h: float, region: str = "DE") -> Segment:
    return Segment(start_at_s=MIDNIGHT_S + start_h * HOUR_S, end_at_s=MIDNIGHT_S + end_h * HOUR_S, region=region)


def planned(*jobs: Job, regions: tuple[Region, ...]) -> dict[str, tuple[Segment, ...]]:
    case = FleetCase(jobs=jobs, regions=regions, forecasts=FLAT)
    return dict(plan_fleet(case, np.random.default_rng(0)).segments)


def test_on_a_flat_grid_a_job_starts_at_once() -> None:
    found = planned(a_job(duration_s=2 * HOUR_S, within_s=44 * HOUR_S), regions=(a_region(),))

    assert found == {"job": (at(0, 2),)}


def test_where_one_region_is_cleaner_at_all_hours_a_job_starts_there_at_once() -> None:
    regions = (a_region("DE", pue=1.2), a_region("FR"))

    assert planned(a_job(duration_s=2 * HOUR_S, within_s=44 * HOUR_S), regions=regions) == {"job": (at(0, 2, "FR"),)}


def test_jobs_on_a_flat_grid_queue_without_a_hole() -> None:
    jobs = [a_job(f"job-{number}", duration_s=2 * HOUR_S, within_s=40 * HOUR_S) for number in range(5)]

    found = planned(*jobs, regions=(a_region(),))

    assert sorted(one[0].start_at_s - MIDNIGHT_S for one in found.values()) == [2 * HOUR_S * turn for turn in range(5)]


@pytest.mark.parametrize(
    "before",
    [(at(3, 4), at(9, 10)), (at(3, 4, "FR"), at(4, 5)), (at(20, 22),)],
    ids=["in two pieces", "in two regions", "later"],
)
def test_a_job_that_may_pause_does_so_only_for_a_gain(before: tuple[Segment, ...]) -> None:
    job = a_job(duration_s=2 * HOUR_S, within_s=40 * HOUR_S, interruption=Interruption())
    case = FleetCase(jobs=[job], regions=(a_region("DE"), a_region("FR")), forecasts=FLAT)

    assert no_later(Rates.of(case), {job.id: before}) == {job.id: (at(0, 2),)}


def test_the_cleaner_hours_are_kept() -> None:
    job = a_job(duration_s=2 * HOUR_S, within_s=4 * HOUR_S, interruption=Interruption())
    grid = {"DE": a_series(100.0, 300.0, 100.0, 100.0)}
    case = FleetCase(jobs=[job], regions=(a_region(),), forecasts=grid)

    assert no_later(Rates.of(case), {job.id: (at(0, 1), at(3, 4))}) == {job.id: (at(2, 4),)}


def test_nobody_takes_the_room_of_others() -> None:
    jobs = [a_job("early", within_s=40 * HOUR_S), a_job("late", within_s=40 * HOUR_S)]
    case = FleetCase(jobs=jobs, regions=(a_region(),), forecasts=FLAT)

    found = no_later(Rates.of(case), {"early": (at(5, 6),), "late": (at(6, 7),)})

    assert found == {"early": (at(0, 1),), "late": (at(1, 2),)}
