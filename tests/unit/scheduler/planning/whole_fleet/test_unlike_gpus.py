"""Regions whose GPUs differ, worked by hand: grams per job decide, not grams per kWh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.jobs import Interruption, Job
from scheduler.planning.plan import Region, Segment
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import flaws, recomputed_gco2e
from scheduler.planning.whole_fleet.fleet_case import FleetCase, Room
from scheduler.planning.whole_fleet.joint import plan_fleet
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.rules.precedence import Precedence
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

OLD = a_region("old", zone="DE")
# Twice as fast at 1.5 times the power: three quarters of the energy for the same work.
NEW = replace(a_region("new", zone="FR"), speed=2.0, power_ratio=1.5)


def at(from_h: float, to_h: float, region: str) -> Segment:
    return Segment(start_at_s=MIDNIGHT_S + from_h * HOUR_S, end_at_s=MIDNIGHT_S + to_h * HOUR_S, region=region)


def a_case(*jobs: Job, regions: tuple[Region, ...] = (OLD, NEW), cap_w: float | None = None) -> FleetCase:
    return FleetCase(
        jobs=jobs,
        regions=regions,
        forecasts={"DE": a_series(200, 100, 200, 200), "FR": a_series(120, 120, 120, 120, zone="FR")},
        power_caps_w={} if cap_w is None else {"new": cap_w},
    )


def test_the_dirtier_grid_wins_where_its_gpus_need_less_energy_for_the_job() -> None:
    job = a_job(within_s=4 * HOUR_S)
    found = plan_fleet(a_case(job), np.random.default_rng(0))
    # FR: half an hour at 1.5 kW on 120 g is 90 g; DE's cleanest hour at 1 kW on 100 g is 100 g.
    assert found.segments["job"] == (at(0, 0.5, "new"),)
    assert found.certificate.emissions_gco2e == pytest.approx(90.0)
    assert found.certificate.lower_bound_gco2e == pytest.approx(90.0)


def test_a_job_that_only_the_faster_gpus_finish_in_time_is_planned_there() -> None:
    job = a_job(duration_s=2 * HOUR_S, within_s=HOUR_S)
    found = plan_fleet(a_case(job), np.random.default_rng(0))
    assert found.segments["job"] == (at(0, 1, "new"),)
    assert found.run_now.late == 1  # at once it would take the first region that is free


def test_a_job_that_may_pause_runs_where_a_second_of_work_is_cleanest() -> None:
    # 5 h of work in 3 h: FR alone does 6 h of it, at 90 g an hour of work, DE 100 g at its best. All in FR.
    job = a_job(duration_s=5 * HOUR_S, within_s=3 * HOUR_S, interruption=Interruption())
    found = plan_fleet(a_case(job), np.random.default_rng(0))
    assert {one.region for one in found.segments["job"]} == {"new"}
    assert found.certificate.emissions_gco2e == pytest.approx(450.0)


def test_a_job_that_may_pause_goes_on_elsewhere_while_others_hold_the_faster_gpus() -> None:
    job = a_job(duration_s=5 * HOUR_S, within_s=3 * HOUR_S, interruption=Interruption())
    busy = [
        a_job(f"busy-{hour}", earliest_s=MIDNIGHT_S + hour * HOUR_S, within_s=0.5 * HOUR_S, regions=("new",))
        for hour in (0, 2)
    ]
    found = plan_fleet(a_case(job, *busy), np.random.default_rng(0))
    # FR has 2 h left, 4 h of work at 90 g; the last hour of work is DE's in the two halves at 200 g. The others: 90 g.
    where = [((one.start_at_s - MIDNIGHT_S) / HOUR_S, one.region) for one in found.segments["job"]]
    assert where == [(0, "old"), (0.5, "new"), (2, "old"), (2.5, "new")]
    assert found.job_gco2e["job"] == pytest.approx(4 * 90 + 200)
    assert found.certificate.emissions_gco2e == pytest.approx(560 + 180)


def test_a_cap_counts_the_power_that_the_gpus_draw() -> None:
    case = a_case(a_job(within_s=4 * HOUR_S), cap_w=1499.0)
    assert plan_fleet(case, np.random.default_rng(0)).segments["job"] == (at(1, 2, "old"),)
    assert case.allowed(case.jobs[0]) == [0]
    room = Room(a_case(*case.jobs, cap_w=1500.0))
    assert room.fits(case.jobs[0], (at(0, 0.5, "new"),))


def test_emissions_and_work_are_recomputed_by_region() -> None:
    case = a_case(a_job())
    job = case.jobs[0]
    assert recomputed_gco2e(case, job, (at(0, 0.5, "new"),)) == pytest.approx(1.5 * 120 / 2)
    assert flaws(case, {"job": (at(0, 0.5, "new"),)}) == ()
    assert flaws(case, {"job": (at(0, 1, "new"),)}) == ("job does not run for its duration",)


def test_the_bound_of_two_jobs_that_want_the_same_gpus_holds_for_the_next_best() -> None:
    jobs = [a_job(name, within_s=0.5 * HOUR_S) for name in ("a", "b")]
    case = a_case(*jobs, regions=(replace(OLD, speed=2.0), NEW))
    # Half an hour each: 90 g in FR, and in DE at 200 g 100 g.
    bound = lower_bound(case.jobs, Rates.of(case))
    assert bound.lower_bound_gco2e == pytest.approx(190.0, rel=1e-3)


def test_what_comes_after_a_job_waits_for_its_shortest_run_only() -> None:
    jobs = {name: a_job(name, duration_s=2 * HOUR_S, within_s=4 * HOUR_S) for name in ("a", "b")}
    case = a_case(*jobs.values())
    change = Precedence({"b": ("a",)}, case.shortest_s).prepared(jobs)
    assert change.jobs["b"].earliest_start_at_s == MIDNIGHT_S + HOUR_S
    assert change.jobs["a"].deadline_at_s == MIDNIGHT_S + 3 * HOUR_S
