"""Hours of the week as stretches of time, and that a region that holds GPUs lends no more than the rest."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Hold, Region, Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import flaws
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.holds import WeekHours, free_gpus, together
from scheduler.planning.whole_fleet.joint import plan_fleet
from scheduler.planning.whole_fleet.rates import Rates
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_series


def at_s(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def a_hold(from_h: float, to_h: float, gpus: int = 1) -> Hold:
    return Hold(start_at_s=MIDNIGHT_S + from_h * HOUR_S, end_at_s=MIDNIGHT_S + to_h * HOUR_S, gpus=gpus)


def office(since: str = "08:00", to: str = "18:00", zone: str = "UTC", days: str = "01234") -> WeekHours:
    return WeekHours(
        days=frozenset(map(int, days)),
        since=time.fromisoformat(since),
        to=time.fromisoformat(to),
        gpus=2,
        zone=ZoneInfo(zone),
    )


def spans(rule: WeekHours, since: str, to: str) -> list[tuple[str, str]]:
    return [(shown(one.start_at_s), shown(one.end_at_s)) for one in rule.between(at_s(since), at_s(to))]


def shown(instant_s: float) -> str:
    return datetime.fromtimestamp(instant_s, UTC).strftime("%dT%H:%M")


def test_office_hours_leave_the_weekend_out() -> None:
    # 2022-03-04 is a Friday.
    found = spans(office(), "2022-03-04T12:00", "2022-03-07T09:00")
    assert found == [("04T08:00", "04T18:00"), ("07T08:00", "07T18:00")]


def test_hours_over_midnight_belong_to_the_day_they_begin_on() -> None:
    found = spans(office("22:00", "06:00", days="4"), "2022-03-05T01:00", "2022-03-06T00:00")
    assert found == [("04T22:00", "05T06:00")]


def test_equal_times_are_a_whole_day() -> None:
    assert spans(office("00:00", "00:00", days="1"), "2022-03-01T00:00", "2022-03-03T00:00") == [
        ("01T00:00", "02T00:00")
    ]


def test_hours_follow_the_clocks_of_their_zone() -> None:
    # In 2022 clocks in Berlin went forward on Sunday, 27 March.
    found = spans(office(zone="Europe/Berlin", days="56"), "2022-03-26T00:00", "2022-03-28T00:00")
    assert found == [("26T07:00", "26T17:00"), ("27T06:00", "27T16:00")]


def test_rules_add_up_to_what_there_is() -> None:
    found = together([a_hold(0, 4, 2), a_hold(2, 6, 2), a_hold(6, 7, 2), a_hold(9, 10, 9)], gpus=3)
    assert found == (a_hold(0, 2, 2), a_hold(2, 4, 3), a_hold(4, 7, 2), a_hold(9, 10, 3))
    assert together([], 3) == ()


def test_what_is_free_all_through_a_step_is_the_least_of_it() -> None:
    region = Region(name="DE", zone="DE", gpus=3, held=(a_hold(0.5, 1, 2), a_hold(1, 2, 1)))
    edges = MIDNIGHT_S + HOUR_S * np.array([0.0, 1.0, 2.0, 3.0])
    assert free_gpus([region], edges).tolist() == [[1, 2, 3]]


def test_a_hold_is_room_that_is_taken() -> None:
    region = Region(name="DE", zone="DE", gpus=2, held=(a_hold(1, 3),))
    for room in (Occupancy([region]), Occupancy.of([region], [])):
        assert [room.taken("DE", MIDNIGHT_S + hour * HOUR_S) for hour in (0.5, 1, 3)] == [0, 1, 0]
        assert room.earliest_start_at_s("DE", MIDNIGHT_S, 2 * HOUR_S, 2) == MIDNIGHT_S + 3 * HOUR_S
        assert room.earliest_start_at_s("DE", MIDNIGHT_S, 2 * HOUR_S, 1) == MIDNIGHT_S


def a_case(*held: Hold, gpus: int = 1, jobs: int = 2) -> FleetCase:
    return FleetCase(
        jobs=[a_job(f"job-{number}", within_s=4 * HOUR_S) for number in range(jobs)],
        regions=[Region(name="DE", zone="DE", gpus=gpus, held=held)],
        forecasts={"DE": a_series(300, 100, 200, 400)},
    )


def test_jobs_and_the_bound_keep_out_of_a_maintenance_window() -> None:
    found = plan_fleet(a_case(a_hold(1, 2)), np.random.default_rng(0))
    starts = sorted((one[0].start_at_s - MIDNIGHT_S) / HOUR_S for one in found.segments.values())
    assert starts == [0, 2]
    assert found.certificate.emissions_gco2e == pytest.approx(500)
    assert found.certificate.lower_bound_gco2e == pytest.approx(500, rel=1e-3)


def test_the_bound_of_half_a_window_is_exact_off_the_grid() -> None:
    case = a_case(a_hold(1.5, 4), jobs=1)
    bound = lower_bound(case.jobs, Rates.of(case))
    # The best hour left ends at half past one: half at 300 g, half at 100 g.
    assert bound.lower_bound_gco2e == pytest.approx(200, rel=1e-2)
    assert bound.lower_bound_gco2e <= 200


def test_a_window_that_leaves_no_time_refuses_the_job() -> None:
    found = plan_fleet(a_case(a_hold(0.5, 3.5), jobs=1), np.random.default_rng(0))
    assert found.reasons == {
        "job-0": "held: too many GPUs are reserved or in maintenance for it until 2022-03-01T04:00:00Z"
    }
    assert found.fewest_refused == 1


def test_a_plan_in_a_held_window_is_seen() -> None:
    case = a_case(a_hold(1, 2), gpus=2)
    inside = (Segment(start_at_s=MIDNIGHT_S + HOUR_S, end_at_s=MIDNIGHT_S + 2 * HOUR_S, region="DE"),)
    assert flaws(case, {"job-0": inside}) == ()
    assert any("DE holds 3 of 2 GPUs" in one for one in flaws(case, {"job-0": inside, "job-1": inside}))


def test_the_planner_of_the_daemon_keeps_out_too() -> None:
    case = a_case(a_hold(1, 2))
    plan = FleetPlanner().plan([OpenJob(job=job) for job in case.jobs], case.regions, case.forecasts, MIDNIGHT_S)
    assert not plan.refusals
    assert flaws(case, {name: place.segments for name, place in plan.placements.items()}) == ()
