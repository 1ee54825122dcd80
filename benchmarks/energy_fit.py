"""Fits the energy model on some groups of measurements and prints how far off it is on the others.

    python -m benchmarks.energy_fit

A group is one model on one GPU. Held back are those whose name's SHA-256 begins with a byte divisible by five: fixed
once, before any fit. The fit starts from the power of an A100 in shares of its limit and from the efficiency of single
layers, and is held to them as tightly as predicts best a training group left out of the training; a held-back group
decides nothing.

Reads energy/llm_energy_measurements.csv.gz of ../shared/data (SLACKTIDE_DATA overrides).
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.energy_model import MEASUREMENTS
from benchmarks.log_fit import Values, Vector, fitted, log_errors
from shaping.deployment import Deployment, GpuProfile, HostTimes
from shaping.evaluation import Group, Spread, Subject, energy_spread, evaluate, predict, speed_spread, spread
from shaping.profiles import gpu_profile, stack_profile
from shaping.profiles.published import subject
from slacktide.measured import measurements
from tests.real_data import data_folder

HELD_BACK_EVERY = 5
STACK = "vllm-0.11.1"
LEFT_OUT = frozenset({"host_bound_suspect", "data_parallel"})
NOT_TEXT = "multimodal_prompt"  # trains, since there are few groups, but is not scored
DENSE, EXPERTS = "dense, hybrid", "mixture of experts"
GPUS = ("h100-sxm", "b200-sxm")

_START_GPU = "a100-sxm-80gb"
_SHARES_OF_LIMIT = ("busy_floor_w", "busy_per_memory_ratio_w", "busy_per_compute_ratio_w")
# The first two as measured on single linear layers (H100: 0.77-0.85 of bandwidth, 0.63-0.72 of peak less other work).
_DENSE_RATIOS = {"memory_efficiency_ratio": 0.78, "compute_efficiency_ratio": 0.62, "fp8_bandwidth_ratio": 0.6}
_DENSE_TIMES = {"step_s": 1.5e-3, "per_sequence_s": 10e-6, "tensor_parallel_s_per_layer": 20e-6}
EXPERT_START = {
    "expert_bandwidth_ratio": 0.85,
    "expert_compute_ratio": 0.2,
    "fp8_expert_bandwidth_ratio": 0.8,
    "expert_parallel_s_per_layer": 120e-6,
    "fp8_expert_s_per_layer": 80e-6,
    "expert_busy_per_compute_ratio_w": 1500.0,
    "fp8_expert_busy_w": 200.0,
}
# How tightly a parameter is held to where it started; which one is chosen on training groups.
_PRIOR_WEIGHTS = (0.1, 0.2, 0.5, 1.0)
_USUAL_PRIOR_RATIO = 0.2  # where each group is left out in turn and choosing again every time would take minutes
# Of 0.1 and 0.3, weighing points or groups alike, this predicted left-out training groups best on H100 and on B200.
_MOST_LOG_ERROR = 0.1


def is_held_back(group_id: str, fold: int = 0) -> bool:
    """Whether a group is kept from the fit. The split is fold 0; the other folds are for holding back all in turn."""
    return hashlib.sha256(group_id.encode()).digest()[0] % HELD_BACK_EVERY == fold


def kind(one: Subject) -> str:
    return EXPERTS if one.measured.architecture == "MoE" else DENSE


def usable(subjects: Iterable[Subject]) -> list[Subject]:
    """Points of full servers on the stack that is fitted."""
    return [
        one
        for one in subjects
        if one.deployment is not None and one.measured.stack == STACK and not one.measured.flags & LEFT_OUT
    ]


# -- the fit -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What is fitted for one GPU: fields of its profile and of its host times on the stack."""

    gpu: GpuProfile
    host: HostTimes

    def onto(self, deployment: Deployment) -> Deployment:
        stack = dataclasses.replace(deployment.stack, hosts={"other": self.host})
        limit_w = deployment.gpu.limit_w  # may be capped
        return dataclasses.replace(deployment, gpu=dataclasses.replace(self.gpu, limit_w=limit_w), stack=stack)

    def having(self, values: Values) -> Constants:
        """The same with these constants by name in the place of its own."""
        of_host: dict[str, Any] = {name: value for name, value in values.items() if name in HostTimes.__slots__}
        of_gpu: dict[str, Any] = {name: value for name, value in values.items() if name not in of_host}
        return Constants(gpu=dataclasses.replace(self.gpu, **of_gpu), host=dataclasses.replace(self.host, **of_host))


def fit_dense(gpu_name: str, subjects: Sequence[Subject], fold: int = 0) -> Constants:
    """Constants of one GPU from the training groups of dense and hybrid models."""
    return _best_fitted(_unfitted(gpu_name), dense_start(gpu_name), _training(subjects, DENSE, fold))


