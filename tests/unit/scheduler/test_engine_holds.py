"""GPUs that a region holds are no job's: not by plan, not at the latest start, not after a change of capacity."""

from __future__ import annotations

from scheduler.engine import Engine
from scheduler.events import CapacityChanged, Command, ForecastUpdated, JobSubmitted, Outcome, RunFinished, StartRun
from scheduler.jobs import Job
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Hold, Obstacle, Placement, Refusal, Region
from tests.builders import DAY_S, HOUR_S, a_job, a_region, a_series


def hours(first: float, last: float, gpus: int = 8) -> Hold:
    return Hold(start_at_s=first * HOUR_S, end_at_s=last * HOUR_S, gpus=gpus)


def an_engine(*regions: Region, **values: list[float]) -> Engine:
    engine = Engine(regions=regions or (a_region(),), planner=FleetPlanner())
    known = values or {"DE": [500, 400, 100, 300, 300, 300]}
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


def test_a_job_is_placed_around_a_maintenance_window() -> None:
    engine = an_engine(a_region(held=(hours(2, 3),)))
    submitted(engine, a_job(deadline_at_s=4 * HOUR_S))
    assert start_h(engine) == 3


def test_a_window_that_is_announced_moves_a_job_that_waits() -> None:
    engine = an_engine()
    submitted(engine, a_job(deadline_at_s=4 * HOUR_S))
    assert start_h(engine) == 2
    engine.decide([CapacityChanged(at_s=60, region=a_region(held=(hours(2, 3),)))], 60)
    assert start_h(engine) == 3


def test_no_run_starts_on_held_gpus_even_at_its_latest_start() -> None:
    # Its place is in the region whose GPUs a run has taken for longer than it said; the other region is out of service.
    away = a_region(name="away", zone="FR", held=(hours(0.5, 9),))
    engine = an_engine(a_region(gpus=1), away, DE=[100] * 6, FR=[900] * 6)
    submitted(engine, a_job(id="first", deadline_at_s=2 * HOUR_S, regions=("here",)))
    commands = submitted(engine, a_job(deadline_at_s=2 * HOUR_S), now_s=60.0)
    commands += engine.decide([], HOUR_S)
    assert [one.job_id for one in commands if isinstance(one, StartRun)] == []
    finished = RunFinished(at_s=HOUR_S + 60, job_id="first", attempt=1, outcome=Outcome.SUCCEEDED)
    (start,) = (one for one in engine.decide([finished], HOUR_S + 60) if isinstance(one, StartRun))
    assert (start.job_id, start.region) == ("job", "here")


def test_a_start_that_is_a_little_late_may_reach_into_a_window_and_one_that_is_much_too_late_waits() -> None:
    for late_s, starts in ((30.0, True), (600.0, False)):
        engine = an_engine(a_region(held=(hours(3, 4),)))
        submitted(engine, a_job(deadline_at_s=20 * HOUR_S))
        assert start_h(engine) == 2
        commands = engine.decide([], 2 * HOUR_S + late_s)
        assert any(isinstance(one, StartRun) for one in commands) is starts


def test_it_wakes_up_when_a_window_ends_and_somebody_waits() -> None:
    engine = an_engine(a_region(held=(hours(0, 0.75), hours(2, 3))))
    submitted(engine, a_job(deadline_at_s=DAY_S, earliest_start_at_s=HOUR_S))
    assert engine.next_wakeup_at_s() == 0.75 * HOUR_S


def test_a_refusal_says_that_gpus_are_held_and_when_there_is_room() -> None:
    engine = an_engine(a_region(held=(hours(0, 3, gpus=6),)))
    answer = engine.appraise(a_job(gpus=4, deadline_at_s=2 * HOUR_S), 0)
    assert isinstance(answer, Refusal)
    assert answer.obstacle is Obstacle.HELD
    assert "GPUs are reserved or in maintenance" in answer.what
    assert answer.earliest_finish_at_s == 4 * HOUR_S
    assert isinstance(engine.appraise(a_job(gpus=2, deadline_at_s=2 * HOUR_S), 0), Placement)


def test_a_job_late_for_a_window_keeps_nobody_from_waiting_for_clean_hours() -> None:
    small = a_region(name="away", zone="FR", gpus=2, held=(hours(0, 3, gpus=2),))
    engine = an_engine(a_region(), small, DE=[500, 400, 100, 300, 300, 300], FR=[100] * 6)
    late = a_job(id="late", deadline_at_s=2 * HOUR_S, regions=("away",))
    submitted(engine, late, a_job(deadline_at_s=4 * HOUR_S, regions=("here",)))
    assert (start_h(engine, "late"), start_h(engine)) == (3, 2)
