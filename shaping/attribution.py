"""Whose joules: splits energy over requests so that the parts sum to the whole.

Decides shares only. Whole-GPU energy over each request's lifetime would count the same joules once for each request in
the batch, so every rule here divides one total. Knows no meter: the total may be metered or modelled.
Source: energy_model 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from shaping.energy import Deployment, Step, prefill, step


class IdlePolicy(StrEnum):
    """Who pays for the time in which a warm worker did nothing."""

    NONE = "none"  # nobody: only marginal joules are attributed
    PROPORTIONAL = "proportional"  # everyone, by active joules
    REQUESTER = "requester"  # who asked for the warm worker


def step_shares_ratio(
    deployment: Deployment,
    made: Step,
    context_tokens: Sequence[float],
    prompt_tokens: Sequence[float] = (),
) -> list[float]:
    """The share of each decoding sequence, then of each prompt, in the energy of one step; they sum to 1.

    Memory time is shared by the weights, equally, and by each sequence's own KV. Compute time is shared by operations:
    one token for a sequence, all its tokens and their attention for a prompt. Prompts alone share by operations only;
    cached prefix tokens, not being among `prompt_tokens`, cost nothing.
    """
    operations = _operations(deployment, len(context_tokens), prompt_tokens)
    if not context_tokens:
        return _normalised(operations)
    model = deployment.model
    kv_bytes = [model.kv_bytes(tokens) + model.state_bytes for tokens in context_tokens] + [0.0] * len(prompt_tokens)
    kv_s = sum(kv_bytes) * deployment.rates.s_per_kv_byte
    weights_s = max(0.0, made.memory_s - kv_s)
    equal_s = weights_s / len(kv_bytes)
    compute_s_per_operation = made.compute_s / sum(operations)
    return _normalised(
        [
            equal_s + own_bytes * deployment.rates.s_per_kv_byte + own_operations * compute_s_per_operation
            for own_bytes, own_operations in zip(kv_bytes, operations, strict=True)
        ]
    )


def split_j(total_j: float, weights: Sequence[float]) -> list[float]:
    """A total over weights of any scale, conserving it to rounding; equal parts when all weights are zero."""
    if not weights:
        raise ValueError("energy cannot be split over nobody")
    weight_sum = sum(weights)
    if weight_sum <= 0.0:
        return [total_j / len(weights)] * len(weights)
    return [total_j * (weight / weight_sum) for weight in weights]


def split_window_j(
    deployment: Deployment,
    total_j: float,
    prompt_tokens: Sequence[int],
    output_tokens: Sequence[int],
    *,
    batch_sequences: float,
    mean_context_tokens: float,
) -> list[float]:
    """A window's metered total over its requests when only their tokens are known.

    One weight for a prompt token and one for an output token, from the model at the window's mean batch.
    """
    prompt_j, output_j = token_weights_j(deployment, batch_sequences, mean_context_tokens)
    pairs = zip(prompt_tokens, output_tokens, strict=True)
    return split_j(total_j, [prompt_j * prompt + output_j * output for prompt, output in pairs])


def token_weights_j(deployment: Deployment, batch_sequences: float, mean_context_tokens: float) -> tuple[float, float]:
    """What one prompt token and one output token cost at this mean batch: w_p and w_o."""
    prompt_tokens = max(1.0, mean_context_tokens)
    made = step(deployment, max(1.0, batch_sequences), mean_context_tokens)
    return prefill(deployment, prompt_tokens).energy_j / prompt_tokens, made.energy_j / max(1.0, batch_sequences)


def split_idle_j(
    idle_j: float, active_j: Sequence[float], policy: IdlePolicy, *, requester: int | None = None
) -> list[float]:
    """Idle energy over the requests of a window. Under NONE each part is zero and the idle energy stays apart.

    Raises ValueError under REQUESTER without the index of who asked.
    """
    match policy:
        case IdlePolicy.NONE:
            return [0.0] * len(active_j)
        case IdlePolicy.PROPORTIONAL:
            return split_j(idle_j, active_j)
        case IdlePolicy.REQUESTER:
            if requester is None:
                raise ValueError("idle policy 'requester' needs the index of the request that asked for the worker")
            return [idle_j if index == requester else 0.0 for index in range(len(active_j))]


def _operations(deployment: Deployment, sequences: int, prompt_tokens: Sequence[float]) -> list[float]:
    rates = deployment.rates
    prompts = [
        rates.flops_per_prompt_token * tokens + rates.flops_per_squared_token * tokens * tokens
        for tokens in prompt_tokens
    ]
    return [rates.flops_per_token] * sequences + prompts


def _normalised(parts: Sequence[float]) -> list[float]:
    total = sum(parts)
    return [part / total for part in parts]