def _unfitted(gpu_name: str) -> Constants:
    gpu = gpu_profile(gpu_name)
    return Constants(gpu=gpu, host=stack_profile().host(gpu.architecture))


def fit_experts(constants: Constants, subjects: Sequence[Subject], fold: int = 0) -> Constants:
    """The same with what mixture of experts adds, the rest as it is."""
    start = EXPERT_START
    return _best_fitted(constants, start, _training(subjects, EXPERTS, fold))


def _training(subjects: Iterable[Subject], wanted: str, fold: int) -> list[Subject]:
    return [one for one in subjects if kind(one) == wanted and not is_held_back(one.measured.group_id, fold)]


def _best_fitted(constants: Constants, start: Mapping[str, float], training: Sequence[Subject]) -> Constants:
    tightest = min(_PRIOR_WEIGHTS, key=lambda weight: _left_out_loss(constants, start, training, weight))
    return _fitted(constants, start, training, tightest)


def dense_start(gpu_name: str) -> dict[str, float]:
    """Power in the shares of the limit that were measured on another GPU."""
    known, wanted = gpu_profile(_START_GPU), gpu_profile(gpu_name)
    powers = {name: getattr(known, name) * wanted.limit_w / known.limit_w for name in _SHARES_OF_LIMIT}
    return powers | _DENSE_RATIOS | _DENSE_TIMES


def _left_out_loss(
    constants: Constants, start: Mapping[str, float], training: Sequence[Subject], prior_ratio: float
) -> float:
    """The fit's own loss on each training group when fitted on the others."""
    loss = 0.0
    for group_id in {one.measured.group_id for one in training}:
        others = [one for one in training if one.measured.group_id != group_id]
        left_out = [one for one in training if one.measured.group_id == group_id]
        errors = _log_errors(_fitted(constants, start, others, prior_ratio), left_out)
        loss += float(errors @ errors)
    return loss


def _fitted(
    constants: Constants, start: Mapping[str, float], training: Sequence[Subject], prior_ratio: float
) -> Constants:
    return constants.having(fitted(start, lambda values: _log_errors(constants.having(values), training), prior_ratio))


def _log_errors(constants: Constants, subjects: Iterable[Subject]) -> Vector:
    return log_errors((with_constants(one, constants) for one in subjects), _MOST_LOG_ERROR)


def with_constants(one: Subject, constants: Constants) -> Subject:
    if one.deployment is None:
        return one
    return dataclasses.replace(one, deployment=constants.onto(one.deployment))


# -- what it is compared with ------------------------------------------------------------------------------------------


def at_tdp_j_per_token(one: Subject) -> float:
    """The same step time, every GPU at its limit all the time."""
    made = predict(one)
    if made is None or one.deployment is None:
        raise ValueError("no deployment")
    return made.step_s * one.deployment.gpu.limit_w * one.deployment.gpus / one.measured.batch_sequences


def ecologits_j_per_token(one: Subject) -> float:
    """EcoLogits' regression with the true batch and the true number of GPUs. Source: energy_model 5.8."""
    if one.deployment is None:
        raise ValueError("no deployment")
    active_b = one.deployment.model.active_params * 1e-9
    wh_per_gpu = 1.167e-6 * math.exp(-0.01121 * one.measured.batch_sequences) * active_b + 4.053e-5
    return wh_per_gpu * 3600.0 * one.deployment.gpus


def baseline(subjects: Iterable[Subject], j_per_token: Callable[[Subject], float]) -> Spread:
    return spread(
        abs(j_per_token(one) / one.measured.j_per_token - 1.0) for one in subjects if one.measured.j_per_token
    )


# -- the table ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The held-back text points of one family, to be predicted in two ways."""

    gpu: str
    kind: str
    shipped: tuple[Subject, ...]
    refitted: tuple[Subject, ...]  # with constants from the training groups alone


def results(
    subjects: Iterable[Subject], gpus: Sequence[str] = GPUS, kinds: Sequence[str] = (DENSE, EXPERTS)
) -> list[Result]:
    """Fits each GPU on its training groups and predicts the text points of the held-back ones."""
    points = usable(subjects)
    found = []
    for gpu_name in gpus:
        on_gpu = _on(gpu_name, points)
        dense = fit_dense(gpu_name, on_gpu)
        for wanted in kinds:
            constants = fit_experts(dense, on_gpu) if wanted == EXPERTS else dense
            held = _held_text(on_gpu, wanted)
            again = tuple(with_constants(one, constants) for one in held)
            found.append(Result(gpu=gpu_name, kind=wanted, shipped=held, refitted=again))
    return found


