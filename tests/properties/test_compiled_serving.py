"""The fast serving loop does the very same as the plain pool: here run as plain Python, and once compiled."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shaping.policy import Holding
from simulations.compiled import loop
from simulations.compiled.pool import Run, known_grid, pool_state
from tests.serving_twins import GRID, START_S, a_policy, a_spec, assert_same, drawn_traffic, served, some_traffic

# Gap to the one before, prompt and output tokens, and whether it may wait; a prompt of 45,000 fits no worker.
ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.02, 0.5, 3.0, 40.0, 1800.0]),
        st.sampled_from([1, 300, 2048, 5000, 30_000, 45_000]),
        st.sampled_from([1, 2, 60, 400]),
        st.booleans(),
    ),
    min_size=1,
    max_size=14,
)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    ARRIVALS,
    st.sampled_from(list(Holding)),
    st.integers(1, 3),
    st.sampled_from([1, 3, 64]),
    st.sampled_from([None, 100]),
    st.sampled_from([0.0, 10.0]),
    st.sampled_from([None, 1, 5]),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
)
def test_every_rule_every_tie_and_every_limit_give_the_same_to_the_last_bit(
    gaps: list[tuple[float, int, int, bool]],
    holding: Holding,
    workers: int,
    sequences: int,
    expected_output_tokens: int | None,
    interactive_hold_s: float,
    max_group: int | None,
    reserved_sequences: int,
    preempts: bool,
    has_priorities: bool,
) -> None:
    at_s, arrivals = 0.0, []
    for gap_s, prompt_tokens, output_tokens, is_flex in gaps:
        at_s += gap_s
        arrivals.append((at_s, prompt_tokens, output_tokens, is_flex))
    policy = a_policy(
        holding,
        interactive_hold_s=interactive_hold_s,
        max_group=max_group,
        reserved_sequences=min(reserved_sequences, workers * sequences - 1),
    )
    spec = a_spec(
        workers=workers,
        sequences=sequences,
        expected_output_tokens=expected_output_tokens,
        preempts=preempts,
        has_priorities=has_priorities,
    )
    assert_same(served(loop.run, spec, some_traffic(arrivals), policy))


@pytest.mark.slow
@pytest.mark.parametrize("holding", list(Holding))
def test_a_busy_pool_gives_the_same_with_and_without_ticks(holding: Holding) -> None:
    for ticks_s in (0.0, 1.0):
        traffic = drawn_traffic(1, 120, 3.0, flex_ratio=0.4, ticks_s=ticks_s)
        assert_same(served(loop.run, a_spec(workers=2, sequences=24), traffic, a_policy(holding)))


def assert_same_where_memory_is_short(run: Run) -> None:
    """Two workers whose memory holds some 13 requests each, and 60 of them at once."""
    spec = a_spec(workers=2, sequences=60, preempts=True, has_priorities=True)
    twins = served(run, spec, drawn_traffic(3, 300, 4.0, flex_ratio=0.4), a_policy(Holding.PASS_THROUGH))
    assert len(twins.plain.earlier_stays) > 20
    assert_same(twins)


@pytest.mark.slow
def test_who_is_preempted_when_memory_runs_out_is_the_same() -> None:
    assert_same_where_memory_is_short(loop.run)


def assert_same_where_adaptive_holds_most(run: Run) -> None:
    """Short requests, two seconds apart."""
    drawn = np.random.default_rng(7)
    at_s = np.cumsum(drawn.exponential(2.0, 150)).tolist()
    lengths = zip(drawn.integers(1, 300, 150).tolist(), drawn.integers(1, 40, 150).tolist(), strict=True)
    traffic = some_traffic([(one_s, *both, False) for one_s, both in zip(at_s, lengths, strict=True)])
    twins = served(run, a_spec(), traffic, a_policy(Holding.ADAPTIVE, interactive_hold_s=30.0))
    waits_s = twins.plain.released_at_s - START_S - traffic.trace.arrival_s
    assert (waits_s > 0.5).mean() > 0.3
    assert_same(twins)


@pytest.mark.slow
def test_what_the_adaptive_rule_has_learnt_is_the_same_where_it_holds_most() -> None:
    assert_same_where_adaptive_holds_most(loop.run)


@given(st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), st.sampled_from([-3600.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1800.0]))
def test_intensity_is_known_when_and_as_the_series_says(hour: float, beside_s: float) -> None:
    now_s = START_S + hour * 3600.0 + beside_s
    state = pool_state(a_spec(), a_policy(Holding.ADAPTIVE), START_S)
    found = loop.intensity_gco2e_per_kwh(state, known_grid(GRID), now_s)
    expected = GRID.at(now_s) if GRID.covers(now_s, now_s + 1.0) else math.nan
    assert found == expected or math.isnan(found) == math.isnan(expected) is True


def test_a_policy_that_lets_nothing_wait_needs_no_forecast() -> None:
    twins = served(loop.run, a_spec(), drawn_traffic(2, 20, 1.0), a_policy(Holding.PASS_THROUGH), grid=None)
    assert_same(twins)


@pytest.mark.slow
@pytest.mark.timeout(900)  # compiling takes some twenty seconds of a processor, once for each version of the sources
def test_compiled_it_still_gives_the_same() -> None:
    pytest.importorskip("numba", reason="the compiled loop needs numba, the extra `compiled`")
    from simulations.compiled.build import compiled_run

    run = compiled_run()
    for seed, holding in enumerate(Holding):
        for workers, rate_per_s, flex_ratio in ((1, 0.5, 0.0), (3, 3.0, 0.5)):
            traffic = drawn_traffic(seed, 400, rate_per_s, flex_ratio=flex_ratio, ticks_s=0.5 * (workers - 1))
            assert_same(served(run, a_spec(workers=workers, sequences=24), traffic, a_policy(holding)))
    assert_same_where_adaptive_holds_most(run)
    assert_same_where_memory_is_short(run)
