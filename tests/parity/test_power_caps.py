"""Power caps and jobs whose power changes: simulator and daemon agree, and no cap is exceeded at any instant."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine import Engine
from scheduler.jobs import Job, Phase
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Region, Segment
from scheduler.planning.planner import Planner
from scheduler.planning.run_phases import in_phases, most_w
from simulations.fleet import Fleet, Timetable
from simulations.launcher import JobWork, Stretch
from simulations.loop import Loop
from tests.parity.test_simulator_and_daemon import DRIVERS, REPLAN_S, Case, Driver, by_simulator, cases, commands


@dataclass(frozen=True)
class CappedCase(Case):
    """The same jobs, some in phases, in regions whose power is capped."""

    runs_at_once: bool = False

    def engine(self) -> Engine:
        planner: Planner = RunNowPlanner() if self.runs_at_once else FleetPlanner()
        return Engine(regions=self.regions, planner=planner)


@st.composite
def capped_cases(draw: st.DrawFn) -> CappedCase:
    plain = draw(cases())
    caps_w = st.sampled_from([None, 400.0, 900.0, 1500.0, 2600.0])
    regions = tuple(replace(region, power_cap_w=draw(caps_w)) for region in plain.regions)
    works = tuple(replace(one, job=_perhaps_in_phases(draw, one.job)) for one in plain.works)
    return CappedCase(works=works, forecasts=plain.forecasts, regions=regions, runs_at_once=draw(st.booleans()))


def _perhaps_in_phases(draw: st.DrawFn, job: Job) -> Job:
    if job.interruption is not None or not draw(st.booleans()):
        return job
    share_ratio = draw(st.sampled_from([0.25, 0.5, 0.75]))
    first_w, then_w = draw(st.sampled_from([(100.0, 900.0), (700.0, 200.0), (0.0, 1200.0)]))
    phases = (
        Phase(duration_s=share_ratio * job.duration_s, power_w=first_w),
        Phase(duration_s=(1 - share_ratio) * job.duration_s, power_w=then_w),
    )
    return replace(job, power_profile=phases, power_w=share_ratio * first_w + (1 - share_ratio) * then_w)


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS.keys())
@given(case=capped_cases())
@settings(deadline=None, max_examples=8)
def test_every_driver_gets_the_same_commands_under_power_caps(driver: Driver, case: CappedCase) -> None:
    assert commands(by_simulator(case)) == commands(driver(case))


@pytest.mark.slow
@given(case=capped_cases())
@settings(deadline=None, max_examples=25)
def test_runs_that_last_as_long_as_they_say_keep_every_cap_at_every_instant_and_all_of_them_run(
    case: CappedCase,
) -> None:
    works = [JobWork(job=one.job, true_duration_s=one.job.duration_s) for one in case.works]
    stretches, finished = simulated(case, works)
    jobs = {work.job.id: work.job for work in works}
    for region in case.regions:
        assert most_drawn_w(region, jobs, stretches) <= (region.power_cap_w or float("inf")) + 1e-3
    assert finished == {name for name, job in jobs.items() if any(fits_alone(job, one) for one in allowed(job, case))}


@pytest.mark.slow
@given(case=capped_cases())
@settings(deadline=None, max_examples=20)
def test_runs_of_one_power_keep_every_cap_even_when_they_outlast_their_estimate(case: CappedCase) -> None:
    works = [one for one in case.works if not one.job.power_profile]
    stretches, _ = simulated(case, works)
    jobs = {work.job.id: work.job for work in works}
    for region in case.regions:
        assert most_drawn_w(region, jobs, stretches) <= (region.power_cap_w or float("inf")) + 1e-3


def simulated(case: CappedCase, works: list[JobWork]) -> tuple[list[Stretch], set[str]]:
    loop = Loop(0.0)
    fleet = Fleet(loop, case.engine(), works)
    Timetable(loop, fleet, case.renewed, renew_s=REPLAN_S, replan_s=REPLAN_S, is_needed=lambda: fleet.can_go_on)
    loop.run()
    return fleet.launcher.stretches, set(fleet.finished_at_s)


def most_drawn_w(region: Region, jobs: dict[str, Job], stretches: list[Stretch]) -> float:
    """The most that the facility draws at once, by a sweep of its own over every instant at which it can grow."""
    here = [
        (part, jobs[one.job_id].power_w if part.power_w is None else part.power_w)
        for one in stretches
        if one.region == region.name
        for part in in_phases(
            jobs[one.job_id], (Segment(start_at_s=one.start_at_s, end_at_s=one.end_at_s, region=region.name),)
        )
    ]
    begins = [part.start_at_s for part, _ in here]
    return max(
        (
            region.pue * sum(power_w for part, power_w in here if part.start_at_s <= at_s < part.end_at_s - 1e-3)
            for at_s in begins
        ),
        default=0.0,
    )


def allowed(job: Job, case: Case) -> list[Region]:
    return [one for one in case.regions if not job.regions or one.name in job.regions]


def fits_alone(job: Job, region: Region) -> bool:
    cap_w = float("inf") if region.power_cap_w is None else region.power_cap_w
    return job.gpus <= region.gpus and most_w(job) * region.pue <= cap_w + 1e-6
