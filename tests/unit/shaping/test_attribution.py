"""Shares of a step and of a window, worked by hand."""

from __future__ import annotations

import pytest

from shaping.attribution import (
    IdlePolicy,
    split_idle_j,
    split_j,
    split_window_j,
    step_shares_ratio,
    token_weights_j,
)
from shaping.energy import prefill, step
from shaping.profiles import deployment

H100_8B = deployment(gpu="h100-sxm", model="llama-3.1-8b")


def test_a_long_context_pays_for_its_own_kv_and_the_weights_are_shared() -> None:
    contexts = [100.0, 10_000.0]
    made = step(H100_8B, 2, 5050.0)
    weights_bytes, kv_bytes = 2 * 8.03e9, [100 * 131072.0, 10_000 * 131072.0]
    memory_ratio = made.memory_s / (made.memory_s + made.compute_s)
    expected = [
        memory_ratio * (weights_bytes / 2 + own) / (weights_bytes + sum(kv_bytes)) + (1 - memory_ratio) / 2
        for own in kv_bytes
    ]
    assert step_shares_ratio(H100_8B, made, contexts) == pytest.approx(expected, rel=1e-9)


def test_prompts_alone_share_by_tokens_with_attention_for_the_long_one() -> None:
    made = prefill(H100_8B, 3000, 1000.0**2 + 2000.0**2)
    shares = step_shares_ratio(H100_8B, made, [], [1000, 2000])
    short, long = (2 * 8.03e9 * n + 2 * 32 * 4096 * n * n for n in (1000, 2000))
    assert shares == pytest.approx([short / (short + long), long / (short + long)])


def test_a_prompt_taken_in_beside_decoding_pays_for_its_operations() -> None:
    made = step(H100_8B, 1, 500.0, 1000, 1000.0**2)
    decoding, prompt = step_shares_ratio(H100_8B, made, [500.0], [1000])
    assert decoding + prompt == pytest.approx(1.0)
    assert prompt > 0.8  # a thousand tokens of operations beside one token and half a weight read


def test_a_window_is_split_by_what_its_tokens_cost() -> None:
    prompt_j, output_j = token_weights_j(H100_8B, 8, 500.0)
    parts = split_window_j(H100_8B, 100.0, [100, 0], [0, 10], batch_sequences=8, mean_context_tokens=500.0)
    assert sum(parts) == pytest.approx(100.0, rel=1e-12)
    assert parts[0] / parts[1] == pytest.approx(100 * prompt_j / (10 * output_j))
    assert 10 < output_j / prompt_j < 30  # 0.45 J against 0.024 J


def test_idle_energy_goes_to_whom_the_policy_names() -> None:
    assert split_idle_j(12.0, [1.0, 3.0], IdlePolicy.NONE) == [0.0, 0.0]
    assert split_idle_j(12.0, [1.0, 3.0], IdlePolicy.PROPORTIONAL) == [3.0, 9.0]
    assert split_idle_j(12.0, [1.0, 3.0], IdlePolicy.REQUESTER, requester=0) == [12.0, 0.0]
    with pytest.raises(ValueError, match="requester"):
        split_idle_j(12.0, [1.0], IdlePolicy.REQUESTER)


def test_energy_is_not_split_over_nobody() -> None:
    assert split_j(6.0, [0.0, 0.0]) == [3.0, 3.0]
    with pytest.raises(ValueError, match="nobody"):
        split_j(1.0, [])
