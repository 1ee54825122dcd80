"""Both sides of a comparison, worked by hand: 400 g/kWh at night, 100 g/kWh from 06:00 to 12:00."""

from __future__ import annotations

import json

import numpy as np
import pytest

from intensity_feeds.series import IntensitySeries
from simulations.grid import blind
from simulations.outages import Forecaster
from simulations.results import Results, results_of
from simulations.results_json import plain_results
from simulations.runs import run_both
from simulations.scenario import JobSettings, PolicyKind, PolicySettings, RequestSettings
from simulations.side_items import finished_at_s
from tests.unit.simulations.scenarios import HOUR_S, a_job_trace, a_request_trace, some_inputs

ONE_JOB = a_job_trace((0.0, 2 * HOUR_S, 1))
KW_SETTINGS = JobSettings(name="training", slack_s=12 * HOUR_S, power_per_gpu_w=1000.0)


def run(**inputs: object) -> Results:
    return results_of(run_both(some_inputs(**inputs)))  # type: ignore[arg-type]


def test_a_job_with_slack_moves_into_the_clean_hours() -> None:
    results = run(jobs=ONE_JOB, job_settings=KW_SETTINGS, pue=1.5)
    # 2 kWh at 400 and at 100 g/kWh, with PUE 1.5.
    assert results.baseline.emissions_gco2e == pytest.approx(1200.0)
    assert results.policy.emissions_gco2e == pytest.approx(300.0)
    assert results.savings_ratio == pytest.approx(0.75)
    assert results.policy.energy_kwh == pytest.approx(2.0)
    assert results.policy.facility_kwh == pytest.approx(3.0)
    assert results.deadline_misses_baseline_met == 0
    assert results.policy.wait.p50_s == pytest.approx(6 * HOUR_S)
    assert results.baseline.wait.p50_s == 0.0


def test_the_baseline_goes_through_the_same_capacity() -> None:
    two = a_job_trace((0.0, 2 * HOUR_S, 3), (0.0, 2 * HOUR_S, 3))
    results = run(jobs=two, job_settings=KW_SETTINGS)
    assert sorted(finished_at_s(results.runs.baseline).tolist()) == [2 * HOUR_S, 4 * HOUR_S]
    assert sorted(finished_at_s(results.runs.policy).tolist()) == [8 * HOUR_S, 10 * HOUR_S]


def test_nothing_is_saved_and_nothing_is_late_when_nothing_is_known() -> None:
    results = run(jobs=ONE_JOB, job_settings=KW_SETTINGS, forecaster=blind)
    assert results.savings_ratio == pytest.approx(0.0)
    assert results.policy.deadline_misses == 0


def test_a_policy_of_running_now_is_the_baseline() -> None:
    results = run(jobs=ONE_JOB, job_settings=KW_SETTINGS, policy=PolicySettings(kind=PolicyKind.RUN_NOW))
    assert results.avoided_gco2e == 0.0


def told(values: list[float]) -> Forecaster:
    """A feed that says these hourly values, whatever really comes."""
    series = IntensitySeries.regular("Z", 0.0, HOUR_S, values)
    return lambda realised, now_s: series.between(now_s, series.end_at_s) if now_s < series.end_at_s else None


def test_savings_are_negative_when_the_policy_is_dirtier() -> None:
    results = run(
        jobs=ONE_JOB,
        job_settings=KW_SETTINGS,
        values=[100.0, 100.0, *[400.0] * 22],
        forecaster=told([300.0] * 6 + [50.0] * 18),
    )
    assert results.savings_ratio == pytest.approx(-3.0)


def test_a_job_too_large_for_every_region_is_late_on_both_sides_and_counts_in_no_emissions() -> None:
    results = run(jobs=a_job_trace((0.0, HOUR_S, 1), (0.0, HOUR_S, 99)), job_settings=KW_SETTINGS)
    assert (results.policy.jobs, results.policy.jobs_never_run) == (1, 1)
    assert (results.baseline.late_jobs, results.policy.late_jobs) == (1, 1)
    assert results.deadline_misses_baseline_met == 0


def test_work_whose_grid_is_unknown_on_one_side_counts_on_neither() -> None:
    results = run(
        jobs=ONE_JOB, job_settings=KW_SETTINGS, values=[400.0] * 8, forecaster=told([400.0] * 9 + [100.0] * 15)
    )
    assert finished_at_s(results.runs.policy).tolist() == [11 * HOUR_S]
    assert (results.baseline.emissions_gco2e, results.policy.emissions_gco2e) == (0.0, 0.0)
    assert results.savings_ratio is None
    assert [results.baseline.unpriced_kwh, results.policy.unpriced_kwh] == pytest.approx([2.0, 2.0])


