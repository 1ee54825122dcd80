"""A daemon in a process of its own is sent SIGHUP while requests are under way: none is dropped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from typer.testing import CliRunner

from slacktide.doctor import Verdict, diagnose
from slacktide.main import app
from tests import daemons
from tests.integration.gateway_stand import CHAT, FakeWorker, Gate, a_chat

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
RUN = CliRunner()


def text_of(folder: Path, urls: Sequence[str], *, more: str = "", model: str = "llama-3.1-8b", server: str = "") -> str:
    workers = "".join(f'[[worker]]\nurl = "{url}"\nmodels = ["{model}"]\nregion = "here"\n' for url in urls)
    return (
        f'[server]\nport = 0\nstate_dir = "{folder / "state"}"\n{server}'
        '[[region]]\nname = "here"\nzone = "SUN"\ngpus = 2\n'
        f'[[feed]]\nkind = "synthetic"\nzones = ["SUN"]\narchetype = "solar"\n{workers}{more}'
    )


async def until(process: Process, action: str) -> list[dict[str, Any]]:
    """What the daemon logs up to the next line of this action."""
    assert process.stderr is not None
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        while not found or found[-1].get("action") != action:
            line = await process.stderr.readline()
            assert line, "the daemon has ended"
            found.append(json.loads(line) if line.startswith(b"{") else {})
    return found


@dataclass
class Served:
    """The daemon's process, its log, and a client of it."""

    process: Process
    file: Path
    client: ClientSession

    async def reload(self, text: str, action: str = "settings_reloaded") -> list[dict[str, Any]]:
        self.file.write_text(text, "utf-8")
        self.process.send_signal(signal.SIGHUP)
        return await until(self.process, action)

    async def chat(self, **changes: Any) -> int:
        async with self.client.post(CHAT, json=a_chat(**changes)) as response:
            await response.read()
            return response.status


@asynccontextmanager
async def serving(folder: Path, text: str) -> AsyncIterator[Served]:
    file = folder / "slacktide.toml"
    file.write_text(text, "utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "slacktide.main", "serve", "-c", str(file), "--log-json", stderr=PIPE
    )
    try:
        address = (await until(process, "daemon_ready"))[-1]["address"]
        async with ClientSession(base_url=address) as client:
            yield Served(process, file, client)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), PATIENCE_S)


async def test_workers_come_and_go_and_no_request_is_dropped(tmp_path: Path) -> None:
    gate = Gate()
    old, new = FakeWorker(gate), FakeWorker()
    async with AsyncExitStack() as stack:
        for one in (old, new):
            await stack.enter_async_context(one.listening())
        served = await stack.enter_async_context(serving(tmp_path, text_of(tmp_path, [old.url])))
        under_way = [asyncio.create_task(served.chat()) for _ in range(3)]
        await daemons.until(lambda: len(old.requests) == 3)
        await served.reload(text_of(tmp_path, [new.url]))
        assert [await served.chat() for _ in range(3)] == [200] * 3
        assert (len(old.requests), len(new.requests)) == (3, 3)
        gate.opened.set()
        assert await asyncio.gather(*under_way) == [200] * 3


async def test_a_model_that_leaves_answers_what_it_has_and_is_unknown_then(tmp_path: Path) -> None:
    gate = Gate()
    worker = FakeWorker(gate)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(worker.listening())
        served = await stack.enter_async_context(serving(tmp_path, text_of(tmp_path, [worker.url])))
        under_way = asyncio.create_task(served.chat())
        await asyncio.wait_for(gate.entered.wait(), PATIENCE_S)
        await served.reload(text_of(tmp_path, [worker.url], model="qwen-2.5-7b"))
        assert await served.chat() == 404
        gate.opened.set()
        assert await under_way == 200
        assert await served.chat(model="qwen-2.5-7b") == 200


async def test_a_signal_that_comes_while_it_is_being_loaded_is_obeyed_once_it_serves(tmp_path: Path) -> None:
    settings, later = tmp_path / "slacktide.toml", tmp_path / "later.toml"
    os.mkfifo(settings)
    later.write_text(text_of(tmp_path, ["http://127.0.0.1:1", "http://127.0.0.1:2"]), "utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "slacktide.main", "serve", "-c", str(settings), "--log-json", stderr=PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            pipe = await asyncio.to_thread(settings.open, "w", encoding="utf-8")  # opened once it is being read
        with pipe:
            process.send_signal(signal.SIGHUP)
            pipe.write(text_of(tmp_path, ["http://127.0.0.1:1"]))
            later.replace(settings)
        lines = await until(process, "settings_reloaded")
        assert lines[-1]["workers"] == 2
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), PATIENCE_S)


