"""What requests are sent to: [[worker]] and [[model_pool]] of the settings. Calls no worker and chooses no model."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.engine_settings import EngineSettings
from scheduler.setting_values import STRICT, Duration


class WorkerRole(StrEnum):
    """Which phases of a call a worker takes."""

    BOTH = "both"  # whole calls only
    PREFILL = "prefill"  # reads prompts and hands their KV cache over
    DECODE = "decode"  # writes what a prefill worker has read; whole calls as well


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WorkerSettings(EngineSettings):
    """[[worker]]: an OpenAI-compatible inference server behind the gateway."""

    url: Annotated[str, Field(pattern=r"^https?://", description="Base address, without /v1.")]
    models: Annotated[tuple[str, ...], Field(min_length=1, description="Model names that it serves.")]
    region: Annotated[str, Field(min_length=1, description="Region whose grid feeds it.")]
    gpu: Annotated[str, Field(description="GPU profile for modelled energy.")] = "h100-sxm"
    gpus: Annotated[int, Field(ge=1, description="GPUs of this worker.")] = 1
    profile: Annotated[str, Field(description="Model profile for modelled energy; empty: the first of `models`.")] = ""
    calibration: Annotated[
        str,
        Field(description="Points that `slacktide profiles calibrate --write-points` wrote, or a telemetry log of it."),
    ] = ""
    calibration_prompt_tokens: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="Mean prompt behind the points, where the file says none.")
    ] = 350
    calibration_output_tokens: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="Mean output behind the points, where the file says none.")
    ] = 400
    max_sequences: Annotated[int, Field(ge=1, description="Requests it runs at once.")] = 64
    kv_tokens: Annotated[int | None, Field(description="Tokens its KV cache holds; unset: not limited here.")] = None
    adapters: Annotated[
        tuple[str, ...], Field(description="Model names of the adapters (LoRA) that it serves on its first model.")
    ] = ()
    max_adapters: Annotated[
        int | None, Field(ge=1, description="Different adapters that run at once; unset: not limited here.")
    ] = None
    prefix_cache_tokens: Annotated[
        int, Field(ge=0, description="Prompt tokens its prefix cache keeps for reuse; 0: none is counted on.")
    ] = 0
    devices: Annotated[
        tuple[str, ...],
        Field(
            description="Indices (as `nvidia-smi -L`) or UUIDs of its GPUs, here or where its `agent` runs: for NVML."
        ),
    ] = ()
    agent: Annotated[
        str, Field(description="Name of the [[agent]] that meters `devices`; empty: they are in this machine.")
    ] = ""
    timeout_s: Annotated[Duration, Field(gt=0, description="Longest silence of the worker before giving up.")] = 300.0
    sleep_level: Annotated[
        int, Field(ge=1, le=2, description="Level of vLLM's sleep: 1 keeps the weights in main memory, 2 drops them.")
    ] = 1
    start_command: Annotated[
        tuple[str, ...], Field(description="Argument list that starts it; with stop_command instead of sleep calls.")
    ] = ()
    stop_command: Annotated[tuple[str, ...], Field(description="Argument list that stops it; waited for.")] = ()
    role: Annotated[
        WorkerRole, Field(description="both, or its part in handing prompts over (vLLM's kv_transfer_params).")
    ] = WorkerRole.BOTH
    shares_gpu: Annotated[
        str, Field(description="Name of GPUs that it shares with other workers, which take turns: one is awake.")
    ] = ""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelPoolSettings:
    """[[model_pool]]: a name under which callers leave the choice of the model to the router."""

    name: Annotated[str, Field(pattern=r"^[^\s:]+$", description="What callers write as `model`, such as auto.")]
    candidates: Annotated[
        tuple[str, ...], Field(min_length=1, description="Models of the workers to choose from; cheap ones first.")
    ]
    router: Annotated[
        str, Field(description="Model file that `slacktide router train` wrote; a cascade needs none.")
    ] = ""
    cascade: Annotated[
        bool, Field(description="Ask the candidates in order, until one is sure of its answer, instead of the router.")
    ] = False
    sure_ratio: Annotated[
        float, Field(ge=0, le=1, description="Cascade: least mean token probability at which an answer stands.")
    ] = 0.8
    estimates: Annotated[
        tuple[str, ...],
        Field(description="Which estimate in the file is each candidate's, such as weak, strong; empty: their names."),
    ] = ()
    floor_ratio: Annotated[
        float, Field(ge=0, le=1, description="Least chance of a good answer for a model to be chosen as cheaper.")
    ] = 0.5
    eco_floor_ratio: Annotated[float, Field(ge=0, le=1, description="The same for callers who ask for eco.")] = 0.3
    budget_kwh: Annotated[float | None, Field(gt=0, description="Energy for each window; unset: no limit.")] = None
    budget_gco2e: Annotated[
        float | None, Field(gt=0, description="Emissions for each window, instead of budget_kwh.")
    ] = None
    budget_window_s: Annotated[Duration, Field(gt=0, description="How long a budget has to last.")] = 86400.0
