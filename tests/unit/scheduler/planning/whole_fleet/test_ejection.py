"""Jobs that found no room get it where others can give way, and only there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scheduler.jobs import Interruption, Job
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.certificate import flaws
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.slots.ejection import Ejection
from scheduler.planning.whole_fleet.slots.plan import SlotPlan
from scheduler.planning.whole_fleet.slots.search import fill
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series


def ejected(jobs: Sequence[Job], *, gpus: int = 1, caps_w: Mapping[str, float] | None = None) -> Assignment:
    """Filled by carbon in the order of the jobs, then made room for those that found none."""
    case = FleetCase(
        jobs=jobs,
        regions=[a_region(gpus=gpus)],
        forecasts={"DE": a_series(300, 100, 200, 400)},
        power_caps_w=caps_w or {},
    )
    carbon = Rates.of(case)
    plan = SlotPlan(case, carbon)
    fill(plan, plan.asks, plan.carbon)
    assert plan.refused == 1, "the case is one in which a job finds no room"
    Ejection(plan, plan.carbon, np.random.default_rng(0)).run(2_000_000)
    assert flaws(case, plan.assignment()) == ()
    return plan.assignment()


def at(from_h: float, to_h: float) -> Segment:
    return Segment(start_at_s=MIDNIGHT_S + from_h * HOUR_S, end_at_s=MIDNIGHT_S + to_h * HOUR_S, region="DE")


def test_a_short_job_leaves_the_middle_of_the_day_to_a_long_one() -> None:
    # The short job has the second hour, without which two of the first three hours are not in one piece.
    short, long = a_job("short", within_s=4 * HOUR_S), a_job("long", duration_s=2 * HOUR_S, within_s=3 * HOUR_S)
    found = ejected([short, long])
    assert set(found) == {"short", "long"}
    assert found["long"] in ((at(0, 2),), (at(1, 3),))


def test_a_job_that_may_pause_gets_the_slots_it_cannot_do_without() -> None:
    short = a_job("short", within_s=4 * HOUR_S)
    pausing = a_job("pausing", duration_s=3 * HOUR_S, within_s=3 * HOUR_S, interruption=Interruption())
    found = ejected([short, pausing])
    assert found["short"] == (at(3, 4),)
    assert (found["pausing"][0].start_at_s, found["pausing"][-1].end_at_s) == (at(0, 3).start_at_s, at(0, 3).end_at_s)


def test_watts_are_made_room_for_as_gpus_are() -> None:
    short, long = a_job("short", within_s=4 * HOUR_S), a_job("long", duration_s=2 * HOUR_S, within_s=3 * HOUR_S)
    assert set(ejected([short, long], gpus=2, caps_w={"DE": 1500.0})) == {"short", "long"}


def test_no_job_gives_way_to_one_of_lower_priority() -> None:
    first = a_job("first", within_s=4 * HOUR_S, priority=1)
    other = a_job("other", duration_s=2 * HOUR_S, within_s=3 * HOUR_S)
    assert set(ejected([first, other])) == {"first"}


def test_where_two_jobs_need_one_hour_the_plan_is_left_as_good_as_it_was() -> None:
    jobs = [a_job(name, earliest_s=MIDNIGHT_S + HOUR_S, within_s=HOUR_S) for name in ("one", "other")]
    assert len(ejected(jobs)) == 1
