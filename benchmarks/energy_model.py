"""How far the energy model is from measured serving points, with the constants it ships and no fitting.

    python -m benchmarks.energy_model

Reads energy/llm_energy_measurements.csv.gz of ../shared/data (SLACKTIDE_DATA overrides). Left out, and counted: points
bound by the host, several replicas behind one batch limit, prompts with images, models without a profile.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shaping.energy import Deployment, Precision, ProfileError, step
from shaping.profiles import gpu_profile, model_profile, stack_profile, task_traffic
from tests.real_data import data_folder

MEASUREMENTS = "energy/llm_energy_measurements.csv.gz"
STACKS = {"vllm-0.11.1": "vllm-0.11", "vllm-0.5.4": "vllm-0.5.4"}
PRECISIONS = {
    "bfloat16": Precision.BITS_16,
    "float16": Precision.BITS_16,
    "fp8": Precision.FP8,
    "mxfp4": Precision.BITS_4,
}
LEFT_OUT = {"host_bound_suspect", "data_parallel", "multimodal_prompt"}
MEAN_CONTEXT_OF_OUTPUT_RATIO = 0.8  # long answers weigh more in the mean over steps than half their length

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured point beside its prediction."""

    group: str
    kind: str
    stack: str
    gpu: str
    measured_j_per_token: float
    predicted_j_per_token: float
    measured_tokens_per_s: float
    predicted_tokens_per_s: float

    @property
    def energy_error_ratio(self) -> float:
        return abs(self.predicted_j_per_token / self.measured_j_per_token - 1.0)

    @property
    def throughput_error_ratio(self) -> float:
        return abs(self.predicted_tokens_per_s / self.measured_tokens_per_s - 1.0)


def read_rows(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def predict(row: Row) -> Point | str:
    """The point of one row, or the reason why there is none."""
    flags = LEFT_OUT & set(row["quality_flags"].split(";"))
    if flags:
        return sorted(flags)[0]
    if row["serving_stack"] not in STACKS:
        return f"no stack profile for {row['serving_stack']}"
    batch, output_tokens = float(row["avg_batch_size"]), float(row["avg_output_tokens"])
    try:
        made, prompt_tokens = _deployment(row), task_traffic(row["task"], output_tokens).prompt_tokens
    except ProfileError as error:
        return error.what
    context_tokens = prompt_tokens + MEAN_CONTEXT_OF_OUTPUT_RATIO * output_tokens
    predicted = step(made, batch, context_tokens, batch * prompt_tokens / output_tokens)
    return Point(
        group=row["group_id"],
        kind="mixture of experts" if made.model.is_mixture else "dense, hybrid",
        stack=row["serving_stack"],
        gpu=made.gpu.name,
        measured_j_per_token=float(row["energy_per_output_token_j"]),
        predicted_j_per_token=predicted.energy_j / batch,
        measured_tokens_per_s=float(row["output_throughput_tokens_per_s"]),
        predicted_tokens_per_s=batch / predicted.duration_s,
    )


def _deployment(row: Row) -> Deployment:
    return Deployment(
        gpu=gpu_profile(row["gpu"]),
        model=model_profile(row["model_id"]),
        stack=stack_profile(STACKS[row["serving_stack"]]),
        gpus=int(row["num_gpus"]),
        precision=PRECISIONS[row["weight_precision"]],
        expert_parallel=int(row["expert_parallel"] or 1) > 1,
    )


def by_family(rows: Iterable[Row]) -> tuple[dict[tuple[str, str, str], list[Point]], Counter[str]]:
    """Points by (stack, GPU, kind of model), and how many rows were left out for which reason."""
    families: dict[tuple[str, str, str], list[Point]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    for row in rows:
        match predict(row):
            case str(reason):
                left_out[reason] += 1
            case point:
                families[point.stack, point.gpu, point.kind].append(point)
    return dict(families), left_out


def median_and_p90(errors: Iterable[float]) -> tuple[float, float]:
    values = list(errors)
    return float(np.median(values)), float(np.percentile(values, 90))


def main() -> None:
    families, left_out = by_family(read_rows(data_folder() / MEASUREMENTS))
    print("| stack | GPU | model | groups | points | J/token median / p90 | tokens/s median / p90 |")
    print("|---|---|---|---|---|---|---|")
    for (stack, gpu, kind), points in sorted(families.items()):
        energy = "{:.0%} / {:.0%}".format(*median_and_p90(point.energy_error_ratio for point in points))
        speed = "{:.0%} / {:.0%}".format(*median_and_p90(point.throughput_error_ratio for point in points))
        groups = len({point.group for point in points})
        print(f"| {stack} | {gpu} | {kind} | {groups} | {len(points)} | {energy} | {speed} |")
    print("\nleft out:")
    for reason, count in left_out.most_common():
        print(f"  {count:4d}  {reason}")


if __name__ == "__main__":
    main()
