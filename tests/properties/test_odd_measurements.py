"""Whatever stands in the cells of a table, every row is scored, calibrates, or is listed with a reason."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from shaping.evaluation import energy_spread, evaluate, speed_spread
from shaping.measurements import read_each
from shaping.profiles.published import subject
from tests.unit.shaping.measured_rows import a_table

NUMBERS = st.one_of(
    st.sampled_from(
        ["", "0", "-1", "nan", "inf", "1e-9", "1e15", "1e16", "many", "1.5", " 8 ", "8", "64", "64", "1024"]
    ),
    st.floats(min_value=1e-9, max_value=1e15).map(repr),
)
WORDS = {
    "group_id": ["m|g", "m|g", "n|g", ""],
    "model_id": ["meta-llama/Llama-3.1-8B-Instruct", "x/unheard-of", "", "Qwen/Qwen3-30B-A3B-Instruct-2507"],
    "gpu": ["H100-SXM5-80GB", "L4", "B200-SXM-180GB", "abacus", ""],
    "serving_stack": ["vllm-0.11.1", "vllm-0.5.4", "vllm-9", ""],
    "phase": ["serving-steady-state", "static-batch-prefill-plus-decode", "training", ""],
    "task": ["lm-arena-chat", "image-chat", "riddles", ""],
    "weight_precision": ["bfloat16", "fp8", "FP8", "awq", "ternary", ""],
    "architecture": ["Dense Transformer", "MoE", ""],
}
COUNTS = ("num_gpus", "avg_batch_size", "avg_prompt_tokens", "avg_output_tokens", "expert_parallel")
AMOUNTS = ("output_throughput_tokens_per_s", "energy_per_output_token_j", "power_cap_fraction")
ROWS = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.sampled_from(words) for name, words in WORDS.items()},
        **dict.fromkeys((*COUNTS, *AMOUNTS), NUMBERS),
    },
)


@settings(deadline=None)
@given(st.lists(ROWS, max_size=8), st.integers(min_value=0, max_value=3))
def test_every_row_is_accounted_for_once(rows: list[dict[str, str]], anchors: int) -> None:
    read, unread = read_each(a_table(*rows), "t.csv")
    groups = evaluate([subject(one) for one in read], anchors, unread)
    lines = [line for group in groups for line, _ in group.left_out]
    lines += [one.measured.line for group in groups for one in group.scored]
    lines += [line for group in groups for line in group.anchor_lines]
    assert sorted(lines) == list(range(2, len(rows) + 2))
    assert all(reason for group in groups for _, reason in group.left_out)
    assert all(group.scored or group.reason for group in groups)


@settings(deadline=None)
@given(st.lists(ROWS, max_size=8), st.integers(min_value=0, max_value=3))
def test_every_prediction_is_a_number_above_zero(rows: list[dict[str, str]], anchors: int) -> None:
    read, unread = read_each(a_table(*rows), "t.csv")
    groups = evaluate([subject(one) for one in read], anchors, unread)
    made = [one.predicted for group in groups for one in group.scored]
    assert all(math.isfinite(one.j_per_token) and one.j_per_token > 0 for one in made)
    assert all(math.isfinite(one.tokens_per_s) and one.tokens_per_s > 0 for one in made)
    assert len(energy_spread(groups)) == len(speed_spread(groups)) == 3
