"""Drawn work has the rates and medians asked for, and depends on nothing but its generator."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.workloads import RequestTrace, drawn_jobs, poisson_requests


def a_week_of_requests(seed: int) -> RequestTrace:
    return poisson_requests(
        np.random.default_rng(seed), rate_per_s=0.05, span_s=7 * 86400.0, prompt_tokens=600, output_tokens=150
    )


def test_requests_arrive_at_the_rate_asked_for() -> None:
    trace = a_week_of_requests(1)
    expected = 0.05 * 7 * 86400
    assert abs(len(trace) - expected) < 4 * expected**0.5
    assert np.all(np.diff(trace.arrival_s) >= 0)
    assert trace.arrival_s[-1] < 7 * 86400


def test_lengths_have_the_medians_asked_for() -> None:
    trace = a_week_of_requests(2)
    assert np.median(trace.prompt_tokens) == pytest.approx(600, rel=0.03)
    assert np.median(trace.output_tokens) == pytest.approx(150, rel=0.03)
    assert trace.output_tokens.min() >= 1


def test_afternoons_are_busier_than_nights() -> None:
    hours = (a_week_of_requests(3).arrival_s / 3600.0) % 24
    afternoon, night = ((hours >= 14) & (hours < 16)).sum(), ((hours >= 2) & (hours < 4)).sum()
    assert afternoon / night == pytest.approx(1.6 / 0.4, rel=0.15)


def test_the_same_seed_draws_the_same_work() -> None:
    assert np.array_equal(a_week_of_requests(4).arrival_s, a_week_of_requests(4).arrival_s)
    assert not np.array_equal(a_week_of_requests(4).arrival_s[:10], a_week_of_requests(5).arrival_s[:10])


def test_jobs_use_powers_of_two_up_to_the_largest() -> None:
    trace = drawn_jobs(np.random.default_rng(6), count=500, span_s=86400.0, median_duration_s=7200.0, max_gpus=8)
    assert set(trace.gpus.tolist()) == {1, 2, 4, 8}
    assert trace.duration_s.min() >= 60.0
    assert np.median(trace.duration_s) == pytest.approx(7200.0, rel=0.2)
