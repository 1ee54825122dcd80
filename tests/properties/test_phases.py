"""Placing each prompt by itself against placing all of them on one pair of devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaping.phases import (
    GpuDevice,
    Link,
    NoDeviceError,
    Objective,
    PhaseDevice,
    Prompt,
    RooflineDevice,
    per_prompt,
    place,
    place_before,
    placements,
    static,
)
from shaping.profiles import deployment

FAST_LINK = Link(bytes_per_s=25e9, j_per_byte=1e-9, setup_s=0.001)
# Slow to compute, quick to read, frugal: prefill is dear there, decode cheap.
LAPTOP = RooflineDevice(
    name="laptop",
    flops_per_s=4e12,
    bytes_per_s=100e9,
    busy_w=30,
    active_params=8e9,
    weight_bytes=4.2e9,
    kv_bytes_per_token=131072,
    memory_bytes=16e9,
)
A100 = GpuDevice(name="a100", deployment=deployment(gpu="a100-sxm-80gb", model="llama-3.1-8b"))
H100 = GpuDevice(name="h100", deployment=deployment(gpu="h100-sxm", model="llama-3.1-8b"))
FLEET: tuple[PhaseDevice, ...] = (A100, H100, LAPTOP)

pytestmark = pytest.mark.slow

PROMPTS = st.lists(st.builds(Prompt, st.integers(1, 20_000), st.integers(1, 2_000)), min_size=1, max_size=20)


@given(PROMPTS, st.sampled_from(Objective))
def test_per_prompt_is_never_worse_than_the_best_static_mapping(prompts: list[Prompt], objective: Objective) -> None:
    ours = per_prompt(prompts, FLEET, FAST_LINK, objective)

    assert ours.objective_cost <= static(prompts, FLEET, FAST_LINK, objective)[0].objective_cost * (1 + 1e-12)


@given(PROMPTS, st.sampled_from(Objective))
def test_the_placement_is_the_best_of_all_pairs(prompts: list[Prompt], objective: Objective) -> None:
    for prompt in prompts:
        best = place(prompt, FLEET, FAST_LINK, objective).cost.by(objective)
        assert best == min(one.cost.by(objective) for one in placements(prompt, FLEET, FAST_LINK))


@given(st.builds(Prompt, st.integers(1, 200_000), st.integers(1, 2_000)), st.sampled_from(Objective))
def test_before_a_given_writer_the_reader_is_the_best_of_all_pairs_with_it(
    prompt: Prompt, objective: Objective
) -> None:
    for writer in FLEET:
        found = place_before(prompt, [one for one in FLEET if one is not writer], writer, FAST_LINK, objective)
        pairs = [one.cost.by(objective) for one in placements(prompt, FLEET, FAST_LINK) if one.decode == writer.name]
        assert (found.cost.by(objective) if found else None) == min(pairs, default=None)


@given(st.builds(Prompt, st.integers(1, 20_000), st.integers(1, 2_000)), st.floats(1e6, 1e12))
def test_the_way_of_the_cache_is_counted_between_two_devices_and_not_within_one(
    prompt: Prompt, bytes_per_s: float
) -> None:
    link, free = Link(bytes_per_s=bytes_per_s, j_per_byte=2e-9), Link(bytes_per_s=float("inf"))
    for counted, plain in zip(placements(prompt, FLEET, link), placements(prompt, FLEET, free), strict=True):
        carried_bytes = 0 if counted.prefill == counted.decode else prompt.prompt_tokens * 131072
        assert counted.cost.duration_s - plain.cost.duration_s == pytest.approx(carried_bytes / bytes_per_s, abs=1e-6)
        assert counted.cost.energy_j - plain.cost.energy_j == pytest.approx(carried_bytes * 2e-9, abs=1e-6)


def test_a_long_prompt_is_taken_in_by_the_gpu_and_answered_by_the_frugal_device() -> None:
    found = place(Prompt(4000, 200), (H100, LAPTOP), FAST_LINK, Objective.ENERGY)

    assert (found.prefill, found.decode) == ("h100", "laptop")
    # 4000 tokens take the laptop 16 s at 30 W, and the GPU 0.14 s at some 700 W.
    assert LAPTOP.prefill(4000).energy_j == pytest.approx(16 * 30)
    assert H100.prefill(4000).energy_j < 110


def test_a_short_prompt_stays_where_it_is_answered_when_the_way_is_slow() -> None:
    slow = Link(bytes_per_s=1e6)

    assert place(Prompt(50, 200), (H100, LAPTOP), slow, Objective.LATENCY).prefill == "h100"
    assert place(Prompt(50, 200), (H100, LAPTOP), slow, Objective.LATENCY).decode == "h100"


def test_a_prompt_that_nobody_holds_is_refused_with_its_size() -> None:
    with pytest.raises(NoDeviceError, match="200100 tokens"):
        place(Prompt(200_000, 100), (LAPTOP,), FAST_LINK, Objective.ENERGY)


def test_an_answer_of_one_token_needs_no_decode() -> None:
    assert place(Prompt(100, 1), (LAPTOP,), FAST_LINK, Objective.LATENCY).cost == LAPTOP.prefill(100)
