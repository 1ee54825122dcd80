"""The baseline: first come, first served, as early as there is room."""

from __future__ import annotations

from scheduler.jobs import Job
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Cause, Placement, Plan, Refusal
from scheduler.planning.planner import OpenJob
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

FALLING = a_series(400, 300, 200, 100)


def planned(*jobs: Job, gpus: int = 1) -> Plan:
    open_jobs = [OpenJob(job=one) for one in jobs]
    return RunNowPlanner().plan(open_jobs, (a_region(gpus=gpus),), {"DE": FALLING}, MIDNIGHT_S)


def start_h(placement: Placement) -> float:
    return (placement.start_at_s - MIDNIGHT_S) / HOUR_S


def test_starts_at_once_however_dirty_the_grid() -> None:
    place = planned(a_job()).placements["job"]
    assert start_h(place) == 0
    assert place.cause is Cause.RUN_NOW
    assert place.savings_ratio == 0


def test_serves_in_order_of_submission() -> None:
    early, late = a_job("b", submitted_at_s=1), a_job("a", submitted_at_s=2, within_s=2 * HOUR_S)
    plan = planned(late, early)
    assert [start_h(plan.placements[name]) for name in ("b", "a")] == [0, 1]


def test_serves_higher_priority_first() -> None:
    plan = planned(a_job("a", submitted_at_s=1), a_job("b", submitted_at_s=2, priority=5))
    assert [start_h(plan.placements[name]) for name in ("b", "a")] == [0, 1]


def test_a_late_job_keeps_its_turn_and_is_reported() -> None:
    plan = planned(a_job("first", submitted_at_s=1), a_job("second", submitted_at_s=2, within_s=1.5 * HOUR_S))
    assert set(plan.refusals) == {"second"}
    assert start_h(plan.placements["second"]) == 1
    assert plan.placements["second"].cause is Cause.LATE


def test_a_newcomer_takes_the_first_room_beside_the_others() -> None:
    other = OpenJob(job=a_job("other"), planned=planned(a_job("other")).placements["other"])
    place = RunNowPlanner().place(OpenJob(job=a_job("new")), [other], (a_region(),), {"DE": FALLING}, MIDNIGHT_S)
    assert isinstance(place, Placement)
    assert start_h(place) == 1


def test_a_newcomer_without_room_in_time_is_refused() -> None:
    other = OpenJob(job=a_job("other"), planned=planned(a_job("other")).placements["other"])
    newcomer = OpenJob(job=a_job("new", within_s=HOUR_S))
    answer = RunNowPlanner().place(newcomer, [other], (a_region(),), {"DE": FALLING}, MIDNIGHT_S)
    assert isinstance(answer, Refusal)
