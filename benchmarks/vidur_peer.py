"""Vidur beside us on the same input: the requests of a logged server, and the times of its kernels.

    python -m benchmarks.vidur_peer --python VENV/bin/python   an interpreter with vidur 0.0.26
    python -m benchmarks.vidur_peer                            ours only

Both get the arrivals and lengths of the shared log, the profile of its pack, the engine's limits and the host's time
that is calibrated with ours on half of the log; neither has cached prefixes. `benchmarks.simulator` shows the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulations.reproductions.kernel_times import Batch
from simulations.reproductions.logged_server import Constants, ServerLog, calibrated, simulate_log
from simulations.reproductions.pack_files import read_pack
from simulations.reproductions.serving_logs import server_log
from tests.real_data import data_folder

SYSTEM = "rtxpro6000_llama31_8b"
COPIES = (1, 10)  # of the log, one after another
_METRICS = ("ttft_ms", "tpot_ms", "e2e_ms")
_CONTEXT_GRID_TOKENS, _CHUNK_GRID_TOKENS, _LAYERS = 256, 32, 32  # Vidur's grids, and the model's layers
_TIMEOUT_S = 900.0

Result = dict[str, float]


def repeated(log: ServerLog, copies: int) -> ServerLog:
    """The log again and again, with a pause in which everybody leaves."""
    period_s = 2.0 * max(one.queued_at_s for one in log.requests) + 120.0
    requests = [
        replace(one, queued_at_s=one.queued_at_s + copy * period_s, prefix=())
        for copy in range(copies)
        for one in log.requests
    ]
    return replace(log, requests=requests)


def ours(log: ServerLog, constants: Constants) -> Result:
    simulate_log(log, constants)
    began_s = time.process_time()
    found = simulate_log(log, constants)
    took_s = time.process_time() - began_s
    return {"requests": len(log.requests), "took_s": took_s} | {name: float(found.of(name).mean()) for name in _METRICS}


def theirs(log: ServerLog, constants: Constants, interpreter: Path) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "input.json"
        given.write_text(json.dumps(_input(log, constants)))
        runner = Path(__file__).with_name("vidur_run.py")
        command = [str(interpreter), str(runner), str(given), folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, cwd=folder)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        result: Result = json.loads(done.stdout.splitlines()[-1])
        return result


def _input(log: ServerLog, constants: Constants) -> dict[str, Any]:
    longest = max(one.prompt_tokens + one.output_tokens for one in log.requests)
    most_tokens = -(-max(longest, log.limits.batch_tokens) // _CONTEXT_GRID_TOKENS) * _CONTEXT_GRID_TOKENS
    return {
        "requests": [(one.queued_at_s, one.prompt_tokens, one.output_tokens) for one in log.requests],
        "times_ms": _times_ms(log, constants, most_tokens),
        "most_tokens": most_tokens,
        "sequences": log.limits.sequences,
        "batch_tokens": log.limits.batch_tokens,
        "kv_blocks": log.limits.kv_blocks,
    }


def _times_ms(log: ServerLog, constants: Constants, most_tokens: int) -> dict[str, list[tuple[tuple[int, ...], float]]]:
    """By Vidur's names. All that is not attention goes under one of them: it adds them up, layer by layer."""
    limits, times = log.limits, log.times

    def rest_ms(tokens: int) -> float:
        known = min(tokens, limits.batch_tokens)
        whole_s = times.by_tokens_s[known] + times.by_sequences_s[min(tokens, limits.sequences)] + constants.host_s
        return 1e3 * whole_s / _LAYERS

    def attention_ms(batch: Batch) -> float:
        place = (batch.chunk_tokens, batch.chunk_context_tokens, batch.decodes, batch.decode_context_tokens)
        return 1e-3 * times.attention_us.at(place)

    contexts = range(0, most_tokens + 1, _CONTEXT_GRID_TOKENS)
    chunks = range(_CHUNK_GRID_TOKENS, limits.batch_tokens + 1, _CHUNK_GRID_TOKENS)
    counts = range(1, most_tokens + 1)
    nothing: list[tuple[tuple[int, ...], float]] = [((tokens,), 0.0) for tokens in counts]
    zero = ("attn_pre_proj", "attn_post_proj", "mlp_down_proj", "mlp_act", "attn_rope", "attn_kv_cache_save")
    return {
        **dict.fromkeys((*zero, "input_layernorm", "post_attention_layernorm", "add"), nothing),
        "mlp_up_proj": [((tokens,), rest_ms(tokens)) for tokens in counts],
        "attn_prefill": [
            ((context, chunk), attention_ms(Batch(chunk, context, 0, 0.0, 0)))
            for context in contexts
            for chunk in chunks
        ],
        "attn_decode": [
            ((batch, context), attention_ms(Batch(0, 0.0, batch, context, batch)))
            for batch in range(1, limits.sequences + 1)
            for context in contexts
        ],
    }


def row(name: str, log: ServerLog, found: Result) -> str:
    errors = [100.0 * (found[metric] / float(log.real.of(metric).mean()) - 1.0) for metric in _METRICS]
    cells = (f"{found['requests']:,.0f}", f"{found['took_s']:.2f}", f"{found['requests'] / found['took_s']:,.0f}")
    return f"| {name} | {' | '.join(cells)} | {' | '.join(f'{error:+.1f}%' for error in errors)} |"


def lines(interpreter: Path | None) -> Iterator[str]:
    """The table; without an interpreter that has Vidur, ours only and a word about it."""
    log = server_log(read_pack(data_folder() / "reproductions/serving_logs"), SYSTEM)
    constants = calibrated(repeated(log, 1))
    yield "| simulator | requests | processor, s | requests/s | mean TTFT | mean TPOT | mean latency |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for copies in COPIES:
        longer = repeated(log, copies)
        yield row("Slacktide, iteration by iteration", log, ours(longer, constants))
        if interpreter is not None:
            yield row("Vidur 0.0.26", log, theirs(longer, constants, interpreter))
    if interpreter is None:
        yield "\nVidur was not run: it needs an interpreter that has it."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, metavar="PATH", help="an interpreter that has vidur")
    for line in lines(parser.parse_args().python):
        print(line, flush=True)


if __name__ == "__main__":
    main()
