"""Jobs in phases and elastic jobs beside others, worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.jobs import Interruption, Job
from scheduler.planning.one_job.elastic import Scaling
from scheduler.planning.one_job.power_profile import Phase
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import flaws, recomputed_gco2e
from scheduler.planning.whole_fleet.fleet_case import FleetCase, Room
from scheduler.planning.whole_fleet.joint import FleetPlan, plan_fleet
from scheduler.planning.whole_fleet.levels import cheapest_filling, hull_of, levels_of
from scheduler.planning.whole_fleet.rates import Rates
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

# An hour at 200 W, then one at 1 kW.
PHASES = (Phase(duration_s=HOUR_S, power_w=200.0), Phase(duration_s=HOUR_S, power_w=1000.0))
SCALING = Scaling(speeds=((1, 1.0), (2, 1.6), (3, 2.4)))


def at(from_h: float, to_h: float, *, gpus: int | None = None, power_w: float | None = None) -> Segment:
    start_at_s, end_at_s = MIDNIGHT_S + from_h * HOUR_S, MIDNIGHT_S + to_h * HOUR_S
    return Segment(start_at_s=start_at_s, end_at_s=end_at_s, region="DE", gpus=gpus, power_w=power_w)


def a_case(*jobs: Job, gpus: int = 1, cap_w: float | None = None) -> FleetCase:
    """Job `train` is in phases, job `sweep` elastic."""
    return FleetCase(
        jobs=jobs,
        regions=[a_region(gpus=gpus)],
        forecasts={"DE": a_series(400, 300, 100, 200)},
        power_caps_w={} if cap_w is None else {"DE": cap_w},
        phases={"train": PHASES},
        scalings={"sweep": SCALING},
    )


def planned(case: FleetCase) -> FleetPlan:
    return plan_fleet(case, np.random.default_rng(0))


def a_training(within_h: float = 4.0) -> Job:
    return a_job("train", duration_s=2 * HOUR_S, within_s=within_h * HOUR_S, power_w=600.0)


def a_sweep(work_h: float = 1.0, *, within_h: float = 4.0) -> Job:
    return a_job("sweep", duration_s=work_h * HOUR_S, within_s=within_h * HOUR_S, power_w=1000.0)


def test_a_training_puts_its_hungry_hour_into_the_clean_one() -> None:
    found = planned(a_case(a_training()))
    assert found.segments["train"] == (at(1, 2, power_w=200.0), at(2, 3, power_w=1000.0))
    assert found.certificate.emissions_gco2e == pytest.approx(0.2 * 300 + 100)
    assert found.certificate.lower_bound_gco2e == pytest.approx(160.0)


def test_two_trainings_share_a_cap_that_holds_one_hungry_phase_at_a_time() -> None:
    case = a_case(
        a_training(), a_job("other", power_w=600.0, within_s=4 * HOUR_S, duration_s=HOUR_S), gpus=2, cap_w=1100
    )
    found = planned(case)
    # 1.1 kW is too little for 1 kW and 600 W, and enough for 200 W and 600 W.
    assert found.segments["train"] == (at(1, 2, power_w=200.0), at(2, 3, power_w=1000.0))
    assert found.segments["other"] == (at(3, 4),)
    assert found.certificate.lower_bound_gco2e <= found.certificate.emissions_gco2e == pytest.approx(160 + 120)


def test_a_run_at_once_waits_until_every_phase_has_its_power() -> None:
    case = a_case(a_training(), gpus=2, cap_w=1100.0)
    room = Room(case)
    room.take(a_job("busy", power_w=800.0), (at(1, 2),))
    # From midnight on the hungry hour would meet the 800 W; an hour later the quiet one does, which fits.
    assert room.earliest_start_at_s(case.jobs[0], "DE", MIDNIGHT_S, 2 * HOUR_S) == MIDNIGHT_S + HOUR_S


def test_a_broken_profile_is_seen() -> None:
    case, job = a_case(a_training()), a_training()
    good = (at(1, 2, power_w=200.0), at(2, 3, power_w=1000.0))
    assert flaws(case, {"train": good}) == ()
    assert recomputed_gco2e(case, job, good) == pytest.approx(160.0)
    assert "train is not in its phases" in flaws(case, {"train": good[::-1]})
    assert "train is not in its phases" in flaws(case, {"train": (at(1, 3),)})
    assert "train is interrupted" in flaws(case, {"train": (at(0, 1, power_w=200.0), at(2, 3, power_w=1000.0))})


def test_the_hull_leaves_out_a_count_below_the_line_between_its_neighbours() -> None:
    # Two GPUs gain 0.6, three 0.8 more: from one the line to three is below two.
    hull = hull_of(np.array([1.0, 1.6, 2.4]), np.array([[1.0], [2.0], [3.0]]))
    assert hull.high.ravel().tolist() == [0, 2]
    assert hull.slope_cost.ravel().tolist() == pytest.approx([1.0, 2.0 / 1.4])


def test_a_sweep_takes_its_cheapest_work_first() -> None:
    case = a_case(a_sweep(1.7), gpus=3)
    found = planned(case)
    # At 100 g: 1 h of work at 100 g, the next 1.4 h at 143 g each; others begin at 200 g. So half an hour on three.
    assert sorted((one.gpus, one.duration_s) for one in found.segments["sweep"]) == [(1, HOUR_S / 2), (3, HOUR_S / 2)]
    assert found.certificate.emissions_gco2e == pytest.approx(200.0)
    assert found.certificate.lower_bound_gco2e == pytest.approx(200.0)


def test_the_bound_of_two_sweeps_counts_the_gpus_that_they_share() -> None:
    jobs = [a_sweep(1.0), a_sweep(1.0)]
    case = replace(a_case(jobs[0], replace(jobs[1], id="again"), gpus=1), scalings={"sweep": SCALING, "again": SCALING})
    bound = lower_bound(case.jobs, Rates.of(case))
    # One GPU: the hours at 100 and at 200 g.
    assert bound.lower_bound_gco2e == pytest.approx(300.0, rel=1e-2)
    assert bound.lower_bound_gco2e <= 300.0
    assert planned(case).certificate.emissions_gco2e == pytest.approx(300.0)


def test_a_sweep_in_a_hurry_is_planned_on_more_gpus_than_it_has_at_once() -> None:
    found = planned(a_case(a_sweep(2.4, within_h=1.0), gpus=3))
    assert [(one.gpus, one.duration_s) for one in found.segments["sweep"]] == [(3, HOUR_S)]
    assert found.run_now.late == 1
    too_much = planned(a_case(a_sweep(2.5, within_h=1.0), gpus=3))
    assert too_much.reasons["sweep"].startswith("deadline: runs 1 h 2 min")


def test_a_sweep_that_may_not_move_stays_in_one_region() -> None:
    case = a_case(a_sweep(2.0), gpus=1)
    two = replace(
        case,
        regions=[*case.regions, a_region("FR")],
        forecasts={**case.forecasts, "FR": a_series(100, 900, 900, 900, zone="FR")},
    )
    assert planned(two).certificate.emissions_gco2e == pytest.approx(100 + 200)
    moving = replace(two, jobs=[replace(two.jobs[0], interruption=Interruption())])
    assert planned(moving).certificate.emissions_gco2e == pytest.approx(100 + 100)
    assert "sweep moves" in flaws(two, planned(moving).segments)


def test_a_broken_sweep_is_seen() -> None:
    case = a_case(a_sweep(1.0), gpus=3)
    assert flaws(case, {"sweep": (at(0, 1, gpus=1, power_w=1000.0),)}) == ()
    assert flaws(case, {"sweep": (at(0, 0.625, gpus=2, power_w=2000.0),)}) == ()
    assert flaws(case, {"sweep": (at(0, 1, gpus=2, power_w=2000.0),)}) == ("sweep does not run for its duration",)
    assert "sweep runs on other GPUs than it may" in flaws(case, {"sweep": (at(0, 0.625, gpus=2, power_w=500.0),)})
    assert "sweep runs on other GPUs than it may" in flaws(case, {"sweep": (at(0, 1, gpus=4, power_w=4000.0),)})


def test_work_that_no_stretch_holds_has_no_filling() -> None:
    levels = levels_of(a_case(a_sweep(9.0), gpus=1), a_sweep(9.0))
    assert levels is not None
    assert levels.gpus.tolist() == [1]
    assert cheapest_filling(levels, np.array([[1.0, 2.0]]), np.array([HOUR_S, HOUR_S])) is None
