"""A job whose power changes along its run: as it is written, where it is placed, and what it is booked with."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scheduler.engine import Engine
from scheduler.events import ForecastUpdated, JobSubmitted
from scheduler.job_energy import piece_uses
from scheduler.jobs import Interruption, InvalidJobError, Job, Phase
from scheduler.ledger import settle
from scheduler.planning.open_jobs.choices import Grid
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Placement, Region, Segment
from scheduler.planning.reasons.change_text import change_of_submission_json
from scheduler.planning.reasons.placed import explain_open_job
from scheduler.planning.reasons.suggestions import changes_beside
from scheduler.power_profiles import parse_power_profile, profile_text
from scheduler.quantities import QuantityError
from tests.builders import HOUR_S, a_job, a_region, a_series
from tests.unit.scheduler.test_submission import submitted

# An hour of warm-up at a kilowatt, then an hour of training at ten.
PHASES = (Phase(duration_s=HOUR_S, power_w=1000.0), Phase(duration_s=HOUR_S, power_w=10_000.0))


def a_training(**fields: Any) -> Job:
    return a_job(**{"duration_s": 2 * HOUR_S, "power_w": 5500.0, "power_profile": PHASES, **fields})


def an_engine(*values: float, region: Region | None = None) -> Engine:
    planner = FleetPlanner(reserve_ratio=0.0)
    engine = Engine(regions=(region or a_region(),), planner=planner)
    engine.decide([ForecastUpdated(at_s=0, zone="DE", series=a_series(values))], 0)
    return engine


def placed(engine: Engine, *jobs: Job) -> list[Placement]:
    engine.decide([JobSubmitted(at_s=0, job=job) for job in jobs], 0)
    found = [engine.placement(job.id) for job in jobs]
    return [one for one in found if one is not None]


def test_phases_are_read_as_they_are_written() -> None:
    phases = parse_power_profile("10m:3kW,2h:10kW")
    assert phases == (Phase(duration_s=600.0, power_w=3000.0), Phase(duration_s=7200.0, power_w=10_000.0))
    assert parse_power_profile(profile_text(phases)) == phases


@pytest.mark.parametrize("text", ["", "2h", "0s:1kW", "1h:0W", "1h:1kW,", ",".join(["1m:1kW"] * 33)])
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_power_profile(text)


def test_a_submission_says_phases_instead_of_duration_and_power() -> None:
    job = submitted(duration=None, power=None, power_profile="1h:1kW,1h:10kW")
    assert (job.duration_s, job.power_w, job.power_profile) == (7200.0, 5500.0, PHASES)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("duration", {"power": None}),
        ("power", {"duration": None}),
        ("interruptible", {"duration": None, "power": None, "interruptible": {}}),
        ("power_profile", {"duration": None, "power": None, "power_profile": "1h"}),
        ("power_profile", {"duration": None, "power": None, "power_profile": "9999d:1kW"}),
        ("power_profile", {"duration": None, "power": None, "power_profile": "1h:9000MW"}),
    ],
)
def test_a_submission_that_says_a_thing_twice_or_wrongly_names_the_field(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidJobError) as refused:
        submitted(**{"power_profile": "1h:1kW", **fields})
    assert refused.value.field == field


def test_a_job_in_phases_runs_in_one_piece() -> None:
    with pytest.raises(InvalidJobError, match="one piece"):
        a_training(interruption=Interruption())


def test_its_hungry_hour_falls_into_the_clean_one_though_a_constant_power_would_choose_another_start() -> None:
    values = (300.0, 100.0, 200.0, 300.0, 50.0, 400.0)
    (steady,) = placed(an_engine(*values), a_job(duration_s=2 * HOUR_S, power_w=5500.0, deadline_at_s=6 * HOUR_S))
    (training,) = placed(an_engine(*values), a_training(deadline_at_s=6 * HOUR_S))
    assert (steady.start_at_s, training.start_at_s) == (HOUR_S, 3 * HOUR_S)
    assert training.segments == (Segment(start_at_s=3 * HOUR_S, end_at_s=5 * HOUR_S, region="here"),)
    assert training.emissions_gco2e == pytest.approx(1 * 300 + 10 * 50)
    assert training.baseline_emissions_gco2e == pytest.approx(1 * 300 + 10 * 100)


def test_under_a_cap_another_job_may_run_beside_the_warm_up_and_not_beside_the_training() -> None:
    engine = an_engine(400.0, 300.0, 200.0, 100.0, 50.0, 900.0, region=a_region(power_cap_w=10_500.0))
    beside = a_job(id="short", power_w=2000.0, deadline_at_s=6 * HOUR_S, submitted_at_s=1.0)
    training, short = placed(engine, a_training(id="a", deadline_at_s=5 * HOUR_S), beside)
    assert (training.start_at_s, short.start_at_s) == (3 * HOUR_S, 3 * HOUR_S)


def test_it_waits_for_its_second_phase_where_others_leave_too_little_for_that() -> None:
    engine = an_engine(*[100.0] * 8, region=a_region(power_cap_w=10_500.0))
    first = a_job(id="first", power_w=5000.0, duration_s=2 * HOUR_S, deadline_at_s=2 * HOUR_S)
    training = placed(engine, first, a_training(id="training", deadline_at_s=8 * HOUR_S))[1]
    assert training.start_at_s == HOUR_S


def test_each_phase_is_booked_with_its_own_power_beside_the_same_phase_at_once() -> None:
    job = a_training(earliest_start_at_s=HOUR_S)
    piece = Segment(start_at_s=5 * HOUR_S, end_at_s=7.5 * HOUR_S, region="here")
    uses = piece_uses(job, 0.0, a_region(), a_region(), piece)
    assert [(one.started_at_s, one.ended_at_s, one.energy_kwh) for one in uses] == [
        (5 * HOUR_S, 6 * HOUR_S, 1.0),
        (6 * HOUR_S, 7.5 * HOUR_S, 15.0),  # it outlasted its estimate: the last phase goes on
    ]
    assert [one.at_once_at_s for one in uses] == [HOUR_S, 2 * HOUR_S]
    account = settle(uses, {"DE": a_series([0.0, 100.0, 200.0, 300.0, 0.0, 10.0, 20.0, 30.0])})
    assert account.emissions_gco2e == pytest.approx(1 * 10 + 10 * 20 + 5 * 30)
    assert account.at_once_emissions_gco2e == pytest.approx(1 * 100 + 15 * (200 * 2 + 300) / 3)


def test_a_job_of_one_power_is_one_use() -> None:
    (use,) = piece_uses(a_job(), 0.0, a_region(), a_region(), Segment(start_at_s=0, end_at_s=HOUR_S, region="here"))
    assert use.energy_kwh == 1.0


def test_an_explanation_prices_other_places_in_phases_too() -> None:
    engine = an_engine(300.0, 100.0, 200.0, 300.0, 50.0, 400.0)
    placed(engine, a_training(deadline_at_s=6 * HOUR_S))
    grid = Grid(regions=engine.regions, forecasts=engine.forecasts)
    found = explain_open_job("job", engine.open_jobs(0), grid, {}, 0, reserve_ratio=0.0)
    assert found is not None
    assert found.next_best is not None
    assert found.next_best.start_at_s == 0.0
    assert found.next_best.emissions_gco2e == pytest.approx(300 + 1000)


def test_fewer_gpus_are_suggested_as_a_profile() -> None:
    region = a_region(gpus=4, power_cap_w=6000.0)
    told = changes_beside(a_training(gpus=4, deadline_at_s=20 * HOUR_S), [], [region], {}, 0)
    (change,) = (change_of_submission_json(one) for one in told)
    values = {one["field"]: one["value"] for one in change["changes"]}
    assert values == {"gpus": 2, "power_profile": "7200s:500W,7200s:5000W"}


def test_it_comes_back_from_json_as_it_was() -> None:
    job = a_training()
    assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job
