"""NVIDIA's `aiperf` as a source of load: its count and its latencies beside the daemon's."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from benchmarks.clients import tiny_model
from benchmarks.clients.checks import Check, compared
from benchmarks.clients.environments import Environment
from benchmarks.clients.stand import Stand

DISTRIBUTION = "aiperf"
CHAT = "/v1/chat/completions"
REQUESTS, OUTPUT_TOKENS = 60, 16
_WITHIN_S = 400.0
_SUM = re.compile(r"^slacktide_request_seconds_sum\{[^}]*\} (\S+)$", re.MULTILINE)


def checks(peer: Environment, stand: Stand, folder: Path) -> Iterator[Check]:
    """Streams from three callers at once."""
    tokenizer = tiny_model.write_folder(folder / "tokenizer")
    before, spent_s = stand.answered(), _spent_s(stand)
    _load(peer, stand, tokenizer, folder)
    answered, spent_s = stand.answered() - before, _spent_s(stand) - spent_s
    lines = (folder / "profile_export.jsonl").read_text().splitlines()
    records = [one for one in map(json.loads, lines) if one["metadata"]["benchmark_phase"] == "profiling"]
    theirs_ms = _mean(records, "request_latency")
    ours_ms = 1000.0 * spent_s / max(1, sum(answered.values()))
    yield compared(
        "streams from three callers",
        f"{len(records)} requests, {_mean(records, 'time_to_first_token'):.0f} ms to the first token",
        all_of_them=len(records) == REQUESTS,
        no_error=not any(one.get("error") for one in records),
        tokens=all(one["metrics"]["usage_completion_tokens"]["value"] == OUTPUT_TOKENS for one in records),
    )
    yield compared(
        "the daemon's own count and latency",
        f"{dict(answered)}; mean {theirs_ms:.1f} ms by it, {ours_ms:.1f} ms by the daemon",
        as_many=answered == {(CHAT, "200"): REQUESTS},
        no_longer_than_theirs=ours_ms <= theirs_ms,
        most_of_theirs=ours_ms >= 0.5 * theirs_ms,
    )


def _load(peer: Environment, stand: Stand, tokenizer: Path, folder: Path) -> None:
    command = (
        *(peer.program("aiperf"), "profile", "--model", stand.model, "--url", stand.gateway_url),
        *("--endpoint-type", "chat", "--streaming", "--use-server-token-count", "--tokenizer", str(tokenizer)),
        *("--request-count", str(REQUESTS), "--concurrency", "3", "--workers-max", "1", "--ui-type", "none"),
        *("--prompt-input-tokens-mean", "64", "--prompt-output-tokens-mean", str(OUTPUT_TOKENS)),
        *("--no-server-metrics", "--no-gpu-telemetry", "--output-artifact-dir", str(folder)),
    )
    subprocess.run(command, check=True, capture_output=True, timeout=_WITHIN_S, cwd=folder)


def _mean(records: list[dict[str, Any]], metric: str) -> float:
    return sum(float(one["metrics"][metric]["value"]) for one in records) / max(1, len(records))


def _spent_s(stand: Stand) -> float:
    """Time of all answers together."""
    page = requests.get(f"{stand.gateway_url}/metrics", timeout=10.0).text
    return sum(float(found) for found in _SUM.findall(page))
