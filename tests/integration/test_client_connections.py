"""Several requests over one connection, whole and in pieces, and clients that leave or send what is no HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scheduler.daemon.request_context import REQUEST_IN_HAND
from tests.integration.gateway_stand import CHAT, SOON_S, FakeWorker, Gate, Stand, a_chat, a_stand, until

ALIVE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
IS_ALIVE = b'{"status":"alive"}'
BODY = json.dumps(a_chat()).encode()
HEAD = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
LENGTH = f"Content-Length: {len(BODY)}\r\n\r\n".encode()
CALL = HEAD + LENGTH + BODY


@asynccontextmanager
async def connected(stand: Stand) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stand.base_url.rpartition(":")[2]))
    try:
        async with asyncio.timeout(SOON_S):
            yield reader, writer
    finally:
        writer.transport.abort()


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


async def statuses(reader: asyncio.StreamReader, number: int) -> list[int]:
    return [(await answered(reader))[0] for _ in range(number)]


async def send_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes = LENGTH) -> None:
    """Of a call, and wait until it is in hand."""
    writer.write(HEAD + b"Expect: 100-continue\r\n" + body)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_a_hundred_calls_in_one_piece_are_all_answered() -> None:
    async with a_stand(FakeWorker()) as stand, connected(stand) as (reader, writer):
        writer.write(CALL * 100)
        assert await statuses(reader, 100) == [200] * 100


async def test_requests_sent_ahead_are_answered_however_many_bodies_came_late_before() -> None:
    async with a_stand(FakeWorker()) as stand, connected(stand) as (reader, writer):
        for _ in range(34):  # more than may wait behind one another
            await send_head(reader, writer)
            writer.write(BODY)
            assert await statuses(reader, 1) == [200]
        writer.write(ALIVE * 100)
        assert await statuses(reader, 100) == [200] * 100


async def test_requests_sent_ahead_of_a_body_that_comes_late_are_answered() -> None:
    async with a_stand(FakeWorker()) as stand, connected(stand) as (reader, writer):
        await send_head(reader, writer)
        writer.write(BODY + ALIVE * 100)
        assert await statuses(reader, 101) == [200] * 101


async def test_who_sends_many_requests_in_one_piece_does_not_keep_others_waiting() -> None:
    turns, requests = 0, 200
    async with a_stand() as stand, connected(stand) as (reader, writer):
        reading = asyncio.create_task(statuses(reader, requests))
        writer.write(ALIVE * requests)
        while not reading.done():
            turns += 1
            await asyncio.sleep(0)
        assert await reading == [200] * requests
    assert turns > requests / 2


async def test_a_client_that_leaves_takes_what_it_sent_ahead_with_it() -> None:
    gate = Gate()
    worker = FakeWorker(gate)
    async with a_stand(worker) as stand:
        async with connected(stand) as (_, writer):
            writer.write(CALL * 3)
            await gate.entered.wait()
        await gate.cancelled.wait()
        await until(lambda: stand.gateway.running == 0)
        assert len(worker.requests) == 1


async def test_a_client_that_leaves_within_its_body_leaves_nothing_behind() -> None:
    worker = FakeWorker()
    async with a_stand(worker) as stand:
        before = len(asyncio.all_tasks())
        async with connected(stand) as (reader, writer):
            writer.write(ALIVE)
            assert await statuses(reader, 1) == [200]
            await send_head(reader, writer)
            writer.write(BODY[:-10])
        await until(lambda: len(asyncio.all_tasks()) <= before)
        assert worker.requests == []


async def test_a_body_that_breaks_off_its_form_is_refused_at_once() -> None:
    async with a_stand(FakeWorker()) as stand, connected(stand) as (reader, writer):
        await send_head(reader, writer, b"Transfer-Encoding: chunked\r\n\r\n")
        writer.write(b"no length\r\n")
        status, body = await answered(reader)
        assert (status, json.loads(body)["error"]["code"]) == (400, "bad_request")
        assert await reader.read() == b""


async def test_what_is_no_http_is_not_logged_under_the_request_before(caplog: pytest.LogCaptureFixture) -> None:
    named: list[str] = []

    class Noted(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            named.append(REQUEST_IN_HAND.get())
            return True

    async with a_stand() as stand, connected(stand) as (reader, writer):
        writer.write(ALIVE)
        assert await answered(reader) == (200, IS_ALIVE)
        with caplog.at_level(logging.INFO, "scheduler.daemon.client_connection"), caplog.filtering(Noted()):
            writer.write(b"no HTTP\r\n\r\n")
            assert await statuses(reader, 1) == [400]
    assert named == [""]