def test_interruptible_jobs_pay_for_their_pauses() -> None:
    patchy = [100.0, 400.0, 400.0, 100.0, *[400.0] * 20]
    paused = JobSettings(
        name="training",
        slack_s=12 * HOUR_S,
        power_per_gpu_w=1000.0,
        interruptible_ratio=1.0,
        checkpoint_s=60.0,
        restore_s=120.0,
        min_run_s=600.0,
    )
    results = run(jobs=a_job_trace((0.0, 1.9 * HOUR_S, 1)), job_settings=paused, values=patchy)
    assert len(results.runs.policy.stretches) == 2
    assert results.policy.energy_kwh == pytest.approx(1.9 + 180.0 / 3600.0)
    assert results.policy.emissions_gco2e < results.baseline.emissions_gco2e


# -- requests --------------------------------------------------------------------------------------------------------

CHAT = a_request_trace(*[(60.0 * index, 400, 100) for index in range(40)])


def test_flex_requests_wait_for_the_clean_hours_and_keep_their_deadline() -> None:
    settings = RequestSettings(name="chat", flex_ratio=1.0, flex_deadline_s=10 * HOUR_S)
    results = run(requests=CHAT, request_settings=settings)
    assert results.policy.latency.p50_s == pytest.approx(6 * HOUR_S, rel=0.1)
    assert results.policy.late_requests == 0
    by_name = {one.name: one for one in results.by_class}
    assert (by_name["chat, flex"].savings_ratio or 0.0) > 0.7


def test_interactive_requests_are_answered_as_fast_as_when_running_at_once() -> None:
    results = run(requests=CHAT, request_settings=RequestSettings(name="chat", flex_ratio=0.0))
    assert results.policy.latency.p99_s == pytest.approx(results.baseline.latency.p99_s or 0.0, abs=0.05)


def test_requests_and_tokens_in_are_those_out_and_those_dropped() -> None:
    too_large = a_request_trace((0.0, 400, 100), (1.0, 2_000_000, 100), (2.0, 300, 50))
    results = run(requests=too_large)
    for side in (results.baseline, results.policy):
        assert (side.requests, side.requests_dropped) == (2, 1)
        assert (side.prompt_tokens, side.output_tokens) == (700, 150)


def test_energy_of_requests_and_idling_is_the_integral_of_the_power_trace() -> None:
    results = run(requests=CHAT, request_settings=RequestSettings(name="chat", flex_ratio=0.5))
    for side, numbers in ((results.runs.baseline, results.baseline), (results.runs.policy, results.policy)):
        (pool,) = side.pools
        joules = sum(float((trace.power_w * np.diff(trace.edges_at_s)).sum()) for trace in pool.record.power)
        assert numbers.requests_kwh + numbers.idle_kwh == pytest.approx(joules / 3.6e6, rel=1e-9)
        assert numbers.energy_kwh == pytest.approx(joules / 3.6e6, rel=1e-9)


def test_both_sides_keep_their_workers_warm_equally_long() -> None:
    results = run(requests=CHAT, request_settings=RequestSettings(name="chat", flex_ratio=0.5))
    ends = {
        float(side.pools[0].record.power[0].edges_at_s[-1]) for side in (results.runs.baseline, results.runs.policy)
    }
    assert len(ends) == 1


# -- JSON ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes() -> None:
    settings = RequestSettings(name="chat", flex_ratio=0.5)
    first, second = (
        json.dumps(plain_results(run(jobs=ONE_JOB, requests=CHAT, request_settings=settings))) for _ in range(2)
    )
    assert first == second


def test_what_is_not_there_is_null_and_never_a_number() -> None:
    plain = plain_results(run(jobs=ONE_JOB))
    assert plain["policy"]["latency_s"] == {"mean": None, "p50": None, "p90": None, "p99": None}
    assert "NaN" not in json.dumps(plain)


def test_the_contract_of_the_json_holds() -> None:
    plain = plain_results(run(jobs=ONE_JOB, requests=CHAT))
    assert plain["scenario"] == "small"
    for side in (plain["baseline"], plain["policy"]):
        assert {"emissions_gco2e", "energy_kwh", "jobs", "requests", "deadline_misses"} <= side.keys()
        assert {"mean", "p50", "p99"} <= side["wait_s"].keys()
        assert {"p50", "p99"} <= side["latency_s"].keys()
    assert isinstance(plain["savings_ratio"], float)
    classes = sum(one["policy"]["emissions_gco2e"] for one in plain["by_class"])
    assert classes == pytest.approx(plain["policy"]["emissions_gco2e"])
