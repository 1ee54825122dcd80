"""Tables of measured points for tests: every cell has a default."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

DEFAULTS = {
    "source": "bench",
    "serving_stack": "vllm-0.11.1",
    "phase": "serving-steady-state",
    "task": "lm-arena-chat",
    "group_id": "m|g",
    "model_id": "meta-llama/Llama-3.1-8B-Instruct",
    "architecture": "Dense Transformer",
    "total_params_b": "8",
    "active_params_b": "8",
    "weight_precision": "bfloat16",
    "gpu": "H100-SXM5-80GB",
    "num_gpus": "1",
    "expert_parallel": "1",
    "power_cap_fraction": "1",
    "avg_batch_size": "8",
    "avg_prompt_tokens": "350",
    "avg_output_tokens": "400",
    "output_throughput_tokens_per_s": "1000",
    "energy_per_output_token_j": "0.5",
    "quality_flags": "",
}
HEADER = tuple(DEFAULTS)


def a_table(*rows: Mapping[str, str]) -> list[str]:
    """Lines of a table, the header first, one row for each argument."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([{**DEFAULTS, **row}[name] for name in HEADER] for row in rows)
    return text.getvalue().splitlines(keepends=True)
