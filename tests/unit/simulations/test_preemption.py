"""A virtual worker whose KV memory runs out, by hand, and beside an engine that counts blocks and iterations."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest

from simulations.reproductions.iterations import Engine, EngineLimits, LoggedRequest
from simulations.reproductions.kernel_times import Batch
from simulations.workers import Stay, Work, Worker, WorkerLimits
from tests.unit.simulations.test_workers import LinearSteps, run_out

SEQUENCES = 64


def a_worker(kv_tokens: int, sequences: int = SEQUENCES) -> Worker:
    return Worker(LinearSteps(), WorkerLimits(sequences=sequences, kv_tokens=kv_tokens, preempts=True), 0.0)


def a_request(index: int, prompt_tokens: int = 10, output_tokens: int = 10, priority: int = 0) -> Work:
    return Work(index=index, prompt_tokens=prompt_tokens, output_tokens=output_tokens, priority=priority)


def test_the_last_to_come_is_preempted_and_read_once_more_with_what_it_had_generated() -> None:
    # Step 1 reads both prompts: 20 tokens. Step 2 takes 22, step 3 24, and step 4 would take 26 of 25: the second has
    # three tokens then, goes, and comes back when the first has left after its step 10.
    worker, first, second = a_worker(25), a_request(0), a_request(1)
    worker.accept([first, second], 0.0)
    assert [index for _, index in run_out(worker)] == [0, 1]
    assert (first.earlier_stays, second.generated_tokens) == ((), 3)
    assert second.earlier_stays == (Stay(0, 2),)
    assert second.first_token_at_s < 0.03  # its first token is not lost
    assert worker.power_trace(10.0).sequences.tolist() == [2, 2, 1, 1, 1, 0]


def test_of_unequal_ones_the_lowest_priority_is_preempted_whoever_came_first() -> None:
    worker, yielding, urgent = a_worker(25), a_request(0, priority=1), a_request(1)
    worker.accept([yielding, urgent], 0.0)
    assert [index for _, index in run_out(worker)] == [1, 0]
    assert (len(yielding.earlier_stays), len(urgent.earlier_stays)) == (1, 0)


def test_a_lower_number_starts_first_and_of_equals_the_first_to_come() -> None:
    worker = a_worker(1000, sequences=1)
    worker.accept([a_request(0, priority=1), a_request(1, priority=1), a_request(2)], 0.0)
    assert [index for _, index in run_out(worker)] == [2, 0, 1]


def test_one_who_is_still_being_read_is_preempted_too() -> None:
    # Reading takes five steps; the other has 1,801 tokens then, 2 are free, and so the fourth is one too many.
    worker, first, long = a_worker(10_000), a_request(0, 1800, 400), a_request(1, 8197, 2)
    worker.accept([first], 0.0)
    read_at_s = worker.next_change_at_s
    worker.advance(read_at_s)
    worker.accept([long], read_at_s)
    finished = run_out(worker)
    assert [index for _, index in finished] == [0, 1]
    assert (len(long.earlier_stays), long.generated_tokens) == (1, 0)
    assert long.first_token_at_s > finished[0][0]


def test_nobody_is_preempted_where_memory_is_reserved() -> None:
    worker = Worker(LinearSteps(), WorkerLimits(sequences=8, kv_tokens=25), 0.0)
    works = [a_request(0), a_request(1)]
    worker.accept(works, 0.0)
    run_out(worker)
    assert [work.earlier_stays for work in works] == [(), ()]


class Both(NamedTuple):
    """The requests with the engine's instants, the token clock's finishes, and how often either preempted."""

    logged: list[LoggedRequest]
    finished_at_s: list[float]
    engine_preemptions: int
    clock_preemptions: int


def served_by_both(kv_tokens: int, rate_per_s: float, seed: int) -> Both:
    """Poisson arrivals through the engine of blocks and iterations, and through the token clock."""
    drawn, model, count = np.random.default_rng(seed), LinearSteps(), 300
    arrivals_s = np.cumsum(drawn.exponential(1.0 / rate_per_s, count)).tolist()
    prompts, outputs = drawn.integers(20, 1500, count).tolist(), drawn.integers(10, 600, count).tolist()

    def iteration_s(batch: Batch) -> float:
        return model.step(batch.decodes, batch.decode_context_tokens, batch.chunk_tokens, 0.0).duration_s

    logged = [
        LoggedRequest(queued_at_s=at_s, prompt_tokens=prompt, output_tokens=output)
        for at_s, prompt, output in zip(arrivals_s, prompts, outputs, strict=True)
    ]
    limits = EngineLimits(batch_tokens=2048, sequences=SEQUENCES, kv_blocks=kv_tokens // 16)
    engine = Engine(limits=limits, iteration_s=iteration_s)
    engine.run(logged)
    worker = a_worker(kv_tokens)
    works = [a_request(i, prompt, output) for i, (prompt, output) in enumerate(zip(prompts, outputs, strict=True))]
    finished_at_s = [math.nan] * count
    for work, at_s in zip(works, arrivals_s, strict=True):
        while worker.next_change_at_s <= at_s:
            now_s = worker.next_change_at_s
            for done in worker.advance(now_s):
                finished_at_s[done.index] = now_s
        worker.accept([work], at_s)
    for now_s, index in run_out(worker):
        finished_at_s[index] = now_s
    return Both(logged, finished_at_s, engine.preemptions, sum(len(work.earlier_stays) for work in works))


@pytest.mark.slow
@pytest.mark.parametrize(("kv_tokens", "rate_per_s"), [(8_000, 1.0), (8_000, 5.0), (16_000, 2.0), (30_000, 5.0)])
def test_tokens_instead_of_blocks_and_iterations_change_mean_latencies_by_2_5_percent_at_most(
    kv_tokens: int, rate_per_s: float
) -> None:
    for seed in range(3):
        both = served_by_both(kv_tokens, rate_per_s, seed)
        expected_at_s, arrived_s = np.array([(one.finished_at_s, one.queued_at_s) for one in both.logged]).T
        latency_s = np.array(both.finished_at_s) - arrived_s
        assert latency_s.mean() == pytest.approx((expected_at_s - arrived_s).mean(), rel=0.025)
        assert max(both.finished_at_s) == pytest.approx(expected_at_s.max(), rel=0.005)
        assert both.engine_preemptions > 20
        assert both.clock_preemptions == pytest.approx(both.engine_preemptions, rel=0.3)
