"""Many streaming requests held at once: the memory each takes, the processor time of their keep-alives, their answers.

A daemon, a worker and the clients are three processes on real sockets. Every stream is held for the next hour of a
made-up solar grid, which begins so long after the daemon's start that all are there before; then all go at once. As
many come before them and hang up, so that the memory measured is that of a daemon that has seen such a crowd before.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.http_load import post
from benchmarks.processes import Process, started
from benchmarks.scale_servers import MODEL, prompt, streamed

CHAT = "/v1/chat/completions"
# Nine in the morning on a sunny grid: the next hour is cleaner.
CLEANER_AT_S = 1_640_995_200.0 + 9 * 3600.0
DEADLINE = "20m"
_AT_ONCE = 100
_SOON_S = 300.0
_LOOK_S = 0.5
_FIRST_COMMENT_S = 15.0
_PROMPT_CHARACTERS = 1000
# Tickets, tasks and what they leave behind are gone by then.
_SETTLED_AFTER_S = 5.0
_KEEP_ALIVE = b": keep-alive\n\n"
_LAST_COMMENT = re.compile(rb": slacktide [^\n]*\n\n\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFigures:
    """What was measured."""

    streams: int
    before_mb: float
    first_mb: float
    left_mb: float
    held_mb: float
    peak_mb: float
    after_mb: float
    steady_s: float
    keep_alive_core_ratio: float
    keep_alives: int
    answered_exactly: int

    @property
    def kb_per_stream(self) -> float:
        return (self.held_mb - self.before_mb) * 1000 / self.streams


class Client(asyncio.Protocol):
    """One connection with one request; keeps every byte that came."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.received = bytearray()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(b"\r\n0\r\n\r\n") and not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def body(self) -> bytes:
        head, _, chunked = bytes(self.received).partition(b"\r\n\r\n")
        return b"" if b" 200 " not in head[:20] else unchunked(chunked)


def unchunked(data: bytes) -> bytes:
    """What a chunked body carries."""
    pieces, at = [], 0
    while size := int(data[at : (line := data.find(b"\r\n", at))] or b"0", 16):
        pieces.append(data[line + 2 : line + 2 + size])
        at = line + 4 + size
    return b"".join(pieces)


def request(number: int) -> bytes:
    messages = [{"role": "user", "content": f"{prompt(number)} ".ljust(_PROMPT_CHARACTERS, ".")}]
    body = {"model": MODEL, "stream": True, "max_tokens": 16, "messages": messages}
    whole = post(CHAT, json.dumps(body).encode())
    return whole.replace(b"\r\n\r\n", f"\r\nx-slacktide-deadline: {DEADLINE}\r\n\r\n".encode(), 1)


def settings(folder: Path, worker: Process, streams: int) -> dict[str, Any]:
    return {
        "server": {"port": 0, "state_dir": str(folder), "drain_s": 0, "max_connections": streams + 100},
        "region": [{"name": "here", "zone": "SUN"}],
        "feed": [{"kind": "synthetic", "zones": ["SUN"], "archetype": "solar"}],
        "shaping": {"max_held": streams},
        "worker": [{"url": worker.base_url, "models": [MODEL], "region": "here", "max_sequences": 256}],
    }


@contextmanager
def stand(streams: int, hold_s: float) -> Iterator[Process]:
    """The daemon, whose clean hour begins `hold_s` after its start."""
    with tempfile.TemporaryDirectory() as place, started("benchmarks.scale_servers", "worker") as worker:
        file = Path(place, "settings.json")
        file.write_text(json.dumps(settings(Path(place, "state"), worker, streams)))
        options = ("--settings", str(file), "--epoch", str(CLEANER_AT_S - hold_s))
        with started("benchmarks.scale_servers", "daemon", *options) as daemon:
            yield daemon


async def held_now(session: aiohttp.ClientSession) -> int:
    async with session.get("/metrics") as response:
        page = await response.text()
    return round(sum(float(one) for one in re.findall(r"^slacktide_held_requests{[^}]*} (\S+)$", page, re.MULTILINE)))


