"""Pools that take turns on one GPU, as a scenario sets them: the same decisions as the daemon's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulations.power_trace import PowerTrace
from simulations.results import Results, results_of
from simulations.runs import run_both
from simulations.scenario import PolicySettings, RequestSettings, Scenario
from tests.unit.simulations.scenarios import a_request_trace, some_inputs

J_PER_KWH = 3.6e6
CONTEXT_W = 121.7  # an idle H100 with a process on it
CHAT = RequestSettings(name="chat", shares_gpu="card", wake_s=2.0)


def served(*arrivals_s: list[float], **settings: object) -> Results:
    """One pool for each list, all on one GPU; prompts of 100 tokens, answers of 50."""
    traces = tuple(a_request_trace(*[(at_s, 100, 50) for at_s in one]) for one in arrivals_s)
    tables = tuple(replace(CHAT, name=str(place), **settings) for place in range(len(traces)))  # type: ignore[arg-type]
    inputs = some_inputs(requests=traces[0], request_settings=tables[0], policy=PolicySettings(interactive_hold_s=0.0))
    scenario = replace(inputs.scenario, requests=tables)
    deployments = inputs.deployments * len(traces)
    return results_of(run_both(replace(inputs, scenario=scenario, requests=traces, deployments=deployments)))


def is_awake(
    trace: PowerTrace, at_s: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    place = np.clip(np.searchsorted(trace.edges_at_s, at_s, side="right") - 1, 0, len(trace.energy_j) - 1)
    return np.asarray(trace.power_w[place] > 0.0)


def test_two_models_on_one_gpu_need_half_of_what_idles_on_two() -> None:
    chat, code = [900.0 * place for place in range(5)], [450.0 + 900.0 * place for place in range(5)]
    results = served(chat, code)
    saved_j = (results.baseline.energy_kwh - results.policy.energy_kwh) * J_PER_KWH
    assert saved_j == pytest.approx(CONTEXT_W * 4050.0, rel=0.01)  # one GPU of two, as long as there was work
    assert not any(pool.record.is_dropped.any() for pool in results.runs.policy.pools)


def test_at_no_instant_both_are_on_the_gpu_and_nobody_waits_longer_than_a_swap() -> None:
    chat, code = [20.0 * place for place in range(30)], [10.0 + 20.0 * place for place in range(30)]
    first, second = served(chat, code).runs.policy.pools
    instants_s = np.linspace(0.0, 600.0, 6001)
    assert not (is_awake(first.record.power[0], instants_s) & is_awake(second.record.power[0], instants_s)).any()
    for pool, arrivals_s in ((first, chat), (second, code)):
        assert (pool.record.released_at_s - np.array(arrivals_s)).max() <= 2.0 + 1e-6


def test_a_busy_model_gives_way_after_its_turn() -> None:
    busy = [0.2 * place for place in range(1000)]
    pools = served(busy, [10.0], stay_s=30.0).runs.policy.pools
    waited_s = float(pools[1].record.released_at_s[0]) - 10.0
    assert 25.0 <= waited_s <= 30.0 + 2 * 2.0
    assert not pools[0].record.is_dropped.any()


def test_without_the_policy_each_has_a_gpu_of_its_own() -> None:
    for pool in served([0.0, 100.0], [1.0, 101.0]).runs.baseline.pools:
        assert (pool.record.power[0].power_w >= CONTEXT_W - 0.1).all()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"workers": 2}, "it has one worker"),
        ({"sleeps": True}, "leave out sleeps"),
        ({"wake_s": 5.0}, "wake_s differs from that of 'chat'"),
        ({"gpu": "a100-sxm-80gb"}, "gpu differs"),
    ],
)
def test_pools_that_cannot_share_are_refused(changes: dict[str, object], what: str) -> None:
    scenario = some_inputs(requests=a_request_trace((0.0, 1, 1)), request_settings=CHAT).scenario
    other = replace(CHAT, name="other", **changes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=what):
        Scenario(name="s", start=0.0, grid=scenario.grid, region=scenario.region, requests=(CHAT, other))
