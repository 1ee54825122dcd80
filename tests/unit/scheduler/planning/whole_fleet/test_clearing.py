"""Stretches of a plan cleared and filled anew: gangs that trade places with all that runs beside them."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.jobs import Interruption, Job
from scheduler.planning.whole_fleet.certificate import flaws
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.slots.clearing import Clearing
from scheduler.planning.whole_fleet.slots.plan import SlotPlan
from scheduler.planning.whole_fleet.slots.search import by_size, fill
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

CELLS = 6_000_000
NEVER_ENOUGH = (0, -np.inf)


def a_gang(name: str, hours: int, within_hours: int) -> Job:
    return a_job(name, duration_s=hours * HOUR_S, within_s=within_hours * HOUR_S, gpus=8, power_w=8000.0)


def gangs_and_narrow_jobs(count: int = 0) -> FleetCase:
    """Two gangs that fill the region, and `count` narrow jobs of an hour."""
    narrow = [
        a_job(
            f"narrow-{number}",
            earliest_s=MIDNIGHT_S + number % 4 * HOUR_S,
            within_s=6 * HOUR_S,
            interruption=Interruption() if number % 2 else None,
        )
        for number in range(count)
    ]
    return FleetCase(
        jobs=[a_gang("long", 2, 8), a_gang("short", 1, 3), *narrow],
        regions=[a_region(gpus=8)],
        forecasts={"DE": a_series(300, 100, 200, 400, 250, 350, 500, 600, 600, 600)},
    )


def filled(case: FleetCase) -> SlotPlan:
    plan = SlotPlan(case, Rates.of(case))
    fill(plan, sorted(plan.asks, key=by_size), plan.carbon)
    return plan


def cleared(plan: SlotPlan, cells: int = CELLS, seed: int = 0) -> SlotPlan:
    Clearing(plan, Rates.of(plan.grid.case), np.random.default_rng(seed)).run(cells, NEVER_ENOUGH)
    return plan


def test_gangs_share_the_clean_hours_as_well_as_they_can() -> None:
    # Per kWh of an hour on 8 kW: the long one in 100 and 200 and the short one in 300 is what filling finds as well.
    plan = cleared(filled(gangs_and_narrow_jobs()))
    assert plan.rank == pytest.approx((0, 8 * 600.0))


def test_a_gang_that_found_no_room_trades_places_with_those_that_hold_it() -> None:
    # By deadline the short one comes first to the hour of 100, and the long one would be left with 200 and 400.
    plan = SlotPlan(case := gangs_and_narrow_jobs(), Rates.of(case))
    fill(plan, reversed(plan.asks), plan.carbon)
    assert plan.rank == pytest.approx((0, 8 * 700.0))
    assert cleared(plan).rank == pytest.approx((0, 8 * 600.0))


def test_a_refused_gang_is_placed_when_the_narrow_jobs_in_its_way_are_taken_out_together() -> None:
    # One narrow job an hour in every other hour of six: no two on end are left, and no move of one job makes them.
    narrow = [a_job(f"narrow-{number}", within_s=6 * HOUR_S) for number in range(3)]
    case = FleetCase(
        jobs=[a_gang("long", 2, 6), a_gang("short", 1, 3), *narrow],
        regions=[a_region(gpus=8)],
        forecasts={"DE": a_series(300, 100, 200, 400, 250, 350)},
    )
    plan = SlotPlan(case, Rates.of(case))
    slots_per_hour = round(HOUR_S / plan.grid.slot_s)
    for ask, hour in zip(plan.asks[2:], (1, 3, 5), strict=True):
        plan.put(ask, plan.window_at(ask, 0, hour * slots_per_hour))
    fill(plan, plan.asks[:2], plan.carbon)
    assert plan.refused == 1
    assert cleared(plan).refused == 0


def test_no_effort_changes_nothing_and_none_makes_a_plan_worse() -> None:
    plan = filled(gangs_and_narrow_jobs(6))
    before = plan.rank
    assert cleared(plan, cells=0).rank == before
    for seed in range(3):
        rank = plan.rank
        assert cleared(plan, seed=seed).rank <= rank
    assert not flaws(plan.grid.case, plan.assignment())


def test_effort_that_finds_nothing_is_broken_off_before_its_end() -> None:
    plan = filled(gangs_and_narrow_jobs())
    clearing = Clearing(plan, Rates.of(plan.grid.case), np.random.default_rng(0))
    clearing.run(CELLS, NEVER_ENOUGH)
    assert 0.6 * CELLS <= clearing.looked_cells < 0.7 * CELLS


def test_a_plan_that_is_good_enough_is_left_as_it_is() -> None:
    plan = filled(gangs_and_narrow_jobs())
    clearing = Clearing(plan, Rates.of(plan.grid.case), np.random.default_rng(0))
    clearing.run(CELLS, plan.rank)
    assert clearing.looked_cells == 0


def test_equal_generators_make_equal_plans() -> None:
    one, other = (cleared(filled(gangs_and_narrow_jobs(6)), seed=7) for _ in range(2))
    assert one.assignment() == other.assignment()
