"""Drawn work has the rates and medians asked for, and depends on nothing but its generator."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.workloads import JobTrace, RequestTrace, drawn_jobs, grown, poisson_requests


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


def three_jobs() -> JobTrace:
    return JobTrace(
        submit_s=np.array([0.0, 10.0, 20.0]),
        duration_s=np.array([1.0, 2.0, 3.0]),
        gpus=np.array([1, 2, 4]),
        slack_s=np.array([7.0, 8.0, 9.0]),
    )


@pytest.mark.parametrize(
    ("ratio", "submits_s"),
    [
        (1.0, [0, 10, 20]),
        (2.0, [0, 0, 10, 10, 20, 20]),
        (4 / 3, [0, 10, 20, 20]),
        (1 / 3, [20]),
        (0.1, []),
    ],
)
def test_demand_grows_by_copies_at_the_same_hours(ratio: float, submits_s: list[float]) -> None:
    assert grown(three_jobs(), ratio).submit_s.tolist() == submits_s


def test_a_copy_has_everything_of_its_original() -> None:
    twice = grown(three_jobs(), 2.0)
    assert twice.duration_s.tolist() == [1, 1, 2, 2, 3, 3]
    assert twice.gpus.tolist() == [1, 1, 2, 2, 4, 4]
    assert twice.slack_s is not None
    assert twice.slack_s.tolist() == [7, 7, 8, 8, 9, 9]
    assert twice.power_per_gpu_w is None
