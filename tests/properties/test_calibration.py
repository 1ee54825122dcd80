"""What must hold of every calibration, whatever was measured."""

from __future__ import annotations

import math

from hypothesis import assume, given
from hypothesis import strategies as st
from pytest import approx

from shaping.attribution import split_j, step_shares_ratio
from shaping.calibration import Point, calibrate
from shaping.deployment import Deployment
from shaping.energy import step
from shaping.profiles import deployment
from shaping.saturation import Traffic, saturated

WORKERS = [
    deployment(gpu="h100-sxm", model="llama-3.1-8b"),
    deployment(gpu="b200-sxm", model="qwen3-30b-a3b"),
    deployment(gpu="a100-sxm-80gb", model="llama-3.1-70b", gpus=4, stack="vllm-0.5.4"),
]
workers = st.sampled_from(WORKERS)
traffics = st.builds(Traffic, prompt_tokens=st.floats(1, 4000), output_tokens=st.floats(1, 4000))
batches = st.floats(1, 512)
near_one = st.floats(0.5, 2.0)


def measured(worker: Deployment, traffic: Traffic, batch: float, time_ratio: float, power_ratio: float) -> Point:
    """A point off the model by these factors, its power within what the GPU can draw."""
    made = saturated(worker, batch, traffic)
    power_w = min(worker.gpu.limit_w, max(worker.gpu.context_idle_w, made.power_w * power_ratio))
    tokens_per_s = made.tokens_per_s / time_ratio
    return Point(batch_sequences=batch, j_per_token=power_w * worker.gpus / tokens_per_s, tokens_per_s=tokens_per_s)


@given(workers, traffics, batches, batches, near_one, near_one, near_one, near_one)
def test_calibration_passes_exactly_through_two_points(
    worker: Deployment, traffic: Traffic, small: float, large: float, t1: float, p1: float, t2: float, p2: float
) -> None:
    assume(abs(math.log(large / small)) > 0.01)
    points = [measured(worker, traffic, small, t1, p1), measured(worker, traffic, large, t2, p2)]
    calibrated = calibrate(worker, points, traffic)
    for point in points:
        made = saturated(calibrated, point.batch_sequences, traffic)
        assert made.tokens_per_s == approx(point.tokens_per_s, rel=1e-9)
        assert made.j_per_token == approx(point.j_per_token, rel=1e-9)


@given(workers, traffics, batches, near_one, near_one, batches)
def test_one_point_scales_every_step_alike(
    worker: Deployment, traffic: Traffic, batch: float, time_ratio: float, power_ratio: float, elsewhere: float
) -> None:
    point = measured(worker, traffic, batch, time_ratio, power_ratio)
    calibrated = calibrate(worker, [point], traffic)
    before, after = saturated(worker, elsewhere, traffic), saturated(calibrated, elsewhere, traffic)
    assert after.step_s == approx(before.step_s * time_ratio)


@given(workers, traffics, batches, batches, near_one, near_one, near_one, near_one, st.floats(0.01, 5000))
def test_power_stays_between_idle_and_the_limit_at_any_batch(
    worker: Deployment,
    traffic: Traffic,
    small: float,
    large: float,
    t1: float,
    p1: float,
    t2: float,
    p2: float,
    batch: float,
) -> None:
    points = [measured(worker, traffic, small, t1, p1), measured(worker, traffic, large, t2, p2)]
    made = step(calibrate(worker, points, traffic), batch, 500.0, 10.0)
    assert worker.gpu.context_idle_w * (1 - 1e-9) <= made.power_w <= worker.gpu.limit_w * (1 + 1e-9)
    assert made.energy_j == approx(made.power_w * made.duration_s * worker.gpus)


@given(workers, traffics, batches, near_one, near_one, st.integers(1, 500))
def test_energy_of_a_token_does_not_rise_with_the_batch_after_one_point(
    worker: Deployment, traffic: Traffic, at: float, time_ratio: float, power_ratio: float, batch: int
) -> None:
    calibrated = calibrate(worker, [measured(worker, traffic, at, time_ratio, power_ratio)], traffic)
    smaller, larger = (saturated(calibrated, one, traffic) for one in (batch, batch + 1))
    assert larger.j_per_token <= smaller.j_per_token * (1 + 1e-9)


@given(workers, near_one, near_one, st.lists(st.floats(1, 4000), min_size=1, max_size=20))
def test_a_calibrated_step_is_split_without_loss(
    worker: Deployment, time_ratio: float, power_ratio: float, contexts: list[float]
) -> None:
    traffic = Traffic(prompt_tokens=100, output_tokens=100)
    calibrated = calibrate(worker, [measured(worker, traffic, 8, time_ratio, power_ratio)], traffic)
    made = step(calibrated, len(contexts), math.fsum(contexts) / len(contexts))
    parts = split_j(made.energy_j, step_shares_ratio(calibrated, made, contexts))
    assert math.fsum(parts) == approx(made.energy_j)
    assert min(parts) >= 0.0
