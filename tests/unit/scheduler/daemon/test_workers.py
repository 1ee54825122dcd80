"""Which worker is up, and which one takes the next request."""

from __future__ import annotations

from scheduler.daemon.openai_api import Endpoint
from scheduler.daemon.workers import Failure, Worker, by_model, capacity_of, choose
from scheduler.worker_settings import WorkerSettings
from shaping.prefixes import named_blocks
from shaping.request import PoolCapacity


def a_worker(
    url: str = "http://w:1", *, max_sequences: int = 4, kv_tokens: int | None = None, models: tuple[str, ...] = ("m",)
) -> Worker:
    return Worker(
        WorkerSettings(url=url, models=models, region="here", max_sequences=max_sequences, kv_tokens=kv_tokens)
    )


def fail(worker: Worker, times: int, now_s: float) -> None:
    for _ in range(times):
        worker.failed(Failure.ERROR, now_s)


def test_calls_carry_the_credentials_of_the_address_and_names_hold_none() -> None:
    worker = a_worker("http://user:secret@w:1/base/")
    head = worker.target.head(Endpoint.CHAT, {}, 0)
    assert head.startswith(
        b"POST /base/v1/chat/completions HTTP/1.1\r\nHost: w:1\r\nAuthorization: Basic dXNlcjpzZWNyZXQ=\r\n"
    )
    assert "secret" not in worker.name


def test_two_failures_are_forgiven_and_the_third_in_a_row_is_not() -> None:
    worker = a_worker()
    fail(worker, 2, now_s=10.0)
    assert worker.is_up(10.0)
    fail(worker, 1, now_s=10.0)
    assert not worker.is_up(10.9)
    assert worker.is_up(11.0)


def test_a_success_between_failures_starts_the_count_anew() -> None:
    worker = a_worker()
    fail(worker, 2, now_s=10.0)
    worker.succeeded()
    fail(worker, 2, now_s=10.0)
    assert worker.is_up(10.0)


def test_each_rest_is_twice_as_long_up_to_half_a_minute() -> None:
    worker = a_worker()
    now_s, rests_s = 0.0, []
    for _ in range(7):
        fail(worker, 3, now_s)
        rests_s.append(worker.retry_after_s(now_s))
        now_s += rests_s[-1]
    assert rests_s == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_full_worker_is_a_healthy_one() -> None:
    worker = a_worker()
    for _ in range(10):
        worker.failed(Failure.OVERLOADED, 0.0)
    assert worker.is_up(0.0)


def test_two_silent_probes_take_a_worker_out_and_one_answer_brings_it_back() -> None:
    worker = a_worker()
    worker.probed(is_alive=False)
    assert worker.is_up(0.0)
    worker.probed(is_alive=False)
    assert not worker.is_up(0.0)
    worker.probed(is_alive=True)
    assert worker.is_up(0.0)


def test_a_healthy_probe_does_not_end_the_rest_of_a_failing_worker() -> None:
    worker = a_worker()
    fail(worker, 3, now_s=0.0)
    worker.probed(is_alive=True)
    assert not worker.is_up(0.5)


def test_the_least_load_per_place_is_chosen_and_the_first_of_equals() -> None:
    small, large = a_worker(max_sequences=2), a_worker(max_sequences=8)
    assert choose([small, large], 0.0) is small
    small.in_flight, large.in_flight = 1, 3
    assert choose([small, large], 0.0) is large
    assert choose([small, large], 0.0, tried=[large]) is small


def test_who_was_sent_the_prompt_before_is_chosen_while_about_as_idle() -> None:
    prefix = named_blocks(b"a long system prompt", 4)
    idle, knowing = (
        Worker(WorkerSettings(url=url, models=("m",), region="here", max_sequences=16, prefix_cache_tokens=4096))
        for url in ("http://a:1", "http://b:1")
    )
    knowing.prefixes.touch(prefix)
    knowing.in_flight = 2
    assert choose([idle, knowing], 0.0, prefix=prefix) is knowing
    assert choose([idle, knowing], 0.0) is idle
    assert choose([idle, knowing], 0.0, tried=[knowing], prefix=prefix) is idle
    knowing.in_flight = 3
    assert choose([idle, knowing], 0.0, prefix=prefix) is idle
    idle.is_asleep = True
    assert choose([idle, knowing], 0.0, prefix=prefix) is knowing
    fail(knowing, 3, now_s=0.0)
    assert choose([idle, knowing], 0.5, prefix=prefix) is None


