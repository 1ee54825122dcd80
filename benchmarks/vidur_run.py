"""Runs Vidur on requests and kernel times from a file, in an interpreter that has it. Knows nothing of Slacktide.

    python vidur_run.py INPUT.json FOLDER

Vidur reads profiles from a hub; here it is handed the times themselves, so that nothing is fetched and nothing trained.
Prints one JSON object: mean latencies, and the seconds from its first event to its last.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

import vidur.execution_time_predictor.sklearn_execution_time_predictor as predictor
from vidur.config import SimulationConfig
from vidur.simulator import Simulator

_DAY = "2026-01-01"


def main(given: dict[str, Any], folder: Path) -> dict[str, float]:
    times = {name: {tuple(key): value for key, value in rows} for name, rows in given["times_ms"].items()}
    predictor.SklearnExecutionTimePredictor._load_predictions_from_hf = lambda self: times
    sys.argv = ["vidur", *_settings(given, folder, _trace(given, folder))]
    simulator = Simulator(SimulationConfig.create_from_cli_args())
    simulator._write_output = lambda: None
    requests = [event._request for _, event in simulator._event_queue]
    began_s = time.process_time()
    simulator.run()
    took_s = time.process_time() - began_s
    count = len(requests)
    return {
        "requests": count,
        "took_s": took_s,
        "ttft_ms": 1e3 * sum(one.prefill_completed_at - one.arrived_at for one in requests) / count,
        "tpot_ms": 1e3
        * sum((one.completed_at - one.prefill_completed_at) / max(1, one.num_decode_tokens - 1) for one in requests)
        / count,
        "e2e_ms": 1e3 * sum(one.completed_at - one.arrived_at for one in requests) / count,
    }


def _trace(given: dict[str, Any], folder: Path) -> Path:
    path = folder / "trace.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Date", "Time", "PromptTokenCount", "CompletionTokenCount"])
        writer.writerows([_DAY, *row] for row in given["requests"])
    return path


def _settings(given: dict[str, Any], folder: Path, trace: Path) -> list[str]:
    most = str(given["most_tokens"])
    named = {
        "request_generator_config_type": "trace_replay",
        "trace_request_generator_config_trace_file": str(trace),
        "trace_request_generator_config_date": _DAY,
        "trace_request_generator_config_max_tokens": most,
        # Its defaults shrink prompts and gaps.
        "trace_request_generator_config_prefill_scale_factor": "1",
        "trace_request_generator_config_decode_scale_factor": "1",
        "trace_request_generator_config_time_scale_factor": "1",
        "replica_config_model_name": "meta-llama/Llama-3-8B",
        "replica_config_num_pipeline_stages": "1",
        "replica_config_tensor_parallel_size": "1",
        "replica_config_kv_parallel_size": "1",
        "replica_scheduler_config_type": "sarathi",
        "sarathi_scheduler_config_batch_size_cap": str(given["sequences"]),
        "sarathi_scheduler_config_chunk_size": str(given["batch_tokens"]),
        "cache_config_num_blocks": str(given["kv_blocks"]),
        "metrics_config_output_dir": str(folder),
        "log_level": "error",
    }
    for kind in ("random_forrest", "linear_regression"):
        prefix = f"{kind}_execution_time_predictor_config_"
        named[prefix + "prediction_max_tokens_per_request"] = most
        named[prefix + "attention_decode_batching_overhead_fraction"] = "0"
        named[prefix + "cache_dir"] = str(folder / "cache")
    off = ("write_metrics", "store_plots", "enable_chrome_trace", "write_json_trace", "store_request_metrics")
    quiet = [f"--no-metrics_config_{name}" for name in off]
    return [part for name, value in named.items() for part in (f"--{name}", value)] + quiet


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))))
