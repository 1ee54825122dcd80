"""What jobs draw together stays below a region's power cap: by plan, at each start, and in what a refusal says."""

from __future__ import annotations

import pytest

from scheduler.engine import Engine
from scheduler.events import CapacityChanged, Command, ForecastUpdated, JobSubmitted, Outcome, RunFinished, StartRun
from scheduler.jobs import Job
from scheduler.planning.open_jobs.choices import Grid
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Obstacle, Placement, Refusal, Region
from scheduler.planning.reasons.change_text import changes_text
from scheduler.planning.reasons.explanation import LimitKind
from scheduler.planning.reasons.explanation_text import sentences
from scheduler.planning.reasons.placed import explain_open_job
from scheduler.planning.reasons.suggestions import changes_beside
from tests.builders import DAY_S, HOUR_S, ScriptedPlanner, a_job, a_region, a_series

CLEAN_AT_2 = [500.0, 400.0, 100.0, 300.0, 300.0, 300.0]


def an_engine(*regions: Region, **values: list[float]) -> Engine:
    planner = FleetPlanner(reserve_ratio=0.0)
    engine = Engine(regions=regions or (a_region(power_cap_w=1500.0),), planner=planner)
    known = values or {"DE": CLEAN_AT_2}
    engine.decide(
        [ForecastUpdated(at_s=0, zone=name, series=a_series(row, zone=name)) for name, row in known.items()], 0
    )
    return engine


def submitted(engine: Engine, *jobs: Job, now_s: float = 0.0) -> list[Command]:
    return engine.decide([JobSubmitted(at_s=now_s, job=job) for job in jobs], now_s)


def start_h(engine: Engine, job_id: str = "job") -> float:
    placement = engine.placement(job_id)
    assert placement is not None
    return placement.start_at_s / HOUR_S


def started(commands: list[Command]) -> list[str]:
    return [one.job_id for one in commands if isinstance(one, StartRun)]


def test_two_jobs_that_draw_too_much_together_take_turns_though_gpus_are_free() -> None:
    engine = an_engine()
    submitted(engine, a_job(id="a", deadline_at_s=6 * HOUR_S), a_job(id="b", deadline_at_s=6 * HOUR_S))
    assert (start_h(engine, "a"), start_h(engine, "b")) == (2, 3)


def test_the_cap_counts_the_power_of_the_facility() -> None:
    for pue, both in ((1.0, True), (1.01, False)):
        engine = an_engine(a_region(power_cap_w=2000.0, pue=pue))
        submitted(engine, a_job(id="a", deadline_at_s=6 * HOUR_S), a_job(id="b", deadline_at_s=6 * HOUR_S))
        assert (start_h(engine, "a") == start_h(engine, "b")) is both


def test_work_that_waits_leaves_the_same_share_of_the_cap_free_as_of_the_gpus() -> None:
    region = a_region(power_cap_w=3000.0)
    engine = Engine(regions=(region,), planner=FleetPlanner(reserve_ratio=0.5))
    engine.decide([ForecastUpdated(at_s=0, zone="DE", series=a_series(CLEAN_AT_2))], 0)
    submitted(engine, a_job(id="a", deadline_at_s=6 * HOUR_S), a_job(id="b", deadline_at_s=6 * HOUR_S))
    assert {start_h(engine, "a"), start_h(engine, "b")} == {2, 3}


def test_no_run_starts_above_the_cap_whatever_the_plan_says() -> None:
    engine = Engine(regions=(a_region(power_cap_w=1500.0),), planner=ScriptedPlanner())
    assert started(submitted(engine, a_job(id="a"), a_job(id="b"))) == ["a"]
    ended = RunFinished(at_s=HOUR_S, job_id="a", attempt=1, outcome=Outcome.SUCCEEDED)
    assert started(engine.decide([ended], HOUR_S)) == ["b"]


