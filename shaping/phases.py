"""Which device runs a prompt's prefill, and which its decode: the pair that is cheapest by the chosen objective.

Decides by seconds and joules of each phase on each device, with the way of the KV cache between them counted. Knows no
queue: a device is taken to be free, and what others burn while idle is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import NamedTuple, Protocol

from shaping import energy
from shaping.deployment import Deployment


class Objective(StrEnum):
    LATENCY = "latency"
    ENERGY = "energy"
    ENERGY_DELAY = "energy_delay"  # the product of both: joule-seconds


class Cost(NamedTuple):
    """What a phase, or a whole prompt, takes."""

    duration_s: float
    energy_j: float

    def plus(self, other: Cost) -> Cost:
        return Cost(self.duration_s + other.duration_s, self.energy_j + other.energy_j)

    def by(self, objective: Objective) -> float:
        match objective:
            case Objective.LATENCY:
                return self.duration_s
            case Objective.ENERGY:
                return self.energy_j
            case Objective.ENERGY_DELAY:
                return self.duration_s * self.energy_j


class PhaseDevice(Protocol):
    """Something that can run either phase of one model."""

    @property
    def name(self) -> str: ...

    @property
    def kv_bytes_per_token(self) -> float: ...

    @property
    def most_tokens(self) -> float: ...

    def prefill(self, prompt_tokens: int) -> Cost: ...

    def decode(self, prompt_tokens: int, output_tokens: int) -> Cost: ...


class NoDeviceError(ValueError):
    """A prompt that no device can hold."""

    def __init__(self, tokens: int, most_tokens: float) -> None:
        self.tokens, self.most_tokens = tokens, most_tokens
        super().__init__(
            f"a prompt of {tokens} tokens with its answer fits on no device; the largest holds {most_tokens:.0f}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The way between two devices. The KV cache of a whole prompt goes over it before the first step of decode."""

    bytes_per_s: float
    j_per_byte: float = 0.0
    setup_s: float = 0.0

    def carry(self, size_bytes: float) -> Cost:
        return Cost(self.setup_s + size_bytes / self.bytes_per_s, size_bytes * self.j_per_byte)


class Prompt(NamedTuple):
    """Lengths of one prompt and its answer; the answer's is a guess until it ends."""

    prompt_tokens: int
    output_tokens: int

    @property
    def kv_tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the two phases of a prompt run, and what that takes in all."""

    prefill: str
    decode: str
    cost: Cost


def placements(prompt: Prompt, devices: Sequence[PhaseDevice], link: Link) -> list[Placement]:
    """Every pair that can hold the prompt: prefill its prompt's KV, decode all of it; in the order of the devices."""
    able = [
        (first, second)
        for first, second in product(devices, devices)
        if first.most_tokens >= prompt.prompt_tokens and second.most_tokens >= prompt.kv_tokens
    ]
    return [_placement(prompt, first, second, link) for first, second in able]


def _placement(prompt: Prompt, first: PhaseDevice, second: PhaseDevice, link: Link) -> Placement:
    cost = first.prefill(prompt.prompt_tokens)
    if first.name != second.name:
        cost = cost.plus(link.carry(prompt.prompt_tokens * first.kv_bytes_per_token))
    if prompt.output_tokens > 1:  # prefill makes the first token
        cost = cost.plus(second.decode(*prompt))
    return Placement(prefill=first.name, decode=second.name, cost=cost)


def place(prompt: Prompt, devices: Sequence[PhaseDevice], link: Link, objective: Objective) -> Placement:
    """The cheapest pair for one prompt; of equals the first, by the order of the devices. Raises NoDeviceError."""
    found = placements(prompt, devices, link)
    if not found:
        raise NoDeviceError(prompt.kv_tokens, max((device.most_tokens for device in devices), default=0.0))
    return min(found, key=lambda mapping: mapping.cost.by(objective))


