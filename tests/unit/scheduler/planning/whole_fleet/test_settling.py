"""Handfuls of jobs placed anew together: what no move of one job finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from scheduler.jobs import Interruption, Job
from scheduler.planning.whole_fleet.certificate import flaws
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.slots.plan import SlotPlan
from scheduler.planning.whole_fleet.slots.search import fill
from scheduler.planning.whole_fleet.slots.settling import Settling
from tests.plan_cases import HOUR_S, a_job, a_region, a_series

CELLS = 20_000_000


def a_case(jobs: Sequence[Job]) -> FleetCase:
    return FleetCase(jobs=jobs, regions=[a_region()], forecasts={"DE": a_series(300, 100, 200, 400)})


def filled(jobs: Sequence[Job]) -> SlotPlan:
    """One after another, each at the cheapest place in what is free."""
    case = a_case(jobs)
    plan = SlotPlan(case, Rates.of(case))
    fill(plan, plan.asks, plan.carbon)
    return plan


def settled(plan: SlotPlan, cells: int = CELLS) -> SlotPlan:
    Settling(plan, Rates.of(plan.grid.case), np.random.default_rng(0)).run(cells, (0, -np.inf))
    return plan


def the_short_one_first(interruption: Interruption | None = None) -> list[Job]:
    return [
        a_job("short", within_s=3 * HOUR_S),
        a_job("long", duration_s=2 * HOUR_S, within_s=4 * HOUR_S, interruption=interruption),
    ]


def test_a_short_job_leaves_the_clean_hour_to_a_long_one() -> None:
    # At once 100 for the short one and 200 + 400; together 300 and 100 + 200.
    plan = filled(the_short_one_first())
    assert plan.rank == pytest.approx((0, 700.0))
    assert settled(plan).rank == pytest.approx((0, 600.0))


def test_a_job_that_may_pause_takes_what_the_others_leave() -> None:
    plan = settled(filled(the_short_one_first(Interruption())))
    assert plan.rank == pytest.approx((0, 600.0))


def test_a_refused_job_is_placed_where_the_others_can_make_room_together() -> None:
    # The short one takes the second hour of three, and leaves no two hours on end before the long one's deadline.
    jobs = [a_job("short", within_s=3 * HOUR_S), a_job("long", duration_s=2 * HOUR_S, within_s=3 * HOUR_S)]
    plan = filled(jobs)
    assert plan.refused == 1
    assert settled(plan).rank == pytest.approx((0, 600.0))


def test_no_effort_changes_nothing_and_none_makes_a_plan_worse() -> None:
    plan = filled(the_short_one_first())
    before = plan.rank
    assert settled(plan, cells=0).rank == before
    found = settled(plan)
    assert found.rank <= before
    assert not flaws(found.grid.case, found.assignment())
