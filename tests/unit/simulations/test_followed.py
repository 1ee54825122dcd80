"""A pool of virtual workers with prefix caches: who gets a prompt, and what that spares."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from shaping.policy import Holding, ShapingPolicy
from shaping.prefixes import named_blocks
from shaping.profiles import deployment
from simulations.followed import Followed
from simulations.loop import Loop
from simulations.serving import Pool, PoolSpec, Traffic
from simulations.workers import WorkerLimits
from simulations.workloads import RequestTrace

LIMITS = WorkerLimits(sequences=16, kv_tokens=1e6, prefix_block_tokens=100)
SPEC = PoolSpec(
    name="chat",
    region="here",
    zone="DE",
    deployment=deployment(gpu="h100-sxm", model="llama-3.1-8b"),
    workers=2,
    max_sequences=16,
    prefix_block_tokens=100,
)
AT_ONCE = ShapingPolicy(interactive_hold_s=0.0, min_group=1, holding=Holding.PASS_THROUGH)


def test_a_prompt_goes_where_its_beginning_went_unless_that_worker_is_much_busier() -> None:
    followed, wind, rain = Followed(2, LIMITS), named_blocks(b"wind", 1), named_blocks(b"rain", 1)
    assert followed.place(wind, [0.0, 0.0]) == 0
    assert followed.place(rain, [1.0, 0.0]) == 1
    assert followed.place(wind, [2.0, 0.0]) == 0  # an eighth of 16 places more
    assert followed.place(wind, [3.0, 0.0]) == 1
    assert followed.place(wind, [3.0, 3.0]) == 0
    assert followed.place(rain, [math.inf, 9.0]) == 1


def served(spec: PoolSpec, *prompts: bytes) -> Pool:
    """Prompts of 100 tokens a letter, ten seconds apart."""
    loop = Loop(0.0)
    trace = RequestTrace(
        arrival_s=np.arange(len(prompts)) * np.float64(10.0),
        prompt_tokens=np.array([100 * len(one) for one in prompts]),
        output_tokens=np.full(len(prompts), 50),
        prefixes=tuple(named_blocks(one, 1) for one in prompts),
    )
    nobody = np.full(len(prompts), False)
    traffic = Traffic(trace=trace, start_at_s=0.0, is_flex=nobody, flex_deadline_s=0.0, flex_margin_s=0.0)
    pool = Pool(loop, spec, traffic, AT_ONCE, forecast=None)
    loop.run()
    pool.close(100.0)
    return pool


def test_a_pool_reads_what_prompts_share_once_and_uses_less_energy() -> None:
    prompts = (b"a" * 60 + b"1", b"a" * 60 + b"2", b"b" * 60, b"a" * 60 + b"3")
    followed, without = served(SPEC, *prompts), served(replace(SPEC, prefix_block_tokens=0), *prompts)
    assert (followed.cached_tokens, without.cached_tokens) == (2 * 6000, 0)
    used_j = [sum(float(one.energy_j.sum()) for one in pool.record.power) for pool in (followed, without)]
    assert used_j[0] < used_j[1]
    waits_s = followed.record.first_token_at_s - followed.record.released_at_s
    assert waits_s[1] < waits_s[0] / 5
