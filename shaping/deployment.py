"""What serves a model: GPU, model and serving stack as data, and the constants of a deployment folded from them.

Decides which efficiency, peak and synchronisation apply to which precision and architecture. Knows no batch: what a
step costs is energy.py's. Source of the equations: energy_model 2.1 and 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from shaping.correction import Correction, CorrectionNumbers, correction_numbers

USABLE_MEMORY_RATIO = 0.9  # of the GPU's memory: the serving engines' own default, the rest is activations and context
_ACTIVATION_BYTES = 2  # what is all-reduced between GPUs is 16 bit


class Precision(StrEnum):
    """How weights are stored; KV stays at 16 bit."""

    BITS_16 = "16bit"
    FP8 = "fp8"
    INT8 = "int8"
    BITS_4 = "4bit"


BYTES_PER_WEIGHT = {
    Precision.BITS_16: 2.0,
    Precision.FP8: 1.0,
    Precision.INT8: 1.0,
    Precision.BITS_4: 0.53,  # block formats carry their scales
}


class ErrorClass(StrEnum):
    """How well a profile is known; orders the error bands printed beside every number derived from it."""

    METERED = "metered"
    CALIBRATED = "calibrated"
    DEFAULT = "default"  # constants fitted to or measured on this GPU
    DATASHEET = "datasheet"  # constants taken over from another GPU


class ProfileError(ValueError):
    """A profile that does not exist, or a deployment that its profiles do not allow. The caller's to mend."""

    def __init__(self, what: str, *, remedy: str = "") -> None:
        self.what, self.remedy = what, remedy
        super().__init__(f"{what}; {remedy}" if remedy else what)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProfile:
    """One kind of GPU: datasheet peaks without sparsity, efficiencies and the power line. Source: gpus.toml."""

    name: str
    architecture: str
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float
    peak_16bit_flops_per_s: float
    peak_fp8_flops_per_s: float | None
    interconnect_bytes_per_s: float | None  # one direction
    memory_efficiency_ratio: float
    compute_efficiency_ratio: float
    prefill_efficiency_ratio: float
    expert_bandwidth_ratio: float
    expert_compute_ratio: float
    fp8_bandwidth_ratio: float
    fp8_expert_bandwidth_ratio: float  # in the place of fp8_bandwidth_ratio in a mixture of experts
    bare_idle_w: float
    context_idle_w: float
    busy_floor_w: float
    busy_per_memory_ratio_w: float  # watts added at full memory utilisation
    busy_per_compute_ratio_w: float
    expert_busy_per_compute_ratio_w: float  # in its place in a mixture, whose experts compute in many small pieces
    fp8_expert_busy_w: float  # more than 16-bit experts draw
    limit_w: float
    error_class: ErrorClass = ErrorClass.DATASHEET
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """Architecture constants of one model. `kv_bytes_per_token` counts all layers at 16 bit. Source: models.toml."""

    name: str
    total_params: float
    active_params: float
    layers: int
    hidden_size: int
    kv_bytes_per_token: float
    state_bytes: float = 0.0  # recurrent state read plus written by one sequence in one step
    prompt_work_ratio: float = 1.0  # what a prompt token costs in terms of an output token's operations
    experts: int | None = None
    experts_per_token: int | None = None
    window_tokens: int | None = None
    window_layer_ratio: float = 0.0
    precision: Precision = Precision.BITS_16
    source: str = ""

    @property
    def is_mixture(self) -> bool:
        return self.experts is not None

    def kv_bytes(self, context_tokens: float) -> float:
        """KV bytes of one sequence; windowed layers count at most their window."""
        return windowed_kv_bytes(
            context_tokens, self.kv_bytes_per_token, self.window_layer_ratio, self.window_or_endless_tokens
        )

    @property
    def window_or_endless_tokens(self) -> float:
        return math.inf if self.window_tokens is None else self.window_tokens


def windowed_kv_bytes(
    context_tokens: float, kv_bytes_per_token: float, window_layer_ratio: float, window_tokens: float
) -> float:
    """KV bytes of one sequence; windowed layers count at most their window."""
    if context_tokens <= window_tokens:
        return context_tokens * kv_bytes_per_token
    return (context_tokens - window_layer_ratio * (context_tokens - window_tokens)) * kv_bytes_per_token


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTimes:
    """Time of a step that is not the GPU's own work."""

    step_s: float
    per_sequence_s: float
    tensor_parallel_s_per_layer: float
    expert_parallel_s_per_layer: float
    fp8_expert_s_per_layer: float = 0.0  # launching the further kernels that experts in FP8 need
    synchronisation_is_idle: bool = False  # GPUs that wait for each other draw their context power


