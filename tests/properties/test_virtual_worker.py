"""The worker's token clock equals a plain engine that goes through every iteration of every token."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.workers import PREFILL_CHUNK_TOKENS, Work, Worker, WorkerLimits
from tests.unit.simulations.test_workers import LinearSteps, run_out

# Prompt and output tokens, and a priority.
Lengths = list[tuple[int, int, int]]
LENGTHS = st.lists(st.tuples(st.integers(1, 1500), st.integers(1, 400), st.integers(0, 2)), min_size=1, max_size=12)


@dataclass
class Job:
    index: int
    prompt_tokens: int
    output_tokens: int
    priority: int
    generated_tokens: int = 0

    @property
    def read_tokens(self) -> int:
        return self.prompt_tokens + self.generated_tokens

    @property
    def rank(self) -> tuple[int, int]:
        return self.priority, self.index


@dataclass
class Iterated:
    """What came of requests that all come at 0, one iteration after another."""

    finished_at_s: dict[int, float] = field(default_factory=dict)
    preempted: list[int] = field(default_factory=list)
    energy_j: float = 0.0


def iterated(lengths: Lengths, limits: WorkerLimits) -> Iterated:
    """The rules of the engine, without a token clock: every iteration is chosen, paid for and made."""
    model, now_s, came_of_it = LinearSteps(), 0.0, Iterated()
    waiting = sorted((Job(index, *one) for index, one in enumerate(lengths)), key=lambda job: job.rank)
    running: list[Job] = []
    while waiting or running:
        # The tokens of the next iteration included: one for each that decodes.
        held = sum(job.read_tokens if limits.preempts else job.prompt_tokens + job.output_tokens for job in running)
        preempted = []
        while held > limits.kv_tokens:
            victim = max(running, key=lambda job: job.rank)
            running.remove(victim)
            preempted.append(victim)
            held -= victim.read_tokens
        waiting = sorted([*waiting, *preempted], key=lambda job: job.rank)
        batch: list[Job] = []
        tokens = 0
        while waiting and not preempted:
            job = waiting[0]
            needed = job.read_tokens if limits.preempts else job.prompt_tokens + job.output_tokens
            if len(running) + len(batch) >= limits.sequences or held + needed > limits.kv_tokens:
                break
            if batch and tokens + job.read_tokens > PREFILL_CHUNK_TOKENS:
                break
            batch.append(waiting.pop(0))
            held, tokens = held + needed, tokens + job.read_tokens
        context = sum(job.read_tokens for job in running) / len(running) if running else 0.0
        cost = model.step(len(running), context, tokens, 0.0)
        now_s, came_of_it.energy_j = now_s + cost.duration_s, came_of_it.energy_j + cost.energy_j
        came_of_it.preempted += [job.index for job in preempted]
        running += batch
        for job in running:
            job.generated_tokens += 1
            if job.generated_tokens == job.output_tokens:
                came_of_it.finished_at_s[job.index] = now_s
        running = [job for job in running if job.generated_tokens < job.output_tokens]
    return came_of_it


@pytest.mark.slow
@settings(deadline=None)
@given(LENGTHS, st.integers(1, 6), st.integers(1900, 6000), st.booleans())
def test_finishes_preemptions_and_energy_equal_those_of_every_single_iteration(
    lengths: Lengths, sequences: int, kv_tokens: int, preempts: bool
) -> None:
    limits = WorkerLimits(sequences=sequences, kv_tokens=kv_tokens, preempts=preempts)
    worker = Worker(LinearSteps(), limits, 0.0)
    works = [
        Work(index=i, prompt_tokens=prompt, output_tokens=output, priority=priority)
        for i, (prompt, output, priority) in enumerate(lengths)
    ]
    worker.accept(works, 0.0)
    finished = {index: at_s for at_s, index in run_out(worker)}
    expected = iterated(lengths, limits)
    assert finished == {index: pytest.approx(at_s, rel=1e-9) for index, at_s in expected.finished_at_s.items()}
    assert Counter({one.index: len(one.earlier_stays) for one in works if one.earlier_stays}) == Counter(
        expected.preempted
    )
    energy_j = worker.power_trace(max(finished.values())).energy_j.sum()
    assert energy_j == pytest.approx(expected.energy_j, rel=1e-9)


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
