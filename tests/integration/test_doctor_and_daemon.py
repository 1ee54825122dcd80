"""`slacktide doctor` beside a daemon that runs, one that asks for keys, and what is no daemon."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from aiohttp import web

from scheduler.config import Settings, validate
from slacktide.doctor import Diagnosis, Verdict
from slacktide.doctor_daemon import daemon as found_of
from tests.daemons import a_daemon

KEY = "a-key-of-the-test"


def settings_at(port: int) -> Settings:
    return validate({"server": {"port": port}})


async def found_at(port: int, key: str = "") -> list[Diagnosis]:
    return await asyncio.to_thread(lambda: list(found_of(settings_at(port), {"SLACKTIDE_KEY": key})))


@pytest.mark.slow
async def test_what_a_running_daemon_knows_is_told(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (daemon, _):
        found = await found_at(daemon.listener.port)
    assert [(one.verdict, one.what.split(",")[0]) for one in found] == [
        (Verdict.OK, f"{daemon.listener.base_url} is ready"),
        (Verdict.OK, "the grid of SUN is live"),
    ]


@pytest.mark.slow
async def test_a_daemon_with_keys_tells_more_to_who_has_one(tmp_path: Path) -> None:
    server = {
        "port": 0,
        "state_dir": str(tmp_path),
        "drain_s": 2,
        "keys_sha256": [hashlib.sha256(KEY.encode()).hexdigest()],
    }
    async with a_daemon(tmp_path, {"server": server}, speed=1.0) as (daemon, _):
        without = await found_at(daemon.listener.port)
        with_one = await found_at(daemon.listener.port, KEY)
    assert [one.verdict for one in without] == [Verdict.OK, Verdict.NOTE]
    assert "SLACKTIDE_KEY" in without[1].fix
    assert any("the grid of SUN" in one.what for one in with_one)


async def test_what_is_no_daemon_and_what_is_not_there_are_told_apart() -> None:
    async def other(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/{any:.*}", other)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    (taken,) = await found_at(port)
    await runner.cleanup()
    (nobody,) = await found_at(port)
    assert (taken.verdict, nobody.verdict) == (Verdict.PROBLEM, Verdict.NOTE)
    assert "something else than a daemon" in taken.what
    assert "slacktide serve" in nobody.fix
