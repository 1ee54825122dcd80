"""Logs of a server: kernel times from a profile, the calibrated constant, and the real log within its bars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulations.reproductions import serving_logs as logs
from simulations.reproductions.kernel_times import Batch, KernelTimes, kernel_times
from simulations.reproductions.logged_server import (
    HELD_OUT,
    Constants,
    calibrated,
    mean_error_ratio,
    simulate_log,
)
from simulations.reproductions.pack_files import read_pack
from simulations.reproductions.tables import CellError, Pack, PackError
from tests.real_data import real_data
from tests.unit.simulations.reproductions.packs import a_pack, a_row, answers

BLOCK = ("qkv_proj", "rotary_emb", "o_proj", "gate_up_proj", "act_fn", "down_proj", "layernorm")
LAYERS = [
    a_row(layer=name, per="tokens", count=count, time_us=time_us)
    for name in (*BLOCK, "embedding", "final_layernorm")
    for count, time_us in ((1, 10), (101, 20))
] + [a_row(layer=name, per="sequences", count=1, time_us=5) for name in ("lm_head", "sampler")]
ATTENTION = [
    a_row(prefill_chunk=chunk, kv_prefill=0, n_decode=decodes, kv_decode=context, time_us=time_us)
    for chunk, decodes, context, time_us in (
        (0, 1, 0, 0),
        (0, 1, 100, 40),
        (0, 3, 0, 0),
        (0, 3, 100, 80),
        (100, 0, 0, 200),
    )
]
SETTINGS = {
    "num_gpus": 1,
    "layers": 2,
    "max_num_seqs": 4,
    "max_num_batched_tokens": 64,
    "block_size": 16,
    "kv_tokens_per_replica": 4096,
}


TWO_GPUS = {"num_gpus": 2, "tensor_parallel": 2, "hidden_size": 1000, "gpu_link_gb_per_s": 1}


def times() -> KernelTimes:
    return kernel_times(LAYERS, ATTENTION, 2, 128)


def test_an_iteration_of_decodes_by_hand() -> None:
    # Two tokens: each layer 10.1 us. Two blocks of eight layers and two more, lm_head and sampler, and attention of
    # two decodes at a context of fifty, halfway between 20 and 40, in two layers.
    wanted_us = 18 * 10.1 + 10 + 2 * 30
    assert times().iteration_s(Batch(0, 0.0, 2, 50.0, 2)) == pytest.approx(wanted_us * 1e-6)


def test_attention_of_a_chunk_is_on_its_own_grid_and_ends_are_held() -> None:
    assert times().attention_us.at((100, 0.0, 0, 0.0)) == 200
    assert times().attention_us.at((500, 9.0, 0, 0.0)) == 200
    assert times().attention_us.at((0, 0.0, 1, 1e6)) == 40


def test_layers_of_experts_stand_for_the_dense_ones_and_are_shared_by_replicas_in_step() -> None:
    dense = ("gate_up_proj", "act_fn", "down_proj")
    moe = [a_row(layer="moe", per="tokens", count=count, time_us=time_us) for count, time_us in ((1, 100), (101, 300))]
    norm = [a_row(layer="qk_norm", per="tokens", count=1, time_us=7)]
    found = kernel_times([*(row for row in LAYERS if row["layer"] not in dense), *moe, *norm], ATTENTION, 2, 128)
    # Two blocks of five layers and the norm of queries and keys, two more layers, lm_head and sampler.
    own_us = 12 * 10.1 + 2 * 7 + 10 + 2 * 30
    batch, idle = Batch(0, 0.0, 2, 50.0, 2), Batch(0, 0.0, 0, 0.0, 0)
    assert found.iteration_s(batch) == pytest.approx((own_us + 2 * 102) * 1e-6)
    # Beside an idle replica each GPU has the experts' work for one token.
    assert found.joint_s([batch, idle]) == pytest.approx((own_us + 2 * 100) * 1e-6)


def test_a_profile_without_a_layer_is_refused() -> None:
    with pytest.raises(PackError, match="sampler"):
        kernel_times(LAYERS[:-1], ATTENTION, 2, 128)


def a_log_pack(host_s: float = 0.0, link_ratio: float = 1.0, count: int = 10, **settings: int) -> Pack:
    """Requests as a server with those constants would have logged them."""
    systems = [{"system_id": key, "made_up": value} for key, value in {**SETTINGS, **settings}.items()]
    requests: list[dict[str, object]] = [
        {
            "request_id": i,
            "queued_s": 0.0004 * i,
            "prompt_tokens": 30 + i,
            "output_tokens": 12,
            "shared_prefix_blocks": "",
        }
        for i in range(count)
    ]
    profile = {"profile_layers_made_up": LAYERS, "profile_attention_made_up": ATTENTION}
    blank = [{**row, "ttft_ms": 1, "tpot_ms": 1, "e2e_ms": 1} for row in requests]
    plain = a_pack(tables={"systems": systems, "requests_made_up": blank, **profile})
    constants = Constants(host_s=host_s, link_ratio=link_ratio)
    made = simulate_log(logs.server_log(plain, "made_up"), constants)
    names = ("ttft_ms", "tpot_ms", "e2e_ms")
    logged = [{**row, **{name: made.of(name)[i] for name in names}} for i, row in enumerate(requests)]
    return a_pack(tables={"systems": systems, "requests_made_up": logged, **profile})


def test_the_hosts_time_is_found_again() -> None:
    log = logs.server_log(a_log_pack(host_s=0.0011), "made_up")
    assert calibrated(log).host_s == pytest.approx(0.0011, rel=1e-3)
    assert calibrated(log).link_ratio == 1.0


def test_what_gpus_exchange_is_timed_by_their_link() -> None:
    log = logs.server_log(a_log_pack(**TWO_GPUS), "made_up")
    # Each of two layers adds up twice 2,000 bytes a token over two GPUs in a ring, at 1 GB/s.
    assert log.exchange_s_per_token == pytest.approx(2 * 2 * 2000 / 1e9)
    with_experts = {**TWO_GPUS, "tensor_parallel": 1, "data_parallel": 2, "expert_parallel": 1}
    log = logs.server_log(a_log_pack(**with_experts), "made_up")
    assert (log.replicas, log.in_step) == (2, True)
    assert log.exchange_s_per_token == pytest.approx(2 * 2 * 2000 / 1e9)


@pytest.mark.slow
def test_a_link_slower_than_its_nominal_rate_is_found_beside_the_hosts_time() -> None:
    # Prompts of 30 tokens and few at once, so that the two constants do not weigh the same everywhere.
    log = logs.server_log(a_log_pack(host_s=0.0011, link_ratio=1.7, count=60, **TWO_GPUS), "made_up")
    found = calibrated(log)
    assert found.link_ratio == pytest.approx(1.7, rel=0.1)
    assert found.host_s == pytest.approx(0.0011, rel=0.1)


def test_two_replicas_serve_faster_than_one_but_slower_in_step_than_apart() -> None:
    def mean_ms(replicas: int, in_step: bool) -> float:
        log = replace(logs.server_log(a_log_pack(count=40), "made_up"), replicas=replicas, in_step=in_step)
        return float(simulate_log(log, Constants(host_s=0.0)).e2e_ms.mean())

    assert mean_ms(2, in_step=False) < mean_ms(2, in_step=True) < mean_ms(1, in_step=False)
    assert mean_ms(1, in_step=True) == pytest.approx(mean_ms(1, in_step=False), rel=1e-9)


def test_every_statistic_and_request_of_a_log_is_answered() -> None:
    pack = a_log_pack(host_s=0.0011)
    mean, each = answers(
        "serving_logs",
        "reference_simulator",
        pack,
        a_row(metric="e2e_ms", statistic="mean"),
        a_row(metric="ttft_ms", statistic="mean_abs_pct_error_per_request"),
    )
    (quarter,) = answers("serving_logs", "reference_simulator", pack, a_row(metric="e2e_ms", statistic="p25"))
    real_quarter_ms = np.percentile([float(row["e2e_ms"]) for row in pack.table("requests_made_up")], 25)
    assert quarter["real"] == pytest.approx(real_quarter_ms, rel=1e-2)
    real_ms = np.mean([float(row["e2e_ms"]) for row in pack.table("requests_made_up")])
    assert mean["real"] == pytest.approx(real_ms, rel=1e-3)
    assert mean["error_pct"] == pytest.approx(0.0, abs=0.1)
    assert each["real"] is None
    (one,) = answers("serving_logs", "requests", pack, a_row(request_id="3"))
    assert one["ttft_ms"] == pytest.approx(float(pack.table("requests_made_up")[3]["ttft_ms"]), rel=1e-3)


def test_what_is_not_covered_or_not_known_is_an_error() -> None:
    with pytest.raises(PackError, match="pipelines are not covered"):
        logs.server_log(a_log_pack(**{**TWO_GPUS, "num_gpus": 4}), "made_up")
    with pytest.raises(CellError, match="has made_up"):
        logs.server_log(a_log_pack(), "other")
    with pytest.raises(CellError, match="p100"):
        answers("serving_logs", "reference_simulator", a_log_pack(), a_row(metric="e2e_ms", statistic="p100"))


@pytest.mark.slow
def test_the_real_log_is_met_within_its_bars_on_the_half_that_was_not_calibrated_on() -> None:
    pack = read_pack(real_data("reproductions/serving_logs/README.md").parent)
    log = logs.server_log(pack, "rtxpro6000_llama31_8b")
    ours = simulate_log(log, calibrated(log))
    for metric, bar_ratio in (("ttft_ms", 0.04), ("tpot_ms", 0.02), ("e2e_ms", 0.03)):
        for part in (slice(None), HELD_OUT):
            assert abs(mean_error_ratio(log, ours, metric, part)) < bar_ratio, metric


@pytest.mark.slow
def test_with_a_fifth_of_the_memory_the_real_log_takes_longer() -> None:
    pack = read_pack(real_data("reproductions/serving_logs/README.md").parent)
    log = logs.server_log(pack, "rtxpro6000_llama31_8b")
    small = replace(log, limits=replace(log.limits, kv_blocks=log.limits.kv_blocks // 5))
    roomy_ms, tight_ms = (simulate_log(one, Constants(host_s=0.0015)).e2e_ms.mean() for one in (log, small))
    assert 1.05 * roomy_ms < tight_ms < 1.2 * roomy_ms
