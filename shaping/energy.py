"""What a batch costs: seconds and joules of one step on one deployment, by physics and few fitted constants.

Decides duration and power from the work of a step: bytes of weights and KV read, operations done, host time. Knows no
clock, no file and no meter: profiles come as data, and a metered value always wins over what is computed here.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple

from shaping.correction import line_ratio, within_batch
from shaping.deployment import (
    USABLE_MEMORY_RATIO,
    Deployment,
    ErrorClass,
    GpuProfile,
    HostTimes,
    ModelProfile,
    Precision,
    ProfileError,
    Rates,
    StackProfile,
    windowed_kv_bytes,
)

__all__ = [
    "Deployment",
    "ErrorClass",
    "GpuProfile",
    "GpuState",
    "HostTimes",
    "ModelProfile",
    "Precision",
    "ProfileError",
    "StackProfile",
    "Step",
    "fewest_gpus",
    "idle_energy_j",
    "idle_power_w",
    "kv_capacity_tokens",
    "max_batch_sequences",
    "prefill",
    "step",
]


class GpuState(StrEnum):
    """What one GPU is doing; only a busy one draws by its work."""

    OFF = "off"
    BARE_IDLE = "bare_idle"  # no process
    CONTEXT_IDLE = "context_idle"  # a model resident, no work: clocks are up
    BUSY = "busy"


class Step(NamedTuple):
    """What one step takes. A NamedTuple for speed: a simulation makes one for each of millions of steps."""

    duration_s: float
    power_w: float  # mean of one GPU over the step
    energy_j: float  # of all GPUs
    memory_utilisation_ratio: float
    compute_utilisation_ratio: float
    memory_s: float  # part spent reading weights and KV, before calibration: it counts beside compute_s only
    compute_s: float  # part spent on operations, likewise


def step(
    deployment: Deployment,
    batch_sequences: float,
    mean_context_tokens: float,
    prefill_tokens: float = 0.0,
    prefill_squared_tokens: float = 0.0,
) -> Step:
    """One engine step that decodes one token for each sequence and takes in some prompt tokens besides.

    `prefill_squared_tokens` is the sum of squared prompt lengths, for attention; it matters above about 8k tokens.
    Without sequences it is `prefill`. Source: energy_model 2.1 to 2.3, additive step time.
    """
    if batch_sequences <= 0:
        return prefill(deployment, prefill_tokens, prefill_squared_tokens)
    return decode_step(deployment.rates, batch_sequences, mean_context_tokens, prefill_tokens, prefill_squared_tokens)


def prefill(deployment: Deployment, prompt_tokens: float, prompt_squared_tokens: float | None = None) -> Step:
    """Prompts alone, with nothing decoding beside them: the larger of one weight read and the operations.

    `prompt_squared_tokens` is the sum of squares over several prompts; None means one prompt.
    Raises ValueError without tokens. Source: energy_model 2.2, prefill alone.
    """
    if prompt_tokens <= 0:
        raise ValueError("a step needs sequences to decode or prompt tokens to take in")
    squared = prompt_tokens * prompt_tokens if prompt_squared_tokens is None else prompt_squared_tokens
    return prompt_step(deployment.rates, prompt_tokens, squared)


# -- the same in plain numbers, for the simulator compiles it ----------------------------------------------------------


def decode_step(
    rates: Rates,
    batch_sequences: float,
    mean_context_tokens: float,
    prefill_tokens: float,
    prefill_squared_tokens: float,
) -> Step:
    """`step` with at least one sequence to decode."""
    new_tokens = batch_sequences + prefill_tokens
    weight_bytes = rates.dense_weight_bytes
    if rates.expert_weight_bytes:
        weight_bytes += rates.expert_weight_bytes * (1.0 - math.pow(rates.untouched_ratio, batch_sequences))
    context_bytes = windowed_kv_bytes(
        mean_context_tokens, rates.kv_bytes_per_token, rates.window_layer_ratio, rates.window_tokens
    )
    kv_bytes = batch_sequences * (context_bytes + rates.state_bytes)
    flops = (
        rates.flops_per_token * batch_sequences
        + rates.flops_per_prompt_token * prefill_tokens
        + rates.flops_per_squared_token * prefill_squared_tokens
    )
    memory_s = weight_bytes * rates.s_per_weight_byte + kv_bytes * rates.s_per_kv_byte
    compute_s = flops * rates.s_per_flop
    device_s = memory_s + compute_s + rates.sync_token_s * new_tokens
    host_s = rates.host_step_s + rates.host_sequence_s * batch_sequences
    made = powered(rates, weight_bytes + kv_bytes, flops, memory_s, compute_s, device_s, rates.sync_step_s, host_s)
    return corrected(rates, made, batch_sequences) if rates.is_corrected else made


def prompt_step(rates: Rates, prompt_tokens: float, prompt_squared_tokens: float) -> Step:
    """`prefill` with at least one token."""
    weight_bytes = rates.dense_weight_bytes
    if rates.expert_weight_bytes:
        weight_bytes += rates.expert_weight_bytes * (1.0 - math.pow(rates.untouched_ratio, prompt_tokens))
    flops = rates.flops_per_prompt_token * prompt_tokens + rates.flops_per_squared_token * prompt_squared_tokens
    memory_s = weight_bytes * rates.s_per_weight_byte
    compute_s = flops * rates.prefill_s_per_flop
    made = powered(rates, weight_bytes, flops, memory_s, compute_s, max(memory_s, compute_s), 0.0, rates.host_step_s)
    # Nothing was measured of prompts alone; the smallest batch has the fewest of them beside its decoding.
    return corrected(rates, made, rates.correction.from_batch) if rates.is_corrected else made


def powered(
    rates: Rates,
    read_bytes: float,
    flops: float,
    memory_s: float,
    compute_s: float,
    device_s: float,
    waiting_s: float,
    host_s: float,
) -> Step:
    """Power from utilisation; where a GPU idles while it waits for others or the host, that counts at context power."""
    duration_s = device_s + waiting_s + host_s
    busy_s = device_s
    if not rates.synchronisation_is_idle:
        busy_s += waiting_s
    if not rates.host_gap_is_idle:
        busy_s += host_s
    memory_ratio = read_bytes / (busy_s * rates.bandwidth_bytes_per_s)
    compute_ratio = flops / (busy_s * rates.peak_flops_per_s)
    busy_w = (
        rates.busy_floor_w
        + rates.busy_per_memory_ratio_w * memory_ratio
        + rates.busy_per_compute_ratio_w * compute_ratio
    )
    per_gpu_j = min(rates.limit_w, busy_w) * busy_s + rates.context_idle_w * (duration_s - busy_s)
    return Step(
        duration_s,
        per_gpu_j / duration_s,
        per_gpu_j * rates.gpus,
        memory_ratio,
        compute_ratio,
        memory_s,
        compute_s,
    )


def corrected(rates: Rates, made: Step, batch_sequences: float) -> Step:
    """The step as calibrated. Power stays between the context's and the limit, whatever the points say."""
    numbers = rates.correction
    batch = within_batch(numbers.from_batch, numbers.to_batch, batch_sequences)
    time_ratio = line_ratio(numbers.time_ln_ratio, numbers.time_slope_ln_ratio, batch)
    power_ratio = line_ratio(numbers.power_ln_ratio, numbers.power_slope_ln_ratio, batch)
    duration_s = made.duration_s * time_ratio
    power_w = min(rates.limit_w, max(rates.context_idle_w, made.power_w * power_ratio))
    return Step(
        duration_s,
        power_w,
        power_w * duration_s * rates.gpus,
        made.memory_utilisation_ratio / time_ratio,
        made.compute_utilisation_ratio / time_ratio,
        made.memory_s,
        made.compute_s,
    )