async def test_wrong_settings_leave_the_old_in_force_and_every_problem_in_the_log(tmp_path: Path) -> None:
    worker = FakeWorker()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(worker.listening())
        served = await stack.enter_async_context(serving(tmp_path, text_of(tmp_path, [worker.url])))
        wrong = text_of(tmp_path, [], more="[shaping]\nmax_hold = 3\n[outliers]\nrest_s = -1\n")
        said = await served.reload(wrong, "settings_refused")
        said += await until(served.process, "settings_refused")
        problems = [one["problem"] for one in said if one.get("action") == "settings_refused"]
        assert len(problems) == 2
        assert "max_held" in problems[0]  # with the nearest known key
        assert "rest_s" in problems[1]
        assert await served.chat() == 200


async def test_what_only_a_start_takes_up_is_named_and_nothing_of_it_happens(tmp_path: Path) -> None:
    worker = FakeWorker()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(worker.listening())
        served = await stack.enter_async_context(serving(tmp_path, text_of(tmp_path, [worker.url])))
        other = text_of(tmp_path, [], server='host = "::1"\n')
        said = await served.reload(other, "settings_refused")
        assert said[-1]["problem"] == "server.host: only a start takes this up"
        assert said[-1]["why"] == "its sockets and its folder are opened once"
        assert await served.chat() == 200


async def test_tables_that_take_a_restart_are_named_by_the_log_and_by_the_check_beforehand(tmp_path: Path) -> None:
    worker = FakeWorker()
    tables = (
        '[[agent]]\nname = "gpu1"\nurl = "http://gpu1:9402"\n[telemetry]\nsample_s = 2\n[batches]\nmax_lines = 3\n'
        '[oidc]\nissuer = "https://id.example"\naudience = "slacktide"\njwks_url = "https://id.example/keys"\n'
    )
    named = {"agent", "telemetry.sample_s", "batches.max_lines", "oidc.issuer", "oidc.audience", "oidc.jwks_url"}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(worker.listening())
        text = text_of(tmp_path, [worker.url])
        served = await stack.enter_async_context(serving(tmp_path, text))
        said = await served.reload(text_of(tmp_path, [worker.url], more=tables), "settings_need_restart")
        assert set(said[-1]["keys"].split(", ")) == named
        assert "restart the daemon" in said[-1]["remedy"]
        assert {one["problem"].partition(":")[0] for one in said if one.get("action") == "settings_refused"} == named
        checked = json.loads(RUN.invoke(app, ["config", "check", "--json", "-c", str(served.file)]).stdout)
        assert {one["key"] for one in checked["needs_restart"]} == named
        told = RUN.invoke(app, ["config", "check", "-c", str(served.file)])
        assert "takes a restart: agent (meters are opened once)" in told.stdout
        assert "SIGHUP would refuse the whole file" in told.stdout
        assert told.exit_code == 0
        (found,) = (one for one in diagnose(served.file, online=False) if "restart" in one.what)
        assert (found.subject, found.verdict, "telemetry.sample_s" in found.what) == ("settings", Verdict.WARNING, True)
        served.file.write_text(text + "[outliers]\nrest_s = 3\n")
        assert "restart" not in RUN.invoke(app, ["config", "check", "-c", str(served.file)]).stdout
        assert stat.S_IMODE((tmp_path / "state" / "settings-in-force.toml").stat().st_mode) == 0o600


async def test_a_tenants_new_quota_and_new_templates_hold_from_the_next_request_on(tmp_path: Path) -> None:
    worker = FakeWorker()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(worker.listening())
        text = text_of(tmp_path, [worker.url])
        served = await stack.enter_async_context(serving(tmp_path, text))
        job = {"template": "sleep", "duration": "1s", "power": "1kW", "within": "1h"}
        async with served.client.post("/api/v1/jobs", json=job) as response:
            assert response.status in (400, 422)
        assert await served.chat() == 200
        quota = '[[tenant]]\nname = "default"\nrequests_per_minute = 1\n'
        more = quota + '[[template]]\nname = "sleep"\ncommand = ["sleep", "0"]\n'
        await served.reload(text + more)
        assert [await served.chat(), await served.chat()] == [200, 429]
        async with served.client.post("/api/v1/jobs", json=job) as response:
            assert response.status in (200, 201, 202)
        await served.reload(text)
        assert await served.chat() == 200


async def test_a_launch_that_comes_by_sighup_is_planned_and_runs(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        text = text_of(tmp_path, [])
        served = await stack.enter_async_context(serving(tmp_path, text))
        every_minute = (
            '[[launch]]\nname = "tick"\ncron = "* * * * *"\nduration_s = "1s"\nwithin_s = "1s"\ncatch_up_s = "61s"\n'
        )
        await served.reload(f'{text}{every_minute}command = ["true"]\n', "launch_submit")
        (end,) = (one for one in await until(served.process, "run_end") if one["action"] == "run_end")
        assert end["label"] == "tick"
