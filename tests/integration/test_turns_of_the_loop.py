"""How many turns of the event loop a request takes: each is a wait behind everything else that is ready."""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any

import pytest

from benchmarks.gateway_servers import serve_gateway, serve_worker
from tests.integration.gateway_stand import CHAT, MODEL, SOON_S, FakeWorker, a_stand

BODY = f'{{"model": "{MODEL}", "messages": [{{"role": "user", "content": "hello"}}]}}'
REQUESTS = 20
# One in which the request's bytes come, one in which the answer's do.
TURNS_PER_REQUEST = 2
# The pool's own timers.
MORE_TURNS = 10


class Turns(selectors.DefaultSelector):
    """Counts how often a loop asks what is ready."""

    count = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.count += 1
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(timeout)
        return ready


@contextmanager
def in_a_thread(serve: Callable[[], Coroutine[Any, Any, int]]) -> Iterator[tuple[int, Turns]]:
    """The port of a server with a loop of its own, and the turns of that loop."""
    turns = Turns()
    loop = asyncio.SelectorEventLoop(turns)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(serve(), loop).result(SOON_S), turns
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def ask(client: socket.socket) -> int:
    """In one piece, which http.client does not: a server that is quick reads the head of its requests alone."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    client.sendall(f"{head}Content-Length: {len(BODY)}\r\n\r\n{BODY}".encode())
    answer = HTTPResponse(client)
    answer.begin()
    answer.read()
    return answer.status


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_request_alone_takes_one_turn_to_the_worker_and_one_back() -> None:
    with (
        in_a_thread(serve_worker) as (worker, _),
        in_a_thread(lambda: serve_gateway(f"http://127.0.0.1:{worker}", 0.0)) as (port, turns),
    ):
        client = socket.create_connection(("127.0.0.1", port), timeout=SOON_S)
        assert ask(client) == 200
        before = turns.count
        assert {ask(client) for _ in range(REQUESTS)} == {200}
        assert turns.count - before <= TURNS_PER_REQUEST * REQUESTS + MORE_TURNS
        client.close()


async def test_who_asks_for_another_protocol_is_answered_in_this_one_and_so_is_the_next() -> None:
    async with a_stand(FakeWorker()) as stand:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(stand.base_url.rpartition(":")[2]))
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        body = f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
        asks_for_another = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        for more in (asks_for_another, "", "Connection: close\r\n"):
            writer.write(f"{head}{more}{body}".encode())
            async with asyncio.timeout(SOON_S):
                answer = await reader.readuntil(b"\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 200")
                length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
        writer.close()
