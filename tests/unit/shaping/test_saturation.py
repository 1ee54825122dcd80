"""What a full worker yields, beside the worked values of the energy model."""

from __future__ import annotations

import pytest

from shaping.deployment import ErrorClass
from shaping.energy import prefill, step
from shaping.profiles import deployment, task_traffic
from shaping.saturation import Traffic, saturated, static_batch

H100_8B = deployment(gpu="h100-sxm", model="llama-3.1-8b")
CHAT = Traffic(prompt_tokens=350, output_tokens=400)
# Batch, step ms, W, J/token, J/request, tokens/s.
WORKED = [
    (1, 7.339, 463.7, 3.403, 1361, 136),
    (64, 13.180, 545.7, 0.112, 45.0, 4856),
    (256, 30.982, 604.8, 0.0732, 29.3, 8263),
]


@pytest.mark.parametrize(("batch", "step_ms", "power_w", "token_j", "request_j", "tokens_per_s"), WORKED)
def test_a_full_worker_yields_what_was_worked_by_hand(
    batch: int, step_ms: float, power_w: float, token_j: float, request_j: float, tokens_per_s: float
) -> None:
    made = saturated(H100_8B, batch, CHAT)
    assert made.step_s * 1e3 == pytest.approx(step_ms, rel=0.005)
    assert made.power_w == pytest.approx(power_w, rel=0.005)
    assert made.j_per_token == pytest.approx(token_j, rel=0.005)
    assert made.j_per_request == pytest.approx(request_j, rel=0.005)
    assert made.tokens_per_s == pytest.approx(tokens_per_s, rel=0.005)
    assert made.error_class is ErrorClass.DEFAULT


def test_every_number_carries_the_band_of_its_class() -> None:
    made = saturated(H100_8B, 64, CHAT)
    low, high = made.band_of("j_per_token")
    assert high / made.j_per_token == pytest.approx(1.2918, abs=1e-4)  # exp(1.28 * 0.2)
    assert low * high == pytest.approx(made.j_per_token**2)
    assert made.band_of("power_w").high == 700.0  # 545.7 W times 1.29 is more than the GPU can draw


def test_power_is_of_one_gpu_and_energy_of_all() -> None:
    made = saturated(deployment(gpu="h100-sxm", model="llama-3.1-8b", gpus=2), 64, CHAT)
    assert made.j_per_token * made.tokens_per_s == pytest.approx(2 * made.power_w)


def test_preparation_of_prompts_idles_the_gpu() -> None:
    # 64 requests of 400 tokens, 10 ms each: 1.6 ms of waiting a step, at 121.7 W.
    plain = saturated(H100_8B, 64, CHAT)
    slow = saturated(H100_8B, 64, Traffic(prompt_tokens=350, output_tokens=400, preparation_s=0.010))
    assert slow.step_s - plain.step_s == pytest.approx(1.6e-3)
    assert slow.j_per_token - plain.j_per_token == pytest.approx(1.6e-3 * 121.7 / 64)


def test_a_static_batch_is_its_prompts_and_then_its_steps() -> None:
    made = static_batch(H100_8B, 4, Traffic(prompt_tokens=100, output_tokens=11))
    prompts, decoded = prefill(H100_8B, 400, 4 * 100.0**2), step(H100_8B, 4, 105.5)
    assert made.tokens_per_s == pytest.approx(44 / (prompts.duration_s + 10 * decoded.duration_s))
    assert made.j_per_request == pytest.approx((prompts.energy_j + 10 * decoded.energy_j) / 4)


def test_a_published_task_brings_its_prompts() -> None:
    assert task_traffic("video-chat", 500) == Traffic(prompt_tokens=1000, output_tokens=500, preparation_s=0.05)


@pytest.mark.parametrize(("prompt", "output", "preparation"), [(-1, 1, 0), (1, 0, 0), (1, 1, -1), (float("nan"), 1, 0)])
def test_impossible_traffic_is_refused(prompt: float, output: float, preparation: float) -> None:
    with pytest.raises(ValueError, match="request"):
        Traffic(prompt_tokens=prompt, output_tokens=output, preparation_s=preparation)
