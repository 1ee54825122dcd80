"""The gateway before simulated workers of two models on one GPU: they take turns, and nobody notices but by waiting."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from scheduler.config import Settings
from scheduler.shaping_settings import ConsolidationSettings, ShapingSettings
from scheduler.worker_settings import WorkerSettings
from simulations import worker_server
from simulations.worker_run import WorkerOptions
from tests.integration.gateway_stand import MODEL, REGION, SOON_S, FakeWorker, Stand, a_front, settings_for, until

OTHER = "qwen-2.5-7b"
QUICK = ConsolidationSettings(enabled=True, wake_s=0.1, patience_s=0.2, stay_s=0.3)


class Watch:
    """Which workers of one GPU are awake, by what they were told; notes when two were."""

    def __init__(self) -> None:
        self.awake = {MODEL: True, OTHER: False}
        self.orders: list[tuple[str, str]] = []
        self.were_two_awake = False

    def app(self, model: str) -> web.Application:
        options = WorkerOptions(model=MODEL, served_name=model, max_sequences=8, speed=20.0, wake_s=1.0)
        app = worker_server.build_app(options)

        @web.middleware
        async def noted(request: web.Request, handler):  # type: ignore[no-untyped-def]
            if request.path == "/wake_up":
                self._note(model, "wake", is_awake=True)
            response = await handler(request)
            if request.path == "/sleep":
                self._note(model, "sleep", is_awake=False)
            return response

        app.middlewares.append(noted)
        return app

    def _note(self, model: str, order: str, *, is_awake: bool) -> None:
        self.orders.append((model, order))
        self.awake[model] = is_awake
        self.were_two_awake |= sum(self.awake.values()) > 1


@asynccontextmanager
async def one_gpu(watch: Watch) -> AsyncIterator[list[str]]:
    runners, urls = [], []
    for model in (MODEL, OTHER):
        runner, port = await worker_server.start(watch.app(model))
        runners.append(runner)
        urls.append(f"http://127.0.0.1:{port}")
    async with ClientSession() as client, client.post(urls[1] + "/sleep") as response:
        assert response.status == 200
    watch.orders.clear()
    try:
        yield urls
    finally:
        for runner in runners:
            await runner.cleanup()


def before(urls: list[str], **changes: object) -> Settings:
    settings = settings_for(urls, shaping=ShapingSettings(interactive_hold_s=0.0))
    workers = tuple(
        WorkerSettings(url=url, models=(model,), region=REGION, max_sequences=8, shares_gpu="card")
        for url, model in zip(urls, (MODEL, OTHER), strict=True)
    )
    consolidation = dataclasses.replace(QUICK, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(settings, worker=workers, consolidation=consolidation)


async def both_ready(stand: Stand, urls: list[str]) -> None:
    await until(lambda: awake(stand, urls[0]) == 1.0 and awake(stand, urls[1]) == 0.0)


def awake(stand: Stand, url: str) -> float | None:
    return stand.metrics.registry.get_sample_value("slacktide_worker_awake", {"worker": url})


@pytest.mark.slow
async def test_the_model_that_sleeps_is_woken_for_its_request_and_the_other_sleeps_first() -> None:
    watch = Watch()
    async with one_gpu(watch) as urls, a_front(before(urls)) as stand:
        await both_ready(stand, urls)
        assert (await stand.chat(max_tokens=5)).status == 200
        assert watch.orders == []  # who is awake answers at once
        reply = await asyncio.wait_for(stand.chat(model=OTHER, max_tokens=5), SOON_S)
        assert reply.status == 200
        assert reply.headers["x-slacktide-model"] == OTHER
        assert float(reply.headers["x-slacktide-held-ms"]) >= 50  # it woke meanwhile
        assert watch.orders == [(MODEL, "sleep"), (OTHER, "wake")]


@pytest.mark.slow
async def test_two_busy_models_are_all_answered_and_never_both_awake() -> None:
    watch = Watch()
    async with one_gpu(watch) as urls, a_front(before(urls)) as stand:
        await both_ready(stand, urls)
        calls, loop = [], asyncio.get_running_loop()
        began_s = loop.time()
        for number in range(40):
            calls.append(stand.call(model=(MODEL, OTHER)[number % 2], max_tokens=200))
            await asyncio.sleep(0.03)
        replies = await asyncio.wait_for(asyncio.gather(*calls), 4 * SOON_S)
        assert [reply.status for reply in replies] == [200] * 40
        assert not watch.were_two_awake
        swaps = sum(order == "wake" for _, order in watch.orders)
        # Turns of 0.3 s or more, not a swap for each request.
        assert 1 <= swaps <= (loop.time() - began_s) / QUICK.stay_s + 1


@pytest.mark.slow
async def test_of_two_that_are_found_awake_one_is_put_to_sleep() -> None:
    watch = Watch()
    async with one_gpu(watch) as urls:
        async with ClientSession() as client, client.post(urls[1] + "/wake_up"):
            pass
        async with a_front(before(urls)) as stand:
            await both_ready(stand, urls)
            await until(lambda: watch.orders[-1:] == [(OTHER, "sleep")])


@pytest.mark.slow
async def test_workers_with_commands_are_stopped_and_started_by_them_in_turn(tmp_path: Path) -> None:
    # The stopped one still answers here; what counts is the order of the commands.
    marks = tmp_path / "marks"
    async with one_gpu(Watch()) as urls:
        async with ClientSession() as client, client.post(urls[1] + "/wake_up"):
            pass
        settings = before(urls)
        workers = tuple(
            dataclasses.replace(
                worker,
                start_command=("sh", "-c", f"echo start {worker.models[0]} >> {marks}"),
                stop_command=("sh", "-c", f"echo stop {worker.models[0]} >> {marks}"),
            )
            for worker in settings.worker
        )
        async with a_front(dataclasses.replace(settings, worker=workers)) as stand:
            await both_ready(stand, urls)  # both were found running: one was stopped
            assert (await asyncio.wait_for(stand.chat(model=OTHER, max_tokens=5), SOON_S)).status == 200
    assert marks.read_text("utf-8").splitlines() == [f"stop {OTHER}", f"stop {MODEL}", f"start {OTHER}"]


@pytest.mark.slow
async def test_a_worker_that_refuses_to_sleep_does_not_keep_the_other_from_serving() -> None:
    watch = Watch()
    broken = FakeWorker()  # knows neither /sleep nor /wake_up, and says so with 404
    async with one_gpu(watch) as urls, broken.listening():
        refusing = dataclasses.replace(before(urls).worker[1], url=broken.url)
        asleep = dataclasses.replace(before(urls), worker=(before(urls).worker[0], refusing))
        async with a_front(asleep) as stand:
            failed = {"worker": broken.url, "order": "sleep", "outcome": "failed"}
            await until(lambda: stand.count("slacktide_worker_sleep_orders_total", **failed) >= 1)
            assert (await asyncio.wait_for(stand.chat(max_tokens=5), SOON_S)).status == 200


@pytest.mark.slow
async def test_a_worker_that_dies_in_its_turn_leaves_the_gpu_to_the_other() -> None:
    watch = Watch()
    async with one_gpu(watch) as urls:
        runner, port = await worker_server.start(watch.app(MODEL))
        async with a_front(before([f"http://127.0.0.1:{port}", urls[1]])) as stand:
            await until(lambda: awake(stand, f"http://127.0.0.1:{port}") == 1.0)
            assert (await stand.chat(max_tokens=5)).status == 200
            await runner.cleanup()
            assert (await asyncio.wait_for(stand.chat(model=OTHER, max_tokens=5), SOON_S)).status == 200


@pytest.mark.slow
async def test_a_worker_that_is_gone_leaves_the_gpu_to_the_other() -> None:
    watch = Watch()
    async with one_gpu(watch) as urls:
        runner, port = await worker_server.start(web.Application())
        await runner.cleanup()  # nothing listens there any more
        async with a_front(before([f"http://127.0.0.1:{port}", urls[1]])) as stand:
            reply = await asyncio.wait_for(stand.chat(model=OTHER, max_tokens=5), SOON_S)
            assert reply.status == 200
