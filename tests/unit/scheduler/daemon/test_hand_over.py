"""Which prompts are handed over, and the bodies of the two calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scheduler.daemon.hand_over import HandOver, body_to_read, body_to_write
from scheduler.daemon.openai_api import Endpoint
from scheduler.daemon.workers import Failure, Worker, by_model, readers_by_model
from scheduler.shaping_settings import HandOverSettings
from scheduler.worker_settings import WorkerRole, WorkerSettings
from shaping.phases import Objective
from shaping.request import Request

MODEL = "llama-3.1-8b"


def a_worker(role: WorkerRole, *, gpu: str = "h100-sxm", url: str = "http://w:1", profile: str = "") -> Worker:
    return Worker(WorkerSettings(url=url, models=(MODEL,), region="here", role=role, gpu=gpu, profile=profile))


def a_request(prompt_tokens: int = 8000, *, adapter: str = "") -> Request:
    return Request(
        id="r",
        model=MODEL,
        arrived_at_s=0.0,
        release_by_s=0.0,
        prompt_tokens=prompt_tokens,
        output_tokens=100,
        adapter=adapter,
    )


READER = a_worker(WorkerRole.PREFILL, url="http://reader:1")
SLOW_WRITER = a_worker(WorkerRole.DECODE, gpu="l40s")


def hand_over(reader: Worker = READER, **changes: object) -> HandOver:
    fields: dict[str, Any] = {"objective": Objective.LATENCY, **changes}
    return HandOver(HandOverSettings(**fields), {MODEL: [reader]})


def test_a_prompt_goes_to_the_faster_reader_as_long_as_the_way_is_shorter_than_what_it_spares() -> None:
    # An H100 reads 8,000 tokens of an 8B model in some 0.25 s, an L40S in more than twice that.
    assert hand_over().reader(SLOW_WRITER, Endpoint.CHAT, a_request(), 0.0) is READER
    assert hand_over(link_setup_s=5.0).reader(SLOW_WRITER, Endpoint.CHAT, a_request(), 0.0) is None
    assert hand_over(link_bytes_per_s=1e8).reader(SLOW_WRITER, Endpoint.CHAT, a_request(), 0.0) is None  # 1 GB of KV


def test_equals_gain_nothing_by_a_way_between_them() -> None:
    alike = a_worker(WorkerRole.DECODE)
    assert hand_over().reader(alike, Endpoint.CHAT, a_request(), 0.0) is None


def test_only_a_decode_worker_takes_over_and_only_generations_of_the_model_itself() -> None:
    both = a_worker(WorkerRole.BOTH, gpu="l40s")
    assert hand_over().reader(both, Endpoint.CHAT, a_request(), 0.0) is None
    assert hand_over().reader(SLOW_WRITER, Endpoint.EMBEDDINGS, a_request(), 0.0) is None
    assert hand_over().reader(SLOW_WRITER, Endpoint.CHAT, a_request(adapter="sql"), 0.0) is None


def test_without_a_profile_nobody_can_tell_and_nothing_is_handed_over() -> None:
    unknown = a_worker(WorkerRole.DECODE, profile="nobody-knows")
    assert hand_over().reader(unknown, Endpoint.CHAT, a_request(), 0.0) is None


def test_a_reader_that_is_down_is_not_asked() -> None:
    down = a_worker(WorkerRole.PREFILL)
    for _ in range(3):
        down.failed(Failure.ERROR, 0.0)
    assert hand_over(down).reader(SLOW_WRITER, Endpoint.CHAT, a_request(), 0.0) is None


def test_prefill_workers_are_no_places_of_their_models_pool() -> None:
    workers = [READER, SLOW_WRITER]
    assert by_model(workers) == {MODEL: [SLOW_WRITER]}
    assert readers_by_model(workers) == {MODEL: [READER]}


def test_the_prefill_worker_is_asked_for_one_token_and_to_keep_the_cache() -> None:
    call = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 100,
        "min_tokens": 5,
        "temperature": 0.2,
    }
    asked = json.loads(body_to_read(json.dumps(call).encode()) or b"")
    assert asked == {
        "model": MODEL,
        "messages": call["messages"],
        "stream": False,
        "max_tokens": 1,
        "max_completion_tokens": 1,
        "min_tokens": 1,
        "temperature": 0.2,
        "kv_transfer_params": {
            "do_remote_decode": True,
            "do_remote_prefill": False,
            "remote_engine_id": None,
            "remote_block_ids": None,
            "remote_host": None,
            "remote_port": None,
        },
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": ["a", "b"]},
        {"prompt": [[1, 2], [3]]},
        {"prompt": "a", "n": 2},
        {"prompt": "a", "best_of": 2},
        {"prompt": "a", "echo": True},
        {"prompt": "a", "prompt_logprobs": 0},
        {"prompt": "a", "kv_transfer_params": {"do_remote_decode": True}},
    ],
)
def test_what_needs_the_prompt_where_it_is_written_is_not_handed_over(fields: dict[str, object]) -> None:
    assert body_to_read(json.dumps({"model": MODEL, **fields}).encode()) is None


@pytest.mark.parametrize("fields", [{"prompt": "a"}, {"prompt": [1, 2, 3]}, {"prompt": "a", "n": 1, "echo": False}])
def test_one_prompt_with_one_answer_is(fields: dict[str, object]) -> None:
    assert body_to_read(json.dumps({"model": MODEL, **fields}).encode()) is not None


def test_the_decode_worker_is_told_what_the_prefill_worker_said_before_the_callers_own_bytes() -> None:
    read = b'{"id":"x","kv_transfer_params":{"remote_engine_id":"e","remote_block_ids":[1,2]}}'
    body = b' {"model": "m",  "messages": []}'
    told = body_to_write(body, read)
    assert told is not None
    assert told.endswith(b'"model": "m",  "messages": []}')
    assert json.loads(told)["kv_transfer_params"] == {"remote_engine_id": "e", "remote_block_ids": [1, 2]}


@pytest.mark.parametrize("read", [b"", b"[]", b"{}", b'{"kv_transfer_params":null}', b'{"kv_transfer_params":{}}'])
def test_without_its_word_there_is_nothing_to_hand_over(read: bytes) -> None:
    assert body_to_write(b'{"model":"m"}', read) is None
