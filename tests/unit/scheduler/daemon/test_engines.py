"""Every engine's own words for its health, its load and its sleep, on pages as these engines write them."""

from __future__ import annotations

import pytest

from scheduler.daemon.engines import LoadReport, Post, health_path, read_load, read_sleeping, sleep_calls, sleeping_path
from scheduler.daemon.workers import Worker, choose
from scheduler.engine_settings import EngineKind, PriorityOrder, priority_order
from scheduler.worker_settings import WorkerSettings
from shaping.consolidation import Action
from shaping.prefixes import named_blocks

# vLLM 0.6: one process, the KV cache under its older name.
VLLM_0_6 = """\
# HELP vllm:num_requests_running Number of requests currently running on GPU.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="meta-llama/Llama-3.1-8B-Instruct"} 8.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="meta-llama/Llama-3.1-8B-Instruct"} 3.0
# HELP vllm:gpu_cache_usage_perc GPU KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.25
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{le="+Inf",model_name="meta-llama/Llama-3.1-8B-Instruct"} 12.0
"""
# vLLM 0.11 with two data-parallel engines; for some releases both names of the KV cache stood side by side.
VLLM_0_11 = """\
vllm:num_requests_running{engine="0",model_name="qwen"} 4.0
vllm:num_requests_running{engine="1",model_name="qwen"} 6.0
vllm:num_requests_waiting{engine="0",model_name="qwen"} 0.0
vllm:num_requests_waiting{engine="1",model_name="qwen"} 1.0
vllm:gpu_cache_usage_perc{engine="0",model_name="qwen"} 0.9
vllm:kv_cache_usage_perc{engine="0",model_name="qwen"} 0.1
vllm:kv_cache_usage_perc{engine="1",model_name="qwen"} 0.4
"""
# From a running vLLM 0.32: what waits is told again by reason, under a longer name.
VLLM_0_32 = """\
vllm:num_requests_running{engine="0",model_name="tiny"} 1.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="capacity"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="deferred"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 6.103888176767214e-05
"""
# SGLang 0.5 with two tensor-parallel ranks that both tell.
SGLANG_0_5 = """\
# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 162.0
sglang:num_running_reqs{engine_type="unified",model_name="m",pp_rank="0",tp_rank="1"} 162.0
sglang:num_queue_reqs{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 2826.0
sglang:num_queue_reqs{engine_type="unified",model_name="m",pp_rank="0",tp_rank="1"} 2826.0
sglang:token_usage{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 0.28
"""
TGI_3 = """\
# TYPE tgi_queue_size gauge
tgi_queue_size 2
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 14
# TYPE tgi_batch_current_max_tokens gauge
tgi_batch_current_max_tokens 20480
"""
LLAMACPP_OLD = """\
# HELP llamacpp:kv_cache_usage_ratio KV-cache usage. 1 means 100 percent usage.
# TYPE llamacpp:kv_cache_usage_ratio gauge
llamacpp:kv_cache_usage_ratio 0.5
llamacpp:requests_processing 4
llamacpp:requests_deferred 46
"""
LLAMACPP_NEW = "llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\nllamacpp:n_busy_slots_per_decode 1.5\n"
OLLAMA_PS = b'{"models":[{"name":"gemma3:latest","model":"gemma3:latest","size":6591830464,"size_vram":5333539264}]}'


def settings(engine: EngineKind = EngineKind.OPENAI, *, priority: PriorityOrder = PriorityOrder.NONE) -> WorkerSettings:
    return WorkerSettings(
        url="http://w:1", models=("gemma3",), region="here", engine=engine, priority=priority, max_sequences=10
    )


@pytest.mark.parametrize(
    ("engine", "page", "expected"),
    [
        (EngineKind.VLLM, VLLM_0_6, LoadReport(running=8, waiting=3, kv_cache_ratio=0.25)),
        (EngineKind.VLLM, VLLM_0_11, LoadReport(running=10, waiting=1, kv_cache_ratio=0.4)),
        (EngineKind.VLLM, VLLM_0_32, LoadReport(running=1, waiting=2, kv_cache_ratio=6.103888176767214e-05)),
        (EngineKind.VLLM, VLLM_0_6.replace("vllm:", "vllm_"), LoadReport(running=8, waiting=3, kv_cache_ratio=0.25)),
        (EngineKind.SGLANG, SGLANG_0_5, LoadReport(running=162, waiting=2826, kv_cache_ratio=0.28)),
        (EngineKind.TGI, TGI_3, LoadReport(running=14, waiting=2)),
        (EngineKind.LLAMACPP, LLAMACPP_OLD, LoadReport(running=4, waiting=46, kv_cache_ratio=0.5)),
        (EngineKind.LLAMACPP, LLAMACPP_NEW, LoadReport(running=1, waiting=0)),
    ],
)
def test_the_load_is_read_under_the_old_names_and_the_new(engine: EngineKind, page: str, expected: LoadReport) -> None:
    assert read_load(engine, page) == expected


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<html>not found</html>",
        "vllm:num_requests_waiting 3",
        "vllm:num_requests_running NaN",
        "vllm:num_requests_running",
    ],
)
def test_a_page_without_a_count_of_running_requests_says_nothing(page: str) -> None:
    assert read_load(EngineKind.VLLM, page) is None


