"""Profiles of GPUs, models and serving stacks by name, from the data files beside this one.

Decides what a name means and what a table leaves out; the arithmetic is energy.py's.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from shaping.energy import (
    Deployment,
    ErrorClass,
    GpuProfile,
    HostTimes,
    ModelProfile,
    Precision,
    ProfileError,
    StackProfile,
    fewest_gpus,
)
from shaping.saturation import Traffic

DEFAULT_STACK = "vllm-0.11"
_MOST_LISTED = 20  # names in an error, which is a line of a log
_SMALL_CARD_W = (70.0, 150.0)
_EFFICIENCIES = (
    "memory_efficiency_ratio",
    "compute_efficiency_ratio",
    "prefill_efficiency_ratio",
    "expert_bandwidth_ratio",
    "expert_compute_ratio",
    "fp8_bandwidth_ratio",
)
# What a table without them takes from its own other keys: a mixture of experts is then no different.
_AS_OTHERWISE = {
    "fp8_expert_bandwidth_ratio": "fp8_bandwidth_ratio",
    "expert_busy_per_compute_ratio_w": "busy_per_compute_ratio_w",
}
_POWERS = {
    "bare_idle_w": "bare_idle_tdp_ratio",
    "context_idle_w": "context_idle_tdp_ratio",
    "busy_floor_w": "busy_floor_tdp_ratio",
    "busy_per_memory_ratio_w": "busy_per_memory_tdp_ratio",
    "busy_per_compute_ratio_w": "busy_per_compute_tdp_ratio",
}

Table = Mapping[str, Any]
P = TypeVar("P", bound=GpuProfile | ModelProfile | StackProfile)


def gpu_profile(name: str) -> GpuProfile:
    """The GPU of that name, such as h100-sxm. Raises ProfileError with the nearest names."""
    return _find("GPU", name, _gpus())


def model_profile(name: str) -> ModelProfile:
    """The model of that name (llama-3.1-8b) or published id (meta-llama/Llama-3.1-8B-Instruct). Raises ProfileError."""
    return _find("model", name, _models())


def stack_profile(name: str = DEFAULT_STACK) -> StackProfile:
    """The serving stack of that name. Raises ProfileError."""
    return _find("serving stack", name, _stacks())


def deployment(
    *,
    gpu: str,
    model: str,
    gpus: int = 1,
    stack: str = DEFAULT_STACK,
    precision: Precision | None = None,
) -> Deployment:
    """A model on GPUs, all by name. Raises ProfileError when a name is unknown or the weights do not fit."""
    found = Deployment(
        gpu=gpu_profile(gpu), model=model_profile(model), stack=stack_profile(stack), gpus=gpus, precision=precision
    )
    return fitting(found)


def fitting(found: Deployment) -> Deployment:
    """The deployment itself. Raises ProfileError when its weights leave no memory for anything else."""
    if found.kv_capacity_bytes <= 0:
        raise ProfileError(
            f"{found.model.name} in {found.weight_precision} does not fit on {found.gpus} x {found.gpu.name}",
            remedy=f"it needs at least {fewest_gpus(found)}",
        )
    return found


def task_traffic(name: str, output_tokens: float) -> Traffic:
    """The requests of a published task, by its name and mean output. Raises ProfileError."""
    table: Table = _find("task", name, _read("tasks.toml")["task"])
    return Traffic(
        prompt_tokens=table["prompt_tokens"],
        output_tokens=output_tokens,
        preparation_s=table["preparation_ms"] * 1e-3,
    )


def names() -> dict[str, tuple[str, ...]]:
    """Every profile there is: the names under `gpus`, `models` and `stacks`, sorted."""
    return {
        "gpus": _own_names(_gpus().values()),
        "models": _own_names(_models().values()),
        "stacks": _own_names(_stacks().values()),
    }


def gpu_from_table(name: str, table: Table, default: Table) -> GpuProfile:
    """A GPU from its datasheet and whatever was measured of it; `default` fills the rest."""
    merged = {**default, **table}
    tdp_w = float(merged["tdp_w"])
    powers = {key: float(merged[key]) if key in table else tdp_w * _tdp_ratio(key, tdp_w, default) for key in _POWERS}
    known = powers | {key: float(merged[key]) for key in _EFFICIENCIES}
    return GpuProfile(
        name=name,
        architecture=merged["architecture"],
        memory_bytes=merged["memory_gb"] * 1e9,
        memory_bandwidth_bytes_per_s=merged["memory_bandwidth_gb_per_s"] * 1e9,
        peak_16bit_flops_per_s=merged["peak_16bit_tflops"] * 1e12,
        peak_fp8_flops_per_s=_scaled(table.get("peak_fp8_tflops"), 1e12),
        interconnect_bytes_per_s=_scaled(table.get("interconnect_gb_per_s"), 1e9),
        limit_w=tdp_w,
        error_class=ErrorClass(merged["error_class"]),
        source=merged["source"],
        fp8_expert_busy_w=float(table.get("fp8_expert_busy_w", 0.0)),
        **known,
        **{key: float(table.get(key, known[other])) for key, other in _AS_OTHERWISE.items()},
    )


def _tdp_ratio(key: str, tdp_w: float, default: Table) -> float:
    is_small = _SMALL_CARD_W[0] <= tdp_w <= _SMALL_CARD_W[1]
    if key == "busy_floor_w" and is_small:
        return float(default["small_busy_floor_tdp_ratio"])
    return float(default[_POWERS[key]])


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _model(name: str, table: Table) -> ModelProfile:
    facts = {key: value for key, value in table.items() if key not in ("aliases", "total_params_b", "active_params_b")}
    facts["precision"] = Precision(table["precision"])
    total_params, active_params = table["total_params_b"] * 1e9, table["active_params_b"] * 1e9
    return ModelProfile(name=name, total_params=total_params, active_params=active_params, **facts)


def _stack(name: str, table: Table) -> StackProfile:
    return StackProfile(
        name=name,
        hosts={architecture: _host(times) for architecture, times in table["host"].items()},
        host_gap_is_idle=table["host_gap_is_idle"],
        source=table["source"],
    )


def _host(table: Table) -> HostTimes:
    return HostTimes(
        step_s=table["step_ms"] * 1e-3,
        per_sequence_s=table["per_sequence_us"] * 1e-6,
        tensor_parallel_s_per_layer=table["tensor_parallel_us_per_layer"] * 1e-6,
        expert_parallel_s_per_layer=table["expert_parallel_us_per_layer"] * 1e-6,
        fp8_expert_s_per_layer=table.get("fp8_expert_us_per_layer", 0) * 1e-6,
        synchronisation_is_idle=table["synchronisation_is_idle"],
    )


@cache
def _gpus() -> dict[str, GpuProfile]:
    data = _read("gpus.toml")
    profiles = {name: gpu_from_table(name, table, data["default"]) for name, table in data["gpu"].items()}
    return _with_aliases(profiles, data["gpu"])


@cache
def _models() -> dict[str, ModelProfile]:
    tables = _read("models.toml")["model"]
    return _with_aliases({name: _model(name, table) for name, table in tables.items()}, tables)


@cache
def _stacks() -> dict[str, StackProfile]:
    return {name: _stack(name, table) for name, table in _read("stacks.toml")["stack"].items()}


def _with_aliases(profiles: dict[str, P], tables: Mapping[str, Table]) -> dict[str, P]:
    aliases = {alias.lower(): profiles[name] for name, table in tables.items() for alias in table["aliases"]}
    return {**aliases, **profiles}


@cache
def _read(file_name: str) -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath(file_name).read_text(encoding="utf-8"))


def _own_names(profiles: Iterable[GpuProfile] | Iterable[ModelProfile] | Iterable[StackProfile]) -> tuple[str, ...]:
    return tuple(sorted({profile.name for profile in profiles}))


def _all_of(kind: str, profiles: Mapping[str, P]) -> str:
    known = sorted({getattr(profile, "name", key) for key, profile in profiles.items()})  # other names are keys too
    if len(known) > _MOST_LISTED:
        return f"`slacktide profiles list` shows the {len(known)} that are known"
    return f"known: {', '.join(known)}"


def _find(kind: str, name: str, profiles: Mapping[str, P]) -> P:
    found = profiles.get(name.strip().lower())
    if found is not None:
        return found
    near = difflib.get_close_matches(name.lower(), profiles, n=3, cutoff=0.5)
    remedy = f"did you mean {' or '.join(near)}?" if near else _all_of(kind, profiles)
    raise ProfileError(f"no {kind} profile is called {name!r}", remedy=remedy)
