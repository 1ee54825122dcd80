"""A real agent process beside a whole daemon: metered energy comes over the wire, and stops and comes back with it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from scheduler.daemon.app import Daemon
from scheduler.gpu_report import MOST_BYTES
from scheduler.ledger import EnergyBasis, EnergyUse
from scheduler.quantities import parse_instant_s
from slacktide.doctor import Diagnosis, Verdict, diagnose
from tests.architecture.sources import ROOT
from tests.daemons import a_daemon, until
from tests.integration.gateway_stand import CHAT, MODEL, FakeWorker, Gate, a_chat

pytestmark = pytest.mark.slow

FAKE_NVML = ROOT / "tests" / "integration" / "nvml_of_a_file"
TOKEN = "a-token-of-32-characters-and-more"
ENVIRONMENT = {"AGENT_TOKEN": TOKEN}
WATTS = 400.0
PATIENCE_S = 60.0


@dataclass
class AgentProcess:
    """One life of an agent."""

    process: asyncio.subprocess.Process
    url: str
    url_elsewhere: str | None = None

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


def with_gpus(folder: Path, *gpus: dict[str, Any]) -> Path:
    file = folder / "gpus.json"
    file.write_text(json.dumps(gpus))
    return file


@asynccontextmanager
async def an_agent(gpus: Path | None, *options: str, token: str = TOKEN) -> AsyncIterator[AgentProcess]:
    """The command itself; `gpus` None leaves it with the NVML of this machine."""
    path = [str(ROOT)] if gpus is None else [str(FAKE_NVML), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "SLACKTIDE_AGENT_TOKEN": token}
    if gpus is not None:
        environment["FAKE_GPUS"] = str(gpus)
    command = ["-m", "slacktide.main", "agent", "--json", "--sample", "200ms", *(options or ("--port", "0"))]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    said = await asyncio.wait_for(_announced(process.stdout), PATIENCE_S)
    try:
        yield AgentProcess(process, said["url"], said["url_elsewhere"])
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _announced(stdout: asyncio.StreamReader) -> dict[str, Any]:
    text = b""
    while not text.endswith(b"}\n"):
        text += await stdout.readline()
    found: dict[str, Any] = json.loads(text)
    return found


def tables(worker_url: str, agent_url: str, *devices: str) -> dict[str, Any]:
    worker = {"url": worker_url, "models": [MODEL], "region": "here", "gpus": len(devices)}
    return {
        "worker": [{**worker, "agent": "gpu1", "devices": list(devices)}],
        "agent": [{"name": "gpu1", "url": agent_url, "token_env": "AGENT_TOKEN"}],
        "telemetry": {"sample_s": 0.2, "stale_s": 5},
    }


async def metered_again(daemon: Daemon) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not daemon.gateway.workers[0].is_metered:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def uses_of(daemon: Daemon) -> Sequence[EnergyUse]:
    return [use for record in daemon.gateway.records.latest() for use in record.uses]


async def chats(
    client: aiohttp.ClientSession, gate: Gate, *, count: int, lasts_s: float
) -> list[tuple[str, str | None]]:
    """So many at once, each for so long; what their headers call their energy, and whether it will be metered."""
    gate.opened.clear()
    calls = [asyncio.create_task(client.post(CHAT, json=a_chat())) for _ in range(count)]
    await asyncio.wait_for(gate.entered.wait(), PATIENCE_S)
    await asyncio.sleep(lasts_s)
    gate.opened.set()
    headers = [(await call).headers for call in calls]
    return [(one["x-slacktide-basis"], one.get("x-slacktide-meter")) for one in headers]


async def test_what_a_remote_gpu_drew_is_booked_and_a_dead_agent_is_not_guessed(tmp_path: Path) -> None:
    gpus = with_gpus(tmp_path, {"uuid": "GPU-a", "power_w": WATTS, "offset_j": 5e6})
    gate = Gate()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(an_agent(gpus))
        worker = await stack.enter_async_context(FakeWorker(gate).listening())
        daemon, client = await stack.enter_async_context(
            a_daemon(tmp_path / "state", tables(worker.url, first.url, "GPU-a"), speed=1.0, environment=ENVIRONMENT)
        )
        (metered,) = daemon.gateway.workers
        await metered_again(daemon)

        loop, began_s = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        assert await chats(client, gate, count=3, lasts_s=0.5) == [("modelled", "pending")] * 3
        await until(lambda: len(uses_of(daemon)) == 3)
        assert {use.basis for use in uses_of(daemon)} == {EnergyBasis.METERED}
        together_j = sum(use.energy_kwh for use in uses_of(daemon)) * 3.6e6
        assert WATTS * 0.45 < together_j < WATTS * (loop.time() - began_s + 1.0)  # the first window began before

        await first.kill()
        await until(lambda: not metered.is_metered)
        assert metered.meter is not None
        assert "does not answer" in metered.meter.what
        async with client.get("/api/v1/status") as answer:
            (told,) = (await answer.json())["workers"]["metering"]
        assert (told["worker"], told["is_metered"], told["source"]) == (metered.name, False, "agent gpu1")
        assert "does not answer" in told["problem"]
        assert "start `slacktide agent` there" in told["fix"]
        assert daemon.env.now_s() - parse_instant_s(told["since"]) > 3.0  # its last reading, and not its absence
        assert await chats(client, gate, count=1, lasts_s=0.0) == [("modelled", None)]
        await until(lambda: len(uses_of(daemon)) == 4)
        assert uses_of(daemon)[3].basis is EnergyBasis.MODELLED

        with_gpus(tmp_path, {"uuid": "GPU-a", "power_w": WATTS, "offset_j": 0.0})  # its driver was loaded anew
        await stack.enter_async_context(an_agent(gpus, "--port", first.port))
        await metered_again(daemon)
        began_s = loop.time()
        await chats(client, gate, count=1, lasts_s=0.3)
        await until(lambda: len(uses_of(daemon)) == 5)
        again = uses_of(daemon)[4]
        assert again.basis is EnergyBasis.METERED
        assert 0.0 < again.energy_kwh * 3.6e6 < WATTS * (loop.time() - began_s + 1.0)


async def test_an_agent_without_nvml_meters_nothing_and_everybody_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(an_agent(None))
        worker = await stack.enter_async_context(FakeWorker().listening())
        daemon, client = await stack.enter_async_context(
            a_daemon(tmp_path / "state", tables(worker.url, agent.url, "0"), speed=1.0, environment=ENVIRONMENT)
        )
        (modelled,) = daemon.gateway.workers
        await until(lambda: modelled.meter is not None)
        assert modelled.meter is not None
        if not modelled.meter.what:
            pytest.skip("NVML answers here")
        assert modelled.meter.what.startswith("agent gpu1: NVML: ")
        assert "install NVIDIA's driver" in modelled.meter.remedy
        async with client.post(CHAT, json=a_chat()) as answer:
            assert answer.status == 200
        await until(lambda: len(uses_of(daemon)) == 1)
        assert uses_of(daemon)[0].basis is EnergyBasis.MODELLED
        shown = (await daemon.sights.look(None))["worker"][modelled.name]
        assert (shown["is_metered"], shown["meter"]["problem"]) == (False, modelled.meter.what)
        assert daemon.metrics.registry.get_sample_value("slacktide_worker_metered", {"worker": modelled.name}) == 0.0
        assert daemon.metrics.registry.get_sample_value("slacktide_agent_up", {"agent": "gpu1"}) == 0.0
        found = await diagnosed(tmp_path, agent.url, monkeypatch, TOKEN)
        assert found.verdict is Verdict.WARNING
        assert found.what.startswith("agent gpu1 answers and meters nothing: NVML: ")


async def test_doctor_asks_the_agent_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = with_gpus(tmp_path, {"uuid": "GPU-a", "power_w": WATTS, "offset_j": None})
    async with an_agent(gpus) as agent:
        assert (await diagnosed(tmp_path, agent.url, monkeypatch, TOKEN, "0")).what.endswith("is metered: 0")
        missing = await diagnosed(tmp_path, agent.url, monkeypatch, TOKEN, "1")
        assert "has no GPU '1'; it has 0 = GPU-a" in missing.what
        refused = await diagnosed(tmp_path, agent.url, monkeypatch, "a-token-of-somebody-else-altogether")
        assert (refused.what, "token_env" in refused.fix) == ("agent gpu1 refuses our token", True)
        monkeypatch.delenv("AGENT_TOKEN")
    unset = await diagnosed(tmp_path, agent.url, monkeypatch, None)
    assert "AGENT_TOKEN is not set" in unset.what
    silent = await diagnosed(tmp_path, agent.url, monkeypatch, TOKEN)
    assert "does not answer" in silent.what
    assert "start `slacktide agent` there" in silent.fix


async def test_a_simulated_gpu_is_reported_and_never_metered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(an_agent(None, "--simulated", "--port", "0"))
        worker = await stack.enter_async_context(FakeWorker().listening())
        daemon, client = await stack.enter_async_context(
            a_daemon(tmp_path / "state", tables(worker.url, agent.url, "0"), speed=1.0, environment=ENVIRONMENT)
        )
        (modelled,) = daemon.gateway.workers
        await until(lambda: modelled.meter is not None)
        assert modelled.meter is not None
        assert modelled.meter.what == "agent gpu1: its GPUs are simulated (--simulated)"
        async with client.post(CHAT, json=a_chat()) as answer:
            assert "x-slacktide-meter" not in answer.headers
        await until(lambda: len(uses_of(daemon)) == 1)
        assert uses_of(daemon)[0].basis is EnergyBasis.MODELLED
        assert "are simulated" in (await diagnosed(tmp_path, agent.url, monkeypatch, TOKEN)).what
        asked = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession() as session, session.get(agent.url + "/metrics", headers=asked) as page:
            text = await page.text()
        assert 'slacktide_simulated_gpu_power_watts{gpu="0",uuid="SIMULATED-0"}' in text
        assert "slacktide_gpu_" not in text


async def test_an_agent_on_all_addresses_announces_those_that_can_be_called() -> None:
    async with an_agent(None, "--simulated", "--host", "0.0.0.0", "--port", "0") as agent:
        assert agent.url == f"http://127.0.0.1:{agent.port}"
        assert agent.url_elsewhere == f"http://{socket.gethostname()}:{agent.port}"
        async with aiohttp.ClientSession() as session, session.get(agent.url + "/healthz") as answer:
            assert answer.status == 200


async def test_an_answer_that_is_too_large_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def much(_: web.Request) -> web.Response:
        return web.Response(body=b" " * (MOST_BYTES + 1))

    app = web.Application()
    app.router.add_get("/readings", much)
    async with TestServer(app) as server, AsyncExitStack() as stack:
        url = str(server.make_url("/")).rstrip("/")
        worker = await stack.enter_async_context(FakeWorker().listening())
        daemon, _ = await stack.enter_async_context(
            a_daemon(tmp_path / "state", tables(worker.url, url, "0"), speed=1.0, environment=ENVIRONMENT)
        )
        (modelled,) = daemon.gateway.workers
        await until(lambda: modelled.meter is not None)
        said = "agent gpu1: its answer is too large, over 256 kB"
        assert modelled.meter is not None
        assert modelled.meter.what == said
        assert (await diagnosed(tmp_path, url, monkeypatch, TOKEN)).what == said


async def diagnosed(
    folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, token: str | None, device: str = "0"
) -> Diagnosis:
    """The last thing that doctor says of the agent."""
    file = folder / "slacktide.toml"
    file.write_text(
        '[[region]]\nname = "here"\nzone = "GB"\n'
        f'[[agent]]\nname = "gpu1"\nurl = "{url}"\ntoken_env = "AGENT_TOKEN"\n'
        '[[worker]]\nurl = "http://w:1"\nmodels = ["m"]\nregion = "here"\n'
        f'agent = "gpu1"\ndevices = ["{device}"]\n'
    )
    if token is not None:
        monkeypatch.setenv("AGENT_TOKEN", token)
    found = await asyncio.to_thread(lambda: list(diagnose(file, online=True)))
    return [one for one in found if one.subject == "agent gpu1"][-1]
