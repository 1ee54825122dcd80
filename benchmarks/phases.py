"""Prefill and decode of real prompts, each where it is cheapest, beside the best fixed pair of devices.

    python -m benchmarks.phases

Azure's hour of chat (2,000 of its prompts), Llama-3.1-8B, in two fleets: an A100, an H100 and an L40S that decode 16
prompts at once, over 200 Gbit/s; and an H100 that serves one prompt at a time beside a laptop with 4-bit weights, over
1 Gbit/s. Modelled; devices are free when asked, and their idle energy is not counted. The laptop's rates and power and
the energy of both links are assumed. Exit code 1 when placing each prompt is worse than the best fixed pair.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from shaping.phases import (
    GpuDevice,
    Link,
    Objective,
    PhaseDevice,
    Prompt,
    RooflineDevice,
    Totals,
    per_prompt,
    static,
)
from shaping.profiles import deployment
from simulations.trace_files import read_request_trace
from tests.real_data import data_folder

TRACE, PROMPTS, MODEL = "llm_requests/azure_2023_conv_1h.csv.gz", 2000, "llama-3.1-8b"
LAPTOP = RooflineDevice(
    name="laptop",
    flops_per_s=8e12,
    bytes_per_s=100e9,
    busy_w=30.0,
    active_params=8.03e9,
    weight_bytes=8.03e9 * 0.53,
    kv_bytes_per_token=131072,
    memory_bytes=16e9,
)


def gpu(name: str, batch_sequences: int) -> GpuDevice:
    return GpuDevice(name=name, deployment=deployment(gpu=name, model=MODEL), batch_sequences=batch_sequences)


FLEETS: dict[str, tuple[Sequence[PhaseDevice], Link]] = {
    "rack": (
        [gpu("a100-sxm-80gb", 16), gpu("h100-sxm", 16), gpu("l40s", 16)],
        Link(bytes_per_s=25e9, j_per_byte=1e-9, setup_s=0.001),
    ),
    "edge": ([gpu("h100-sxm", 1), LAPTOP], Link(bytes_per_s=125e6, j_per_byte=20e-9, setup_s=0.02)),
}


def main() -> int:
    trace = read_request_trace(data_folder() / TRACE, PROMPTS)
    lengths = zip(np.asarray(trace.prompt_tokens).tolist(), np.asarray(trace.output_tokens).tolist(), strict=True)
    prompts = [Prompt(int(prompt), int(output)) for prompt, output in lengths]
    is_met = True
    print("| fleet | objective | mapping | prefill | decode | s a prompt | J a prompt | over the best fixed |")
    print("| --- | --- | --- | --- | --- | ---: | ---: | ---: |")
    for fleet, (devices, link) in FLEETS.items():
        for objective in Objective:
            fixed = static(prompts, devices, link, objective)
            ours = per_prompt(prompts, devices, link, objective)
            best_cost = fixed[0].objective_cost
            is_met &= ours.objective_cost <= best_cost * (1 + 1e-12)
            for kind, one in (("per prompt", ours), ("best fixed", fixed[0]), ("worst fixed", fixed[-1])):
                print(f"| {fleet} | {objective} | {kind} | {row(one, len(prompts), best_cost)} |")
    return 0 if is_met else 1


def row(one: Totals, prompts: int, best_cost: float) -> str:
    means = f"{one.duration_s / prompts:.3f} | {one.energy_j / prompts:.1f}"
    return f"{one.prefill} | {one.decode} | {means} | {one.objective_cost / best_cost:.4f}"


if __name__ == "__main__":
    sys.exit(main())