def test_a_time_stamp_behind_a_value_and_a_brace_in_a_label_are_no_trouble() -> None:
    page = 'vllm:num_requests_running{model_name="a} b"} 2 1700000000000\n'
    assert read_load(EngineKind.VLLM, page) == LoadReport(running=2, waiting=0)


def test_engines_without_a_page_of_metrics_are_not_read() -> None:
    assert read_load(EngineKind.OLLAMA, VLLM_0_6) is None
    assert read_load(EngineKind.OPENAI, VLLM_0_6) is None


def test_ollama_is_asked_for_its_version_and_the_others_for_their_health() -> None:
    assert {engine: health_path(engine) for engine in EngineKind if health_path(engine) != "/health"} == {
        EngineKind.OLLAMA: "/api/version"
    }


@pytest.mark.parametrize(
    ("engine", "sleep", "wake"),
    [
        (EngineKind.OPENAI, Post(path="/sleep?level=1"), Post(path="/wake_up")),
        (EngineKind.VLLM, Post(path="/sleep?level=1"), Post(path="/wake_up")),
        (
            EngineKind.SGLANG,
            Post(path="/release_memory_occupation", body={}),
            Post(path="/resume_memory_occupation", body={}),
        ),
        (
            EngineKind.OLLAMA,
            Post(path="/api/generate", body={"model": "gemma3", "keep_alive": 0}),
            Post(path="/api/generate", body={"model": "gemma3", "keep_alive": -1}),
        ),
    ],
)
def test_each_engine_is_put_to_sleep_in_its_own_way(engine: EngineKind, sleep: Post, wake: Post) -> None:
    assert sleep_calls(settings(engine), Action.SLEEP) == (sleep,)
    assert sleep_calls(settings(engine), Action.WAKE) == (wake,)


@pytest.mark.parametrize("engine", [EngineKind.TGI, EngineKind.LLAMACPP])
def test_engines_that_cannot_sleep_are_told_nothing(engine: EngineKind) -> None:
    assert sleep_calls(settings(engine), Action.SLEEP) == ()


def test_ollama_sleeps_while_none_of_the_workers_models_is_loaded() -> None:
    assert sleeping_path(EngineKind.OLLAMA) == "/api/ps"
    assert not read_sleeping(settings(EngineKind.OLLAMA), OLLAMA_PS)
    assert read_sleeping(settings(EngineKind.OLLAMA), b'{"models":[]}')
    assert read_sleeping(settings(EngineKind.OLLAMA), OLLAMA_PS.replace(b"gemma3:latest", b"gemma3:27b"))


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"models":3}', b"\xff"])
def test_an_answer_that_cannot_be_read_counts_as_awake(answer: bytes) -> None:
    assert not read_sleeping(settings(EngineKind.OLLAMA), answer)
    assert not read_sleeping(settings(EngineKind.VLLM), answer)


def test_the_sign_of_a_priority_is_the_engines_where_the_settings_leave_it_to_it() -> None:
    signs = {engine: priority_order(settings(engine, priority=PriorityOrder.ENGINE)) for engine in EngineKind}
    assert signs.pop(EngineKind.VLLM) is PriorityOrder.LOWER_FIRST
    assert signs.pop(EngineKind.SGLANG) is PriorityOrder.HIGHER_FIRST
    assert set(signs.values()) == {PriorityOrder.NONE}
    assert priority_order(settings(EngineKind.VLLM)) is PriorityOrder.NONE


# -- what a report does to the choice ---------------------------------------------------------------------------------


def reported(
    worker: Worker, requests: int, *, ours: int = 0, now_s: float = 0.0, kv_ratio: float | None = None
) -> None:
    worker.reported(LoadReport(running=requests, waiting=0, kv_cache_ratio=kv_ratio), now_s, ours=ours)


def test_requests_of_others_count_and_our_own_are_not_counted_twice() -> None:
    worker = Worker(settings(EngineKind.VLLM))
    worker.in_flight = 3
    reported(worker, 5, ours=3)
    assert worker.load_ratio(0.0) == 0.5


def test_a_worker_that_others_use_is_chosen_last() -> None:
    shared, own = Worker(settings(EngineKind.VLLM)), Worker(settings(EngineKind.VLLM))
    reported(shared, 4)
    own.in_flight = 3
    assert choose([shared, own], 1.0) is own
    assert choose([shared, own], 1.0, prefix=named_blocks(b"p", 1)) is own


def test_an_old_report_is_forgotten() -> None:
    shared, own = Worker(settings(EngineKind.VLLM)), Worker(settings(EngineKind.VLLM))
    reported(shared, 4, now_s=0.0)
    own.in_flight = 3
    assert choose([shared, own], 10.1) is shared


def test_a_full_kv_cache_is_a_full_worker() -> None:
    full, busy = Worker(settings(EngineKind.VLLM)), Worker(settings(EngineKind.VLLM))
    reported(full, 0, kv_ratio=0.97)
    busy.in_flight = 9
    assert choose([full, busy], 1.0) is busy


def test_a_page_that_could_not_be_read_leaves_our_own_count() -> None:
    worker = Worker(settings(EngineKind.VLLM))
    reported(worker, 5)
    worker.reported(None, 1.0, ours=0)
    worker.in_flight = 2
    assert worker.load_ratio(1.0) == 0.2