async def begin(port: int, streams: int) -> list[Client]:
    loop, clients = asyncio.get_running_loop(), []
    for first in range(0, streams, _AT_ONCE):
        some = range(first, min(streams, first + _AT_ONCE))
        made = [loop.create_connection(lambda number=n: Client(request(number)), "127.0.0.1", port) for n in some]  # type: ignore[misc]
        clients += [client for _, client in await asyncio.gather(*made)]
    return clients


async def until_held(session: aiohttp.ClientSession, streams: int) -> None:
    async with asyncio.timeout(_SOON_S):
        while await held_now(session) != streams:
            await _pause(_LOOK_S)


async def _pause(duration_s: float) -> None:
    await asyncio.sleep(duration_s)  # noqa: TID251  a load generator lives in real time


def is_exact(client: Client, number: int) -> bool:
    """Whether all came as the worker sent it, but for our comments."""
    body = client.body().replace(_KEEP_ALIVE, b"")
    return _LAST_COMMENT.sub(b"", body) == b"".join(streamed(number))


async def hang_up(session: aiohttp.ClientSession, clients: Sequence[Client]) -> None:
    for client in clients:
        client.transport.abort()
    await until_held(session, 0)


async def keep_alives(daemon: Process, clients: Sequence[Client], steady_s: float) -> tuple[int, float, float]:
    """How many comments came, how long was looked, and the share of a core that the daemon used meanwhile."""
    clock = asyncio.get_running_loop().time
    heard, began_s, used_s = _keep_alives(clients), clock(), daemon.cpu_s()
    await _pause(steady_s)
    took_s = clock() - began_s
    return _keep_alives(clients) - heard, took_s, (daemon.cpu_s() - used_s) / took_s


async def measured(daemon: Process, streams: int, steady_s: float) -> HeldFigures:
    """Raises TimeoutError where they are not all held, or answered, in time."""
    async with aiohttp.ClientSession(base_url=daemon.base_url) as session:
        await held_now(session)
        before_mb = daemon.resident_mb()
        clients = await begin(daemon.port, streams)
        await until_held(session, streams)
        first_mb = daemon.resident_mb()
        await hang_up(session, clients)
        left_mb = daemon.resident_mb()
        clients = await begin(daemon.port, streams)
        await until_held(session, streams)
        await _pause(_FIRST_COMMENT_S)  # by then each is a stream
        heard, took_s, core_ratio = await keep_alives(daemon, clients, steady_s)
        held_mb = daemon.resident_mb()
        if await held_now(session) < streams:
            raise RuntimeError("some were let go before the measurement was over: give them a longer hold")
        async with asyncio.timeout(_SOON_S):
            await asyncio.gather(*(client.ended for client in clients))
        exact = sum(is_exact(client, number) for number, client in enumerate(clients))
        for client in clients:
            client.transport.close()
        await _pause(_SETTLED_AFTER_S)
        return HeldFigures(
            streams=streams,
            before_mb=before_mb,
            first_mb=first_mb,
            left_mb=left_mb,
            held_mb=held_mb,
            peak_mb=daemon.most_resident_mb(),
            after_mb=daemon.resident_mb(),
            steady_s=took_s,
            keep_alive_core_ratio=core_ratio,
            keep_alives=heard,
            answered_exactly=exact,
        )


def _keep_alives(clients: Sequence[Client]) -> int:
    return sum(client.received.count(_KEEP_ALIVE) for client in clients)


def run(streams: int, hold_s: float, steady_s: float) -> HeldFigures:
    """Hold so many streams; the hold must be longer than their coming and the steady time together."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # children have it too
    try:
        with stand(streams, hold_s) as daemon:
            return asyncio.run(measured(daemon, streams, steady_s))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


if __name__ == "__main__":
    import sys

    figures = run(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
    print(figures, figures.kb_per_stream)
