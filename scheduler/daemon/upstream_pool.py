"""Connections to workers: made when one is needed, kept while they are of use.

Decides which connection a call gets: the one that was idle shortest, so that those not needed grow old and are closed.
Chooses no worker and knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from aiohappyeyeballs import AddrInfoType, start_connection

from scheduler.daemon.upstream_connection import Connection, NotConnectedError, Reply
from scheduler.daemon.upstream_target import Origin

# Shorter than the five seconds after which the servers of vLLM and SGLang close an idle connection (uvicorn's default):
# a call sent in that instant would be broken off, and count against the worker.
_IDLE_S = 4.0
_NAME_LASTS_S = 10.0
# Of one name, while another address of it is silent. Source: RFC 8305, section 5.
_NEXT_ADDRESS_AFTER_S = 0.25


@dataclass(frozen=True, slots=True)
class _Found:
    addresses: deque[AddrInfoType]
    until_s: float


class ConnectionPool:
    """All connections to workers."""

    def __init__(self, *, connect_s: float, idle_s: float = _IDLE_S) -> None:
        """`connect_s` is how long making one may take, `idle_s` how long one is kept without use."""
        self._connect_s, self._idle_s = connect_s, idle_s
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Origin, list[tuple[float, Connection]]] = {}  # since when, the latest last
        self._asked: dict[Connection, Origin] = {}
        self._found: dict[Origin, _Found] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Those that are idle, and those that are not."""
        return len(self._asked) + sum(len(idle) for idle in self._idle.values())

    async def ask(self, origin: Origin, request: bytes, silence_s: float) -> Reply:
        """Send a whole request and wait for the head of its answer. Raises CallError."""
        connection = self._taken(origin)
        if connection is None:
            connection = await self._made(origin)
        self._asked[connection] = origin
        try:
            return await connection.ask(request, silence_s)
        except BaseException:
            self._asked.pop(connection, None)
            connection.abort()
            raise

    def close(self) -> None:
        """All of them, whatever is under way."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in [*self._asked, *(one for idle in self._idle.values() for _, one in idle)]:
            connection.abort()
        self._asked.clear()
        self._idle.clear()

    def _taken(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        since_s = self._loop.time() - self._idle_s
        while idle:
            at_s, connection = idle.pop()
            if connection.is_usable and at_s > since_s:
                return connection
            connection.abort()
        return None

    async def _made(self, origin: Origin) -> Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                addresses = await self._addresses(origin)
                made = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_S)
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._loop, self._ended),
                    sock=made,
                    ssl=_tls() if origin.is_tls else None,
                    server_hostname=origin.host if origin.is_tls else None,
                )
        except TimeoutError:
            raise NotConnectedError(f"no connection within {self._connect_s:g} s") from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that is none
            raise NotConnectedError(str(error) or type(error).__name__) from None
        return connection

    async def _addresses(self, origin: Origin) -> Sequence[AddrInfoType]:
        """Of the name, each first in turn: they may be replicas."""
        found = self._found.get(origin)
        if found is None or found.until_s < self._loop.time():
            found = self._found[origin] = await self._looked_up(origin, found)
        found.addresses.rotate(-1)
        return list(found.addresses)

    async def _looked_up(self, origin: Origin, before: _Found | None) -> _Found:
        """What the name says now; while nobody can tell, what it said before."""
        addresses: deque[AddrInfoType]
        try:
            async with asyncio.timeout(None if before is None else self._connect_s / 2):
                addresses = deque(await self._loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM))
        except (OSError, TimeoutError):
            if before is None:
                raise
            addresses = before.addresses
        return _Found(addresses, self._loop.time() + _NAME_LASTS_S)

    def _ended(self, connection: Connection) -> None:
        origin = self._asked.pop(connection, None)
        if origin is None or not connection.is_usable:
            return
        self._idle.setdefault(origin, []).append((self._loop.time(), connection))
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle_s, self._close_old)

    def _close_old(self) -> None:
        """Those idle for long, and forget those that the worker has closed."""
        since_s = self._loop.time() - self._idle_s
        for origin, idle in list(self._idle.items()):
            for at_s, connection in idle:
                if at_s <= since_s:
                    connection.abort()
            left = [one for one in idle if one[0] > since_s and one[1].is_usable]
            if left:
                self._idle[origin] = left
            else:
                del self._idle[origin]
        self._sweep = self._loop.call_later(self._idle_s / 2, self._close_old) if self._idle else None


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
