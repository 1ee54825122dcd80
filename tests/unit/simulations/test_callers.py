"""The same request stands beside itself whichever model answers it, and nothing of the rest moves."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.callers import by_callers, items_in_one_order, named_by_callers
from simulations.results import results_of
from simulations.runs import Inputs, run_both
from simulations.scenario import ModelChoiceSettings, RequestSettings
from simulations.side_items import flat_items
from tests.unit.simulations.scenarios import a_job_trace, a_request_trace, routed_inputs, some_inputs


def inputs_of_two_models() -> Inputs:
    # Arrivals interleave; the most accurate model is the second table.
    return routed_inputs(
        a_request_trace((0.0, 100, 10), (20.0, 300, 30)), a_request_trace((10.0, 200, 20), (30.0, 400, 40))
    )


def test_requests_of_a_pool_of_models_are_in_order_of_arrival_on_both_sides() -> None:
    runs = run_both(inputs_of_two_models())
    for side in (runs.baseline, runs.policy):
        assert named_by_callers(side) == ["auto", "auto"]
        whole, rest = by_callers(side, [run.traffic.trace.prompt_tokens for run in side.pools])
        assert whole.tolist() == [100, 200, 300, 400]
        assert len(rest) == 0
    assert [len(run.traffic.trace) for run in runs.baseline.pools] == [0, 4]
    assert [len(run.traffic.trace) for run in runs.policy.pools] == [4, 0]


def test_requests_that_go_to_two_models_by_turns_stay_in_order_of_arrival() -> None:
    rows = [(10.0 * number, 100 + number, 10) for number in range(40)]
    choice = ModelChoiceSettings(
        name="auto", candidates=("small", "large"), accuracy_ratios=(0.7, 0.8), floor_ratio=0.72
    )
    side = run_both(routed_inputs(a_request_trace(*rows[::2]), a_request_trace(*rows[1::2]), choice=choice)).policy
    assert all(len(run.traffic.trace) > 5 for run in side.pools)
    whole, _ = by_callers(side, [run.traffic.trace.prompt_tokens for run in side.pools])
    assert whole.tolist() == [row[1] for row in rows]


def test_every_item_is_in_the_shared_order_once() -> None:
    for side in (runs := run_both(inputs_of_two_models())).baseline, runs.policy:
        assert sorted(items_in_one_order(side).tolist()) == list(range(4 + 2))


def test_without_pools_of_models_items_stay_where_they_are() -> None:
    inputs = some_inputs(jobs=a_job_trace((0.0, 3600.0, 1)), requests=a_request_trace((0.0, 100, 10), (1.0, 100, 10)))
    side = run_both(inputs).policy
    assert items_in_one_order(side).tolist() == [0, 1, 2, 3]
    assert named_by_callers(side) == ["chat"]


def test_no_energy_is_lost_or_counted_twice_by_the_order() -> None:
    results = results_of(run_both(inputs_of_two_models()))
    for side, accounts, result in zip(
        (results.runs.baseline, results.runs.policy), results.accounts, (results.baseline, results.policy), strict=True
    ):
        kwh = sum(float(pool.requests.energy_kwh.sum() + pool.idle.energy_kwh.sum()) for pool in accounts.pools)
        assert float(flat_items(side, accounts).energy_kwh.sum()) == pytest.approx(kwh)
        assert result.requests == 4
        assert result.latency.count == 4


def test_whether_a_request_may_wait_does_not_hang_on_the_model() -> None:
    rows = [(10.0 * number, 100, 10) for number in range(40)]
    table = RequestSettings(name="chat", flex_ratio=0.5)
    runs = run_both(routed_inputs(a_request_trace(*rows[::2]), a_request_trace(*rows[1::2]), table))
    before, after = (
        by_callers(side, [run.traffic.is_flex for run in side.pools])[0] for side in (runs.baseline, runs.policy)
    )
    assert np.array_equal(before, after)
    assert 0 < before.sum() < 40
