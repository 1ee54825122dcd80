"""What handing prompts over to a decode worker is worth, by the gateway's own choice for each prompt.

    python -m benchmarks.hand_over

2,000 prompts of each of Azure's hours of chat and of code, Llama-3.1-8B. Every answer is written by the worker named
second, which decodes 16 at once; each prompt is read there, or by the one named first where that is cheaper, with the
way of the KV cache counted (25 GB/s, 1 nJ a byte and 5 ms: the settings' own values). Modelled; the reader is taken to
be free, and what it burns while idle is not counted. Exit code 1 when a choice is dearer than reading in place.
"""

from __future__ import annotations

import sys

from scheduler.shaping_settings import HandOverSettings
from shaping.phases import GpuDevice, Link, Objective, Placement, Prompt, place_before
from shaping.profiles import deployment
from simulations.trace_files import read_request_trace
from tests.real_data import data_folder

TRACES = {"chat": "azure_2023_conv_1h", "code": "azure_2023_code_1h"}
PROMPTS, MODEL, BATCH = 2000, "llama-3.1-8b", 16
PAIRS = (("h100-sxm", "a100-sxm-80gb"), ("h100-sxm", "l40s"), ("b200-sxm", "h100-sxm"))
_DEFAULT = HandOverSettings()
LINK = Link(bytes_per_s=_DEFAULT.link_bytes_per_s, j_per_byte=_DEFAULT.link_j_per_byte, setup_s=_DEFAULT.link_setup_s)


def device(gpu: str, batch_sequences: int) -> GpuDevice:
    return GpuDevice(name=gpu, deployment=deployment(gpu=gpu, model=MODEL), batch_sequences=batch_sequences)


def placed(prompts: list[Prompt], readers: list[GpuDevice], writer: GpuDevice, objective: Objective) -> list[Placement]:
    found = [place_before(prompt, readers, writer, LINK, objective) for prompt in prompts]
    return [one for one in found if one is not None]


def mean_j(placements: list[Placement]) -> float:
    return sum(one.cost.energy_j for one in placements) / len(placements)


def mean_s(placements: list[Placement]) -> float:
    return sum(one.cost.duration_s for one in placements) / len(placements)


def main() -> int:
    is_dearer = False
    print(
        "| prompts | read by | written by | objective | handed over | J a prompt | in place | s a prompt | in place |"
    )
    print("| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, file in TRACES.items():
        trace = read_request_trace(data_folder() / f"llm_requests/{file}.csv.gz", PROMPTS)
        prompts = [
            Prompt(int(one), int(two)) for one, two in zip(trace.prompt_tokens, trace.output_tokens, strict=True)
        ]
        for reader, writer in PAIRS:
            for objective in Objective:
                second = device(writer, BATCH)
                whole = placed(prompts, [], second, objective)
                split = placed(prompts, [device(reader, 1)], second, objective)
                is_dearer |= any(a.cost.by(objective) > b.cost.by(objective) for a, b in zip(split, whole, strict=True))
                share = sum(one.prefill == reader for one in split) / len(split)
                print(
                    f"| {name} | {reader} | {writer} | {objective} | {share:.0%} | {mean_j(split):.1f} "
                    f"| {mean_j(whole):.1f} | {mean_s(split):.3f} | {mean_s(whole):.3f} |"
                )
    return int(is_dearer)


if __name__ == "__main__":
    sys.exit(main())
