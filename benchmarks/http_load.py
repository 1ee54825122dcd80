"""A load generator that costs little itself: keep-alive connections, one prepared request, answers told by length.

Closed loop: each connection sends again as soon as it is answered, which finds the most requests per second. Open loop:
requests are due at the instants of a Poisson process, and latency counts from the instant they were due, so that a
server that stalls cannot slow the clock it is measured by.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

_WARM_UP_S = 0.5


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, request: bytes, on_answer: Callable[[Connection, int], None]) -> None:
        self._request, self._on_answer = request, on_answer
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self) -> None:
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        start = head.find(b"content-length:") + 15
        if len(self._buffer) >= end + 4 + int(head[start:].split(b"\r\n", 1)[0]):
            self._buffer = b""
            self._on_answer(self, int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            raise exc

    def close(self) -> None:
        self._transport.close()


def post(path: str, body: bytes) -> bytes:
    """A whole HTTP/1.1 request."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: */*\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _connect(
    port: int, count: int, request: bytes, on_answer: Callable[[Connection, int], None]
) -> list[Connection]:
    loop = asyncio.get_running_loop()
    pairs = [
        await loop.create_connection(lambda: Connection(request, on_answer), "127.0.0.1", port) for _ in range(count)
    ]
    return [connection for _, connection in pairs]


async def requests_per_s(port: int, request: bytes, *, connections: int, lasts_s: float) -> tuple[int, float]:
    """Closed loop at full speed: all answers, and their rate after a warm-up.

    Raises RuntimeError on any answer but 200.
    """
    loop = asyncio.get_running_loop()
    answered = 0
    failed: list[int] = []

    def on_answer(connection: Connection, status: int) -> None:
        nonlocal answered
        answered += 1
        if status != 200:
            failed.append(status)
        connection.send()

    open_connections = await _connect(port, connections, request, on_answer)
    for connection in open_connections:
        connection.send()
    await _for(_WARM_UP_S)
    before, began_s = answered, loop.time()
    await _for(lasts_s)
    rate_per_s = (answered - before) / (loop.time() - began_s)
    for connection in open_connections:
        connection.close()
    if failed:
        raise RuntimeError(f"{len(failed)} answers were not 200, the first {failed[0]}")
    return answered, rate_per_s


async def requests_of(port: int, request: bytes, *, connections: int, count: int) -> None:
    """Closed loop for so many requests, and no more. Raises RuntimeError on any answer but 200."""
    left, answered = count, 0
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_answer(connection: Connection, status: int) -> None:
        nonlocal answered
        answered += 1
        if status != 200 and not ended.done():
            ended.set_exception(RuntimeError(f"an answer was not 200 but {status}"))
        elif answered == count:
            ended.set_result(None)
        else:
            send(connection)

    def send(connection: Connection) -> None:
        nonlocal left
        if left > 0:
            left -= 1
            connection.send()

    open_connections = await _connect(port, connections, request, on_answer)
    for connection in open_connections:
        send(connection)
    await ended
    for connection in open_connections:
        connection.close()


async def latencies_s(
    port: int, request: bytes, *, connections: int, arrivals_per_s: float, lasts_s: float, seed: int
) -> list[float]:
    """Open loop: seconds from the intended send time to the whole answer, sorted. Raises RuntimeError as above."""
    loop = asyncio.get_running_loop()
    generator = random.Random(seed)
    idle: deque[Connection] = deque()
    waiting: deque[float] = deque()
    due_at_s: dict[Connection, float] = {}
    took_s: list[float] = []
    failed: list[int] = []

    def start(connection: Connection, intended_at_s: float) -> None:
        due_at_s[connection] = intended_at_s
        connection.send()

    def on_answer(connection: Connection, status: int) -> None:
        took_s.append(loop.time() - due_at_s.pop(connection))
        if status != 200:
            failed.append(status)
        if waiting:
            start(connection, waiting.popleft())
        else:
            idle.append(connection)

    open_connections = await _connect(port, connections, request, on_answer)
    idle.extend(open_connections)
    intended_at_s = loop.time()
    ends_at_s = intended_at_s + lasts_s
    while (intended_at_s := intended_at_s + generator.expovariate(arrivals_per_s)) < ends_at_s:
        await _for(intended_at_s - loop.time())
        if idle:
            start(idle.popleft(), intended_at_s)
        else:
            waiting.append(intended_at_s)
    while due_at_s or waiting:
        await _for(0.01)
    for connection in open_connections:
        connection.close()
    if failed:
        raise RuntimeError(f"{len(failed)} answers were not 200, the first {failed[0]}")
    return sorted(took_s)


async def _for(duration_s: float) -> None:
    if duration_s > 0:
        await asyncio.sleep(duration_s)  # noqa: TID251  the load generator lives in real time


def quantile(ordered_s: list[float], share_ratio: float) -> float:
    """The smallest value that so large a share does not exceed."""
    return ordered_s[min(len(ordered_s) - 1, int(share_ratio * len(ordered_s)))]
