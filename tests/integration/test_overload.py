"""What gives way when there is too much: a bad worker beside good ones, and the lowest class of what is held."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from scheduler.daemon import outliers
from scheduler.outlier_settings import OutlierSettings
from scheduler.shaping_settings import ShapingSettings
from tests.integration.gateway_stand import (
    CHAT,
    SOON_S,
    FakeWorker,
    Gate,
    a_chat,
    a_front,
    a_stand,
    answers,
    answers_at_once,
    settings_for,
    until,
)


async def test_a_worker_that_fails_every_other_call_rests_and_no_caller_notices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outliers, "_LOOK_EVERY_S", 0.0)
    good, bad = FakeWorker(), FakeWorker()

    async def fails_every_other(request: web.Request) -> web.StreamResponse:
        return await (answers(500) if len(bad.requests) % 2 else answers_at_once)(request)

    bad.behaviour = fails_every_other
    async with AsyncExitStack() as stack:
        urls = [(await stack.enter_async_context(one.listening())).url for one in (bad, good)]
        settings = dataclasses.replace(settings_for(urls), outliers=OutlierSettings(min_calls=5))
        front = await stack.enter_async_context(a_front(settings))
        assert {(await front.chat()).status for _ in range(20)} == {200}
        assert front.count("slacktide_worker_rests_total", worker=bad.url, fault="errors") == 1
        seen = len(bad.requests)
        assert {(await front.chat()).status for _ in range(5)} == {200}
        assert len(bad.requests) == seen


async def test_an_interactive_request_takes_the_place_of_a_held_deferrable_one() -> None:
    async with a_stand(FakeWorker(), shaping=ShapingSettings(interactive_hold_s=0.0, max_held=1)) as stand:
        stand.clean_hours.release_at = stand.env.now_s() + 300
        waits = stand.call(service_tier="flex")
        await until(lambda: stand.gateway.held == 1)
        assert (await stand.chat()).status == 200
        sent_away = await waits
        assert (sent_away.status, sent_away.error["code"], sent_away.headers["Retry-After"]) == (429, "queue_full", "2")
        assert (stand.gateway.held, stand.gateway.running) == (0, 0)
        assert stand.count("slacktide_shed_requests_total", **{"class": "flex"}) == 1


async def test_of_one_class_nobody_is_sent_away_for_another() -> None:
    async with a_stand(FakeWorker(), shaping=ShapingSettings(max_held=1)) as stand:
        stand.clean_hours.release_at = stand.env.now_s() + 300
        waits = stand.call(service_tier="flex")
        await until(lambda: stand.gateway.held == 1)
        assert (await stand.chat(service_tier="flex")).status == 429
        stand.clean_hours.release_at = 0.0
        stand.gateway.on_forecast_changed()
        assert (await waits).status == 200


async def test_a_held_stream_that_is_sent_away_is_told_inside_the_stream() -> None:
    async with a_stand(FakeWorker(), shaping=ShapingSettings(interactive_hold_s=0.0, max_held=1)) as stand:
        stand.clean_hours.release_at = stand.env.now_s() + 300
        body, hasty = a_chat(stream=True, service_tier="flex"), {"x-stainless-read-timeout": "0.15"}
        async with asyncio.timeout(SOON_S), stand.client.post(CHAT, json=body, headers=hasty) as response:
            await response.content.readuntil(b"\n\n")
            assert (await stand.chat()).status == 200
            last = (await response.read()).split(b"data: ")[-1]
    assert json.loads(last)["error"]["code"] == "queue_full"


async def test_a_request_under_way_is_never_sent_away() -> None:
    gate = Gate()
    shaping = ShapingSettings(interactive_hold_s=0.0, max_held=1)
    async with a_stand(FakeWorker(gate), shaping=shaping, max_sequences=1) as stand:
        runs = stand.call(service_tier="flex")
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        held = stand.call()
        await until(lambda: stand.gateway.held == 1)
        assert (await stand.chat()).status == 429
        gate.opened.set()
        assert [(await one).status for one in (runs, held)] == [200, 200]