@dataclass(frozen=True, slots=True, kw_only=True)
class StackProfile:
    """One serving stack: host times by GPU architecture, `other` where nothing was measured. Source: stacks.toml."""

    name: str
    hosts: Mapping[str, HostTimes]
    host_gap_is_idle: bool = False
    source: str = ""

    def host(self, architecture: str) -> HostTimes:
        return self.hosts.get(architecture, self.hosts["other"])


class Rates(NamedTuple):
    """Constants of a deployment folded once, so that a step is some twenty multiplications.

    Numbers only: the simulator compiles what works on them.
    """

    dense_weight_bytes: float  # read in every step
    expert_weight_bytes: float  # read as far as touched
    untouched_ratio: float  # share of experts that one token does not touch
    s_per_weight_byte: float
    s_per_kv_byte: float
    s_per_flop: float
    prefill_s_per_flop: float
    flops_per_token: float
    flops_per_prompt_token: float  # what a token of a prompt takes instead
    flops_per_squared_token: float
    host_step_s: float
    host_sequence_s: float
    sync_step_s: float
    sync_token_s: float
    bandwidth_bytes_per_s: float  # of all GPUs
    peak_flops_per_s: float  # of all GPUs
    kv_bytes_per_token: float
    state_bytes: float
    window_layer_ratio: float
    window_tokens: float  # endless where there is none
    gpus: float
    context_idle_w: float
    busy_floor_w: float
    busy_per_memory_ratio_w: float
    busy_per_compute_ratio_w: float
    limit_w: float
    host_gap_is_idle: bool
    synchronisation_is_idle: bool
    is_corrected: bool
    correction: CorrectionNumbers  # does nothing where nothing was calibrated


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A model on `gpus` GPUs of one kind under one serving stack. `precision` None means the model's own.

    `expert_parallel` None means: for a mixture of experts on several GPUs. `correction` is what calibration found.
    Raises ProfileError.
    """

    gpu: GpuProfile
    model: ModelProfile
    stack: StackProfile
    gpus: int = 1
    precision: Precision | None = None
    expert_parallel: bool | None = None
    correction: Correction | None = None
    rates: Rates = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.gpus < 1:
            raise ProfileError(f"a deployment needs at least one GPU, not {self.gpus}")
        object.__setattr__(self, "rates", _rates(self))

    @property
    def error_class(self) -> ErrorClass:
        """How well the numbers of this deployment are known."""
        return self.gpu.error_class if self.correction is None else ErrorClass.CALIBRATED

    @property
    def weight_precision(self) -> Precision:
        return self.precision or self.model.precision

    @property
    def weight_bytes(self) -> float:
        return BYTES_PER_WEIGHT[self.weight_precision] * self.model.total_params

    @property
    def kv_capacity_bytes(self) -> float:
        """Memory left for KV beside the weights; zero or less when the weights alone do not fit."""
        return USABLE_MEMORY_RATIO * self.gpu.memory_bytes * self.gpus - self.weight_bytes


def _rates(deployment: Deployment) -> Rates:
    gpu, model = deployment.gpu, deployment.model
    dense_bytes, expert_bytes, untouched_ratio = _weights(deployment)
    bandwidth_ratio, compute_ratio = _efficiencies(deployment)
    host = deployment.stack.host(gpu.architecture)
    bandwidth_bytes_per_s = gpu.memory_bandwidth_bytes_per_s * deployment.gpus
    peak_flops_per_s = _peak_flops_per_s(deployment) * deployment.gpus
    sync_step_s, sync_token_s = _synchronisation(deployment, host)
    floor_w, per_compute_ratio_w = _powers_w(deployment)
    return Rates(
        dense_weight_bytes=dense_bytes,
        expert_weight_bytes=expert_bytes,
        untouched_ratio=untouched_ratio,
        s_per_weight_byte=1.0 / (gpu.memory_efficiency_ratio * bandwidth_ratio * bandwidth_bytes_per_s),
        s_per_kv_byte=1.0 / (gpu.memory_efficiency_ratio * bandwidth_bytes_per_s),
        s_per_flop=1.0 / (gpu.compute_efficiency_ratio * compute_ratio * peak_flops_per_s),
        prefill_s_per_flop=1.0 / (gpu.prefill_efficiency_ratio * compute_ratio * peak_flops_per_s),
        flops_per_token=2.0 * model.active_params,
        flops_per_prompt_token=2.0 * model.active_params * model.prompt_work_ratio,
        flops_per_squared_token=2.0 * model.layers * model.hidden_size,
        host_step_s=host.step_s + _launching_s(deployment, host),
        host_sequence_s=host.per_sequence_s,
        sync_step_s=sync_step_s,
        sync_token_s=sync_token_s,
        bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        peak_flops_per_s=peak_flops_per_s,
        kv_bytes_per_token=model.kv_bytes_per_token,
        state_bytes=model.state_bytes,
        window_layer_ratio=model.window_layer_ratio,
        window_tokens=model.window_or_endless_tokens,
        gpus=float(deployment.gpus),
        context_idle_w=gpu.context_idle_w,
        busy_floor_w=floor_w,
        busy_per_memory_ratio_w=gpu.busy_per_memory_ratio_w,
        busy_per_compute_ratio_w=per_compute_ratio_w,
        limit_w=gpu.limit_w,
        host_gap_is_idle=deployment.stack.host_gap_is_idle,
        synchronisation_is_idle=host.synchronisation_is_idle,
        is_corrected=deployment.correction is not None,
        correction=correction_numbers(deployment.correction),
    )


def _weights(deployment: Deployment) -> tuple[float, float, float]:
    """Bytes read always, bytes of experts, and the share of experts that one token leaves untouched."""
    model = deployment.model
    if model.experts is None or model.experts_per_token is None or model.experts_per_token >= model.experts:
        return deployment.weight_bytes, 0.0, 1.0
    untouched_ratio = 1.0 - model.experts_per_token / model.experts
    expert_params = (model.total_params - model.active_params) / untouched_ratio
    per_weight = BYTES_PER_WEIGHT[deployment.weight_precision]
    return per_weight * (model.total_params - expert_params), per_weight * expert_params, untouched_ratio


def _efficiencies(deployment: Deployment) -> tuple[float, float]:
    """r_w and r_f: what mixture of experts and FP8 keep of the dense 16-bit efficiency; they multiply."""
    gpu = deployment.gpu
    bandwidth_ratio, compute_ratio = 1.0, 1.0
    if deployment.model.is_mixture:
        bandwidth_ratio, compute_ratio = gpu.expert_bandwidth_ratio, gpu.expert_compute_ratio
    if deployment.weight_precision is Precision.FP8:
        bandwidth_ratio *= gpu.fp8_expert_bandwidth_ratio if deployment.model.is_mixture else gpu.fp8_bandwidth_ratio
    return bandwidth_ratio, compute_ratio


def _powers_w(deployment: Deployment) -> tuple[float, float]:
    """Power of a GPU that is busy with nothing, and what full use of its arithmetic adds."""
    gpu = deployment.gpu
    if not deployment.model.is_mixture:
        return gpu.busy_floor_w, gpu.busy_per_compute_ratio_w
    fp8_w = gpu.fp8_expert_busy_w if deployment.weight_precision is Precision.FP8 else 0.0
    return gpu.busy_floor_w + fp8_w, gpu.expert_busy_per_compute_ratio_w


def _launching_s(deployment: Deployment, host: HostTimes) -> float:
    """Time of a step that experts in FP8 take beyond those in 16 bit."""
    is_fp8_mixture = deployment.model.is_mixture and deployment.weight_precision is Precision.FP8
    return deployment.model.layers * host.fp8_expert_s_per_layer if is_fp8_mixture else 0.0


def _peak_flops_per_s(deployment: Deployment) -> float:
    gpu = deployment.gpu
    if deployment.weight_precision is not Precision.FP8:
        return gpu.peak_16bit_flops_per_s
    if gpu.peak_fp8_flops_per_s is None:
        raise ProfileError(
            f"{gpu.name} has no FP8 arithmetic, which {deployment.model.name} in fp8 needs",
            remedy="choose another GPU or precision 16bit",
        )
    return gpu.peak_fp8_flops_per_s


def _synchronisation(deployment: Deployment, host: HostTimes) -> tuple[float, float]:
    """Time per step and per new token that several GPUs spend agreeing; zero for one."""
    model = deployment.model
    if deployment.gpus == 1:
        return 0.0, 0.0
    if deployment.gpu.interconnect_bytes_per_s is None:
        raise ProfileError(
            f"{deployment.gpu.name} has no GPU interconnect on record, so {deployment.gpus} of them cannot be modelled",
            remedy="use one GPU per worker",
        )
    is_expert_parallel = model.is_mixture if deployment.expert_parallel is None else deployment.expert_parallel
    per_layer_s = host.expert_parallel_s_per_layer if is_expert_parallel else host.tensor_parallel_s_per_layer
    exchanged_bytes = 2.0 * model.layers * model.hidden_size * _ACTIVATION_BYTES
    return model.layers * per_layer_s, exchanged_bytes / deployment.gpu.interconnect_bytes_per_s
