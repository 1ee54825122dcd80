"""What one request costs in a batch of its like, before or after it was answered. Knows no worker and no meter."""

from __future__ import annotations

from shaping import energy


def request_energy_j(
    deployment: energy.Deployment,
    *,
    prompt_tokens: int,
    output_tokens: int,
    batch_sequences: int,
    cached_tokens: int = 0,
) -> float:
    """GPU energy of one request among `batch_sequences` like it: its share of every step it took part in.

    `cached_tokens` of its prompt are not read again, but looked back on like the others.

    Source: energy_model 2.2 and 4.3, prompts taken in beside the decoding of others.
    """
    if output_tokens <= 0:
        squared = max(1.0, float(prompt_tokens**2 - cached_tokens**2))
        return energy.prefill(deployment, max(1, prompt_tokens - cached_tokens), squared).energy_j
    step = energy.step(
        deployment,
        batch_sequences,
        mean_context_tokens=prompt_tokens + output_tokens / 2,
        prefill_tokens=batch_sequences * (prompt_tokens - cached_tokens) / output_tokens,
    )
    return step.energy_j * output_tokens / batch_sequences
