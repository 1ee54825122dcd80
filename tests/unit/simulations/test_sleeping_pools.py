"""Pools whose workers sleep, and hold rules, as a scenario sets them: the same decisions as the daemon's."""

from __future__ import annotations

import numpy as np
import pytest

from shaping.policy import Holding
from simulations.results import Results, results_of
from simulations.runs import run_both
from simulations.scenario import PolicySettings, RequestSettings
from simulations.workloads import RequestTrace
from tests.unit.simulations.scenarios import a_request_trace, some_inputs

J_PER_KWH = 3.6e6


def served(trace: RequestTrace, policy: PolicySettings | None = None, **settings: object) -> Results:
    table = RequestSettings(name="chat", **settings)  # type: ignore[arg-type]
    return results_of(run_both(some_inputs(requests=trace, request_settings=table, policy=policy)))


def test_three_idle_workers_sleep_and_the_fourth_serves() -> None:
    # Over an hour three of four idle H100s drop from 121.7 W to 71.8 W, but for the first minute of patience.
    few = a_request_trace(*[(900.0 * place, 100, 50) for place in range(5)])
    results = served(few, PolicySettings(interactive_hold_s=0.0), workers=4, sleeps=True)
    saved_j = (results.baseline.energy_kwh - results.policy.energy_kwh) * J_PER_KWH
    assert saved_j == pytest.approx(3 * (121.7 - 71.8) * 3540.0, rel=0.01)
    record = results.runs.policy.pools[0].record
    assert not record.is_dropped.any()
    assert len(set(record.worker.tolist())) == 1


def test_a_sleeping_pool_wakes_for_a_burst_and_answers_all_of_it() -> None:
    burst = a_request_trace(*[(1000.0, 100, 50) for _ in range(40)])
    results = served(burst, PolicySettings(interactive_hold_s=0.0), workers=4, sleeps=True, max_sequences=8, wake_s=10)
    record = results.runs.policy.pools[0].record
    assert not record.is_dropped.any()
    assert len(set(record.worker.tolist())) == 4
    assert np.nanmax(record.released_at_s) <= 1000.0 + 11.0


def test_without_the_word_nobody_sleeps() -> None:
    few = a_request_trace(*[(900.0 * place, 100, 50) for place in range(5)])
    results = served(few, PolicySettings(interactive_hold_s=0.0), workers=4)
    assert results.baseline.energy_kwh == pytest.approx(results.policy.energy_kwh, rel=1e-3)


@pytest.mark.slow
def test_the_adaptive_rule_of_a_scenario_saves_more_than_half_at_one_request_a_second() -> None:
    gaps_s = np.random.default_rng(1).exponential(1.0, 1000)
    trace = RequestTrace(
        arrival_s=np.cumsum(gaps_s), prompt_tokens=np.full(1000, 350), output_tokens=np.full(1000, 400)
    )
    policy = PolicySettings(shaping=Holding.ADAPTIVE, interactive_hold_s=50.0)
    results = served(trace, policy, max_sequences=256)
    assert results.policy.energy_kwh < results.baseline.energy_kwh / 2.5
    record = results.runs.policy.pools[0].record
    held_s = record.released_at_s - trace.arrival_s
    assert held_s.max() <= 50.0 + 1e-6
