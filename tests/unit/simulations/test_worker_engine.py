"""Continuous batching in virtual time, by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaping.energy import step
from shaping.first_token import STEP_TOKENS
from shaping.prefixes import named_blocks
from shaping.profiles import deployment
from simulations.worker_engine import Progress, Sequence, WorkerEngine

H100_8B = deployment(gpu="h100-sxm", model="llama-3.1-8b")


def a_sequence(
    id_: str = "s1", *, prompt_tokens: int = 100, output_tokens: int = 3, arrived_at_s: float = 0.0
) -> Sequence:
    return Sequence(id=id_, prompt_tokens=prompt_tokens, output_tokens=output_tokens, arrived_at_s=arrived_at_s)


def an_engine(max_sequences: int = 8) -> WorkerEngine:
    return WorkerEngine(H100_8B, max_sequences=max_sequences)


def test_a_sequence_is_read_in_one_step_and_then_decoded_token_by_token() -> None:
    engine = an_engine()
    sequence = a_sequence(output_tokens=3)
    engine.submit(sequence)
    engine.advance(60.0)
    read_s = step(H100_8B, 0, 0, 100, 100**2).duration_s
    assert sequence.first_token_at_s == pytest.approx(read_s)
    assert sequence.finished_at_s == pytest.approx(
        read_s + step(H100_8B, 1, 101).duration_s + step(H100_8B, 1, 102).duration_s
    )
    assert engine.account.generated_tokens == 3
    assert engine.account.idle_s + engine.account.busy_s == pytest.approx(60.0)
    assert engine.account.busy_s == pytest.approx(sequence.finished_at_s)


def test_the_outcome_does_not_depend_on_how_often_time_is_told() -> None:
    def run(ticks: int) -> tuple[float | None, float]:
        engine = an_engine()
        sequences = [a_sequence(f"s{n}", arrived_at_s=0.01 * n, output_tokens=20) for n in range(5)]
        for sequence in sequences:
            engine.submit(sequence)
        for tick in range(1, ticks + 1):
            engine.advance(10.0 * tick / ticks)
        return sequences[-1].finished_at_s, engine.account.energy_j

    once, often = run(1), run(997)
    assert once[0] == pytest.approx(often[0], rel=1e-12)
    assert once[1] == pytest.approx(often[1], rel=1e-9)


def test_a_late_arrival_joins_at_the_next_step() -> None:
    engine = an_engine()
    first, second = a_sequence("s1", output_tokens=50), a_sequence("s2", output_tokens=1, arrived_at_s=0.010)
    engine.submit(first)
    engine.advance(0.010)
    step_end_s = engine.next_step_ends_at_s
    assert step_end_s is not None
    engine.submit(second)
    engine.advance(1.0)
    together = step(H100_8B, 1, 102, 100, 100**2)  # the first one has two tokens by then
    assert second.finished_at_s == pytest.approx(step_end_s + together.duration_s)


def test_no_more_sequences_run_than_allowed_and_the_others_wait_their_turn() -> None:
    engine = an_engine(max_sequences=2)
    sequences = [a_sequence(f"s{n}", output_tokens=2) for n in range(3)]
    for sequence in sequences:
        engine.submit(sequence)
    engine.advance(0.005)
    assert (engine.running, engine.waiting) == (2, 1)
    engine.advance(1.0)
    assert sequences[2].first_token_at_s is not None
    assert sequences[2].first_token_at_s > (sequences[0].finished_at_s or math.inf)


def test_a_long_prompt_is_read_in_pieces() -> None:
    engine = an_engine()
    engine.submit(a_sequence(prompt_tokens=2 * STEP_TOKENS + 1, output_tokens=1))
    progress = engine.advance(10.0)
    assert progress.step_tokens == [STEP_TOKENS, STEP_TOKENS, 1]


def test_a_sequence_larger_than_the_cache_is_refused() -> None:
    with pytest.raises(ValueError, match="KV cache"):
        an_engine().submit(a_sequence(prompt_tokens=500_000))


def test_a_cancelled_sequence_leaves_at_the_end_of_its_step_and_its_joules_stay() -> None:
    engine = an_engine()
    sequence = a_sequence(output_tokens=1000)
    engine.submit(sequence)
    engine.advance(0.1)
    engine.cancel(sequence)
    progress = engine.advance(0.2)
    assert progress.finished == []
    assert engine.running == 0
    assert engine.account.cancelled_energy_j == pytest.approx(sequence.energy_j)
    assert sequence.energy_j > 0.0


def test_one_that_gave_up_while_waiting_costs_nothing() -> None:
    engine = an_engine(max_sequences=1)
    first, second = a_sequence("s1"), a_sequence("s2")
    engine.submit(first)
    engine.submit(second)
    engine.advance(0.001)
    engine.cancel(second)
    assert engine.waiting == 0
    engine.advance(1.0)
    assert second.energy_j == 0.0


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.integers(1, 5000), st.integers(0, 30), st.floats(0, 0.2), st.booleans()), min_size=1, max_size=20
    ),
    st.integers(1, 6),
)
def test_joules_of_the_requests_and_of_idleness_sum_to_the_meter(
    arrivals: list[tuple[int, int, float, bool]], max_sequences: int
) -> None:
    engine = an_engine(max_sequences)
    sequences = []
    made = Progress()
    now_s = 0.0
    for number, (prompt_tokens, output_tokens, gap_s, is_cancelled) in enumerate(arrivals):
        now_s += gap_s
        made.finished += engine.advance(now_s).finished
        sequence = a_sequence(
            f"s{number}", prompt_tokens=prompt_tokens, output_tokens=output_tokens, arrived_at_s=now_s
        )
        engine.submit(sequence)
        sequences.append(sequence)
        if is_cancelled:
            engine.cancel(sequences[number // 2])
    made.finished += engine.advance(now_s + 1000.0).finished
    account = engine.account
    parts_j = math.fsum(sequence.energy_j for sequence in sequences)
    assert parts_j + account.idle_energy_j == pytest.approx(account.energy_j, rel=1e-9)
    assert account.busy_s + account.idle_s == pytest.approx(engine.now_s, rel=1e-9)
    assert {one.id for one in made.finished} >= {one.id for one in sequences if not one.is_cancelled}
    assert all(one.generated_tokens == one.output_tokens for one in made.finished)


def test_a_prompt_that_begins_as_an_earlier_one_is_read_from_there_on() -> None:
    def read(text: bytes, engine: WorkerEngine) -> Sequence:
        blocks = named_blocks(text, 1)
        sequence = Sequence(
            id=text.decode(), prompt_tokens=16 * len(text), output_tokens=2, arrived_at_s=engine.now_s, prefix=blocks
        )
        engine.submit(sequence)
        engine.advance(engine.now_s + 60.0)
        return sequence

    engine = WorkerEngine(H100_8B, max_sequences=8, has_prefix_cache=True)
    cold, warm = read(b"a" * 100, engine), read(b"a" * 80 + b"b" * 20, engine)
    assert (cold.cached_tokens, warm.cached_tokens) == (0, 80 * 16)
    assert warm.energy_j < cold.energy_j
    assert engine.account.prompt_tokens == 120 * 16
    assert engine.account.cached_tokens == 80 * 16
    attributed_j = cold.energy_j + warm.energy_j
    assert engine.account.energy_j == pytest.approx(engine.account.idle_energy_j + attributed_j)
    uncached = WorkerEngine(H100_8B, max_sequences=8)
    assert [read(text, uncached).cached_tokens for text in (b"a" * 100, b"a" * 100 + b"c")] == [0, 0]


def test_of_a_prompt_that_another_worker_has_read_only_the_last_token_is() -> None:
    engine = an_engine()
    sequence = a_sequence(prompt_tokens=1000, output_tokens=3)
    sequence.received_tokens = 1008  # whole blocks of 16
    engine.submit(sequence)
    engine.advance(60.0)
    assert sequence.first_token_at_s == pytest.approx(step(H100_8B, 0, 0, 1, 1000**2 - 999**2).duration_s)
    assert (engine.account.prompt_tokens, engine.account.cached_tokens) == (1, 999)
    assert engine.account.generated_tokens == 3
