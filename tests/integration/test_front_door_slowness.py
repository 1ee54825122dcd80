"""Slow and silent clients lose their place. The time-outs are shortened here; their lengths are not what is tested."""

from __future__ import annotations

import asyncio
import json

import pytest

from scheduler.daemon import client_connection, http, listener, relay
from tests.integration.gateway_stand import CHAT, MODEL, SOON_S, FakeWorker, a_stand, streams, until


async def connected(base_url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = base_url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def test_a_body_that_does_not_come_is_a_408(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "_BODY_ALLOWANCE_S", 0.02)
    async with a_stand(FakeWorker()) as stand:
        reader, writer = await connected(stand.base_url)
        head = (
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
        )
        writer.write(head.encode() + b'{"model":')
        answer = await asyncio.wait_for(reader.readuntil(b"}}"), SOON_S)
        writer.close()
    head_of_answer, _, body = answer.partition(b"\r\n\r\n")
    assert head_of_answer.startswith(b"HTTP/1.1 408")
    assert b"Connection: close" in head_of_answer
    assert json.loads(body)["error"]["code"] == "slow_body"


async def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_connection, "_FIRST_REQUEST_S", 0.02)
    async with a_stand(FakeWorker()) as stand:
        reader, writer = await connected(stand.base_url)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: ")
        assert await asyncio.wait_for(reader.read(), SOON_S) == b""
        writer.close()


@pytest.mark.slow
async def test_a_connection_that_has_been_used_may_stay_silent_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    # Time enough for the first request on a busy machine, and no more than that.
    monkeypatch.setattr(client_connection, "_FIRST_REQUEST_S", 0.75)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with a_stand(FakeWorker()) as stand:
        reader, writer = await connected(stand.base_url)
        for _ in range(2):
            writer.write(request)
            assert await asyncio.wait_for(reader.readuntil(b'{"status":"alive"}'), SOON_S)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.8)
        writer.close()


async def test_a_kept_alive_connection_is_closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_KEEP_ALIVE_S", 0.02)
    async with a_stand(FakeWorker()) as stand:
        reader, writer = await connected(stand.base_url)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"alive" in await asyncio.wait_for(reader.read(), SOON_S)
        writer.close()


@pytest.mark.parametrize("reads", [False, True], ids=["never", "late"])
async def test_a_client_that_does_not_read_its_stream_loses_its_place(
    monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    monkeypatch.setattr(relay, "SLOW_READER_S", SOON_S if reads else 0.05)
    chunks = [b"data: " + b"x" * 60_000 + b"\n\n"] * 300
    async with a_stand(FakeWorker(streams(*chunks, b"data: [DONE]\n\n"))) as stand:
        reader, writer = await connected(stand.base_url)
        body = json.dumps({"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await until(lambda: stand.gateway.running == 1)
        if reads:
            answer = await asyncio.wait_for(reader.read(-1), SOON_S)
            assert answer.count(b"data: x") == 300
        await until(lambda: stand.gateway.running == 0)
        writer.close()
        (record,) = stand.gateway.records.latest()
        await until(lambda: record.status is not None)
        labels = {"endpoint": CHAT, "model": MODEL, "latency_class": "interactive"}
        statuses = [stand.count("slacktide_requests_total", **labels, status=status) for status in ("200", "499")]
    # Who is hung up on has left, whatever the status was that its stream began with.
    assert statuses == ([1, 0] if reads else [0, 1])
    assert record.status == (200 if reads else 499)
    assert len(stand.uses.kept) == (1 if reads else 0)
