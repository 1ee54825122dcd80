"""An elastic job in a daemon: it is given its GPUs at each start, as many as emit least, and its account follows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scheduler.engine import Engine
from scheduler.events import (
    Command,
    ForecastUpdated,
    JobRestored,
    JobSubmitted,
    PauseRun,
    RunPaused,
    RunStarted,
    StartRun,
)
from scheduler.gpu_speeds import parse_shares, parse_speeds, speeds_of
from scheduler.job_energy import piece_uses
from scheduler.jobs import Interruption, InvalidJobError, Job, JobState, done_after_pause_s
from scheduler.ledger import settle
from scheduler.planning.durations import own_count_s
from scheduler.planning.gpu_counts import at_count
from scheduler.planning.open_jobs.choices import Grid
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Obstacle, Placement, Refusal, Region, Segment
from scheduler.planning.reasons.explanation_text import as_json, sentences
from scheduler.planning.reasons.placed import explain_open_job
from scheduler.quantities import QuantityError
from tests.builders import HOUR_S, a_job, a_region, a_series
from tests.unit.scheduler.test_submission import submitted

SPEEDS = ((1, 1.0), (2, 1.8), (4, 3.0))


def an_elastic(**fields: Any) -> Job:
    """Four hours on one GPU at a kilowatt, faster on two and on four."""
    return a_job(**{"duration_s": 4 * HOUR_S, "gpus": 1, "power_w": 1000.0, "elastic": SPEEDS, **fields})


def an_engine(*values: float, region: Region | None = None) -> Engine:
    engine = Engine(regions=(region or a_region(),), planner=FleetPlanner(reserve_ratio=0.0))
    engine.decide([ForecastUpdated(at_s=0, zone="DE", series=a_series(values))], 0)
    return engine


def told(engine: Engine, *jobs: Job, now_s: float = 0.0) -> list[Command]:
    return engine.decide([JobSubmitted(at_s=now_s, job=job) for job in jobs], now_s)


def place(engine: Engine, job_id: str = "job") -> Placement:
    placement = engine.placement(job_id)
    assert placement is not None
    return placement


# -- as it is written ------------------------------------------------------------------------------------------------


def test_speeds_are_read_in_any_order() -> None:
    assert parse_speeds("4:3,1:1,2:1.8") == SPEEDS
    assert speeds_of("0.5:0.6,1:1,2:1.7", 3) == ((3, 1.0), (6, 1.7))
    assert speeds_of("0.5:0.6,1:1,2:1.7", 0) == speeds_of("", 4) == ()


@pytest.mark.parametrize(
    "text", ["", "1", "1:0", "0:1", "1.5:1", "1:1,1:2", "1:nan", ",".join(f"{n}:1" for n in range(1, 18))]
)
def test_what_are_no_speeds_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_speeds(text)


def test_multiples_without_the_jobs_own_number_are_refused() -> None:
    with pytest.raises(QuantityError, match="add 1:1"):
        parse_shares("2:1.7")


def test_a_submission_names_its_own_number_of_gpus_and_the_speeds_on_all() -> None:
    job = submitted(gpus=2, elastic="1:1,2:1.8,4:3")
    assert (job.gpus, job.elastic) == (2, SPEEDS)
    assert at_count(job, 1).duration_s == pytest.approx(1.8 * HOUR_S)
    assert at_count(job, 4).power_w == 2000.0
    with pytest.raises(InvalidJobError, match="3 has no speed in elastic: write one of 1, 2, 4"):
        submitted(gpus=3, elastic="1:1,2:1.8,4:3")


def test_it_comes_back_from_json_as_it_was() -> None:
    job = an_elastic()
    assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job


# -- where it is placed ----------------------------------------------------------------------------------------------


def test_in_a_short_clean_hour_it_takes_more_gpus_though_they_use_more_energy() -> None:
    engine = an_engine(900.0, 900.0, 900.0, 10.0, 10.0, 900.0, 900.0, 900.0)
    told(engine, an_elastic(deadline_at_s=8 * HOUR_S))
    # On 4 GPUs 80 minutes at 4 kW and 10 g/kWh; on one GPU two of its four hours would be dirty.
    (piece,) = place(engine).segments
    assert (piece.gpus, piece.power_w, piece.start_at_s) == (4, 4000.0, 3 * HOUR_S)
    assert piece.duration_s == pytest.approx(4 / 3 * HOUR_S)
    assert place(engine).emissions_gco2e == pytest.approx(4 * 4 / 3 * 10)
    assert place(engine).baseline_emissions_gco2e == pytest.approx(3 * 900 + 10)


def test_on_a_flat_grid_it_takes_the_number_that_uses_least_energy_and_is_in_time() -> None:
    for deadline_h, gpus in ((8, 1), (3, 2), (1.5, 4)):
        engine = an_engine(*[100.0] * 10)
        told(engine, an_elastic(deadline_at_s=deadline_h * HOUR_S))
        assert place(engine).segments[0].gpus == gpus


def test_a_job_that_no_number_finishes_in_time_is_refused_for_its_deadline() -> None:
    answer = an_engine(*[100.0] * 10).appraise(an_elastic(deadline_at_s=HOUR_S), 0)
    assert isinstance(answer, Refusal)
    assert answer.obstacle is Obstacle.DEADLINE


def test_where_too_few_gpus_are_free_for_its_own_number_it_is_accepted_on_fewer() -> None:
    job = an_elastic(gpus=4, power_w=4000.0, duration_s=HOUR_S, deadline_at_s=8 * HOUR_S)
    answer = an_engine(*[100.0] * 10, region=a_region(gpus=2)).appraise(job, 0)
    assert isinstance(answer, Placement)
    assert answer.segments[0].gpus in (1, 2)
    none = an_engine(*[100.0] * 10, region=a_region(gpus=2)).appraise(an_elastic(gpus=4, elastic=((4, 1.0),)), 0)
    assert isinstance(none, Refusal)
    assert none.obstacle is Obstacle.GPUS


def test_run_at_once_it_has_its_own_number() -> None:
    engine = Engine(regions=(a_region(),), planner=RunNowPlanner())
    commands = told(engine, an_elastic(gpus=2, power_w=2000.0, duration_s=2 * HOUR_S))
    (start,) = (one for one in commands if isinstance(one, StartRun))
    assert start.gpus == 2


def test_others_are_placed_beside_the_number_that_it_was_given() -> None:
    engine = an_engine(*[100.0] * 10, region=a_region(gpus=4))
    told(engine, an_elastic(deadline_at_s=1.5 * HOUR_S), a_job(id="other", deadline_at_s=8 * HOUR_S))
    assert place(engine).segments[0].gpus == 4
    assert place(engine, "other").start_at_s >= place(engine).end_at_s
    assert engine.free_gpus() == {"here": 0}
    assert engine.gpus_held("job") == 4


# -- its runs --------------------------------------------------------------------------------------------------------


def test_the_start_says_how_many_gpus_it_is_given() -> None:
    commands = told(an_engine(*[100.0] * 10), an_elastic(deadline_at_s=3 * HOUR_S))
    (start,) = (one for one in commands if isinstance(one, StartRun))
    # At once it would have taken four, as its own one is not in time: 5.33 kWh against 4.44.
    assert (start.gpus, start.reason) == (
        2,
        "here on 2 GPUs at 1970-01-01T00:00:00Z: cleanest window, saves 17% against starting at once",
    )


def test_its_latest_start_is_that_on_the_planned_number() -> None:
    engine = an_engine(900.0, 900.0, 900.0, 900.0, 900.0, 900.0, 10.0, 10.0)
    told(engine, an_elastic(deadline_at_s=8 * HOUR_S))
    assert place(engine).segments[0].gpus == 4
    assert [one for one in engine.decide([], 4 * HOUR_S) if isinstance(one, StartRun)] == []  # that of one GPU
    (start,) = (one for one in engine.decide([], 6 * HOUR_S) if isinstance(one, StartRun))
    assert start.gpus == 4


def test_a_paused_job_goes_on_with_what_it_did_at_its_speed_and_may_get_another_number() -> None:
    pause = Interruption(checkpoint_s=60.0, restore_s=120.0)
    assert done_after_pause_s(an_elastic(interruption=pause), 0.0, 660.0, speed=1.8) == 600 * 1.8
    engine = an_engine(10.0, 900.0, 900.0, 900.0, 10.0, 10.0, 900.0, 900.0, 900.0)
    job = an_elastic(interruption=pause, deadline_at_s=9 * HOUR_S)
    (start,) = (one for one in told(engine, job) if isinstance(one, StartRun))
    assert start.gpus == 2
    first, then = place(engine).segments
    assert (first.gpus, then.gpus) == (2, 2)
    assert then.start_at_s == pytest.approx(4 * HOUR_S, abs=60)
    commands = engine.decide([RunStarted(at_s=0, job_id="job", attempt=1)], 0)
    commands += engine.decide([], first.end_at_s - 60.0)
    assert any(isinstance(one, PauseRun) for one in commands)
    done_s = done_after_pause_s(job, 0.0, first.duration_s, speed=1.8)
    assert done_s == pytest.approx(1.8 * (HOUR_S - 60))
    at_s = first.end_at_s
    longer = ForecastUpdated(at_s=at_s, zone="DE", series=a_series([900.0] * 4 + [10.0] * 3 + [900.0] * 3))
    engine.decide([longer, RunPaused(at_s=at_s, job_id="job", attempt=1, done_s=done_s)], at_s)
    (rest,) = place(engine).segments
    assert rest.gpus == 1  # what is left now fits into the clean hours on one GPU
    assert rest.start_at_s == 4 * HOUR_S
    assert rest.duration_s == pytest.approx(4 * HOUR_S - done_s + 120)


def test_a_run_that_is_found_at_a_restart_holds_what_it_was_given() -> None:
    engine = an_engine(*[100.0] * 10)
    job = an_elastic()
    engine.decide(
        [JobRestored(at_s=60, job=job, state=JobState.RUNNING, attempt=1, running_in="here", started_at_s=0, gpus=4)],
        60,
    )
    assert engine.free_gpus() == {"here": 4}
    (open_job,) = engine.open_jobs(60)
    assert open_job.running is not None
    assert open_job.running.end_at_s == pytest.approx(4 / 3 * HOUR_S)


def test_its_energy_is_that_of_the_gpus_it_was_given() -> None:
    piece = Segment(start_at_s=HOUR_S, end_at_s=2 * HOUR_S, region="here", gpus=4, power_w=4000.0)
    uses = piece_uses(an_elastic(), 0.0, a_region(), a_region(), piece)
    account = settle(uses, {"DE": a_series([100.0, 10.0, 400.0])})
    assert (account.energy_kwh, account.emissions_gco2e) == (4.0, 40.0)
    # At once the same work takes three hours on one GPU.
    assert account.at_once_emissions_gco2e == pytest.approx(100 + 10 + 400)


def test_what_a_run_took_is_remembered_as_on_its_own_number() -> None:
    assert own_count_s(an_elastic(), 4, 0.0, HOUR_S) == 3 * HOUR_S
    assert own_count_s(a_job(), None, 0.0, HOUR_S) == HOUR_S


def test_an_explanation_says_the_number_and_the_next_best() -> None:
    engine = an_engine(900.0, 900.0, 900.0, 10.0, 10.0, 900.0, 900.0, 900.0)
    told(engine, an_elastic(deadline_at_s=8 * HOUR_S))
    grid = Grid(regions=engine.regions, forecasts=engine.forecasts)
    found = explain_open_job("job", engine.open_jobs(0), grid, {}, 0, reserve_ratio=0.0)
    assert found is not None
    said = dict(sentences(found))
    assert said["runs"] == "in here on 4 GPUs from 1970-01-01 03:00 to 04:20Z"
    # On two GPUs 133 minutes at 2 kW, of which 13 are dirty: 4 h / 1.8 = 2.22 h.
    assert said["next best"].startswith("in here on 2 GPUs from 1970-01-01 02:47 to 05:00Z")
    assert found.next_best is not None
    assert found.next_best.emissions_gco2e == pytest.approx(2 * (2 * 10 + (4 / 1.8 - 2) * 900))
    assert as_json(found)["gpus"] == {"least": 4, "most": 4}


def test_one_that_draws_nothing_is_planned_again_like_any_other() -> None:
    engine = an_engine(300.0, 200.0, *[100.0] * 10)
    told(engine, an_elastic(power_w=0.0, deadline_at_s=8 * HOUR_S, earliest_start_at_s=HOUR_S))
    engine.decide([ForecastUpdated(at_s=60, zone="DE", series=a_series([300.0] * 12))], 60)
    assert place(engine).end_at_s <= 8 * HOUR_S