def in_turn(gpu_name: str, subjects: Iterable[Subject]) -> list[Group]:
    """All groups of dense models on one GPU, each predicted by a fit without its fifth of the groups."""
    on_gpu = _on(gpu_name, usable(subjects))
    groups: list[Group] = []
    for fold in range(HELD_BACK_EVERY):
        constants = fit_dense(gpu_name, on_gpu, fold)
        groups += evaluate(with_constants(one, constants) for one in _held_text(on_gpu, DENSE, fold))
    return groups


def left_out(gpu_name: str, subjects: Iterable[Subject], wanted: str) -> list[Subject]:
    """Each training group of a kind with constants that were fitted without it; images and video are among them."""
    on_gpu = _on(gpu_name, usable(subjects))
    constants, start = _unfitted(gpu_name), dense_start(gpu_name)
    if wanted == EXPERTS:
        constants = _fitted(constants, start, _training(on_gpu, DENSE, 0), _USUAL_PRIOR_RATIO)
        start = EXPERT_START
    training = _training(on_gpu, wanted, 0)
    found: list[Subject] = []
    for group_id in dict.fromkeys(one.measured.group_id for one in training):
        others = [one for one in training if one.measured.group_id != group_id]
        without = _fitted(constants, start, others, _USUAL_PRIOR_RATIO)
        found += [with_constants(one, without) for one in training if one.measured.group_id == group_id]
    return found


def _on(gpu_name: str, points: Iterable[Subject]) -> list[Subject]:
    return [one for one in points if one.deployment is not None and one.deployment.gpu.name == gpu_name]


def _held_text(on_gpu: Iterable[Subject], wanted: str, fold: int = 0) -> tuple[Subject, ...]:
    return tuple(
        one
        for one in on_gpu
        if kind(one) == wanted and NOT_TEXT not in one.measured.flags and is_held_back(one.measured.group_id, fold)
    )


def by_curve(subjects: Iterable[Subject], anchors: int) -> list[Group]:
    """Evaluated with anchors on each curve: one task on one number of GPUs."""
    curves = [
        dataclasses.replace(one, measured=dataclasses.replace(one.measured, group_id="|".join(one.measured.curve)))
        for one in subjects
    ]
    return evaluate(curves, anchors)


def table(found: Sequence[Result]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for one in found:
        size = f"{len(evaluate(one.shipped))} groups, {len(one.shipped)} points"
        rows += [
            (one.gpu, one.kind, size, "as shipped", *_cells(evaluate(one.shipped))),
            ("", "", "", "as shipped, two anchors a group", *_cells(evaluate(one.shipped, 2))),
            ("", "", "", "as shipped, two anchors a curve", *_cells(by_curve(one.shipped, 2))),
            ("", "", "", "fitted on the other groups", *_cells(evaluate(one.refitted))),
            ("", "", "", "so fitted, two anchors a group", *_cells(evaluate(one.refitted, 2))),
            ("", "", "", "so fitted, two anchors a curve", *_cells(by_curve(one.refitted, 2))),
            ("", "", "", "power = TDP", cell(baseline(one.shipped, at_tdp_j_per_token)), ""),
            ("", "", "", "EcoLogits' regression", cell(baseline(one.shipped, ecologits_j_per_token)), ""),
        ]
    return rows


def _cells(groups: Sequence[Group]) -> tuple[str, str]:
    return cell(energy_spread(groups)), cell(speed_spread(groups))


def cell(one: Spread) -> str:
    """Median and 90th percentile, `-` where nothing was measured."""
    if one.median_ratio is None or one.p90_ratio is None:
        return "-"
    return f"{one.median_ratio:.1%} / {one.p90_ratio:.1%}"


def main() -> None:
    subjects = [subject(one) for one in measurements(data_folder() / MEASUREMENTS)]
    found = results(subjects)
    head = ("GPU", "models", "held back", "prediction", "J/token median / p90", "tokens/s median / p90")
    for row in (head, ("---",) * len(head), *table(found)):
        print(f"| {' | '.join(row)} |")
    print("\nheld back: as shipped, and fitted on the other groups")
    for one in found:
        for shipped, refitted in zip(evaluate(one.shipped), evaluate(one.refitted), strict=True):
            print(f"  {shipped.group_id}: {cell(energy_spread([shipped]))}, {cell(energy_spread([refitted]))}")
    every = in_turn(GPUS[0], subjects)
    print(f"\n{GPUS[0]}, {DENSE}, each fifth of the groups held back in turn ({len(every)} groups):")
    print(f"  J/token {cell(energy_spread(every))}, tokens/s {cell(speed_spread(every))}")


if __name__ == "__main__":
    main()
