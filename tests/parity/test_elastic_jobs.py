"""Elastic jobs: simulator and daemon agree on every number of GPUs, and nothing is lent twice or left undone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine import Engine
from scheduler.gpu_speeds import speeds_of
from scheduler.journal import decode, encode_decision, encode_header, replay
from scheduler.planning.gpu_counts import at_count, speed_at
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Placement
from scheduler.planning.planner import OpenJob, Planner
from simulations.fleet import Fleet, Timetable
from simulations.launcher import JobWork, Stretch
from simulations.loop import Loop
from tests.parity.test_simulator_and_daemon import DRIVERS, REPLAN_S, Case, Driver, by_simulator, cases, commands


@dataclass(frozen=True)
class ElasticCase(Case):
    """The same jobs, some of which run on half or twice their GPUs too."""

    runs_at_once: bool = False

    def engine(self) -> Engine:
        planner: Planner = RunNowPlanner() if self.runs_at_once else FleetPlanner()
        return Engine(regions=self.regions, planner=planner)


@st.composite
def elastic_cases(draw: st.DrawFn) -> ElasticCase:
    plain = draw(cases())
    curves = st.sampled_from(["", "0.5:0.6,1:1,2:1.7", "0.5:0.5,1:1,2:2", "1:1,2:0.8"])
    works = tuple(
        replace(one, job=replace(one.job, elastic=speeds_of(draw(curves), one.job.gpus))) for one in plain.works
    )
    return ElasticCase(
        works=works,
        forecasts=plain.forecasts,
        regions=plain.regions,
        runs_at_once=draw(st.sampled_from([False] * 3 + [True])),
    )


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS.keys())
@given(case=elastic_cases())
@settings(deadline=None, max_examples=8)
def test_every_driver_gets_the_same_commands_for_elastic_jobs(driver: Driver, case: ElasticCase) -> None:
    assert commands(by_simulator(case)) == commands(driver(case))


@pytest.mark.slow
@given(case=elastic_cases())
@settings(deadline=None, max_examples=8)
def test_a_journal_with_elastic_jobs_comes_back_from_its_lines(case: ElasticCase) -> None:
    decisions = by_simulator(case)
    lines = [encode_header(case.regions, "carbon_aware"), *(encode_decision(one) for one in decisions)]
    for recorded, again in replay(case.engine(), decode(lines)[2]):
        assert again == list(recorded.commands)


@pytest.mark.slow
@given(case=elastic_cases())
@settings(deadline=None, max_examples=25)
def test_no_gpu_is_lent_twice_and_every_job_that_fits_anywhere_does_all_its_work(case: ElasticCase) -> None:
    stretches, finished = simulated(case)
    works = {work.job.id: work for work in case.works}
    for region in case.regions:
        here = [one for one in stretches if one.region == region.name]
        for instant_s in {one.start_at_s for one in here}:
            used = sum(
                held(works[one.job_id], one) for one in here if one.start_at_s <= instant_s < one.end_at_s - 1e-3
            )
            assert used <= region.gpus
    most = max(region.gpus for region in case.regions)
    assert finished == {name for name, one in works.items() if fewest(one) <= most}
    for name in finished:
        assert done_s(works[name], stretches) >= works[name].true_duration_s - 1e-3


@pytest.mark.slow
@given(case=elastic_cases())
@settings(deadline=None, max_examples=20)
def test_alone_it_gets_the_cleanest_of_the_places_that_it_has_on_each_number_of_gpus(case: ElasticCase) -> None:
    planner = FleetPlanner()
    for work in case.works:
        job = work.job
        now_s = job.submitted_at_s
        found = planner.place(OpenJob(job=job), [], case.regions, case.forecasts, now_s)
        counts = [gpus for gpus, _ in job.elastic] or [job.gpus]
        plain = [
            planner.place(OpenJob(job=at_count(job, gpus)), [], case.regions, case.forecasts, now_s) for gpus in counts
        ]
        placed = [one for one in plain if isinstance(one, Placement)]
        assert isinstance(found, Placement) is bool(placed)
        known = [one.emissions_gco2e for one in placed if one.emissions_gco2e is not None]
        if isinstance(found, Placement) and known:
            assert found.emissions_gco2e == pytest.approx(min(known))


def simulated(case: ElasticCase) -> tuple[list[Stretch], set[str]]:
    loop = Loop(0.0)
    fleet = Fleet(loop, case.engine(), case.works)
    Timetable(loop, fleet, case.renewed, renew_s=REPLAN_S, replan_s=REPLAN_S, is_needed=lambda: fleet.can_go_on)
    loop.run()
    return fleet.launcher.stretches, set(fleet.finished_at_s)


def held(work: JobWork, one: Stretch) -> int:
    return work.job.gpus if one.gpus is None else one.gpus


def fewest(work: JobWork) -> int:
    return min((gpus for gpus, _ in work.job.elastic), default=work.job.gpus)


def done_s(work: JobWork, stretches: list[Stretch]) -> float:
    """At least what it had to do, in seconds on its own number of GPUs, pauses counted in."""
    mine = [one for one in stretches if one.job_id == work.job.id]
    return sum((one.end_at_s - one.start_at_s) * speed_at(work.job, one.gpus) for one in mine)
