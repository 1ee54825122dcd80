"""The agent's readings: sums that only rise, other names after a break, and no end without NVML."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp.test_utils import TestClient, TestServer

from scheduler.daemon.env import Env
from scheduler.daemon.gpu_agent import REOPEN_S, GpuAgent, agent_app
from scheduler.daemon.nvml import NvmlError
from scheduler.daemon.nvml_gpus import GpuSample
from scheduler.gpu_report import Report, read_report
from tests.unit.scheduler.daemon.test_telemetry import InPlace
from tests.virtual_time import run_virtually

TOKEN = "0123456789abcdef"


class MadeUpGpus:
    """One board of 400 W whose counter a test sets back, and whose driver a test takes away."""

    driver, version = "580", "13"
    is_simulated = False

    def __init__(self) -> None:
        self.gone = False
        self.offset_j = 1e6
        self.opened = self.closed = 0

    def open(self) -> MadeUpGpus:
        self.opened += 1
        if self.gone:
            raise NvmlError("NVML: no driver", "install it")
        return self

    def read(self) -> Sequence[GpuSample]:
        if self.gone:
            raise NvmlError("NVML: no driver", "install it")
        counter_j = self.offset_j + 400.0 * asyncio.get_running_loop().time()
        return [
            GpuSample(
                index=0,
                uuid="GPU-a",
                name="made up",
                counter_j=counter_j,
                power_w=400.0,
                utilisation_ratio=1.0,
                is_divided=False,
            )
        ]

    def close(self) -> None:
        self.closed += 1


def an_agent(gpus: MadeUpGpus, sample_s: float = 0.5) -> GpuAgent:
    return GpuAgent(Env(epoch_s=0.0, executor=InPlace(), seed=1), gpus.open, version="0", sample_s=sample_s)


def reports(gpus: MadeUpGpus, *waits_s: float) -> list[Report]:
    """What it says after each wait; between two waits a test changes nothing."""

    async def live() -> list[Report]:
        agent = an_agent(gpus)
        task = asyncio.create_task(agent.run())
        found = []
        for wait_s in waits_s:
            await asyncio.sleep(wait_s)  # virtual
            found.append(agent.report())
        task.cancel()
        await asyncio.wait((task,))
        return found

    return run_virtually(live())


def test_joules_are_a_sum_since_the_start_and_a_reading_says_how_old_it_is() -> None:
    first, second = reports(MadeUpGpus(), 0.1, 10.3)
    assert first.gpus[0].energy_j == 0.0
    assert second.gpus[0].energy_j == pytest.approx(4000.0)
    assert second.age_s == pytest.approx(0.4)
    assert (second.sequence, second.gpus[0].counter_id) == (21, first.gpus[0].counter_id)


def test_two_lives_never_share_the_name_of_a_sum() -> None:
    async def name() -> str:
        agent = GpuAgent(Env(executor=InPlace()), MadeUpGpus().open, version="0", sample_s=1.0)
        await agent.look()
        return agent.report().gpus[0].counter_id

    assert run_virtually(name()) != run_virtually(name())


def test_a_driver_that_goes_and_comes_back_is_opened_again_and_counts_under_another_name() -> None:
    gpus = MadeUpGpus()

    async def live() -> tuple[Report, Report, Report]:
        agent = an_agent(gpus)
        task = asyncio.create_task(agent.run())
        await asyncio.sleep(5.1)  # virtual
        before = agent.report()
        gpus.gone = True
        await asyncio.sleep(1.0)
        without = agent.report()
        gpus.gone, gpus.offset_j = False, 0.0
        await asyncio.sleep(REOPEN_S + 5.0)
        after = agent.report()
        task.cancel()
        await asyncio.wait((task,))
        return before, without, after

    before, without, after = run_virtually(live())
    assert (without.problem, without.remedy, without.gpus) == ("NVML: no driver", "install it", ())
    assert after.problem == ""
    assert after.gpus[0].counter_id != before.gpus[0].counter_id
    assert 0.0 < (after.gpus[0].energy_j or 0.0) <= 400.0 * 6
    assert (gpus.opened, gpus.closed) == (2, 1)


def test_without_nvml_it_says_so_and_looks_again_seldom() -> None:
    gpus = MadeUpGpus()
    gpus.gone = True
    (report,) = reports(gpus, 2.5 * REOPEN_S)
    assert (report.problem, report.sequence, gpus.opened) == ("NVML: no driver", 3, 3)


# -- asked over a socket -----------------------------------------------------------------------------------------------


async def answer(token: str, path: str, **headers: str) -> tuple[int, bytes]:
    agent = GpuAgent(Env(executor=InPlace()), MadeUpGpus().open, version="0", sample_s=1.0)
    await agent.look()
    async with TestClient(TestServer(agent_app(agent, token))) as client, client.get(path, headers=headers) as response:
        assert "Server" not in response.headers
        return response.status, await response.read()


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer \u00fc"}]
)
async def test_who_has_not_the_token_is_told_nothing(headers: dict[str, str]) -> None:
    status, body = await answer(TOKEN, "/readings", **headers)
    assert status == 401
    assert b"GPU-a" not in body


async def test_who_has_it_reads_what_the_gpus_say() -> None:
    status, body = await answer(TOKEN, "/readings", Authorization=f"Bearer {TOKEN}")
    assert (status, read_report(body).gpus[0].uuid) == (200, "GPU-a")


async def test_whether_it_lives_is_open_and_all_else_is_not_there() -> None:
    assert await answer(TOKEN, "/healthz") == (200, b'{"status":"ok"}')
    assert (await answer(TOKEN, "/", Authorization=f"Bearer {TOKEN}"))[0] == 404
    assert (await answer(TOKEN, "/"))[0] == 401


async def test_prometheus_needs_the_token_and_scrapes_what_is_known_of_each_gpu() -> None:
    assert (await answer(TOKEN, "/metrics"))[0] == 401
    status, body = await answer(TOKEN, "/metrics", Authorization=f"Bearer {TOKEN}")
    text = body.decode()
    assert status == 200
    assert 'slacktide_gpu_power_watts{gpu="0",uuid="GPU-a"} 400.0' in text
    assert 'slacktide_gpu_energy_joules_total{from="counter",gpu="0",uuid="GPU-a"} 0.0' in text
    assert "slacktide_agent_metering 1.0" in text


async def test_without_a_token_only_loopback_names_are_answered() -> None:
    assert (await answer("", "/readings", Host="localhost:9402"))[0] == 200
    assert (await answer("", "/readings", Host="[::1]:9402"))[0] == 200
    for host in ("rebound.example", "rebound.example:99999999", "[x", "localhost@rebound.example"):
        assert (await answer("", "/readings", Host=host))[0] == 421
