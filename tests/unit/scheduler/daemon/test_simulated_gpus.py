"""A made-up GPU: it draws as its counter says, says that it is simulated, and nobody meters by it."""

from __future__ import annotations

import pytest

from scheduler.daemon.env import Env
from scheduler.daemon.gpu_agent import SIMULATED, GpuAgent
from scheduler.daemon.simulated_gpus import SimulatedGpus
from scheduler.gpu_report import Report, Unmetered, of_devices
from tests.unit.scheduler.daemon.test_telemetry import InPlace
from tests.virtual_time import run_virtually


class Clock:
    """Moved by a test."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def report() -> Report:
    async def live() -> Report:
        env = Env(executor=InPlace())
        agent = GpuAgent(env, lambda: SimulatedGpus(env.monotonic_s), version="0", sample_s=1.0)
        await agent.look()
        await env.sleep_s(30.0)
        await agent.look()
        return agent.report()

    return run_virtually(live())


def test_its_counter_is_the_integral_of_its_power() -> None:
    clock = Clock()
    gpus = SimulatedGpus(clock)
    (idle,) = gpus.read()
    assert (idle.power_w, idle.counter_j, idle.utilisation_ratio) == (100.0, 0.0, 0.0)
    joules, before_w = 0.0, 100.0
    for _ in range(3000):
        clock.now_s += 0.01
        (now,) = gpus.read()
        assert now.power_w is not None
        joules, before_w = joules + 0.01 * (before_w + now.power_w) / 2, now.power_w
    assert before_w == pytest.approx(400.0)  # half a minute on: the top
    assert now.counter_j == pytest.approx(joules)
    assert joules == pytest.approx(30.0 * 250.0, rel=1e-6)


def test_its_figures_are_told_beside_the_mark_and_no_worker_is_metered_by_them() -> None:
    told = report()
    assert (told.is_simulated, told.problem, told.gpus[0].uuid) == (True, SIMULATED, "SIMULATED-0")
    assert told.gpus[0].energy_j == pytest.approx(30.0 * 250.0)
    for device in ("0", "SIMULATED-0"):
        found = of_devices(told, (device,))
        assert isinstance(found, Unmetered)
        assert (found.what, "without --simulated" in found.remedy) == (SIMULATED, True)
