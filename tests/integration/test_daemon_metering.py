"""A whole daemon whose worker's GPU is metered, by a stand-in of pynvml: the ledger books what it counted."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.daemons import PATIENCE_S, a_daemon
from tests.integration.gateway_stand import CHAT, MODEL, FakeWorker, Gate, a_chat, until
from tests.unit.scheduler.daemon.fake_nvml import fake_nvml

pytestmark = pytest.mark.slow

WATTS = 400.0


@pytest.mark.parametrize("is_metered", [True, False])
async def test_the_ledger_says_metered_and_the_amount_is_the_meter_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_metered: bool
) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    module = fake_nvml({"GPU-a": lambda: WATTS}, now_s=lambda: loop.time() - began_s)
    monkeypatch.setitem(sys.modules, "pynvml", module if is_metered else None)
    gate = Gate()
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(FakeWorker(gate).listening())
        tables = {
            "worker": [{"url": worker.url, "models": [MODEL], "region": "here", "devices": ["0"]}],
            "telemetry": {"sample_s": 0.2},
        }
        daemon, client = await stack.enter_async_context(a_daemon(tmp_path, tables, speed=1.0))
        (metered,) = daemon.gateway.workers
        log = tmp_path / "telemetry" / "worker-1-000001.csv"

        def lines() -> int:
            return log.read_text().count("\n") if log.exists() else 0

        window_s = loop.time()
        if is_metered:
            await until(lambda: metered.metering is not None and lines() > 1)
            window_s, read = loop.time(), lines()
            await until(lambda: lines() > read)
        call = asyncio.create_task(client.post(CHAT, json=a_chat()))
        await asyncio.wait_for(gate.entered.wait(), PATIENCE_S)
        sent_s = loop.time()
        await asyncio.sleep(0.3)
        gate.opened.set()
        answer = await call
        lasted_s = loop.time() - sent_s
        assert answer.headers["x-slacktide-basis"] == "modelled"  # the meter is read after the answer
        await until(lambda: len(daemon.accounts._unwritten) > 0 or not is_metered)
        windows_s = loop.time() - window_s
        account = await daemon.accounts.settled(0.0, 4e9)
    assert account.uses == 1
    if not is_metered:
        assert account.metered_kwh == 0.0
        return
    assert account.metered_kwh == account.energy_kwh
    assert account.bands is not None
    # 80% of a log-normal of 3%: exp(1.28 * 0.03).
    assert account.bands.energy_kwh.high == pytest.approx(account.energy_kwh * 1.0392, rel=1e-3)
    # From the reading before the call to the one after it; the idle part, at 121.7 W of an H100's context, is nobody's.
    lone_j = account.metered_kwh * 3.6e6
    assert WATTS * lasted_s * 0.9 < lone_j < WATTS * windows_s + 20
