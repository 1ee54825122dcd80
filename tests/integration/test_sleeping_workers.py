"""The gateway before two simulated workers: at low load one sleeps, a burst wakes it, and nobody notices."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from scheduler.config import Settings
from scheduler.shaping_settings import ConsolidationSettings, ShapingSettings
from scheduler.worker_settings import WorkerSettings
from simulations import worker_server
from simulations.worker_run import WorkerOptions
from tests.integration.gateway_stand import MODEL, SOON_S, FakeWorker, Stand, a_front, settings_for, until

PLACES = 4
QUICK = ConsolidationSettings(enabled=True, min_awake=1, headroom_ratio=0.0, wake_s=0.1, patience_s=0.2)


@asynccontextmanager
async def two_workers() -> AsyncIterator[list[str]]:
    runners, urls = [], []
    for _ in range(2):
        options = WorkerOptions(model=MODEL, max_sequences=PLACES, speed=20.0, wake_s=2.0)
        runner, port = await worker_server.start(worker_server.build_app(options))
        runners.append(runner)
        urls.append(f"http://127.0.0.1:{port}")
    try:
        yield urls
    finally:
        for runner in runners:
            await runner.cleanup()


def before(urls: list[str], consolidation: ConsolidationSettings = QUICK) -> Settings:
    settings = settings_for(urls, shaping=ShapingSettings(interactive_hold_s=0.0), max_sequences=PLACES)
    return dataclasses.replace(settings, consolidation=consolidation)


async def sleeping(urls: list[str]) -> list[bool]:
    async with ClientSession() as client:
        found = []
        for url in urls:
            async with client.get(url + "/is_sleeping") as response:
                found.append(bool((await response.json())["is_sleeping"]))
        return found


def awake(stand: Stand, url: str) -> float | None:
    return stand.metrics.registry.get_sample_value("slacktide_worker_awake", {"worker": url})


@pytest.mark.slow
async def test_one_of_two_workers_sleeps_at_low_load_and_wakes_for_a_burst_without_a_failure() -> None:
    async with two_workers() as urls, a_front(before(urls)) as stand:
        await until(lambda: awake(stand, urls[1]) == 0.0)
        await until(lambda: stand.count("slacktide_worker_sleep_orders_total", **order(urls[1], "sleep")) == 1)
        assert await sleeping(urls) == [False, True]
        assert (await stand.chat(max_tokens=5)).status == 200
        calls = [stand.call(max_tokens=60) for _ in range(3 * PLACES)]
        await until(lambda: awake(stand, urls[1]) == 1.0)
        replies = await asyncio.wait_for(asyncio.gather(*calls), SOON_S)
        assert [reply.status for reply in replies] == [200] * (3 * PLACES)
        await until(lambda: stand.count("slacktide_worker_sleep_orders_total", **order(urls[1], "wake")) == 1)


def order(url: str, what: str) -> dict[str, str]:
    return {"worker": url, "order": what, "outcome": "done"}


@pytest.mark.slow
async def test_a_pool_that_sleeps_altogether_wakes_for_the_first_request() -> None:
    settings = dataclasses.replace(QUICK, min_awake=0)
    async with two_workers() as urls, a_front(before(urls, settings)) as stand:
        await until(lambda: awake(stand, urls[0]) == 0.0 and awake(stand, urls[1]) == 0.0)
        reply = await asyncio.wait_for(stand.chat(max_tokens=5), SOON_S)
        assert reply.status == 200
        assert float(reply.headers["x-slacktide-held-ms"]) >= 50  # it woke meanwhile


@pytest.mark.slow
async def test_a_worker_that_refuses_to_sleep_goes_on_serving() -> None:
    worker, other = FakeWorker(), FakeWorker()
    async with worker.listening(), other.listening(), a_front(before([worker.url, other.url])) as stand:
        failed = {"worker": other.url, "order": "sleep", "outcome": "failed"}
        await until(lambda: stand.count("slacktide_worker_sleep_orders_total", **failed) >= 1)
        await until(lambda: awake(stand, other.url) == 1.0)
        replies = await asyncio.gather(*(stand.chat() for _ in range(2 * PLACES)))
        assert {reply.status for reply in replies} == {200}


@pytest.mark.slow
async def test_a_worker_with_commands_is_stopped_and_started_by_them(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    async with two_workers() as urls:
        settings = before(urls)
        workers = tuple(
            WorkerSettings(
                url=url,
                models=(MODEL,),
                region="here",
                max_sequences=PLACES,
                start_command=("sh", "-c", f"echo start >> {marks}"),
                stop_command=("sh", "-c", f"echo stop >> {marks}"),
            )
            for url in urls
        )
        async with a_front(dataclasses.replace(settings, worker=workers)) as stand:
            await until(lambda: stand.count("slacktide_worker_sleep_orders_total", **order(urls[1], "sleep")) == 1)
            calls = [stand.call(max_tokens=60) for _ in range(3 * PLACES)]
            replies = await asyncio.wait_for(asyncio.gather(*calls), SOON_S)
            await until(lambda: stand.count("slacktide_worker_sleep_orders_total", **order(urls[1], "wake")) == 1)
    assert {reply.status for reply in replies} == {200}
    assert marks.read_text("utf-8").split()[:2] == ["stop", "start"]
