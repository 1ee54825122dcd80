"""Workers and models come, change and go while the gateway serves."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import AsyncExitStack
from pathlib import Path

from scheduler.config import Settings
from tests.daemons import a_daemon, settings_of, until
from tests.integration.gateway_stand import SOON_S, FakeWorker, Gate, a_front, settings_for
from tests.integration.gateway_stand import until as soon


def with_places(settings: Settings, places: int) -> Settings:
    workers = tuple(dataclasses.replace(one, max_sequences=places) for one in settings.worker)
    return dataclasses.replace(settings, worker=workers)


async def test_what_waits_for_room_goes_to_the_worker_that_comes() -> None:
    gate = Gate()
    old, new = FakeWorker(gate), FakeWorker()
    async with AsyncExitStack() as stack:
        urls = [(await stack.enter_async_context(one.listening())).url for one in (old, new)]
        stand = await stack.enter_async_context(a_front(settings_for(urls[:1], max_sequences=1)))
        runs = stand.call()
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        waits = stand.call()
        await soon(lambda: stand.gateway.held == 1)
        stand.gateway.take_up(settings_for(urls, max_sequences=1))
        assert (await asyncio.wait_for(waits, SOON_S)).status == 200
        assert len(new.requests) == 1
        gate.opened.set()
        assert (await runs).status == 200


async def test_a_worker_that_changes_keeps_count_of_what_it_has() -> None:
    gate = Gate()
    worker = FakeWorker(gate)
    async with AsyncExitStack() as stack:
        url = (await stack.enter_async_context(worker.listening())).url
        stand = await stack.enter_async_context(a_front(settings_for([url], max_sequences=2)))
        calls = [stand.call() for _ in range(2)]
        await soon(lambda: len(worker.requests) == 2)
        stand.gateway.take_up(with_places(settings_for([url]), 1))
        assert [one.in_flight for one in stand.gateway.workers] == [2]
        calls.append(stand.call())
        await soon(lambda: stand.gateway.held == 1)
        gate.opened.set()
        assert [reply.status for reply in await asyncio.gather(*calls)] == [200] * 3


async def test_a_model_that_leaves_lets_its_held_requests_go_to_its_worker() -> None:
    worker = FakeWorker()
    async with AsyncExitStack() as stack:
        url = (await stack.enter_async_context(worker.listening())).url
        stand = await stack.enter_async_context(a_front(settings_for([url])))
        stand.clean_hours.release_at = stand.env.now_s() + 300
        waits = stand.call(service_tier="flex")
        await soon(lambda: stand.gateway.held == 1)
        stand.gateway.take_up(settings_for([url], models=("other",)))
        assert (await asyncio.wait_for(waits, SOON_S)).status == 200
        assert (await stand.chat()).status == 404
        assert (stand.gateway.held, stand.gateway.running) == (0, 0)


async def test_the_last_worker_may_leave_and_another_come() -> None:
    worker = FakeWorker()
    async with AsyncExitStack() as stack:
        url = (await stack.enter_async_context(worker.listening())).url
        stand = await stack.enter_async_context(a_front(settings_for([url])))
        stand.gateway.take_up(settings_for([]))
        assert (await stand.chat()).status == 404
        stand.gateway.take_up(settings_for([url]))
        assert (await stand.chat()).status == 200
        await soon(lambda: stand.count("slacktide_worker_up", worker=url) == 1)


async def test_a_daemon_takes_up_other_feeds_and_more_room(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (daemon, _):
        before = daemon.poller.forecasts()["SUN"]
        feeds = [{"kind": "synthetic", "zones": ["SUN"], "archetype": "coal", "poll_s": 60}]
        regions = [{"name": "here", "zone": "SUN", "gpus": 7, "pue": 1.0}]
        await daemon.reload(settings_of(tmp_path, {"feed": feeds, "region": regions}))
        await until(lambda: daemon.poller.forecasts()["SUN"].at(before.edges_at_s[0]) != before.gco2e_per_kwh[0])
        await until(lambda: [region.gpus for region in daemon.runner.engine.regions] == [7])


async def test_the_status_page_offers_the_templates_of_the_new_settings(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (daemon, _):
        templates = [{"name": "train", "command": ["python", "train.py", "{epochs}"]}]
        await daemon.reload(settings_of(tmp_path, {"template": templates}))
        assert (await daemon.sights.look(None))["template"] == {"train": {"arguments": ["epochs"]}}
