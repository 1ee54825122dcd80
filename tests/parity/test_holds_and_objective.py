"""Simulator and daemon agree under held GPUs and an objective too, their journal replays, and no run touches a hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.prices import PriceSeries
from scheduler.engine import Engine
from scheduler.journal import decode, encode_decision, encode_header, replay
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Hold, Region
from scheduler.planning.weighed.planner import WeighedPlanner
from scheduler.planning.whole_fleet.holds import together
from scheduler.planning.whole_fleet.objective import Site, Weights
from simulations.fleet import Fleet, Timetable
from simulations.launcher import JobWork, Stretch
from simulations.loop import Loop
from tests.parity.test_simulator_and_daemon import (
    DRIVERS,
    HOUR_S,
    REPLAN_S,
    Case,
    Driver,
    by_simulator,
    cases,
    commands,
)

PRICES = PriceSeries(
    zone="N",
    edges_at_s=HOUR_S * np.arange(97, dtype=np.float64),
    usd_per_kwh=np.array([0.05 * ((7 * hour) % 13) for hour in range(96)]),
)
SITES = {"north": Site(usd_per_kwh=PRICES, gco2e_per_gpu_h=5.0), "south": Site(usd_per_kwh=0.2, usd_per_gpu_h=0.1)}


@dataclass(frozen=True)
class HeldCase(Case):
    """The same jobs where regions hold GPUs, planned by an objective."""

    weights: Weights | None = None

    def engine(self) -> Engine:
        planner = FleetPlanner()
        weighed = None if self.weights is None else WeighedPlanner(inner=planner, weights=self.weights, sites=SITES)
        return Engine(regions=self.regions, planner=weighed or planner)


@st.composite
def held_cases(draw: st.DrawFn) -> HeldCase:
    plain = draw(cases())
    holds = st.builds(
        lambda start, length, gpus: Hold(start_at_s=start * HOUR_S, end_at_s=(start + length) * HOUR_S, gpus=gpus),
        st.integers(0, 40),
        st.sampled_from([0.5, 2.0, 8.0]),
        st.integers(1, 4),
    )
    regions = tuple(
        replace(region, held=together(draw(st.lists(holds, max_size=3)), region.gpus)) for region in plain.regions
    )
    weights = draw(
        st.sampled_from([None, Weights(per_usd=1.0), Weights(per_gco2e=1.0, per_usd=100.0, per_waiting_kwh_h=3.0)])
    )
    return HeldCase(works=plain.works, forecasts=plain.forecasts, regions=regions, weights=weights)


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS.keys())
@given(case=held_cases())
@settings(deadline=None, max_examples=20)
def test_every_driver_gets_the_same_commands_beside_holds_and_by_an_objective(driver: Driver, case: HeldCase) -> None:
    assert commands(by_simulator(case)) == commands(driver(case))


@pytest.mark.slow
@given(case=held_cases())
@settings(deadline=None, max_examples=20)
def test_a_journal_with_holds_and_an_objective_comes_back_from_its_lines(case: HeldCase) -> None:
    decisions = by_simulator(case)
    lines = [encode_header(case.regions, "carbon_aware"), *(encode_decision(one) for one in decisions)]
    regions, _, read = decode(lines)
    assert tuple(regions) == case.regions
    for recorded, again in replay(case.engine(), read):
        assert again == list(recorded.commands)


@pytest.mark.slow
@given(case=held_cases())
@settings(deadline=None, max_examples=30)
def test_runs_that_last_as_long_as_they_say_never_use_a_held_gpu_and_all_of_them_run(case: HeldCase) -> None:
    works = [JobWork(job=one.job, true_duration_s=one.job.duration_s) for one in case.works]
    stretches, finished = simulated(case, works)
    gpus = {work.job.id: work.job.gpus for work in works}
    for region in case.regions:
        here = [one for one in stretches if one.region == region.name]
        instants = {one.start_at_s for one in here} | {hold.start_at_s for hold in region.held}
        for instant_s in instants:
            used = sum(gpus[one.job_id] for one in here if one.start_at_s <= instant_s < one.end_at_s - 1e-3)
            assert used + region.held_gpus(instant_s, instant_s) <= region.gpus
    most = max(region.gpus for region in case.regions)
    assert finished == {work.job.id for work in works if work.job.gpus <= most}


def simulated(case: HeldCase, works: list[JobWork]) -> tuple[list[Stretch], set[str]]:
    loop = Loop(0.0)
    fleet = Fleet(loop, case.engine(), works)
    Timetable(loop, fleet, case.renewed, renew_s=REPLAN_S, replan_s=REPLAN_S, is_needed=lambda: fleet.can_go_on)
    loop.run()
    return fleet.launcher.stretches, set(fleet.finished_at_s)


def test_the_regions_of_a_case_are_what_the_engine_starts_with() -> None:
    region = Region(name="north", zone="N", gpus=4, held=(Hold(start_at_s=0.0, end_at_s=HOUR_S, gpus=1),))
    assert HeldCase(works=(), forecasts={}, regions=(region,)).engine().regions == (region,)
