"""Profiles are found by name or published id; a wrong name is answered with the nearest."""

from __future__ import annotations

import pytest

from shaping.energy import ErrorClass, Precision, ProfileError
from shaping.profiles import deployment, gpu_from_table, gpu_profile, model_profile, names, stack_profile

# Half-power constants of a datasheet, as [default] of gpus.toml has them.
DEFAULT = {
    "memory_efficiency_ratio": 0.78,
    "compute_efficiency_ratio": 0.62,
    "prefill_efficiency_ratio": 0.5,
    "expert_bandwidth_ratio": 1.0,
    "expert_compute_ratio": 0.17,
    "fp8_bandwidth_ratio": 0.58,
    "bare_idle_tdp_ratio": 0.10,
    "context_idle_tdp_ratio": 0.20,
    "busy_floor_tdp_ratio": 0.60,
    "small_busy_floor_tdp_ratio": 0.85,
    "busy_per_memory_tdp_ratio": 0.08,
    "busy_per_compute_tdp_ratio": 0.9,
    "error_class": "datasheet",
}
DATASHEET = {
    "architecture": "blackwell",
    "memory_gb": 32,
    "memory_bandwidth_gb_per_s": 1792,
    "peak_16bit_tflops": 210,
    "tdp_w": 500,
    "source": "datasheet",
}


def test_a_model_is_found_by_its_published_id() -> None:
    by_name = model_profile("llama-3.1-8b")
    assert model_profile("meta-llama/Llama-3.1-8B-Instruct") is by_name
    assert model_profile("Meta-Llama/Meta-Llama-3.1-8B-Instruct") is by_name
    assert by_name.total_params == pytest.approx(8.03e9)
    assert (by_name.kv_bytes_per_token, by_name.layers) == (131072, 32)


def test_the_weights_of_a_published_model_have_their_own_precision() -> None:
    assert model_profile("llama-3.1-405b-fp8").precision is Precision.FP8
    assert model_profile("openai/gpt-oss-120b").precision is Precision.BITS_4
    assert deployment(gpu="h100-sxm", model="gpt-oss-20b").weight_bytes == pytest.approx(0.53 * 20.9e9)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ProfileError, match=r"no GPU profile is called 'h100_sxm'; did you mean h100-sxm"):
        gpu_profile("h100_sxm")
    with pytest.raises(ProfileError, match=r"did you mean llama-3.1-8b"):
        model_profile("llama3.1-8b")
    with pytest.raises(ProfileError, match=r"known: vllm-0.11, vllm-0.2, vllm-0.5.4"):
        stack_profile("zzz")
    with pytest.raises(ProfileError, match=r"`slacktide profiles list` shows the 76 that are known"):
        model_profile("in-house")


def test_every_profile_loads_and_names_its_source() -> None:
    everything = names()
    assert {"h100-sxm", "a100-sxm-80gb", "b200-sxm"} <= set(everything["gpus"])
    assert len(everything["gpus"]) == 17
    assert len(everything["models"]) == 76
    assert all(gpu_profile(name).source for name in everything["gpus"])
    assert all(model_profile(name).source for name in everything["models"])
    assert all(stack_profile(name).source for name in everything["stacks"])
    assert all(model_profile(name).active_params <= model_profile(name).total_params for name in everything["models"])


def test_tunings_of_one_shape_share_its_profile() -> None:
    assert model_profile("Qwen/QwQ-32B") is model_profile("qwen2.5-32b")
    assert model_profile("deepseek-ai/DeepSeek-R1-Distill-Llama-8B") is model_profile("llama-3.1-8b")


def test_a_small_window_keeps_the_memory_of_long_contexts_small() -> None:
    small = model_profile("gemma-3-4b")  # 29 of 34 layers see 1024 tokens: 8192 count as 8192 - 29/34 * 7168
    assert small.kv_bytes(8192) == pytest.approx(139264 * (8192 - 0.853 * 7168))


def test_powers_that_no_one_measured_follow_from_tdp() -> None:
    gpu = gpu_from_table("new", DATASHEET, DEFAULT)
    assert (gpu.bare_idle_w, gpu.context_idle_w, gpu.busy_floor_w, gpu.limit_w) == (50.0, 100.0, 300.0, 500.0)
    assert gpu.error_class is ErrorClass.DATASHEET
    assert gpu.peak_fp8_flops_per_s is None


def test_experts_are_as_other_models_where_no_one_measured_them() -> None:
    gpu = gpu_from_table("new", DATASHEET, DEFAULT)
    assert gpu.expert_busy_per_compute_ratio_w == gpu.busy_per_compute_ratio_w == 450.0
    assert (gpu.fp8_expert_bandwidth_ratio, gpu.fp8_expert_busy_w) == (0.58, 0.0)


def test_a_small_card_draws_near_its_limit_from_the_first_token() -> None:
    assert gpu_from_table("small", {**DATASHEET, "tdp_w": 100}, DEFAULT).busy_floor_w == pytest.approx(85.0)


def test_the_three_gpus_that_were_fitted_say_so() -> None:
    for name in ("h100-sxm", "a100-sxm-80gb", "b200-sxm"):
        assert gpu_profile(name).error_class is ErrorClass.DEFAULT
    assert gpu_profile("l40s").error_class is ErrorClass.DATASHEET