def place_before(
    prompt: Prompt, readers: Sequence[PhaseDevice], writer: PhaseDevice, link: Link, objective: Objective
) -> Placement | None:
    """Where the prompt is best read if `writer` decodes it: there, or on one of the readers.

    The writer itself where both are equal, else the first; None where nobody can hold the prompt.
    """
    if writer.most_tokens < prompt.kv_tokens:
        return None
    able = [writer, *(one for one in readers if one.most_tokens >= prompt.prompt_tokens)]
    return min(
        (_placement(prompt, first, writer, link) for first in able), key=lambda mapping: mapping.cost.by(objective)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a sequence of prompts takes in all. `objective_cost` sums each prompt's own, products included."""

    prefill: str
    decode: str
    duration_s: float
    energy_j: float
    objective_cost: float


def per_prompt(prompts: Sequence[Prompt], devices: Sequence[PhaseDevice], link: Link, objective: Objective) -> Totals:
    """Every prompt where it is cheapest. Raises NoDeviceError."""
    return _totals(
        "per prompt", "per prompt", [place(prompt, devices, link, objective) for prompt in prompts], objective
    )


def static(prompts: Sequence[Prompt], devices: Sequence[PhaseDevice], link: Link, objective: Objective) -> list[Totals]:
    """All prompts on one pair, for every pair that can hold them all; best first."""
    found = []
    for first, second in product(devices, devices):
        if all(
            first.most_tokens >= prompt.prompt_tokens and second.most_tokens >= prompt.kv_tokens for prompt in prompts
        ):
            placed = [_placement(prompt, first, second, link) for prompt in prompts]
            found.append(_totals(first.name, second.name, placed, objective))
    return sorted(found, key=lambda totals: totals.objective_cost)


def _totals(prefill: str, decode: str, placed: Sequence[Placement], objective: Objective) -> Totals:
    return Totals(
        prefill=prefill,
        decode=decode,
        duration_s=sum(mapping.cost.duration_s for mapping in placed),
        energy_j=sum(mapping.cost.energy_j for mapping in placed),
        objective_cost=sum(mapping.cost.by(objective) for mapping in placed),
    )


# -- devices -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """GPUs of a profile, decoding `batch_sequences` alike at once; a prompt pays its share of each step."""

    name: str
    deployment: Deployment
    batch_sequences: int = 1

    @property
    def kv_bytes_per_token(self) -> float:
        return self.deployment.model.kv_bytes_per_token

    @property
    def most_tokens(self) -> float:
        return energy.kv_capacity_tokens(self.deployment) / self.batch_sequences

    def prefill(self, prompt_tokens: int) -> Cost:
        made = energy.prefill(self.deployment, max(1, prompt_tokens))
        return Cost(made.duration_s, made.energy_j)

    def decode(self, prompt_tokens: int, output_tokens: int) -> Cost:
        steps = output_tokens - 1
        made = energy.step(self.deployment, self.batch_sequences, prompt_tokens + output_tokens / 2)
        return Cost(made.duration_s * steps, made.energy_j * steps / self.batch_sequences)


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflineDevice:
    """A CPU, an NPU or anything else without a profile: what it does in a second, and what it draws meanwhile.

    Achieved rates, not peaks. Serves one prompt at a time.
    """

    name: str
    flops_per_s: float
    bytes_per_s: float
    busy_w: float
    active_params: float
    weight_bytes: float
    kv_bytes_per_token: float
    memory_bytes: float

    @property
    def most_tokens(self) -> float:
        return max(0.0, self.memory_bytes - self.weight_bytes) / self.kv_bytes_per_token

    def prefill(self, prompt_tokens: int) -> Cost:
        compute_s = 2 * self.active_params * prompt_tokens / self.flops_per_s
        return self._busy(max(compute_s, self.weight_bytes / self.bytes_per_s))

    def decode(self, prompt_tokens: int, output_tokens: int) -> Cost:
        read_bytes = self.weight_bytes + (prompt_tokens + output_tokens / 2) * self.kv_bytes_per_token
        step_s = max(read_bytes / self.bytes_per_s, 2 * self.active_params / self.flops_per_s)
        return self._busy(step_s * (output_tokens - 1))

    def _busy(self, duration_s: float) -> Cost:
        return Cost(duration_s, duration_s * self.busy_w)
