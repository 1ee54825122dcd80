"""A retry of a call that still runs joins it: one generation, an answer for each who still waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.gateway_stand import (
    CHAT,
    CHAT_ANSWER,
    SOON_S,
    FakeWorker,
    Gate,
    Stand,
    a_stand,
    answers,
    quickest_hang_up_s,
    streams,
    until,
)

FIRST = {"x-stainless-retry-count": "0"}
RETRY = {"x-stainless-retry-count": "1"}


def joined(stand: Stand) -> float:
    return stand.count("slacktide_joined_requests_total", endpoint=CHAT)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (FIRST, RETRY),
        (FIRST, {"x-stainless-retry-count": "9" * 5000}),
        ({"Idempotency-Key": "one"}, {"Idempotency-Key": "one"}),
    ],
    ids=["retry count", "a count that is no number of Python's", "idempotency key"],
)
async def test_a_retry_gets_the_answer_of_the_call_that_runs(first: dict[str, str], second: dict[str, str]) -> None:
    gate = Gate()
    worker = FakeWorker(gate)
    async with a_stand(worker) as stand:
        running = stand.call(first)
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        retry = stand.call(second)
        await until(lambda: joined(stand) == 1)
        gate.opened.set()
        one, two = await asyncio.wait_for(asyncio.gather(running, retry), SOON_S)
    assert (one.status, one.body) == (two.status, two.body) == (200, CHAT_ANSWER)
    assert len(worker.requests) == len(stand.uses.kept) == 1
    assert two.headers["x-slacktide-joined"] == one.headers["x-request-id"] != two.headers["x-request-id"]
    assert two.headers["x-slacktide-energy-wh"] == one.headers["x-slacktide-energy-wh"]
    assert "x-slacktide-joined" not in one.headers
    record = stand.gateway.records.of(two.headers["x-request-id"])
    assert record is not None
    assert (record.joined, record.status, record.uses) == (one.headers["x-request-id"], 200, [])


async def test_a_call_goes_on_for_the_retry_though_its_first_client_hangs_up() -> None:
    gate = Gate()
    worker = FakeWorker(gate)
    async with a_stand(worker) as stand:
        first = stand.call(FIRST)
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        retry = stand.call(RETRY)
        await until(lambda: joined(stand) == 1)
        first.cancel()
        assert (await stand.get("/v1/models")).status == 200  # the loop has seen the hang-up
        gate.opened.set()
        assert (await asyncio.wait_for(retry, SOON_S)).body == CHAT_ANSWER
    assert len(worker.requests) == 1


async def test_a_call_ends_when_all_who_waited_for_it_have_hung_up() -> None:
    gate = Gate()
    async with a_stand(FakeWorker(gate)) as stand:
        first = stand.call(FIRST)
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        retry = stand.call(RETRY)
        await until(lambda: joined(stand) == 1)
        first.cancel()
        retry.cancel()
        await asyncio.wait_for(gate.cancelled.wait(), SOON_S)
        await until(lambda: stand.gateway.running == 0)


async def test_a_lone_call_that_could_be_joined_frees_its_place_within_100_ms() -> None:
    gate = Gate()
    async with a_stand(FakeWorker(gate)) as stand:
        assert await quickest_hang_up_s(stand, gate, FIRST) < 0.1
        assert (stand.gateway.running, stand.gateway.held) == (0, 0)


async def test_a_refusal_reaches_the_retry_too() -> None:
    gate = Gate()

    async def fails(request: Any) -> Any:
        await gate(request)
        return await answers(500)(request)

    async with a_stand(FakeWorker(fails)) as stand:
        first = stand.call(FIRST)
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        retry = stand.call(RETRY)
        await until(lambda: joined(stand) == 1)
        gate.opened.set()
        replies = await asyncio.gather(first, retry)
    assert [reply.status for reply in replies] == [502, 502]


@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        (FIRST, {}),  # a call of its own that says the same
        (RETRY, {"temperature": 1}),
        ({**RETRY, "x-slacktide-deadline": "5m"}, {}),
        ({"Idempotency-Key": "other"}, {}),
        ({"x-stainless-retry-count": "00"}, {}),
        ({"x-stainless-retry-count": "x"}, {}),
        ({}, {}),
    ],
)
async def test_what_is_no_retry_of_it_runs_for_itself(headers: dict[str, str], changes: dict[str, object]) -> None:
    gate = Gate()
    worker = FakeWorker(gate)
    async with a_stand(worker) as stand:
        first = stand.call(FIRST)
        await until(lambda: len(worker.requests) == 1)
        other = stand.call(headers, **changes)
        await until(lambda: len(worker.requests) == 2)
        gate.opened.set()
        assert [(await one).status for one in (first, other)] == [200, 200]
        assert joined(stand) == 0


async def test_one_idempotency_key_is_not_two_calls_at_once() -> None:
    gate = Gate()
    async with a_stand(FakeWorker(gate)) as stand:
        key = {"Idempotency-Key": "one"}
        first = stand.call(key)
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        reply = await stand.chat(key, temperature=1)
        assert (reply.status, reply.error["code"], reply.error["param"]) == (409, "conflict", "Idempotency-Key")
        gate.opened.set()
        assert (await first).status == 200


async def test_after_its_end_a_call_is_made_anew() -> None:
    worker = FakeWorker()
    async with a_stand(worker) as stand:
        for headers in (FIRST, RETRY, {"Idempotency-Key": "one"}, {"Idempotency-Key": "one"}):
            assert (await stand.chat(headers)).status == 200
    assert len(worker.requests) == 4


async def test_streams_are_not_joined() -> None:
    worker = FakeWorker(streams(b"data: [DONE]\n\n"))
    async with a_stand(worker) as stand:
        both = [stand.call({"Idempotency-Key": "one"}, stream=True) for _ in range(2)]
        assert [reply.status for reply in await asyncio.gather(*both)] == [200, 200]
    assert len(worker.requests) == 2
