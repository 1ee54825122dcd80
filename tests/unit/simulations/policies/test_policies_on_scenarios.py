"""Published policies through the engine: 400 g/kWh at night, 100 g/kWh from 06:00 to 12:00, one kilowatt a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intensity_feeds.series import IntensitySeries
from simulations.grid import Grid, blind
from simulations.results import Results, results_of
from simulations.runs import Inputs, run_both
from simulations.scenario import ForecastKind, JobSettings, PolicyKind, PolicySettings, RegionSettings, RequestSettings
from simulations.side_items import finished_at_s
from simulations.workloads import JobTrace
from tests.unit.simulations.scenarios import CLEAN_MORNING, HOUR_S, a_job_trace, a_request_trace, some_inputs

TWO_HOURS = a_job_trace((0.0, 2 * HOUR_S, 1))
SHIFTING = (
    PolicyKind.THRESHOLD,
    PolicyKind.SUSPEND_RESUME,
    PolicyKind.LOWEST_SLOT,
    PolicyKind.LOWEST_WINDOW,
    PolicyKind.CARBON_TIME,
    PolicyKind.WAIT_AWHILE,
)


def under(kind: PolicyKind, jobs: JobTrace = TWO_HOURS, **settings: object) -> Results:
    known = {"slack_s": 12 * HOUR_S, "power_per_gpu_w": 1000.0, "checkpoint_s": 0.0, "restore_s": 0.0, "min_run_s": 0.0}
    table = JobSettings(name="training", **(known | settings))  # type: ignore[arg-type]
    return results_of(run_both(some_inputs(jobs=jobs, job_settings=table, policy=PolicySettings(kind=kind))))


def stretches(results: Results) -> list[tuple[float, float]]:
    return [(one.start_at_s / HOUR_S, one.end_at_s / HOUR_S) for one in results.runs.policy.stretches]


@pytest.mark.parametrize("kind", SHIFTING)
def test_each_policy_finds_the_clean_morning(kind: PolicyKind) -> None:
    results = under(kind)
    assert stretches(results) == [(6.0, 8.0)]
    assert results.savings_ratio == pytest.approx(0.75)


@pytest.mark.parametrize("kind", [PolicyKind.WAIT_AWHILE, PolicyKind.SUSPEND_RESUME])
def test_a_job_that_may_pause_runs_in_the_clean_hours_and_the_rest_when_it_must(kind: PolicyKind) -> None:
    results = under(kind, a_job_trace((0.0, 8 * HOUR_S, 1)), interruptible_ratio=1.0, slack_s=8 * HOUR_S)
    # Eight hours of work by 16:00: six are clean. Of equally dirty ones Wait-Awhile takes the first, the gate the last.
    rest = {PolicyKind.WAIT_AWHILE: (0.0, 2.0), PolicyKind.SUSPEND_RESUME: (14.0, 16.0)}[kind]
    assert stretches(results) == sorted([rest, (6.0, 12.0)])
    assert results.policy.pauses == 1
    assert results.policy.late_jobs == 0


def test_a_pause_is_paid_for_and_the_deadline_kept() -> None:
    results = under(
        PolicyKind.WAIT_AWHILE,
        a_job_trace((0.0, 8 * HOUR_S, 1)),
        interruptible_ratio=1.0,
        slack_s=8 * HOUR_S,
        checkpoint_s=0.25 * HOUR_S,
        restore_s=0.25 * HOUR_S,
    )
    assert results.policy.energy_kwh == pytest.approx(8.5)
    assert results.policy.late_jobs == 0


def test_a_piece_too_short_to_be_worth_it_is_not_run() -> None:
    results = under(
        PolicyKind.WAIT_AWHILE,
        a_job_trace((0.0, 6.5 * HOUR_S, 1)),
        interruptible_ratio=1.0,
        slack_s=12 * HOUR_S,
        min_run_s=HOUR_S,
    )
    assert stretches(results) == [(5.5, 12.0)] or results.policy.pauses == 0
    assert results.policy.late_jobs == 0


@pytest.mark.parametrize("kind", SHIFTING)
def test_policies_share_the_capacity(kind: PolicyKind) -> None:
    four = a_job_trace(*((0.0, 2 * HOUR_S, 2) for _ in range(4)))
    results = under(kind, four)
    held = results.runs.policy.stretches
    for instant_s in {one.start_at_s for one in held}:
        assert sum(2 for one in held if one.start_at_s <= instant_s < one.end_at_s) <= 4
    assert results.policy.late_jobs == 0
    assert results.savings_ratio == pytest.approx(0.75)


@pytest.mark.parametrize("kind", SHIFTING)
def test_without_a_forecast_work_runs_at_once(kind: PolicyKind) -> None:
    inputs = some_inputs(jobs=TWO_HOURS, policy=PolicySettings(kind=kind), forecaster=blind)
    assert results_of(run_both(inputs)).avoided_gco2e == 0.0


@pytest.mark.parametrize("kind", SHIFTING)
def test_a_job_that_cannot_be_in_time_runs_as_early_as_it_can(kind: PolicyKind) -> None:
    crowd = a_job_trace(*((0.0, 2 * HOUR_S, 4) for _ in range(3)))
    results = under(kind, crowd, slack_s=HOUR_S)
    first, second, third = sorted(finished_at_s(results.runs.policy).tolist())
    assert first <= 3 * HOUR_S  # it may use up its hour of slack
    assert (second - first, third - second) == (2 * HOUR_S, 2 * HOUR_S)
    assert results.policy.late_jobs == 2


@pytest.mark.parametrize("kind", SHIFTING)
def test_requests_that_may_wait_do_so_by_the_same_policy(kind: PolicyKind) -> None:
    table = RequestSettings(name="chat", flex_ratio=1.0, flex_deadline_s=12 * HOUR_S)
    trace = a_request_trace((0.0, 100, 10), (1.0, 100, 10))
    inputs = some_inputs(requests=trace, request_settings=table, policy=PolicySettings(kind=kind))
    record = results_of(run_both(inputs)).runs.policy.pools[0].record
    assert (record.released_at_s >= 6 * HOUR_S).all()
    assert (record.released_at_s < 12 * HOUR_S).all()


# -- where work runs -------------------------------------------------------------------------------------------------


def in_two_regions(kind: PolicyKind) -> Inputs:
    """`here` is dirtier on average and named first; `there` is dirty in the morning."""
    inputs = some_inputs(jobs=TWO_HOURS, policy=PolicySettings(kind=kind))
    there = IntensitySeries.regular("Y", 0.0, HOUR_S, [300.0] * len(CLEAN_MORNING))
    places = (*inputs.scenario.region, RegionSettings(name="there", zone="Y", gpus=4, pue=1.0))
    grid = Grid(realised={**inputs.grid.realised, "Y": there}, forecaster=inputs.grid.forecaster, rung=inputs.grid.rung)
    return replace(inputs, scenario=replace(inputs.scenario, region=places), grid=grid)


def test_the_static_region_runs_at_once_where_it_is_cleanest_on_average() -> None:
    results = results_of(run_both(in_two_regions(PolicyKind.STATIC_REGION)))
    (only,) = results.runs.policy.stretches
    assert (only.region, only.start_at_s) == ("there", 0.0)
    assert results.savings_ratio == pytest.approx(0.25)


def test_policies_of_time_stay_in_the_region_in_which_the_work_would_run_at_once() -> None:
    for kind in SHIFTING:
        (only,) = results_of(run_both(in_two_regions(kind))).runs.policy.stretches
        assert only.region == "here"


def test_the_oracle_sees_what_will_be_and_nothing_else_differs() -> None:
    inputs = some_inputs(jobs=TWO_HOURS, policy=PolicySettings(kind=PolicyKind.ORACLE), forecaster=blind)
    assert inputs.scenario.forecast.kind is ForecastKind.PERFECT  # as far ahead as the scenario says
    knowing = some_inputs(jobs=TWO_HOURS)
    assert results_of(run_both(inputs)).policy == results_of(run_both(knowing)).policy
