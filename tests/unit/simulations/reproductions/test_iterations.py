"""The iteration-level engine: batches by hand, memory that runs out, cached prefixes, and its own shortcut."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.reproductions.iterations import Engine, EngineLimits, LoggedRequest
from simulations.reproductions.kernel_times import Batch
from simulations.reproductions.tables import PackError


class Recorder:
    """One second for each iteration; keeps what was in it."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def __call__(self, batch: Batch) -> float:
        self.batches.append(batch)
        return 1.0


class StepByStep(Engine):
    """The engine without its shortcut for iterations of nothing but decoding."""

    __slots__ = ()

    def _quiet_iterations(self) -> int:
        return 0


def limits(batch_tokens: int = 64, sequences: int = 8, kv_blocks: int = 100, block_tokens: int = 4) -> EngineLimits:
    return EngineLimits(batch_tokens=batch_tokens, sequences=sequences, kv_blocks=kv_blocks, block_tokens=block_tokens)


def a_request(queued_at_s: float = 0.0, prompt: int = 8, output: int = 3, prefix: str = "") -> LoggedRequest:
    return LoggedRequest(queued_at_s=queued_at_s, prompt_tokens=prompt, output_tokens=output, prefix=prefix.split())


def test_a_prompt_is_computed_in_chunks_of_the_budget_and_then_decodes() -> None:
    recorder, request = Recorder(), a_request(prompt=10, output=3)
    Engine(limits=limits(batch_tokens=4), iteration_s=recorder).run([request])
    assert [(batch.chunk_tokens, batch.chunk_context_tokens) for batch in recorder.batches[:3]] == [
        (4, 0),
        (4, 4),
        (2, 8),
    ]
    assert [(batch.decodes, batch.decode_context_tokens) for batch in recorder.batches[3:]] == [(1, 10), (1, 11)]
    assert (request.first_token_at_s, request.finished_at_s) == (3.0, 5.0)


def test_running_requests_come_before_the_waiting_in_the_budget() -> None:
    recorder = Recorder()
    requests = [a_request(prompt=4, output=9), a_request(queued_at_s=0.5, prompt=6, output=1)]
    Engine(limits=limits(batch_tokens=4), iteration_s=recorder).run(requests)
    assert recorder.batches[1] == Batch(3, 0.0, 1, 4.0, 1)  # one decode first, three tokens of the newcomer
    assert requests[1].first_token_at_s == 3.0


def test_a_request_waits_while_all_slots_are_taken() -> None:
    requests = [a_request(output=5), a_request(output=1)]
    Engine(limits=limits(sequences=1), iteration_s=Recorder()).run(requests)
    assert [one.first_token_at_s for one in requests] == [1.0, 6.0]


def test_the_latest_is_preempted_when_memory_runs_out_and_recomputed_later() -> None:
    # Four blocks of four tokens: two prompts of eight fill them, and the first decode needs a fifth.
    engine = Engine(limits=limits(kv_blocks=4), iteration_s=Recorder())
    requests = [a_request(output=4), a_request(output=4)]
    engine.run(requests)
    assert engine.preemptions == 1
    assert requests[0].finished_at_s == 4.0
    assert requests[1].first_token_at_s == 1.0  # its token is not lost
    assert requests[1].finished_at_s == 7.0  # recomputed in iteration 5 with the second token, and two more
    assert engine.free_blocks == 4


def test_a_cached_beginning_is_not_computed_again_but_the_last_token_is() -> None:
    recorder = Recorder()
    requests = [a_request(prompt=8, output=1, prefix="x y"), a_request(2.0, prompt=8, output=1, prefix="x y")]
    Engine(limits=limits(), iteration_s=recorder).run(requests)
    assert [(batch.chunk_tokens, batch.chunk_context_tokens) for batch in recorder.batches] == [(8, 0), (4, 4)]


def test_a_shared_beginning_is_held_once() -> None:
    # Four blocks of four tokens: each alone needs three, both together four, for the first two are the same.
    first, second = a_request(output=4, prefix="x y"), a_request(0.5, prompt=9, output=3, prefix="x y")
    engine = Engine(limits=limits(kv_blocks=4), iteration_s=Recorder())
    engine.run([first, second])
    assert engine.preemptions == 0
    assert (first.finished_at_s, second.finished_at_s) == (4.0, 4.0)
    assert engine.free_blocks == 4


def test_a_beginning_that_was_overwritten_is_computed_again() -> None:
    recorder = Recorder()
    first, between, again = a_request(prefix="x y"), a_request(10.0, prompt=14, output=1), a_request(20.0, prefix="x y")
    Engine(limits=limits(kv_blocks=4), iteration_s=recorder).run([first, between, again])
    assert [batch.chunk_tokens for batch in recorder.batches if batch.chunk_tokens] == [8, 14, 8]


def test_a_request_that_can_never_be_held_is_refused() -> None:
    with pytest.raises(PackError, match="can never be held"):
        Engine(limits=limits(kv_blocks=2), iteration_s=Recorder()).run([a_request(prompt=8, output=1)])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kv_blocks", [30, 1000])
def test_the_shortcut_changes_nothing_and_memory_is_conserved(seed: int, kv_blocks: int) -> None:
    def requests() -> list[LoggedRequest]:
        generator = np.random.default_rng(seed)
        queued = np.sort(generator.uniform(0, 200, 60))
        lengths = generator.integers(1, 40, (60, 2)).tolist()
        prefixes = [" ".join(f"{i % 3}.{block}" for block in range(lengths[i][0] // 4)) for i in range(60)]
        rows = zip(queued.tolist(), lengths, prefixes, strict=True)
        return [a_request(at, prompt, output, prefix) for at, (prompt, output), prefix in rows]

    def took_s(batch: Batch) -> float:
        return 0.5 + 0.01 * batch.chunk_tokens + 0.001 * batch.decodes * batch.decode_context_tokens

    fast, slow = requests(), requests()
    engine = Engine(limits=limits(kv_blocks=kv_blocks), iteration_s=took_s)
    engine.run(fast)
    StepByStep(limits=limits(kv_blocks=kv_blocks), iteration_s=took_s).run(slow)
    assert [one.finished_at_s for one in fast] == pytest.approx([one.finished_at_s for one in slow], abs=1e-9)
    assert [one.first_token_at_s for one in fast] == pytest.approx([one.first_token_at_s for one in slow], abs=1e-9)
    assert all(one.generated_tokens == one.output_tokens for one in fast)
    assert engine.free_blocks == kv_blocks
    assert (engine.preemptions > 0) == (kv_blocks == 30)