# -- beside the steps --------------------------------------------------------------------------------------------------


def idle_power_w(gpu: GpuProfile, state: GpuState) -> float:
    """Power of one GPU that does no work. Raises ValueError for BUSY, whose power is that of its step."""
    match state:
        case GpuState.OFF:
            return 0.0
        case GpuState.BARE_IDLE:
            return gpu.bare_idle_w
        case GpuState.CONTEXT_IDLE:
            return gpu.context_idle_w
        case GpuState.BUSY:
            raise ValueError("a busy GPU draws the power of its step: ask step() or prefill()")


def idle_energy_j(deployment: Deployment, duration_s: float, state: GpuState = GpuState.CONTEXT_IDLE) -> float:
    """Energy of all GPUs of a deployment that does no work for a while."""
    return deployment.gpus * idle_power_w(deployment.gpu, state) * duration_s


def max_batch_sequences(deployment: Deployment, mean_context_tokens: float) -> int:
    """How many sequences of this mean length the KV memory holds at once; 0 when the weights alone do not fit."""
    model = deployment.model
    per_sequence_bytes = (
        model.kv_bytes(mean_context_tokens) + model.state_bytes / 2
    )  # read and written are the same bytes
    return max(0, math.floor(deployment.kv_capacity_bytes / per_sequence_bytes))


def kv_capacity_tokens(deployment: Deployment) -> int:
    """Tokens of KV that fit beside the weights, when every layer keeps every token."""
    return max(0, math.floor(deployment.kv_capacity_bytes / deployment.model.kv_bytes_per_token))


def fewest_gpus(deployment: Deployment) -> int:
    """The smallest number of such GPUs, a power of two as engines want it, that holds the weights and some KV."""
    gpus = 1
    while USABLE_MEMORY_RATIO * deployment.gpu.memory_bytes * gpus <= deployment.weight_bytes:
        gpus *= 2
    return gpus
