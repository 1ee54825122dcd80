"""A cap in grams refuses what no day can pay for, moves what another can, and leaves running at once alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.budget_settings import BudgetSettings
from simulations.results import Results, results_of
from simulations.runs import Inputs, run_both
from simulations.scenario import JobSettings, PolicyKind, PolicySettings
from tests.unit.simulations.scenarios import HOUR_S, a_job_trace, some_inputs

DAY_S = 24 * HOUR_S


def three_hours_of_work(gco2e_per_day: float, *, slack_s: float = 6 * HOUR_S, kind: str = "carbon_aware") -> Inputs:
    """Three jobs of an hour and 1 kW on a grid of 100 g/kWh: 100 g each."""
    inputs = some_inputs(
        jobs=a_job_trace(*((60.0 * minute, HOUR_S, 1) for minute in range(3))),
        job_settings=JobSettings(name="training", slack_s=slack_s, power_per_gpu_w=1000.0),
        policy=PolicySettings(kind=PolicyKind(kind)),
        values=[100.0] * 96,
    )
    budget = BudgetSettings(tenant="*", gco2e=gco2e_per_day)
    return replace(inputs, scenario=replace(inputs.scenario, budget=(budget,)))


def result_of(inputs: Inputs) -> Results:
    return results_of(run_both(inputs))


@pytest.mark.parametrize(("gco2e_per_day", "accepted"), [(300.0, 3), (299.0, 2), (100.0, 1), (99.0, 0)])
def test_as_many_jobs_are_accepted_as_the_day_can_pay_for(gco2e_per_day: float, accepted: int) -> None:
    results = result_of(three_hours_of_work(gco2e_per_day))
    assert (results.policy.jobs, results.policy.jobs_never_run) == (accepted, 3 - accepted)
    assert results.policy.late_jobs == 3 - accepted
    assert results.policy.emissions_gco2e == pytest.approx(100.0 * accepted)


def test_a_job_that_can_wait_is_paid_for_by_the_next_day() -> None:
    results = result_of(three_hours_of_work(200.0, slack_s=30 * HOUR_S))
    assert results.policy.jobs == 3
    starts = sorted(one.start_at_s for one in results.runs.policy.stretches)
    assert [start >= DAY_S for start in starts] == [False, False, True]


def test_running_at_once_knows_no_budget() -> None:
    results = result_of(three_hours_of_work(99.0))
    assert results.baseline.jobs == 3


def test_published_policies_know_no_budget_either() -> None:
    assert result_of(three_hours_of_work(99.0, kind="lowest_window")).policy.jobs == 3


def test_what_was_spent_by_runs_that_have_ended_stays_spent() -> None:
    inputs = three_hours_of_work(100.0, slack_s=2 * HOUR_S)
    later = a_job_trace((0.0, HOUR_S, 1), (5 * HOUR_S, HOUR_S, 1))
    assert result_of(replace(inputs, jobs=(later,))).policy.jobs == 1
