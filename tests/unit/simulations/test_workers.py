"""A virtual worker, by hand: one step costs 10 ms + 1 ms per sequence + 1 ms per 1000 tokens of context or prompt."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shaping.prefixes import named_blocks
from simulations.workers import StepCost, Work, Worker, WorkerLimits


class LinearSteps:
    """Costs that are linear in everything; 100 W idle, 500 W in a step."""

    idle_power_w = 100.0

    def step(
        self, sequences: int, mean_context_tokens: float, prefill_tokens: float, prefill_squared_tokens: float
    ) -> StepCost:
        duration_s = 0.010 + 0.001 * sequences + 1e-6 * (sequences * mean_context_tokens + prefill_tokens)
        return StepCost(duration_s, 500.0 * duration_s)


def a_worker(sequences: int = 8, kv_tokens: float = math.inf) -> Worker:
    return Worker(LinearSteps(), WorkerLimits(sequences=sequences, kv_tokens=kv_tokens), 0.0)


def a_request(index: int = 0, prompt_tokens: int = 1000, output_tokens: int = 3) -> Work:
    return Work(index=index, prompt_tokens=prompt_tokens, output_tokens=output_tokens)


def run_out(worker: Worker) -> list[tuple[float, int]]:
    """When each request finished."""
    finished = []
    while worker.next_change_at_s < math.inf:
        now_s = worker.next_change_at_s
        finished += [(now_s, work.index) for work in worker.advance(now_s)]
    return finished


def test_a_lone_request_takes_its_prefill_and_one_step_for_each_further_token() -> None:
    worker, work = a_worker(), a_request()
    worker.accept([work], 0.0)
    (finished,) = run_out(worker)
    # Prefill of 1000 tokens: 11 ms, gives the first token. Then contexts of 1001 and 1002: 12.001 and 12.002 ms.
    assert work.first_token_at_s == pytest.approx(0.011)
    assert finished[0] == pytest.approx(0.011 + 0.012001 + 0.012002)


def test_a_request_of_one_token_ends_with_its_prefill() -> None:
    worker = a_worker()
    worker.accept([a_request(output_tokens=1)], 0.0)
    ((finished_at_s, _),) = run_out(worker)
    assert finished_at_s == pytest.approx(0.011)


def test_prompts_that_come_together_share_a_step() -> None:
    worker, works = a_worker(), [a_request(0), a_request(1)]
    worker.accept(works, 0.0)
    run_out(worker)
    assert [work.first_token_at_s for work in works] == [pytest.approx(0.012), pytest.approx(0.012)]


def test_a_prompt_longer_than_a_chunk_takes_several_steps() -> None:
    worker, work = a_worker(), a_request(prompt_tokens=4096, output_tokens=1)
    worker.accept([work], 0.0)
    run_out(worker)
    assert work.first_token_at_s == pytest.approx(2 * (0.010 + 0.002048))


def test_a_request_that_does_not_fit_waits_for_a_place() -> None:
    worker = a_worker(sequences=1)
    worker.accept([a_request(0), a_request(1)], 0.0)
    first, second = run_out(worker)
    assert (first[1], second[1]) == (0, 1)
    assert second[0] == pytest.approx(2 * first[0])


def test_kv_memory_bounds_what_runs_together() -> None:
    worker = a_worker(kv_tokens=1500)
    worker.accept([a_request(0), a_request(1)], 0.0)
    first, second = run_out(worker)
    assert second[0] == pytest.approx(2 * first[0])


def test_a_late_arrival_slows_the_others_but_loses_nothing() -> None:
    alone, joined = a_worker(), a_worker()
    for worker in (alone, joined):
        worker.accept([a_request(0, output_tokens=50)], 0.0)
        worker.advance(worker.next_change_at_s)
    joined.accept([a_request(1, output_tokens=50)], 0.3)
    assert {index: at_s for at_s, index in run_out(joined)}[0] > run_out(alone)[0][0]


def test_energy_is_the_integral_of_the_power_trace_idling_included() -> None:
    worker = a_worker()
    worker.accept([a_request()], 0.0)
    run_out(worker)
    trace = worker.power_trace(10.0)
    busy_s = 0.011 + 0.012001 + 0.012002
    assert np.sum(trace.power_w * np.diff(trace.edges_at_s)) == pytest.approx(trace.energy_j.sum(), rel=1e-12)
    assert trace.energy_j.sum() == pytest.approx(500.0 * busy_s + 100.0 * (10.0 - busy_s))
    assert trace.energy_j[trace.sequences == 0].sum() == pytest.approx(100.0 * (10.0 - busy_s))
    assert (trace.edges_at_s[0], trace.edges_at_s[-1]) == (0.0, 10.0)


def test_a_worker_that_never_works_idles_throughout() -> None:
    trace = a_worker().power_trace(60.0)
    assert trace.energy_j.tolist() == [6000.0]
    assert trace.power_w.tolist() == [100.0]


# -- prefixes ----------------------------------------------------------------------------------------------------------


def cached_tokens_of(worker: Worker, *prompts: bytes, output_tokens: int = 3) -> list[int]:
    """Prompts of 100 tokens a letter, one after another."""
    found = []
    for index, prompt in enumerate(prompts):
        work = Work(
            index=index,
            prompt_tokens=100 * len(prompt),
            output_tokens=output_tokens,
            prefix=named_blocks(prompt, 1),
        )
        worker.accept([work], float(index))
        run_out(worker)
        found.append(work.cached_tokens)
    return found


def a_caching_worker(kv_tokens: float = 10_000) -> Worker:
    return Worker(LinearSteps(), WorkerLimits(sequences=8, kv_tokens=kv_tokens, prefix_block_tokens=100), 0.0)


def test_what_a_prompt_shares_with_an_earlier_one_is_not_read_again() -> None:
    worker = a_caching_worker()
    assert cached_tokens_of(worker, b"abcd", b"abxy", b"q") == [0, 200, 0]
    assert worker.cached_tokens == 200


def test_the_last_token_of_a_prompt_is_always_read() -> None:
    assert cached_tokens_of(a_caching_worker(), b"abcd", b"abcd") == [0, 399]


def test_a_cached_prompt_has_its_first_token_sooner() -> None:
    # 1000 tokens are read in 11 ms, 200 in 10.2 ms.
    worker = a_caching_worker()
    cached_tokens_of(worker, b"abcdefgh")
    work = Work(index=1, prompt_tokens=1000, output_tokens=1, prefix=named_blocks(b"abcdefghij", 1))
    worker.accept([work], 5.0)
    run_out(worker)
    assert work.first_token_at_s == pytest.approx(5.0102)


def test_the_cache_is_what_generated_tokens_leave_of_the_memory() -> None:
    # Of 600 tokens 200 are for the answer: four blocks stay, and the newest prompt has them.
    worker = a_caching_worker(kv_tokens=600)
    assert cached_tokens_of(worker, b"abcd", b"wxyz", b"abcd", output_tokens=200) == [0, 0, 0]


def test_prompts_that_come_together_cannot_use_each_other() -> None:
    worker = a_caching_worker()
    works = [Work(index=n, prompt_tokens=400, output_tokens=3, prefix=named_blocks(b"abcd", 1)) for n in range(2)]
    worker.accept(works, 0.0)
    run_out(worker)
    assert [work.cached_tokens for work in works] == [0, 0]


def test_a_worker_without_a_cache_reads_everything() -> None:
    assert cached_tokens_of(a_worker(), b"abcd", b"abcd") == [0, 0]