def test_a_run_that_outlasts_its_estimate_still_draws_its_power() -> None:
    engine = an_engine()
    submitted(engine, a_job(id="a", deadline_at_s=HOUR_S), a_job(id="b", deadline_at_s=2 * HOUR_S))
    assert start_h(engine, "b") == 1
    assert started(engine.decide([], HOUR_S)) == []


def test_at_its_latest_start_a_job_goes_to_a_region_that_has_the_power() -> None:
    engine = an_engine(a_region(), a_region(name="away", zone="FR"), DE=[100] * 6, FR=[900] * 6)
    submitted(engine, a_job(deadline_at_s=3 * HOUR_S, earliest_start_at_s=HOUR_S))
    commands = engine.decide([CapacityChanged(at_s=60, region=a_region(power_cap_w=500.0))], 60)
    commands += engine.decide([], 2 * HOUR_S)
    (start,) = (one for one in commands if isinstance(one, StartRun))
    assert start.region == "away"


def test_a_job_that_draws_more_than_the_cap_alone_is_refused_with_the_numbers_and_fewer_gpus() -> None:
    engine = an_engine(a_region(power_cap_w=1500.0, pue=1.2))
    job = a_job(gpus=4, power_w=2000.0)
    answer = engine.appraise(job, 0)
    assert isinstance(answer, Refusal)
    assert answer.obstacle is Obstacle.POWER_CAP
    assert answer.what == ("draws 2.4 kW, its share of cooling included, and the power cap of here is 1.5 kW")
    told = changes_text(changes_beside(job, [], engine.regions, engine.forecasts, 0))
    assert told == "use 2 GPUs instead of 4 (for 2 h instead of 1 h)"


def test_a_job_that_others_leave_no_power_in_time_is_refused_for_it() -> None:
    engine = an_engine()
    submitted(engine, a_job(id="first", deadline_at_s=HOUR_S))
    answer = engine.appraise(a_job(deadline_at_s=1.5 * HOUR_S), 0)
    assert isinstance(answer, Refusal)
    assert answer.obstacle is Obstacle.POWER_CAP
    assert "others draw too much of it beside the 1 kW of the job" in answer.what
    assert answer.earliest_finish_at_s == 2 * HOUR_S
    assert isinstance(engine.appraise(a_job(deadline_at_s=1.5 * HOUR_S, power_w=500.0), 0), Placement)


def test_where_gpus_are_short_too_the_refusal_speaks_of_capacity() -> None:
    engine = an_engine(a_region(gpus=1, power_cap_w=1500.0))
    submitted(engine, a_job(id="first", deadline_at_s=HOUR_S))
    answer = engine.appraise(a_job(deadline_at_s=1.5 * HOUR_S), 0)
    assert isinstance(answer, Refusal)
    assert answer.obstacle is Obstacle.CAPACITY


def test_an_explanation_names_the_power_cap_and_when_it_leaves_too_little() -> None:
    engine = an_engine()
    submitted(engine, a_job(id="a", deadline_at_s=6 * HOUR_S), a_job(id="b", deadline_at_s=6 * HOUR_S))
    grid = Grid(regions=engine.regions, forecasts=engine.forecasts)
    found = explain_open_job("b", engine.open_jobs(0), grid, {}, 0, reserve_ratio=0.0)
    assert found is not None
    assert found.binds is LimitKind.POWER_CAP
    assert found.limits[0].saves_gco2e == pytest.approx(200.0)
    assert "but the power cap leaves too little from 1970-01-01 02:00 to 03:00Z" in dict(sentences(found))["held by"]


def test_without_a_cap_nobody_speaks_of_power() -> None:
    engine = an_engine(a_region(gpus=1))
    submitted(engine, a_job(id="a", deadline_at_s=6 * HOUR_S), a_job(id="b", deadline_at_s=DAY_S))
    grid = Grid(regions=engine.regions, forecasts=engine.forecasts)
    found = explain_open_job("b", engine.open_jobs(0), grid, {}, 0, reserve_ratio=0.0)
    assert found is not None
    assert LimitKind.POWER_CAP not in {one.kind for one in found.limits}
