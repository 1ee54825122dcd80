"""Fits what images and video bring to a request, and the host times of an early serving stack, on training groups.

    python -m benchmarks.energy_fit_tasks

Prints the best of a coarse grid beside what is shipped in tasks.toml and stacks.toml, with errors on the groups that
trained and on those held back (see energy_fit). Hardware constants are as shipped.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.energy_fit import DENSE, STACK, cell, is_held_back, kind
from benchmarks.energy_model import MEASUREMENTS
from shaping.deployment import HostTimes, StackProfile
from shaping.evaluation import Group, Subject, energy_spread, evaluate, speed_spread
from shaping.profiles import stack_profile, task_traffic
from shaping.profiles.published import subject
from shaping.saturation import Traffic
from slacktide.measured import measurements
from tests.real_data import data_folder

TASKS = ("image-chat", "video-chat")
EARLY_STACK = "vllm-0.2-era"
_PROMPT_TOKENS = (300, 500, 700, 1000, 1500, 2000, 3000)
_PREPARATION_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
_STEP_S = (5e-3, 10e-3, 15e-3, 20e-3)
_PER_SEQUENCE_S = (0.0, 2e-4, 4e-4, 8e-4)
_PER_LAYER_S = (0.0, 3e-5, 6e-5, 1e-4, 1.5e-4)

Change = Callable[[Subject], Subject]


def with_traffic(prompt_tokens: float, preparation_s: float) -> Change:
    def changed(one: Subject) -> Subject:
        traffic = Traffic(
            prompt_tokens=prompt_tokens, output_tokens=one.measured.output_tokens, preparation_s=preparation_s
        )
        return dataclasses.replace(one, traffic=traffic)

    return changed


def with_host(step_s: float, per_sequence_s: float, per_layer_s: float) -> Change:
    host = HostTimes(
        step_s=step_s,
        per_sequence_s=per_sequence_s,
        tensor_parallel_s_per_layer=per_layer_s,
        expert_parallel_s_per_layer=per_layer_s,
    )
    stack = StackProfile(name="fitted", hosts={"other": host}, host_gap_is_idle=True)

    def changed(one: Subject) -> Subject:
        if one.deployment is None:
            return one
        return dataclasses.replace(one, deployment=dataclasses.replace(one.deployment, stack=stack))

    return changed


def best(changes: Iterable[tuple[str, Change]], training: Sequence[Subject]) -> tuple[str, Change]:
    """The change with the smallest sum of the medians of both errors and of the 90th percentile of the speed's."""
    return min(changes, key=lambda named: _loss(evaluate(map(named[1], training))))


def _loss(groups: Sequence[Group]) -> float:
    energy, speed = energy_spread(groups), speed_spread(groups)
    return sum(one or 0.0 for one in (energy.median_ratio, speed.median_ratio, speed.p90_ratio))


def _traffics() -> Iterator[tuple[str, Change]]:
    for prompt_tokens, preparation_s in itertools.product(_PROMPT_TOKENS, _PREPARATION_S):
        yield f"{prompt_tokens} tokens, {preparation_s * 1e3:g} ms", with_traffic(prompt_tokens, preparation_s)


def _hosts() -> Iterator[tuple[str, Change]]:
    for times in itertools.product(_STEP_S, _PER_SEQUENCE_S, _PER_LAYER_S):
        yield f"{times[0] * 1e3:g} ms, {times[1] * 1e6:g} us, {times[2] * 1e6:g} us", with_host(*times)


def _row(what: str, chosen: str, groups: Sequence[Group]) -> str:
    points = sum(len(one.scored) for one in groups)
    return f"| {what} | {chosen} | {points} | {cell(energy_spread(groups))} | {cell(speed_spread(groups))} |"


def main() -> None:
    subjects = [subject(one) for one in measurements(data_folder() / MEASUREMENTS)]
    print("| what | constants | points | J/token median / p90 | tokens/s median / p90 |\n|---|---|---|---|---|")
    for task in TASKS:
        own = [one for one in subjects if one.measured.task == task and "data_parallel" not in one.measured.flags]
        training = [one for one in own if _is_h100_dense(one) and not is_held_back(one.measured.group_id)]
        chosen, change = best(_traffics(), training)
        print(_row(f"{task}, dense on H100 (trained)", chosen, evaluate(map(change, training))))
        shipped = task_traffic(task, 1)
        text = f"shipped: {shipped.prompt_tokens:g} tokens, {shipped.preparation_s * 1e3:g} ms"
        others = [one for one in own if not _is_h100_dense(one)]
        print(_row(f"{task}, dense on H100", text, evaluate(training)))
        print(_row(f"{task}, everything else", text, evaluate(others)))
    own = [one for one in subjects if one.measured.stack == EARLY_STACK]
    training = [one for one in own if not is_held_back(one.measured.group_id)]
    chosen, change = best(_hosts(), training)
    print(_row("early stack, trained", chosen, evaluate(map(change, training))))
    host = stack_profile("vllm-0.2").host("other")
    times_us = (host.per_sequence_s * 1e6, host.tensor_parallel_s_per_layer * 1e6)
    text = "shipped: {:g} ms, {:g} us, {:g} us".format(host.step_s * 1e3, *times_us)
    print(_row("early stack, trained", text, evaluate(training)))
    print(_row("early stack, held back", text, evaluate(one for one in own if one not in training)))


def _is_h100_dense(one: Subject) -> bool:
    return one.measured.stack == STACK and one.measured.gpu.startswith("H100") and kind(one) == DENSE


if __name__ == "__main__":
    main()
