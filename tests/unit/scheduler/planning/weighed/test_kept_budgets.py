"""A plan made again moves a job into another day only where that day can pay for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine import Engine
from scheduler.events import ForecastUpdated, JobSubmitted, StartRun
from scheduler.jobs import Job
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Cause, Placement, Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.weighed.admission import Admitted, Bill, BudgetStanding, admitted, planned
from scheduler.planning.weighed.kept_budgets import BudgetedPlanner
from scheduler.planning.weighed.planner import reserve_ratio_of, weighing
from scheduler.planning.whole_fleet.objective import Components
from scheduler.planning.whole_fleet.rules.budgets import Budget, Per, Spent
from tests.builders import DAY_S, HOUR_S, a_job, a_region, a_series

CLEAN_TODAY = [500.0] * 12 + [100.0] * 6 + [500.0] * 30
CLEAN_TOMORROW = [500.0] * 36 + [100.0] * 6 + [500.0] * 6


def kilowatt_hours(job: Job, segments: Sequence[Segment]) -> Components:
    return Components(energy_kwh=sum(one.duration_s / HOUR_S for one in segments) * job.power_w / 1000.0)


@dataclass
class Wallet:
    """So many kilowatt-hours a day, some of them spent in the day that begins now."""

    budgets: tuple[Budget, ...]
    settled_kwh: float = 0.0

    def settled(self, now_s: float) -> list[BudgetStanding]:
        return [
            BudgetStanding(budget=one, begin=one.per.begin(now_s), settled_cost=self.settled_kwh, planned={})
            for one in self.budgets
        ]

    def bill(self) -> Bill:
        return kilowatt_hours


def a_budget(most_kwh: float, tenant: str = "default") -> Budget:
    return Budget(tenant=tenant, what=Spent.KWH, most_cost=most_kwh, per=Per.DAY)


def an_engine(*budgets: Budget, gpus: int = 8) -> Engine:
    planner = BudgetedPlanner(inner=FleetPlanner(reserve_ratio=0.0), purse=Wallet(budgets))
    return Engine(regions=(a_region(gpus=gpus),), planner=planner)


def forecast(engine: Engine, values: Sequence[float], now_s: float = 0.0) -> None:
    engine.decide([ForecastUpdated(at_s=now_s, zone="DE", series=a_series(values))], now_s)


def submitted(engine: Engine, *jobs: Job) -> None:
    engine.decide([JobSubmitted(at_s=0, job=job) for job in jobs], 0)


def day_of(engine: Engine, name: str = "job") -> int:
    placement = engine.placement(name)
    assert placement is not None
    return int(placement.start_at_s // DAY_S)


def two_days(**fields: object) -> Job:
    return a_job(**{"deadline_at_s": 2 * DAY_S, **fields})


def test_a_job_moves_into_a_cleaner_day_that_can_pay() -> None:
    engine = an_engine(a_budget(1.0))
    forecast(engine, CLEAN_TODAY)
    submitted(engine, two_days())
    assert day_of(engine) == 0
    forecast(engine, CLEAN_TOMORROW, 60.0)
    assert day_of(engine) == 1


def test_it_stays_in_its_day_where_the_cleaner_one_is_spent() -> None:
    engine = an_engine(a_budget(1.5))
    forecast(engine, CLEAN_TODAY)
    tomorrow = two_days(id="tomorrow", earliest_start_at_s=DAY_S)
    submitted(engine, two_days(), tomorrow)
    forecast(engine, CLEAN_TOMORROW, 60.0)
    assert (day_of(engine), day_of(engine, "tomorrow")) == (0, 1)


def test_of_two_that_gain_the_one_with_more_priority_moves() -> None:
    engine = an_engine(a_budget(2.0))
    forecast(engine, CLEAN_TODAY)
    submitted(engine, two_days(id="a"), two_days(id="b", priority=1))
    engine.planner = BudgetedPlanner(inner=FleetPlanner(reserve_ratio=0.0), purse=Wallet((a_budget(1.0),)))
    forecast(engine, CLEAN_TOMORROW, 60.0)
    assert (day_of(engine, "a"), day_of(engine, "b")) == (0, 1)


def test_another_tenants_jobs_move_as_they_like_unless_the_budget_is_everybodys() -> None:
    for tenant, day in (("red", 1), ("*", 0)):
        engine = an_engine(a_budget(1.5, tenant))
        forecast(engine, CLEAN_TODAY)
        submitted(engine, two_days(), two_days(id="spends", tenant="red", earliest_start_at_s=DAY_S))
        forecast(engine, CLEAN_TOMORROW, 60.0)
        assert day_of(engine) == day


def test_nobody_becomes_late_to_stay_in_his_day() -> None:
    engine = an_engine(a_budget(1.5), gpus=1)
    forecast(engine, [500.0] * 23 + [100.0] + [500.0] * 24)
    submitted(engine, two_days(), two_days(id="tomorrow", earliest_start_at_s=DAY_S))
    # Somebody urgent takes the last hour of the day, and the day before it is over.
    urgent = a_job(
        id="urgent",
        tenant="blue",
        submitted_at_s=22 * HOUR_S,
        earliest_start_at_s=22 * HOUR_S,
        duration_s=2 * HOUR_S,
        deadline_at_s=24 * HOUR_S,
    )
    commands = engine.decide([JobSubmitted(at_s=22 * HOUR_S, job=urgent)], 22 * HOUR_S)
    assert [one.job_id for one in commands if isinstance(one, StartRun)] == ["urgent"]
    placement = engine.placement("job")
    assert placement is not None
    assert placement.start_at_s >= DAY_S
    assert placement.end_at_s <= 2 * DAY_S


def test_a_job_that_was_never_placed_is_kept_out_of_a_day_that_cannot_pay() -> None:
    planner = BudgetedPlanner(inner=FleetPlanner(reserve_ratio=0.0), purse=Wallet((a_budget(1.5),)))
    before = two_days(id="before", earliest_start_at_s=DAY_S)
    series = {"DE": a_series(CLEAN_TOMORROW)}
    (placed,) = planner.plan([OpenJob(job=before)], [a_region()], series, 0.0).placements.values()
    both = [OpenJob(job=before, planned=placed), OpenJob(job=two_days())]
    found = planner.plan(both, [a_region()], series, 0.0)
    assert found.placements["job"].end_at_s <= DAY_S


def test_the_planner_within_is_still_known() -> None:
    planner = BudgetedPlanner(inner=FleetPlanner(reserve_ratio=0.25), purse=Wallet(()))
    assert reserve_ratio_of(planner) == 0.25
    assert weighing(planner) is None


def test_a_job_across_midnight_moves_no_more_of_itself_into_a_day_than_that_can_pay() -> None:
    planner = BudgetedPlanner(inner=FleetPlanner(reserve_ratio=0.0), purse=Wallet((a_budget(3.0),)))
    job = a_job(duration_s=4 * HOUR_S, deadline_at_s=2 * DAY_S)
    three_and_one = Segment(start_at_s=21 * HOUR_S, end_at_s=25 * HOUR_S, region="here")
    placed = Placement(job_id=job.id, segments=(three_and_one,), cause=Cause.CLEANEST)
    cleaner_in_the_morning = {"DE": a_series([10.0] * 12 + [20.0] * 36)}
    plan = planner.plan([OpenJob(job=job, planned=placed)], [a_region()], cleaner_in_the_morning, 0.0)
    assert plan.placements[job.id].segments == (three_and_one,)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 5), st.integers(1, 60), st.integers(0, 1)), min_size=1, max_size=7
    ),
    st.lists(st.lists(st.integers(10, 500).map(float), min_size=12, max_size=12), min_size=1, max_size=4),
    st.floats(1.0, 9.0),
)
def test_however_forecasts_are_revised_no_day_is_overdrawn_by_jobs_that_were_admitted(
    shapes: list[tuple[int, int, int, int]], revisions: list[list[float]], most_kwh: float
) -> None:
    """Ample GPUs, energy that no forecast changes: then only a move could overdraw a day."""
    budget = a_budget(most_kwh)
    engine = an_engine(budget, gpus=100)
    first, *later = [[value for value in row for _ in range(12)] for row in revisions]
    forecast(engine, first)
    for number, (start_h, hours, slack_h, priority) in enumerate(shapes):
        job = a_job(
            id=f"job-{number}",
            earliest_start_at_s=start_h * HOUR_S,
            duration_s=hours * HOUR_S,
            deadline_at_s=(start_h + hours + slack_h) * HOUR_S,
            priority=priority,
        )
        places = [(one.job, one.planned.segments) for one in engine.open_jobs(0.0) if one.planned is not None]
        standing = BudgetStanding(
            budget=budget, begin=Per.DAY.begin(0.0), settled_cost=0.0, planned=planned(budget, places, kilowatt_hours)
        )
        answer = admitted(job, lambda one: engine.appraise(one, 0.0), [standing], kilowatt_hours)
        if isinstance(answer, Admitted):
            submitted(engine, answer.job)
    for values in [first, *later]:
        forecast(engine, values)
        places = [(one.job, one.planned.segments) for one in engine.open_jobs(0.0) if one.planned is not None]
        assert all(end <= one.job.deadline_at_s + 1e-3 for one, end in ends(engine))
        for period in planned(budget, places, kilowatt_hours).values():
            assert sum(period.values()) <= most_kwh * (1 + 1e-6)


def ends(engine: Engine) -> list[tuple[OpenJob, float]]:
    return [(one, one.planned.end_at_s) for one in engine.open_jobs(0.0) if one.planned is not None]
