"""Fits those shipped constants of the energy model that no source publishes, each family on its training groups.

    python -m benchmarks.energy_fit_older

Of vLLM 0.5.4: synchronisation, host times on A100, power of the A100 of 40 GB, and the prompts of its two tasks. Of FP8
experts and of experts' arithmetic: power, bandwidth and launch time. Of hybrids: what their recurrent layers add to the
work of a prompt token. All other constants are as shipped. Prints what is
fitted beside what is shipped, and how far off each training group is when the fit leaves it out; groups that are held
back (see energy_fit) train nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.energy_fit import DENSE, EXPERTS, LEFT_OUT, STACK, cell, is_held_back, kind
from benchmarks.energy_model import MEASUREMENTS
from benchmarks.log_fit import Values, Vector, fitted, log_errors
from shaping.deployment import Deployment, HostTimes
from shaping.evaluation import Group, Subject, energy_spread, evaluate, speed_spread
from shaping.profiles import gpu_profile, model_profile, stack_profile, task_traffic
from shaping.profiles.published import subject
from slacktide.measured import measurements
from tests.real_data import data_folder

OLDER_STACK = "vllm-0.5.4"
_PRIOR_RATIO = 0.2  # a constant that is e times its start counts as two points that are 10% off
_MOST_LOG_ERROR = 0.3  # synchronisation starts so far off that a tighter bound would blind the fit to it
HYBRID, _A_HYBRID = "hybrid", "nemotron-nano-9b-v2"
_OLDER_GPUS = ("a100-sxm-40gb", "h100-sxm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Groups that share constants. `start` names them OWNER.FIELD: a GPU, its architecture, a task, or `hybrid`."""

    name: str
    stack: str
    kind: str
    gpus: tuple[str, ...]
    start: Mapping[str, float]
    is_hybrid: bool = False  # of models with recurrent layers alone
    most_log_error: float = _MOST_LOG_ERROR  # no point counts for more

    def has(self, one: Subject) -> bool:
        return (
            one.deployment is not None
            and one.deployment.gpu.name in self.gpus
            and one.measured.stack == self.stack
            and kind(one) == self.kind
            and (not self.is_hybrid or one.deployment.model.state_bytes > 0)
            and not one.measured.flags & LEFT_OUT
        )


HYBRIDS = Family(
    name="hybrid",
    stack=STACK,
    kind=DENSE,
    gpus=("h100-sxm", "b200-sxm"),
    start={f"{HYBRID}.prompt_work_ratio": 1.0},
    is_hybrid=True,
)
FAMILIES = (
    Family(
        name="vLLM 0.5.4, dense",
        stack=OLDER_STACK,
        kind=DENSE,
        gpus=_OLDER_GPUS,
        start={
            "hopper.tensor_parallel_s_per_layer": 2e-4,
            "ampere.tensor_parallel_s_per_layer": 2e-4,
            "ampere.step_s": 7.5e-3,
            "ampere.per_sequence_s": 375e-6,
            "a100-sxm-40gb.busy_floor_w": 294.0,  # the three of the A100 of 80 GB
            "a100-sxm-40gb.busy_per_memory_ratio_w": 32.0,
            "a100-sxm-40gb.busy_per_compute_ratio_w": 320.0,
            "sharegpt-chat.prompt_tokens": 350.0,
            "sharegpt-code.prompt_tokens": 350.0,
        },
    ),
    Family(
        name="mixture of experts on H100",
        stack=STACK,
        kind=EXPERTS,
        gpus=("h100-sxm",),
        start={
            "hopper.fp8_expert_s_per_layer": 50e-6,
            "h100-sxm.fp8_expert_bandwidth_ratio": 0.8,
            "h100-sxm.expert_busy_per_compute_ratio_w": 1000.0,
            "h100-sxm.fp8_expert_busy_w": 100.0,
        },
    ),
    Family(
        name="mixture of experts on B200",
        stack=STACK,
        kind=EXPERTS,
        gpus=("b200-sxm",),
        start={"b200-sxm.fp8_expert_busy_w": 100.0},
    ),
    HYBRIDS,
)


