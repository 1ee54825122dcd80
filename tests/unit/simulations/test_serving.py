"""A pool of virtual workers behind the shaper: energy by load as the energy model says, and fair shares of the work."""

from __future__ import annotations

import numpy as np
import pytest

from intensity_feeds.series import IntensitySeries
from simulations.accounts import pool_accounts
from simulations.results import Results, results_of
from simulations.runs import run_both
from simulations.scenario import PolicySettings, RequestSettings
from simulations.workloads import RequestTrace
from tests.unit.simulations.scenarios import a_request_trace, some_inputs


def served(trace: RequestTrace, **settings: int) -> Results:
    table = RequestSettings(name="chat", **settings)  # type: ignore[arg-type]
    return results_of(run_both(some_inputs(requests=trace, request_settings=table)))


def poisson(rate_per_s: float, count: int) -> RequestTrace:
    """Requests of 350 + 400 tokens."""
    gaps_s = np.random.default_rng(1).exponential(1.0 / rate_per_s, count)
    return RequestTrace(
        arrival_s=np.cumsum(gaps_s), prompt_tokens=np.full(count, 350), output_tokens=np.full(count, 400)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("rate_per_s", "count", "energy_j"), [(0.1, 400, 2089), (1, 1000, 451), (10, 4000, 53)])
def test_energy_of_a_request_by_load_is_the_published_curve(rate_per_s: float, count: int, energy_j: float) -> None:
    # One H100 with an 8B model, served on arrival, idling included: the curve of the energy model's documentation.
    results = served(poisson(rate_per_s, count), max_sequences=1024)
    assert results.baseline.energy_kwh * 3.6e6 / count == pytest.approx(energy_j, rel=0.03)


def test_workers_share_what_comes_together_evenly() -> None:
    together = a_request_trace(*[(0.0, 100, 50) for _ in range(8)])
    record = served(together, workers=4).runs.baseline.pools[0].record
    assert np.bincount(record.worker).tolist() == [2, 2, 2, 2]


def test_a_worker_never_runs_more_sequences_than_it_may() -> None:
    together = a_request_trace(*[(0.0, 100, 50) for _ in range(30)])
    (trace,) = served(together, max_sequences=4).runs.baseline.pools[0].record.power
    assert trace.sequences.max() == 4


def test_energy_of_preempted_requests_is_theirs_and_none_is_lost() -> None:
    # Two of 250,000 tokens together are more than the 427,000 that an H100 holds beside an 8B model.
    long = a_request_trace((0.0, 200_000, 50_000), (0.0, 200_000, 50_000), (0.0, 100, 10))
    results = served(long, preempts=True)
    (pool,) = results.runs.baseline.pools
    assert pool.record.earlier_stays[:, 0].tolist() == [1]
    assert (results.baseline.preemptions, results.baseline.requests) == (1, 3)
    accounts = pool_accounts(pool, 1.0, IntensitySeries.regular("Z", 0.0, 3600.0, [100.0] * 48))
    held_kwh = sum(float(trace.energy_j.sum()) for trace in pool.record.power) / 3.6e6
    first_kwh, second_kwh, _ = accounts.requests.energy_kwh
    assert accounts.requests.energy_kwh.sum() + accounts.idle.energy_kwh.sum() == pytest.approx(held_kwh, rel=1e-9)
    assert second_kwh > first_kwh  # it was read twice


@pytest.mark.slow
def test_holding_requests_for_ten_seconds_halves_their_energy_at_medium_load() -> None:
    # At one request a second the energy model's documentation says 451 J at once and 240 J released every 10 s.
    trace = poisson(1.0, 1000)
    inputs = some_inputs(
        requests=trace,
        request_settings=RequestSettings(name="chat", max_sequences=1024),
        policy=PolicySettings(interactive_hold_s=10.0, min_group=1000),
    )
    results = results_of(run_both(inputs))
    assert results.policy.energy_kwh / results.baseline.energy_kwh == pytest.approx(240 / 451, rel=0.1)


def test_a_request_has_its_first_token_before_its_last_and_after_its_release() -> None:
    record = served(poisson(2.0, 60)).runs.policy.pools[0].record
    assert np.all(record.released_at_s < record.first_token_at_s)
    assert np.all(record.first_token_at_s < record.finished_at_s)
