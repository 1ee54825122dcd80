"""A worker on a clock that the test moves: virtual time is exact however coarse the sleeps are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from shaping.profiles import deployment
from simulations.worker_engine import Sequence, WorkerEngine
from simulations.worker_requests import BadBody
from simulations.worker_run import SimulatedWorker, WorkerOptions

H100_8B = deployment(gpu="h100-sxm", model="llama-3.1-8b")


@dataclass
class Clock:
    """Time that passes only while somebody sleeps, and then at least `coarseness_s`."""

    coarseness_s: float
    now_s: float = 0.0
    sleeps_s: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        self.sleeps_s.append(duration_s)
        self.now_s += max(duration_s, self.coarseness_s)
        await asyncio.sleep(0)


async def _served(*, speed: float, coarseness_s: float) -> tuple[Sequence, SimulatedWorker, Clock]:
    clock = Clock(coarseness_s)
    worker = SimulatedWorker(WorkerOptions(speed=speed), H100_8B, clock, clock.sleep)
    task = asyncio.create_task(worker.run())
    with worker.submitted([(100, 200, ())]) as (sequence,):
        counts = [count async for count in worker.tokens(sequence)]
    task.cancel()
    assert sum(counts) == 200
    return sequence, worker, clock


async def test_coarse_sleeps_change_neither_virtual_time_nor_energy() -> None:
    exact = WorkerEngine(H100_8B, max_sequences=256)
    alone = Sequence(id="s1", prompt_tokens=100, output_tokens=200, arrived_at_s=0.0)
    exact.submit(alone)
    exact.advance(60.0)
    for speed, coarseness_s in ((1.0, 0.0), (1.0, 0.005), (100.0, 0.001), (5000.0, 0.020)):
        sequence, _, _ = await _served(speed=speed, coarseness_s=coarseness_s)
        assert sequence.finished_at_s == pytest.approx(alone.finished_at_s, rel=1e-12)
        assert sequence.energy_j == pytest.approx(alone.energy_j, rel=1e-12)


async def test_in_real_time_the_worker_sleeps_to_the_end_of_each_step() -> None:
    sequence, worker, clock = await _served(speed=1.0, coarseness_s=0.0)
    assert clock.now_s == pytest.approx(sequence.finished_at_s)
    assert len(clock.sleeps_s) == worker.engine.account.steps


async def test_at_a_large_speed_up_many_steps_pass_in_one_sleep() -> None:
    _, worker, clock = await _served(speed=1000.0, coarseness_s=0.001)
    assert len(clock.sleeps_s) < worker.engine.account.steps / 50


async def test_a_sequence_that_its_reader_leaves_is_cancelled() -> None:
    clock = Clock(0.001)
    worker = SimulatedWorker(WorkerOptions(), H100_8B, clock, clock.sleep)
    with worker.submitted([(100, 10_000, ())]) as (sequence,):
        clock.now_s = 1.0
        worker.catch_up()
        assert sequence.generated_tokens > 100
    clock.now_s = 2.0
    worker.catch_up()
    assert worker.engine.running == 0
    assert worker.engine.account.cancelled_energy_j == pytest.approx(sequence.energy_j)


async def test_when_one_of_several_prompts_cannot_fit_none_runs() -> None:
    clock = Clock(0.001)
    worker = SimulatedWorker(WorkerOptions(), H100_8B, clock, clock.sleep)
    with pytest.raises(BadBody, match="too long"), worker.submitted([(10, 10, ()), (10, 10**7, ())]):
        pytest.fail("the second prompt exceeds the cache")
    clock.now_s = 5.0
    worker.catch_up()
    assert worker.engine.account.prompt_tokens == 0


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        WorkerOptions(speed=0.0)
    with pytest.raises(ValueError, match="max_sequences"):
        WorkerOptions(max_sequences=0)
