"""What must hold of the energy model on every deployment, and of every split of a total."""

from __future__ import annotations

import math
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from shaping.attribution import split_j, split_window_j, step_shares_ratio
from shaping.energy import Deployment, Precision, ProfileError, prefill, step
from shaping.profiles import gpu_profile, model_profile, names, stack_profile

ROUNDING = 1 + 1e-9
TINY_J = 1e-300  # below it floats lose their digits


@cache
def _deployment(gpu: str, model: str, stack: str, gpus: int, precision: Precision | None) -> Deployment | None:
    try:
        return Deployment(
            gpu=gpu_profile(gpu),
            model=model_profile(model),
            stack=stack_profile(stack),
            gpus=gpus,
            precision=precision,
        )
    except ProfileError:
        return None


deployments = (
    st.builds(
        _deployment,
        st.sampled_from(names()["gpus"]),
        st.sampled_from(names()["models"]),
        st.sampled_from(names()["stacks"]),
        st.sampled_from([1, 2, 4, 8]),
        st.sampled_from([None, Precision.BITS_16, Precision.BITS_4]),
    )
    .filter(lambda made: made is not None)
    .map(lambda made: made or _never())
)
batches = st.integers(1, 512)
contexts = st.floats(1, 100_000)
prompts_per_sequence = st.floats(0, 20)


def _never() -> Deployment:
    raise AssertionError("filtered out")


@given(deployments, batches, contexts, prompts_per_sequence)
def test_energy_of_a_token_does_not_rise_with_the_batch(
    made: Deployment, batch: int, context: float, prompt_tokens: float
) -> None:
    smaller = step(made, batch, context, prompt_tokens * batch)
    larger = step(made, batch + 1, context, prompt_tokens * (batch + 1))
    assert larger.energy_j / (batch + 1) <= smaller.energy_j / batch * ROUNDING


@given(deployments, batches, contexts, st.floats(0, 8192))
def test_power_lies_between_idle_and_the_limit(
    made: Deployment, batch: int, context: float, prompt_tokens: float
) -> None:
    for one in (step(made, batch, context, prompt_tokens), prefill(made, prompt_tokens + 1)):
        assert one.power_w <= made.gpu.limit_w * ROUNDING
        assert one.energy_j * ROUNDING >= made.gpus * made.gpu.context_idle_w * one.duration_s
        assert math.isclose(one.energy_j, made.gpus * one.power_w * one.duration_s, rel_tol=1e-9)


@given(
    st.sampled_from(names()["models"]),
    st.sampled_from(["h100-sxm", "b200-sxm", "a100-sxm-80gb"]),
    st.sampled_from([2, 4]),
    batches,
    contexts,
)
def test_twice_the_gpus_never_lower_the_energy_of_a_token(
    model: str, gpu: str, gpus: int, batch: int, context: float
) -> None:
    few, many = (_deployment(gpu, model, "vllm-0.11", count, Precision.BITS_16) for count in (gpus, 2 * gpus))
    assert few is not None
    assert many is not None
    assert step(many, batch, context).energy_j * ROUNDING >= step(few, batch, context).energy_j


@given(st.integers(64, 512), st.floats(1, 2000))
def test_fp8_wins_at_large_batches(batch: int, context: float) -> None:
    for gpu in ("h100-sxm", "b200-sxm"):
        full, quantised = (
            _deployment(gpu, "llama-3.1-8b", "vllm-0.11", 1, precision)
            for precision in (Precision.BITS_16, Precision.FP8)
        )
        assert full is not None
        assert quantised is not None
        assert step(quantised, batch, context).energy_j < step(full, batch, context).energy_j


@given(deployments, batches, contexts, st.floats(0, 8192), st.floats(1, 4096))
def test_more_prompt_tokens_never_make_a_step_cheaper(
    made: Deployment, batch: int, context: float, prompt_tokens: float, more_tokens: float
) -> None:
    less = step(made, batch, context, prompt_tokens)
    more = step(made, batch, context, prompt_tokens + more_tokens)
    assert more.duration_s >= less.duration_s
    assert more.energy_j * ROUNDING >= less.energy_j


@given(
    deployments,
    st.lists(st.floats(1, 50_000), max_size=40),
    st.lists(st.integers(1, 8192), max_size=8),
    st.floats(1e-6, 1e6),
)
def test_shares_of_a_step_conserve_its_energy(
    made: Deployment, context_tokens: list[float], prompt_tokens: list[int], total_j: float
) -> None:
    if not context_tokens and not prompt_tokens:
        return
    squared = math.fsum(tokens * tokens for tokens in prompt_tokens)
    mean_context = math.fsum(context_tokens) / max(1, len(context_tokens))
    one = step(made, len(context_tokens), mean_context, sum(prompt_tokens), squared)
    shares = step_shares_ratio(made, one, context_tokens, prompt_tokens)
    assert len(shares) == len(context_tokens) + len(prompt_tokens)
    assert min(shares) >= 0.0
    assert math.isclose(math.fsum(share * total_j for share in shares), total_j, rel_tol=1e-12)


@given(st.floats(0, 1e9), st.lists(st.floats(0, 1e9), min_size=1, max_size=200))
def test_parts_of_a_total_sum_to_it(total_j: float, weights: list[float]) -> None:
    assert math.isclose(math.fsum(split_j(total_j, weights)), total_j, rel_tol=1e-12, abs_tol=TINY_J)


@given(
    deployments,
    st.floats(0, 1e9),
    st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 10_000)), min_size=1, max_size=60),
    st.floats(0, 256),
)
def test_a_metered_window_is_conserved(
    made: Deployment, total_j: float, tokens: list[tuple[int, int]], batch: float
) -> None:
    prompts, outputs = [prompt for prompt, _ in tokens], [output for _, output in tokens]
    parts = split_window_j(made, total_j, prompts, outputs, batch_sequences=batch, mean_context_tokens=700.0)
    assert math.isclose(math.fsum(parts), total_j, rel_tol=1e-12, abs_tol=TINY_J)
