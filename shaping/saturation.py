"""What a worker yields while its batch stays full: speed, power and energy of a token, with their bands.

Decides how traffic (prompt and output lengths) becomes the mean step of continuous batching, or the steps of a static
batch. The step itself is energy.py's. Source: energy_model 2.1, 2.4 and 5.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from shaping.deployment import Deployment, ErrorClass
from shaping.energy import idle_energy_j, prefill, step
from shaping.uncertainty import Band, band

# Mean context over the steps of a request, beyond its prompt: half the output if all were equally long, more
# because long answers stay longer in the batch.
CONTEXT_OF_OUTPUT_RATIO = 0.8
_EQUAL_LENGTHS_RATIO = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Mean lengths of the requests of a worker."""

    prompt_tokens: float
    output_tokens: float
    preparation_s: float = 0.0  # of each request, in which the GPU waits for the host: images and video to decode

    def __post_init__(self) -> None:
        if not (self.prompt_tokens >= 0 and self.output_tokens > 0 and self.preparation_s >= 0):
            raise ValueError("a request has no negative prompt or preparation, and at least some output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """Speed and energy at one batch. Power is of one GPU, energy and speed of the whole deployment."""

    batch_sequences: float
    step_s: float
    power_w: float
    tokens_per_s: float
    j_per_token: float
    j_per_request: float
    limit_w: float
    error_class: ErrorClass

    def band_of(self, name: str) -> Band:
        """The 80% band of `j_per_token` or of any other number here; all share the class of the profile."""
        low, high = band(float(getattr(self, name)), self.error_class)
        return Band(low, min(high, self.limit_w) if name == "power_w" else high)


def saturated(deployment: Deployment, batch_sequences: float, traffic: Traffic) -> Yield:
    """Continuous batching with the batch full: each step decodes one token a sequence and takes in prompts besides."""
    context_tokens = traffic.prompt_tokens + CONTEXT_OF_OUTPUT_RATIO * traffic.output_tokens
    prefill_tokens = batch_sequences * traffic.prompt_tokens / traffic.output_tokens
    made = step(deployment, batch_sequences, context_tokens, prefill_tokens)
    waiting_s = batch_sequences * traffic.preparation_s / traffic.output_tokens
    energy_j = made.energy_j + idle_energy_j(deployment, waiting_s)
    return _yield(deployment, batch_sequences, traffic, made.duration_s + waiting_s, energy_j)


def static_batch(deployment: Deployment, batch_sequences: float, traffic: Traffic) -> Yield:
    """One batch from its prompts to its last token, equally long, nobody joining; `step_s` is the mean per token."""
    prompts_tokens = batch_sequences * traffic.prompt_tokens
    taken_in = prefill(deployment, prompts_tokens, prompts_tokens * traffic.prompt_tokens)
    context_tokens = traffic.prompt_tokens + _EQUAL_LENGTHS_RATIO * traffic.output_tokens
    decoded = step(deployment, batch_sequences, context_tokens)
    steps = traffic.output_tokens - 1.0  # the prefill makes the first token
    duration_s = (taken_in.duration_s + steps * decoded.duration_s) / traffic.output_tokens
    energy_j = (taken_in.energy_j + steps * decoded.energy_j) / traffic.output_tokens
    return _yield(deployment, batch_sequences, traffic, duration_s, energy_j)


def _yield(
    deployment: Deployment, batch_sequences: float, traffic: Traffic, duration_s: float, energy_j: float
) -> Yield:
    return Yield(
        batch_sequences=batch_sequences,
        step_s=duration_s,
        power_w=energy_j / duration_s / deployment.gpus,
        tokens_per_s=batch_sequences / duration_s,
        j_per_token=energy_j / batch_sequences,
        j_per_request=energy_j / batch_sequences * traffic.output_tokens,
        limit_w=deployment.gpu.limit_w,
        error_class=deployment.error_class,
    )
