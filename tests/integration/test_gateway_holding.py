"""How long the gateway holds what: the clean hour, the deadline, the client's patience, the room there is."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import AbstractAsyncContextManager

import pytest
from aiohttp import ClientResponse

from scheduler.engine_settings import PriorityOrder
from scheduler.shaping_settings import ShapingSettings
from shaping.policy import Holding
from tests.integration.gateway_stand import (
    CHAT,
    MODEL,
    SOON_S,
    FakeWorker,
    Gate,
    Stand,
    a_chat,
    a_front,
    a_stand,
    answers,
    as_passed,
    settings_for,
    streams,
    until,
)

HOUR_S = 3600.0
EPOCH_S = 1_700_000_000.0
FAST = 36_000.0  # an hour of the policy clock in a tenth of a second
HASTY = {"x-slacktide-deadline": "6h", "x-stainless-read-timeout": "0.06"}


async def test_flex_waits_for_the_clean_hour_and_says_how_long() -> None:
    async with a_stand(FakeWorker(), speed=FAST, epoch_s=EPOCH_S) as stand:
        stand.clean_hours.release_at = EPOCH_S + HOUR_S
        reply = await stand.chat({"x-slacktide-deadline": "100h"}, service_tier="flex")
    (use,) = stand.uses.kept
    assert reply.status == 200
    assert use.category == "flex"
    assert use.at_once_at_s < EPOCH_S + HOUR_S <= use.started_at_s
    held_ms = (use.started_at_s - use.at_once_at_s) * 1000
    assert float(reply.headers["x-slacktide-held-ms"]) == pytest.approx(held_ms, abs=1)


async def test_a_new_forecast_moves_the_hour() -> None:
    worker = FakeWorker()
    async with a_stand(worker) as stand:
        stand.clean_hours.release_at = stand.env.now_s() + 300
        call = stand.call(service_tier="flex")
        await until(lambda: stand.gateway.held == 1)
        stand.gateway.on_forecast_changed()
        assert (stand.gateway.held, worker.requests) == (1, [])
        stand.clean_hours.release_at = 0.0
        stand.gateway.on_forecast_changed()
        assert (await asyncio.wait_for(call, SOON_S)).status == 200


def arrived_at_s(stand: Stand) -> float:
    """When the gateway had the call that was answered."""
    (use,) = stand.uses.kept
    return use.at_once_at_s


async def test_a_deadline_alone_marks_a_request_as_deferrable_and_limits_the_hold() -> None:
    async with a_stand(FakeWorker()) as stand:
        await stand.chat(stream=True, metadata={"slacktide_deadline": "60s"})
    ((region, _, duration_s, release_by_s),) = stand.clean_hours.asked
    assert region == "here"
    # A minute, less the first guess of the service time (2 s) and the margin (5 s).
    assert release_by_s - arrived_at_s(stand) == pytest.approx(53.0, abs=0.001)
    assert duration_s == pytest.approx(2.0)


async def test_a_plain_call_is_never_held_past_the_patience_of_its_client() -> None:
    async with a_stand(FakeWorker()) as stand:
        stand.clean_hours.release_at = stand.env.now_s() + 5 * HOUR_S
        # Seven of these seconds are service and margin.
        reply = await stand.chat({"x-slacktide-deadline": "6h", "x-stainless-read-timeout": "7.1"})
    assert reply.status == 200
    assert stand.clean_hours.asked[0][3] - arrived_at_s(stand) == pytest.approx(0.1, abs=0.001)
    assert float(reply.headers["x-slacktide-held-ms"]) >= 90


async def test_a_plain_call_that_names_no_patience_gets_the_configured_one() -> None:
    shaping = ShapingSettings(interactive_hold_s=0.0, flex_deadline_s=100.0)
    async with a_stand(FakeWorker(), shaping=shaping) as stand:
        await stand.chat({"x-slacktide-deadline": "6h"})
    assert stand.clean_hours.asked[0][3] - arrived_at_s(stand) == pytest.approx(93.0, abs=0.001)


def a_stream(stand: Stand, headers: dict[str, str]) -> AbstractAsyncContextManager[ClientResponse]:
    return stand.client.post(CHAT, json=a_chat(stream=True), headers=headers)


async def test_a_held_stream_is_kept_alive_by_comments_and_then_served() -> None:
    events = b'data: {"choices":[]}\n\ndata: [DONE]\n\n'
    async with a_stand(FakeWorker(streams(events))) as stand:
        stand.clean_hours.release_at = stand.env.now_s() + 300
        # A third of this client's patience is sooner than the usual 15 s.
        async with asyncio.timeout(SOON_S), a_stream(stand, HASTY) as response:
            first = await response.content.readuntil(b"\n\n")
            assert (response.status, first) == (200, b": keep-alive\n\n")
            stand.clean_hours.release_at = 0.0
            stand.gateway.on_forecast_changed()
            rest = await response.read()
    assert as_passed(rest.replace(b": keep-alive\n\n", b"")) == events


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [(500, b"", "worker_error"), (400, b'{\n  "error": {"code": "too_long"}\n}', "too_long")],
)
async def test_a_failure_after_the_status_is_sent_is_told_inside_the_stream(
    status: int, body: bytes, code: str
) -> None:
    async with a_stand(FakeWorker(answers(status, body))) as stand:
        stand.clean_hours.release_at = stand.env.now_s() + 300
        async with asyncio.timeout(SOON_S), a_stream(stand, HASTY) as response:
            await response.content.readuntil(b"\n\n")
            stand.clean_hours.release_at = 0.0
            stand.gateway.on_forecast_changed()
            last = (await response.read()).split(b"data: ")[-1]
    assert json.loads(last)["error"]["code"] == code


async def test_a_plain_call_without_room_is_answered_before_its_client_gives_up() -> None:
    gate = Gate()
    async with a_stand(FakeWorker(gate), max_sequences=1) as stand:
        first = stand.call()
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        reply = await stand.chat({"x-stainless-read-timeout": "0.1"})
        assert (reply.status, reply.error["code"]) == (503, "no_capacity_in_time")
        assert stand.gateway.held == 0
        gate.opened.set()
        assert (await first).status == 200


async def test_more_held_requests_than_allowed_are_answered_429_with_a_time_to_come_back() -> None:
    async with a_stand(FakeWorker(), shaping=ShapingSettings(max_held=1)) as stand:
        stand.clean_hours.release_at = stand.env.now_s() + 300
        held = stand.call(service_tier="flex")
        await until(lambda: stand.gateway.held == 1)
        reply = await stand.chat(service_tier="flex")
        held.cancel()
    assert (reply.status, reply.error["code"], reply.headers["Retry-After"]) == (429, "queue_full", "2")


async def test_interactive_requests_are_held_until_their_group_is_dense() -> None:
    shaping = ShapingSettings(interactive_hold_s=60.0, min_group=3)
    async with a_stand(FakeWorker(), shaping=shaping) as stand:
        replies = await asyncio.wait_for(asyncio.gather(*(stand.chat() for _ in range(3))), SOON_S)
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert stand.count("slacktide_group_requests_sum", model=MODEL, reason="dense") == 3


async def test_an_interactive_request_alone_goes_when_its_hold_is_over() -> None:
    shaping = ShapingSettings(interactive_hold_s=0.02, min_group=8)
    async with a_stand(FakeWorker(), shaping=shaping) as stand:
        reply = await asyncio.wait_for(stand.chat(), SOON_S)
    assert float(reply.headers["x-slacktide-held-ms"]) >= 19
    assert stand.count("slacktide_group_requests_sum", model=MODEL, reason="hold_over") == 1


async def test_a_deferred_call_tells_the_engine_that_it_may_stand_behind_others() -> None:
    worker = FakeWorker()
    async with worker.listening():
        settings = settings_for([worker.url])
        ranked = tuple(dataclasses.replace(one, priority=PriorityOrder.LOWER_FIRST) for one in settings.worker)
        async with a_front(dataclasses.replace(settings, worker=ranked)) as stand:
            await stand.chat(service_tier="flex")
            await stand.chat()
    assert [json.loads(body).get("priority") for _, body, _ in worker.requests] == [10, None]


async def test_an_interactive_call_is_not_held_past_the_patience_of_its_client() -> None:
    shaping = ShapingSettings(interactive_hold_s=30.0, min_group=8)
    async with a_stand(FakeWorker(), shaping=shaping) as stand:
        reply = await stand.chat({"x-stainless-read-timeout": "6"})  # seven seconds are service and margin
    assert reply.status == 200
    assert float(reply.headers["x-slacktide-held-ms"]) < 6000  # of the thirty seconds that it may be held


@pytest.mark.slow
async def test_the_adaptive_rule_holds_once_it_knows_its_worker_and_the_grid() -> None:
    shaping = ShapingSettings(interactive_hold_s=0.2, policy=Holding.ADAPTIVE, latency_price_gco2e_per_h=0.0)
    async with a_stand(FakeWorker(), shaping=shaping) as stand:
        first = await stand.chat()
        stand.clean_hours.intensity = 400.0
        stand.gateway.on_forecast_changed()
        for _ in range(3):
            last = await stand.chat()
    assert first.headers["x-slacktide-held-ms"] == "0"
    assert float(last.headers["x-slacktide-held-ms"]) >= 100