def with_values(one: Subject, values: Values) -> Subject:
    """The subject with those constants that are its GPU's, its architecture's or its task's."""
    if one.deployment is None or one.traffic is None:
        return one
    tokens = values.get(f"{one.measured.task}.prompt_tokens", one.traffic.prompt_tokens)
    return dataclasses.replace(
        one,
        deployment=_deployment(one.deployment, values),
        traffic=dataclasses.replace(one.traffic, prompt_tokens=tokens),
    )


def _deployment(deployment: Deployment, values: Values) -> Deployment:
    gpu, stack = deployment.gpu, deployment.stack
    of_gpu, of_host = _fields(gpu.name, values), _fields(gpu.architecture, values)
    host = dataclasses.replace(stack.host(gpu.architecture), **of_host)
    of_model = _fields(HYBRID, values) if deployment.model.state_bytes else {}
    return dataclasses.replace(
        deployment,
        gpu=dataclasses.replace(gpu, **of_gpu),
        model=dataclasses.replace(deployment.model, **of_model),
        stack=dataclasses.replace(stack, hosts={"other": host}),
    )


def _fields(owner: str, values: Values) -> dict[str, Any]:
    return {name.removeprefix(f"{owner}."): value for name, value in values.items() if name.startswith(f"{owner}.")}


def fit(family: Family, training: Sequence[Subject]) -> dict[str, float]:
    def errors(values: Values) -> Vector:
        return log_errors((with_values(one, values) for one in training), family.most_log_error)

    return fitted(family.start, errors, _PRIOR_RATIO)


def left_out(family: Family, training: Sequence[Subject]) -> list[Subject]:
    """Each training group with the constants of a fit on the others."""
    found: list[Subject] = []
    for group_id in dict.fromkeys(one.measured.group_id for one in training):
        others = [one for one in training if one.measured.group_id != group_id]
        values = fit(family, others)
        found += [with_values(one, values) for one in training if one.measured.group_id == group_id]
    return found


def shipped(family: Family, name: str) -> float:
    """What the profiles hold for a constant of that name."""
    owner, field = name.split(".")
    if field == "prompt_tokens":
        return task_traffic(owner, 1).prompt_tokens
    if owner == HYBRID:
        return float(getattr(model_profile(_A_HYBRID), field))
    if field not in HostTimes.__slots__:
        return float(getattr(gpu_profile(owner), field))
    profile = "vllm-0.11" if family.stack == STACK else family.stack
    return float(getattr(stack_profile(profile).host(owner), field))


def _shown(value: float) -> str:
    return f"{float(f'{value:.3g}'):g}"


def _print(what: str, subjects: Iterable[Subject]) -> None:
    members = list(subjects)
    plain, anchored = evaluate(members), evaluate(members, 2)
    print(f"| {what} | {len(plain)} | {len(members)} | {_cells(plain)} | {_cells(anchored)} |", flush=True)


def _cells(groups: Sequence[Group]) -> str:
    return f"{cell(energy_spread(groups))} | {cell(speed_spread(groups))}"


def main() -> None:
    subjects = [subject(one) for one in measurements(data_folder() / MEASUREMENTS)]
    for family in FAMILIES:
        members = [one for one in subjects if family.has(one)]
        training = [one for one in members if not is_held_back(one.measured.group_id)]
        print(f"\n{family.name}\n\n| constant | fitted | shipped |\n|---|---|---|")
        for name, value in fit(family, training).items():
            print(f"| {name} | {_shown(value)} | {_shown(shipped(family, name))} |")
        print("\n| predicted | groups | points | J/token | tokens/s | J/token, two anchors a group | tokens/s |")
        print("|---|---|---|---|---|---|---|")
        ways = {
            "as the fit starts": [with_values(one, family.start) for one in training],
            "each group left out in turn": left_out(family, training),
            "as shipped": training,
            "groups held back from it, as shipped": [one for one in members if is_held_back(one.measured.group_id)],
        }
        for what, found in ways.items():
            _print(what, found)
            if family.is_hybrid:
                # One group on each GPU: that is the question, not the mean of both.
                for gpu in family.gpus:
                    _print(
                        f"{what}, {gpu}", [one for one in found if one.deployment and one.deployment.gpu.name == gpu]
                    )


if __name__ == "__main__":
    main()
