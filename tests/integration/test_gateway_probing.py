"""A worker that dies is noticed without a request, and comes back the same way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from scheduler.daemon import probing
from tests.integration.gateway_stand import MODEL, FakeWorker, Gate, a_stand, until


class Sick(FakeWorker):
    """A worker whose health endpoint answers what it is told to."""

    status = 200

    async def health(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status)


@pytest.fixture(autouse=True)
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_EVERY_S", 0.01)


async def test_a_worker_whose_health_fails_gets_no_requests_until_it_is_well() -> None:
    sick, well = Sick(), FakeWorker()
    sick.status = 503
    async with a_stand(sick, well) as stand:
        await until(lambda: stand.gateway.workers_up == 1)
        assert [(await stand.chat()).status for _ in range(3)] == [200] * 3
        assert sick.requests == []
        sick.status = 200
        await until(lambda: stand.gateway.workers_up == 2)
        await stand.chat()
        assert len(sick.requests) == 1


async def test_an_engine_without_a_health_endpoint_is_alive() -> None:
    sick = Sick()
    sick.status = 404
    async with a_stand(sick) as stand:
        await until(lambda: stand.count("slacktide_worker_up", worker=sick.url) == 1)
        assert (await stand.chat()).status == 200


async def test_readiness_tells_that_no_worker_is_up() -> None:
    sick = Sick()
    sick.status = 500
    async with a_stand(sick) as stand:
        await until(lambda: stand.gateway.workers_up == 0)
        ready = await stand.get("/readyz")
        reply = await stand.chat()
    assert (ready.status, b"no worker is up" in ready.body) == (503, True)
    assert (reply.status, reply.error["code"]) == (503, "no_worker")
    assert reply.headers["Retry-After"] == "1"


class Misspelt(FakeWorker):
    """A worker whose address cannot even be looked up."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[FakeWorker]:
        async with super().listening():
            self.url = f"http://{'a' * 64}:8000"
            yield self


async def test_an_address_that_cannot_be_looked_up_is_a_worker_that_is_down() -> None:
    async with a_stand(Misspelt(), FakeWorker()) as stand:
        await until(lambda: stand.gateway.workers_up == 1)
        assert (await stand.chat()).status == 200


async def test_the_log_says_which_models_lost_a_worker_and_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=probing.__name__)
    sick = Sick()
    sick.status = 503
    async with a_stand(sick) as stand:
        await until(lambda: stand.gateway.workers_up == 0)
        sick.status = 200
        await until(lambda: stand.gateway.workers_up == 1 and len(caplog.records) > 1)
    down, up = (vars(record) for record in caplog.records[:2])
    assert (down["action"], down["models"], down["why"]) == ("worker_down", MODEL, "/health answers 503")
    assert (up["action"], up["levelname"]) == ("worker_up", "INFO")


async def test_the_places_of_a_dead_worker_are_not_filled() -> None:
    gate = Gate()
    sick, well = Sick(gate), FakeWorker(gate)
    async with a_stand(sick, well, max_sequences=1) as stand:
        sick.status = 500
        await until(lambda: stand.gateway.workers_up == 1 and stand.count("slacktide_worker_up", worker=sick.url) == 0)
        calls = [stand.call() for _ in range(2)]
        await until(lambda: stand.gateway.held == 1 and stand.gateway.running == 1)
        gate.opened.set()
        assert [reply.status for reply in await asyncio.gather(*calls)] == [200, 200]
    assert sick.requests == []