def a_worker_with_adapters(url: str, *adapters: str, most: int | None = 1) -> Worker:
    settings = WorkerSettings(url=url, models=("m",), region="here", adapters=adapters, max_adapters=most)
    return Worker(settings)


def test_an_adapter_goes_where_it_runs_or_has_a_place_and_else_where_it_is_served() -> None:
    one, other, none = (
        a_worker_with_adapters("http://a:1", "sql", "chat"),
        a_worker_with_adapters("http://b:1", "sql", "chat"),
        a_worker_with_adapters("http://c:1"),
    )
    one.began("sql")
    assert choose([one, other, none], 0.0, adapter="chat") is other
    other.began("sql")
    other.began("sql")
    assert choose([one, other, none], 0.0, adapter="sql") is one
    assert choose([one, other, none], 0.0, adapter="chat") is one  # waits in the engine's queue
    one.ended("sql")
    assert choose([other, one, none], 0.0, adapter="chat") is one
    assert choose([none], 0.0, adapter="chat") is None


def test_the_adapters_of_a_pool_are_those_of_its_workers_together() -> None:
    two, free = a_worker_with_adapters("http://a:1", most=2), a_worker_with_adapters("http://b:1", most=None)
    assert capacity_of([two, two], 0.0).adapters == 4
    assert capacity_of([two, free], 0.0).adapters is None


def test_a_worker_that_is_down_is_never_chosen() -> None:
    worker = a_worker()
    fail(worker, 3, now_s=0.0)
    assert choose([worker], 0.5) is None


def test_capacity_is_what_the_workers_that_are_up_hold() -> None:
    left, right = a_worker(max_sequences=3, kv_tokens=100), a_worker(max_sequences=5, kv_tokens=200)
    assert capacity_of([left, right], 0.0) == PoolCapacity(sequences=8, kv_tokens=300, workers=2)
    fail(left, 3, now_s=0.0)
    assert capacity_of([left, right], 0.5) == PoolCapacity(sequences=5, kv_tokens=200)
    fail(right, 3, now_s=0.0)
    assert capacity_of([left, right], 0.5) == PoolCapacity(sequences=8, kv_tokens=300, workers=2)


def test_an_engine_that_does_not_say_its_memory_leaves_the_pool_unlimited() -> None:
    assert capacity_of([a_worker(kv_tokens=100), a_worker()], 0.0).kv_tokens is None


def test_a_worker_of_two_models_stands_in_both_pools() -> None:
    both, one = a_worker(models=("a", "b")), a_worker(models=("b",))
    assert by_model([both, one]) == {"a": [both], "b": [both, one]}


def test_a_sleeping_worker_is_up_but_takes_no_request() -> None:
    asleep, awake = a_worker("http://a:1"), a_worker("http://b:1")
    asleep.is_asleep = True
    assert asleep.is_up(0.0)
    assert choose([asleep, awake], 0.0) is awake
    assert choose([asleep], 0.0) is None


def test_a_pool_that_sleeps_has_no_place_but_nobody_is_too_large_for_it() -> None:
    workers = [a_worker("http://a:1", kv_tokens=100), a_worker("http://b:1", kv_tokens=100)]
    workers[1].is_asleep = True
    assert capacity_of(workers, 0.0) == PoolCapacity(sequences=4, kv_tokens=100, workers=1)
    workers[0].is_asleep = True
    assert capacity_of(workers, 0.0) == PoolCapacity(sequences=0, kv_tokens=200, workers=2)
