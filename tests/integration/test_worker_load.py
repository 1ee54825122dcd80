"""The gateway reads what a worker's engine says of its load, and sends the next request where others are fewer."""

from __future__ import annotations

import dataclasses
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from scheduler.daemon import load_reading
from scheduler.engine_settings import EngineKind
from tests.integration.gateway_stand import FakeWorker, a_front, settings_for, until


class Told(FakeWorker):
    """A vLLM whose page of metrics says what it is told to."""

    running = 0

    async def health(self, request: web.Request) -> web.Response:
        if request.path == "/health":
            return web.Response()
        return web.Response(text=f'vllm:num_requests_running{{model_name="m"}} {self.running}.0\n')


@pytest.fixture(autouse=True)
def quick_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_reading, "_EVERY_S", 0.01)


async def test_a_worker_that_serves_others_as_well_gets_the_request_last() -> None:
    async with AsyncExitStack() as stack:
        busy, idle = Told(), Told()
        busy.running = 5
        urls = [(await stack.enter_async_context(one.listening())).url for one in (busy, idle)]
        settings = settings_for(urls)
        workers = tuple(dataclasses.replace(one, engine=EngineKind.VLLM) for one in settings.worker)
        front = await stack.enter_async_context(a_front(dataclasses.replace(settings, worker=workers)))
        labels = {"worker": busy.url, "state": "running"}
        await until(lambda: front.count("slacktide_worker_reported_requests", **labels) == 5)
        assert [(await front.chat()).status for _ in range(3)] == [200] * 3
    assert (len(busy.requests), len(idle.requests)) == (0, 3)
