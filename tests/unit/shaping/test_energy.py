"""The worked values of the energy model, and what the model refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shaping.energy import (
    Deployment,
    GpuState,
    Precision,
    ProfileError,
    fewest_gpus,
    idle_energy_j,
    idle_power_w,
    kv_capacity_tokens,
    max_batch_sequences,
    prefill,
    step,
)
from shaping.profiles import deployment, gpu_profile, model_profile, stack_profile

H100_8B = deployment(gpu="h100-sxm", model="llama-3.1-8b")
TOLERANCE_RATIO = 0.005

# Batch, then step ms, u_m, u_c, W, J/token, J/request, tokens/s: 350 prompt and 400 output tokens, mean context 670.
WORKED = [
    (1, 7.339, 0.657, 0.004, 463.7, 3.403, 1361, 136),
    (8, 7.988, 0.626, 0.030, 478.8, 0.478, 191, 1002),
    (32, 10.213, 0.552, 0.095, 515.8, 0.165, 65.8, 3133),
    (64, 13.180, 0.491, 0.148, 545.7, 0.112, 45.0, 4856),
    (128, 19.114, 0.426, 0.204, 577.6, 0.0863, 34.5, 6697),
    (256, 30.982, 0.371, 0.252, 604.8, 0.0732, 29.3, 8263),
]


@pytest.mark.parametrize(
    ("batch", "step_ms", "memory_ratio", "compute_ratio", "power_w", "token_j", "request_j", "tokens_per_s"), WORKED
)
def test_a_step_costs_what_was_worked_by_hand(
    batch: int,
    step_ms: float,
    memory_ratio: float,
    compute_ratio: float,
    power_w: float,
    token_j: float,
    request_j: float,
    tokens_per_s: float,
) -> None:
    made = step(H100_8B, batch, 350 + 0.8 * 400, batch * 350 / 400)
    per_token_j = made.energy_j / batch
    assert made.duration_s * 1e3 == pytest.approx(step_ms, rel=TOLERANCE_RATIO)
    assert made.memory_utilisation_ratio == pytest.approx(memory_ratio, abs=0.0005)
    assert made.compute_utilisation_ratio == pytest.approx(compute_ratio, abs=0.0005)
    assert made.power_w == pytest.approx(power_w, rel=TOLERANCE_RATIO)
    assert per_token_j == pytest.approx(token_j, rel=TOLERANCE_RATIO)
    assert per_token_j * 400 == pytest.approx(request_j, rel=TOLERANCE_RATIO)
    assert batch / made.duration_s == pytest.approx(tokens_per_s, rel=TOLERANCE_RATIO)


@pytest.mark.parametrize(("prompt_tokens", "duration_ms", "energy_j"), [(512, 17.9, 12.5), (2048, 69.8, 48.9)])
def test_a_prompt_alone_costs_what_was_worked_by_hand(prompt_tokens: int, duration_ms: float, energy_j: float) -> None:
    made = prefill(H100_8B, prompt_tokens)
    assert made.duration_s * 1e3 == pytest.approx(duration_ms, rel=TOLERANCE_RATIO)
    assert made.energy_j == pytest.approx(energy_j, rel=TOLERANCE_RATIO)


def test_short_prompts_cost_one_weight_read() -> None:
    # 16.06 GB at 78% of 3.35 TB/s are 6.146 ms, and 1.1 ms of host time.
    assert prefill(H100_8B, 20).duration_s == pytest.approx(7.246e-3, rel=1e-3)
    assert prefill(H100_8B, 20).duration_s == prefill(H100_8B, 150).duration_s


def test_prompts_of_recurrent_layers_cost_their_multiple_and_output_tokens_do_not() -> None:
    # 100 prompt tokens of 2 * 8.03e9 operations at 62% of 989 TFLOP/s take 2.62 ms; 2.4 times as much more is 6.29 ms.
    hybrid = replace(H100_8B, model=replace(H100_8B.model, prompt_work_ratio=3.4))
    beside = step(hybrid, 8, 670.0, 100).duration_s - step(H100_8B, 8, 670.0, 100).duration_s
    assert beside * 1e3 == pytest.approx(6.29, rel=1e-2)
    assert step(hybrid, 8, 670.0) == step(H100_8B, 8, 670.0)
    assert prefill(hybrid, 2048, 0.0).compute_s == pytest.approx(3.4 * prefill(H100_8B, 2048, 0.0).compute_s)


def test_a_step_without_sequences_is_a_prefill() -> None:
    assert step(H100_8B, 0, 0.0, 512, 512.0**2) == prefill(H100_8B, 512)
    with pytest.raises(ValueError, match="prompt tokens"):
        step(H100_8B, 0, 0.0)


def test_kv_capacity_is_what_the_weights_leave() -> None:
    # 0.9 * 80 GB - 16.06 GB = 55.94 GB over 131072 bytes per token, then over 670 tokens each.
    assert kv_capacity_tokens(H100_8B) == 426_788
    assert max_batch_sequences(H100_8B, 670) == 636


def test_windowed_layers_keep_no_more_than_their_window() -> None:
    gemma = model_profile("gemma-3-27b")  # 83.3% of the layers see 1024 tokens
    assert gemma.kv_bytes(1000) == 1000 * 507904
    assert gemma.kv_bytes(2024) == pytest.approx((2024 - 0.833 * 1000) * 507904)


def test_a_mixture_reads_more_experts_as_the_batch_grows() -> None:
    mixture = deployment(gpu="h100-sxm", model="qwen3-30b-a3b")
    one, many = step(mixture, 1, 100.0), step(mixture, 64, 100.0)
    # One sequence reads its 3.3e9 active parameters, 64 read nearly all 30.5e9: 1 - (1 - 8/128)^64 = 98.4%.
    weights_one_s = 2 * 3.3e9 / (0.78 * 3350e9)
    kv_s = 100 * 98304 / (0.78 * 3350e9)
    assert one.memory_s == pytest.approx(weights_one_s + kv_s, rel=1e-9)
    expert_params = (30.5e9 - 3.3e9) / (1 - 8 / 128)
    touched_params = 30.5e9 - expert_params + expert_params * (1 - (1 - 8 / 128) ** 64)
    assert many.memory_s == pytest.approx(2 * touched_params / (0.78 * 3350e9) + 64 * kv_s, rel=1e-9)


def test_several_gpus_wait_for_each_other() -> None:
    four = deployment(gpu="h100-sxm", model="llama-3.1-70b", gpus=4)
    made = step(four, 1, 0.0)
    sync_s = 80 * 15e-6 + 2 * 80 * 8192 * 2 / 450e9
    assert made.duration_s - made.memory_s - made.compute_s == pytest.approx(1.1e-3 + 10e-6 + sync_s, rel=1e-9)
    assert made.energy_j == pytest.approx(4 * made.power_w * made.duration_s, rel=1e-12)


def test_a_slow_host_leaves_the_gpu_at_its_context_power() -> None:
    slow = deployment(gpu="h100-sxm", model="llama-3.1-8b", stack="vllm-0.5.4")
    made = step(slow, 8, 670.0)
    host_s = 7.5e-3 + 8 * 375e-6
    device_s = made.duration_s - host_s
    assert made.duration_s == pytest.approx(host_s + made.memory_s + made.compute_s, rel=1e-12)
    busy_w = 423 + 58 * made.memory_utilisation_ratio + 637 * made.compute_utilisation_ratio
    assert made.energy_j == pytest.approx(busy_w * device_s + 121.7 * host_s, rel=1e-9)


def test_gpus_that_wait_for_each_other_draw_their_context_power() -> None:
    # 80 layers of 15 us; what they exchange keeps them busy.
    made = step(deployment(gpu="h100-sxm", model="llama-3.1-70b", gpus=4), 32, 670.0)
    waiting_s = 80 * 15e-6
    busy_w = 423 + 58 * made.memory_utilisation_ratio + 637 * made.compute_utilisation_ratio
    of_one_gpu_j = busy_w * (made.duration_s - waiting_s) + 121.7 * waiting_s
    assert made.energy_j == pytest.approx(4 * of_one_gpu_j, rel=1e-9)


def test_gpus_that_spin_while_they_wait_draw_their_busy_power() -> None:
    made = step(deployment(gpu="b200-sxm", model="llama-3.1-70b", gpus=4), 32, 670.0)
    busy_w = 454 + 519 * made.memory_utilisation_ratio + 1568 * made.compute_utilisation_ratio
    assert made.power_w == pytest.approx(busy_w, rel=1e-9)


def test_experts_in_fp8_draw_more_and_take_time_to_launch() -> None:
    mixture = deployment(gpu="h100-sxm", model="qwen3-30b-a3b", precision=Precision.FP8)
    made = step(mixture, 64, 0.0)
    flops = 64 * 2 * 3.3e9
    assert made.compute_s == pytest.approx(flops / (0.62 * 0.17 * 1979e12), rel=1e-9)
    host_s = 1.1e-3 + 64 * 10e-6 + 48 * 100e-6
    assert made.duration_s == pytest.approx(made.memory_s + made.compute_s + host_s, rel=1e-9)
    expected_w = 423 + 195 + 58 * made.memory_utilisation_ratio + 1850 * made.compute_utilisation_ratio
    assert made.power_w == pytest.approx(expected_w, rel=1e-9)


def test_idle_power_depends_on_the_state() -> None:
    gpu = gpu_profile("h100-sxm")
    assert idle_power_w(gpu, GpuState.OFF) == 0.0
    assert idle_power_w(gpu, GpuState.BARE_IDLE) == 71.8
    assert idle_power_w(gpu, GpuState.CONTEXT_IDLE) == 121.7
    assert idle_energy_j(H100_8B, 100.0) == pytest.approx(12_170)
    with pytest.raises(ValueError, match="busy"):
        idle_power_w(gpu, GpuState.BUSY)


def test_fp8_halves_the_weights_and_doubles_the_peak() -> None:
    quantised = deployment(gpu="h100-sxm", model="llama-3.1-8b", precision=Precision.FP8)
    made = step(quantised, 1, 0.0)
    assert made.memory_s == pytest.approx(8.03e9 / (0.78 * 0.58 * 3350e9), rel=1e-9)
    assert made.compute_s == pytest.approx(2 * 8.03e9 / (0.62 * 1979e12), rel=1e-9)


def test_a_gpu_without_fp8_refuses_an_fp8_model() -> None:
    with pytest.raises(ProfileError, match=r"a100-sxm-80gb has no FP8 arithmetic"):
        deployment(gpu="a100-sxm-80gb", model="llama-3.1-405b-fp8", gpus=8)


def test_a_model_that_does_not_fit_is_refused_with_the_number_that_would() -> None:
    with pytest.raises(ProfileError, match=r"does not fit on 1 x h100-sxm; it needs at least 2"):
        deployment(gpu="h100-sxm", model="llama-3.1-70b")
    assert fewest_gpus(H100_8B) == 1


def test_a_card_without_interconnect_is_not_modelled_in_a_group() -> None:
    with pytest.raises(ProfileError, match="interconnect"):
        deployment(gpu="l4", model="llama-3.1-8b", gpus=2)
    with pytest.raises(ProfileError, match="at least one GPU"):
        Deployment(gpu=gpu_profile("l4"), model=model_profile("qwen3-8b"), stack=stack_profile(), gpus=0)
