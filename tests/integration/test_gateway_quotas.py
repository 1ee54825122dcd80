"""What a quota makes of requests that do not end as they should, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from scheduler.quota_settings import TenantSettings
from tests.integration.gateway_stand import (
    CHAT_ANSWER,
    FakeWorker,
    Gate,
    Reply,
    Stand,
    a_front,
    answers,
    answers_at_once,
    settings_for,
    streams,
    until,
)

MOST_TOKENS = 10_000
# The answer of the fake worker says 5 tokens in, 400 out. A call reserves its prompt, some 8 tokens, and 500 out.
USED_TOKENS = 405


@asynccontextmanager
async def a_limited_stand(worker: FakeWorker) -> AsyncIterator[Stand]:
    """Without keys everything is of the tenant `default`."""
    async with worker.listening():
        tenant = TenantSettings(name="default", tokens_per_minute=MOST_TOKENS)
        async with a_front(replace(settings_for([worker.url]), tenant=(tenant,))) as stand:
            yield stand


def used_tokens(reply: Reply) -> int:
    """Of the minute, when this call had reserved its own."""
    return MOST_TOKENS - int(reply.headers["x-ratelimit-remaining-tokens"])


async def a_call(stand: Stand, **changes: object) -> Reply:
    return await stand.chat(None, max_tokens=500, **changes)


async def test_an_answered_call_pays_what_it_used() -> None:
    async with a_limited_stand(FakeWorker()) as stand:
        first, second = await a_call(stand), await a_call(stand)
    assert 500 < used_tokens(first) < 520
    assert used_tokens(second) == used_tokens(first) + USED_TOKENS


@pytest.mark.parametrize("status", [400, 500])
async def test_a_call_that_failed_gets_its_tokens_back(status: int) -> None:
    worker = FakeWorker(answers(status))
    async with a_limited_stand(worker) as stand:
        failed = await a_call(stand)
        worker.behaviour = answers_at_once
        after = await a_call(stand)
    assert failed.status >= 400
    assert used_tokens(after) == used_tokens(failed)


async def test_who_hangs_up_pays_what_was_reserved_for_him() -> None:
    gate = Gate()
    worker = FakeWorker(gate)
    async with a_limited_stand(worker) as stand:
        call = stand.call(max_tokens=500)
        await gate.entered.wait()
        call.cancel()
        await until(lambda: stand.gateway.running == 0)
        worker.behaviour = answers_at_once
        after = await a_call(stand)
    assert 1000 < used_tokens(after) < 1040


async def test_a_stream_is_settled_at_its_end_and_one_that_breaks_off_keeps_its_reservation() -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":35}}\n\n'
    worker = FakeWorker(streams(b'data: {"choices":[]}\n\n', usage, b"data: [DONE]\n\n"))
    async with a_limited_stand(worker) as stand:
        first = await a_call(stand, stream=True)
        second = await a_call(stand, stream=True)
        assert used_tokens(second) == used_tokens(first) + 40
        worker.behaviour = streams(b'data: {"choices":[]}\n\n', breaks_off=True)
        broken = await a_call(stand, stream=True)
        worker.behaviour = answers_at_once
        after = await a_call(stand)
    assert b"worker_broke_off" in broken.body
    assert used_tokens(after) == used_tokens(first) + 40 + 40 + used_tokens(first)


async def test_what_is_refused_never_reaches_a_worker() -> None:
    worker = FakeWorker()
    async with a_limited_stand(worker) as stand:
        refused = await stand.chat(max_tokens=MOST_TOKENS + 1)
        seen = len(worker.requests)
        served = await a_call(stand)
    assert (refused.status, refused.error["code"], seen) == (429, "rate_limit_exceeded", 0)
    assert stand.gateway.held == stand.gateway.running == 0
    assert used_tokens(served) < 520
    assert served.body == CHAT_ANSWER
