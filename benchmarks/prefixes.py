"""Shared prefixes in the simulator: energy per request without a prefix cache, with one, and when requests follow it.

    python -m benchmarks.prefixes
    python -m benchmarks.prefixes --conversations conversation_trace.jsonl

The first table is drawn with a fixed seed: questions about long documents, which all may wait, in mixed order before
one worker. The second is the hour of conversations that Mooncake published with the hash of every 512-token block
(kvcache-ai/Mooncake, FAST25-release/traces, Apache-2.0), served as it comes. Every row is the daemon's own Shaper
before virtual workers (H100, 8B model in 16 bit); energy is the GPUs', idle time included.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from intensity_feeds.series import IntensitySeries
from shaping.policy import Holding, ShapingPolicy
from shaping.prefixes import named_blocks
from shaping.profiles import deployment
from simulations.loop import Loop
from simulations.serving import Pool, PoolSpec, Traffic
from simulations.workloads import RequestTrace

START_S = 1_646_092_800.0
DAY_S = 86_400.0
SEED = 1
SEQUENCES = 64
DRAWN_BLOCK_TOKENS, CONVERSATION_BLOCK_TOKENS = 256, 512
DOCUMENTS, DOCUMENT_BLOCKS, QUESTIONS, QUESTION_TOKENS, ANSWER_TOKENS = 400, 24, 10, 60, 100
CONVERSATION_WORKERS = 6
_DEPLOYMENT = deployment(gpu="h100-sxm", model="llama-3.1-8b")
_PASS_THROUGH = ShapingPolicy(interactive_hold_s=0.0, min_group=1, holding=Holding.PASS_THROUGH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    energy_j: float  # per request
    busy_j: float  # without idle time
    cached_ratio: float  # of all prompt tokens
    first_token_p50_s: float
    first_token_p99_s: float


def documents() -> RequestTrace:
    """Questions about documents, each document's one after another in time at random among the others'."""
    generator = np.random.default_rng(SEED)
    asked = generator.permutation(np.repeat(np.arange(DOCUMENTS), QUESTIONS))
    names = [named_blocks(bytes(DOCUMENT_BLOCKS), 1, root=b"%d" % number) for number in range(DOCUMENTS)]
    return RequestTrace(
        arrival_s=np.cumsum(np.full(len(asked), 1e-3)),
        prompt_tokens=np.full(len(asked), DOCUMENT_BLOCKS * DRAWN_BLOCK_TOKENS + QUESTION_TOKENS),
        output_tokens=np.full(len(asked), ANSWER_TOKENS),
        prefixes=tuple(names[number] for number in asked),
    )


def conversations(path: Path) -> RequestTrace:
    """The published trace; its arrivals come in steps of three seconds, as published."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return RequestTrace(
        arrival_s=np.array([row["timestamp"] / 1000.0 for row in rows]),
        prompt_tokens=np.array([row["input_length"] for row in rows]),
        output_tokens=np.array([row["output_length"] for row in rows]),
        prefixes=tuple(tuple(row["hash_ids"]) for row in rows),
    )


def outcome(sent: RequestTrace, spec: PoolSpec, *, is_flex: bool) -> Outcome:
    loop = Loop(START_S)
    traffic = Traffic(
        trace=sent,
        start_at_s=START_S,
        is_flex=np.full(len(sent), is_flex),
        flex_deadline_s=DAY_S,
        flex_margin_s=0.0,
    )
    grid = IntensitySeries.flat("here", START_S, START_S + 30 * DAY_S, 380.0)
    pool = Pool(loop, spec, traffic, _PASS_THROUGH, forecast=lambda: grid)
    loop.run()
    pool.close(loop.now_s)
    energy_j = sum(float(one.energy_j.sum()) for one in pool.record.power)
    idle_j = sum(float(one.energy_j[one.sequences == 0].sum()) for one in pool.record.power)
    waits_s = pool.record.first_token_at_s - (START_S + sent.arrival_s)
    assert np.isfinite(waits_s).all(), "a request was not answered"
    p50_s, p99_s = (float(value) for value in np.percentile(waits_s, [50, 99]))
    return Outcome(
        energy_j=energy_j / len(sent),
        busy_j=(energy_j - idle_j) / len(sent),
        cached_ratio=pool.cached_tokens / float(sent.prompt_tokens.sum()),
        first_token_p50_s=p50_s,
        first_token_p99_s=p99_s,
    )


def table(sent: RequestTrace, spec: PoolSpec, *, is_flex: bool) -> Iterator[str]:
    yield "| prefix cache | J/request | without idle | prompt tokens cached | first token p50 s | p99 s |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    block_tokens = spec.prefix_block_tokens
    for label, tokens, follows in (
        ("none", 0, False),
        ("its blocks used as they happen to be there", block_tokens, False),
        ("followed: alike one after another, to the worker that knows them", block_tokens, True),
    ):
        found = outcome(sent, replace(spec, prefix_block_tokens=tokens, follows_prefixes=follows), is_flex=is_flex)
        yield (
            f"| {label} | {found.energy_j:.1f} | {found.busy_j:.1f} | {found.cached_ratio:.1%} | "
            f"{found.first_token_p50_s:.2f} | {found.first_token_p99_s:.1f} |"
        )


def spec_of(workers: int, block_tokens: int) -> PoolSpec:
    return PoolSpec(
        name="benchmark",
        region="here",
        zone="here",
        deployment=_DEPLOYMENT,
        workers=workers,
        max_sequences=SEQUENCES,
        prefix_block_tokens=block_tokens,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=Path, help="Mooncake's conversation_trace.jsonl")
    options = parser.parse_args()
    sent = documents()
    print(f"## {len(sent)} questions about {DOCUMENTS} documents, one worker, all may wait\n")
    for line in table(sent, spec_of(1, DRAWN_BLOCK_TOKENS), is_flex=True):
        print(line, flush=True)
    if options.conversations is not None:
        sent = conversations(options.conversations)
        print(f"\n## {len(sent)} requests of conversations, {CONVERSATION_WORKERS} workers, nobody waits\n")
        for line in table(sent, spec_of(CONVERSATION_WORKERS, CONVERSATION_BLOCK_TOKENS), is_flex=False):
            print(line, flush=True)


if __name__ == "__main__":
    main()
