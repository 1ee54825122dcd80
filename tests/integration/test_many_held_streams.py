"""Hundreds of streams held at once: what each takes of memory, and that each has its own answer in the end.

Ten thousand of them, and what their keep-alives take, are measured by benchmarks/daemon_scale.py.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from benchmarks.held_streams import Client, is_exact, request
from benchmarks.scale_servers import serve_worker
from tests.integration.gateway_stand import SOON_S, Stand, a_front, settings_for, until

STREAMS = 300
HOUR_S = 3600.0
# Ours, aiohttp's and the client's share of a connection together; it was 22 kB when this was written.
MOST_BYTES = 36_000


@contextmanager
def counted_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


@asynccontextmanager
async def held(stand: Stand, first: int, count: int) -> AsyncIterator[list[Client]]:
    """So many streams that wait for an hour to come."""
    stand.clean_hours.release_at = stand.env.now_s() + HOUR_S
    loop, before = asyncio.get_running_loop(), stand.gateway.held
    port = int(stand.base_url.rpartition(":")[2])
    clients = [Client(request(number)) for number in range(first, first + count)]
    for client in clients:
        await loop.create_connection(lambda mine=client: mine, "127.0.0.1", port)  # type: ignore[misc]
    await until(lambda: stand.gateway.held == before + count)
    yield clients
    for client in clients:
        client.transport.close()


@pytest.mark.slow
async def test_hundreds_of_held_streams_take_little_memory_and_are_all_answered_byte_for_byte() -> None:
    url = f"http://127.0.0.1:{await serve_worker()}"
    async with a_front(settings_for([url], max_sequences=64)) as stand:
        async with held(stand, 10_000, 20):  # what is made once is made now
            pass
        await until(lambda: stand.gateway.held == 0)
        with counted_memory():
            async with held(stand, 0, STREAMS) as clients:
                bytes_each = tracemalloc.get_traced_memory()[0] / STREAMS
                stand.clean_hours.release_at = 0.0
                stand.gateway.on_forecast_changed()
                async with asyncio.timeout(2 * SOON_S):
                    await asyncio.gather(*(client.ended for client in clients))
                assert all(is_exact(client, number) for number, client in enumerate(clients))
        assert bytes_each < MOST_BYTES


@pytest.mark.slow
async def test_held_streams_whose_clients_hang_up_leave_no_memory_but_their_records() -> None:
    url = f"http://127.0.0.1:{await serve_worker()}"
    async with a_front(settings_for([url])) as stand:
        async with held(stand, 10_000, 20):
            pass
        await until(lambda: stand.gateway.held == 0)
        with counted_memory():
            async with held(stand, 0, STREAMS):
                pass
            await until(lambda: stand.gateway.held == 0)
            # A record is about a kilobyte, and is forgotten after ten thousand others. Tasks that have ended are let go
            # of on some later turn of the loop.
            await until(lambda: left_bytes_each() < 2000)


def left_bytes_each() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / STREAMS
