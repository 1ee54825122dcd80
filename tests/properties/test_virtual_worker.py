"""The worker's token clock equals a plain engine that goes through every iteration of every token."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.workers import PREFILL_CHUNK_TOKENS, Work, Worker, WorkerLimits
from tests.unit.simulations.test_workers import LinearSteps, run_out

Lengths = list[tuple[int, int]]


@dataclass
class Running:
    index: int
    context_tokens: int
    left_tokens: int
    kv_tokens: int


def iterated(lengths: Lengths, sequences: int, kv_tokens: int) -> tuple[dict[int, float], float]:
    """Finishes and energy of requests that all come at 0, one iteration after another."""
    model, now_s, energy_j = LinearSteps(), 0.0, 0.0
    waiting, running, finished = list(enumerate(lengths)), list[Running](), dict[int, float]()
    while waiting or running:
        batch: list[Running] = []
        tokens = 0
        while waiting:
            index, (prompt_tokens, output_tokens) = waiting[0]
            held = sum(one.kv_tokens for one in (*running, *batch))
            if len(running) + len(batch) >= sequences or held + prompt_tokens + output_tokens > kv_tokens:
                break
            if batch and tokens + prompt_tokens > PREFILL_CHUNK_TOKENS:
                break
            waiting.pop(0)
            tokens += prompt_tokens
            batch.append(Running(index, prompt_tokens, output_tokens, prompt_tokens + output_tokens))
        context = sum(one.context_tokens for one in running) / len(running) if running else 0.0
        cost = model.step(len(running), context, tokens, 0.0)
        now_s, energy_j = now_s + cost.duration_s, energy_j + cost.energy_j
        running += batch
        for one in running:
            one.context_tokens += 1
            one.left_tokens -= 1
        finished |= {one.index: now_s for one in running if one.left_tokens == 0}
        running = [one for one in running if one.left_tokens > 0]
    return finished, energy_j


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(1, 1500), st.integers(1, 400)), min_size=1, max_size=12),
    st.integers(1, 6),
    st.integers(2000, 6000),
)
def test_finishes_and_energy_equal_those_of_every_single_iteration(
    lengths: Lengths, sequences: int, kv_tokens: int
) -> None:
    worker = Worker(LinearSteps(), WorkerLimits(sequences=sequences, kv_tokens=kv_tokens), 0.0)
    worker.accept([Work(index=i, prompt_tokens=p, output_tokens=o) for i, (p, o) in enumerate(lengths)], 0.0)
    finished = {index: at_s for at_s, index in run_out(worker)}
    expected, energy_j = iterated(lengths, sequences, kv_tokens)
    assert finished == {index: pytest.approx(at_s, rel=1e-9) for index, at_s in expected.items()}
    assert worker.power_trace(max(expected.values())).energy_j.sum() == pytest.approx(energy_j, rel=1e-9)


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 3000), st.integers(1, 300)), min_size=1, max_size=15),
    st.integers(1, 4),
)
def test_whatever_arrives_when_each_request_leaves_once_and_no_energy_is_lost(
    arrivals: list[tuple[float, int, int]], sequences: int
) -> None:
    worker = Worker(LinearSteps(), WorkerLimits(sequences=sequences, kv_tokens=math.inf), 0.0)
    works = [Work(index=i, prompt_tokens=p, output_tokens=o) for i, (_, p, o) in enumerate(sorted(arrivals))]
    left: list[int] = []
    for work, (at_s, _, _) in zip(works, sorted(arrivals), strict=True):
        while worker.next_change_at_s <= at_s:
            left += [done.index for done in worker.advance(worker.next_change_at_s)]
        worker.accept([work], at_s)
    left += [index for _, index in run_out(worker)]
    trace = worker.power_trace(1000.0)
    assert sorted(left) == list(range(len(arrivals)))
    busy_s = (trace.edges_at_s[1:] - trace.edges_at_s[:-1])[trace.sequences > 0].sum()
    assert trace.energy_j.sum() == pytest.approx(500.0 * busy_s + 100.0 * (1000.0 - busy_s), rel=1e-9)
    assert trace.sequences.max() <= sequences
