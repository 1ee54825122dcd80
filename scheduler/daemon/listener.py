"""The listening socket: how many may connect, how long they may stay silent, and how it closes.

aiohttp keeps idle connections for an hour and counts none; this is where that is put right. Knows nothing of what is
served.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

from aiohttp import web, web_runner
from aiohttp.web_protocol import RequestHandler

from scheduler.addresses import called_at
from scheduler.config import Server
from scheduler.daemon.certificate import Certificate
from scheduler.daemon.client_connection import ClientConnection
from scheduler.daemon.http import refuse_exposure
from scheduler.daemon.known_paths import KnownPaths

log = logging.getLogger(__name__)

_BACKLOG = 1024
_KEEP_ALIVE_S = 75.0
# After a refusal sent before the whole body has come: long enough for the client to read it.
_LINGER_S = 2.0
# One address may hold this share of all connections, so that one client cannot shut out the rest.
_ADDRESS_SHARE_RATIO = 0.5
_MAX_HEADER_BYTES = 16 * 1024
# A connection counts once its handshake is made, for which asyncio would allow a minute.
_HANDSHAKE_S = 10.0


class _Server(web.Server):
    """A server with limits on connections, in all and per address."""

    def __init__(self, *args: Any, max_connections: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._max = max_connections
        self._max_per_address = max(1, int(max_connections * _ADDRESS_SHARE_RATIO))
        self._address_of: dict[RequestHandler, str] = {}
        self._per_address: Counter[str] = Counter()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else "local"
        self._address_of[handler] = address
        self._per_address[address] += 1
        if len(self._address_of) > self._max or self._is_greedy(address):
            log.warning("connection refused", extra={"action": "connection_refused", "open": len(self._address_of)})
            transport.abort()

    def _is_greedy(self, address: str) -> bool:
        # Loopback is the reverse proxy in front of us, or everyone on a single machine.
        return address not in ("127.0.0.1", "::1", "local") and self._per_address[address] > self._max_per_address

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        address = self._address_of.pop(handler, None)
        if address is not None:
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]

    def __call__(self) -> RequestHandler:
        return ClientConnection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    def __init__(self, app: web.Application, *, max_connections: int, shutdown_timeout_s: float) -> None:
        super().__init__(app, handle_signals=False, shutdown_timeout=shutdown_timeout_s)
        self._max_connections = max_connections

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return _Server(
            KnownPaths(self.app, plain.request_handler).handle,
            request_factory=plain.request_factory,
            # Without it the handler of a client that has left runs on, and keeps its place.
            handler_cancellation=True,
            max_connections=self._max_connections,
            keepalive_timeout=_KEEP_ALIVE_S,
            auto_decompress=False,  # a compressed body is refused, so nothing of it may be unpacked
            lingering_time=_LINGER_S,
            access_log=None,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )


class _TlsSite(web.TCPSite):
    """One that closes connections whose handshake does not come."""

    def __init__(self, runner: _Runner, server: Server, certificate: Certificate) -> None:
        super().__init__(runner, server.host, server.port, ssl_context=certificate.context, backlog=_BACKLOG)

    async def start(self) -> None:
        await web_runner.BaseSite.start(self)
        assert self._runner.server is not None, "set up before"
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.server,
            self._host,
            self._port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=_HANDSHAKE_S,
        )


class Listener:
    """Serves one application on the address of the settings."""

    def __init__(self, app: web.Application, server: Server, *, has_keys: bool = False) -> None:
        """`has_keys`: others than those of the settings. Raises ExposedWithoutKeysError, CertificateError."""
        refuse_exposure(server, has_keys=has_keys)
        self._server, self.certificate = server, Certificate.of(server)
        self._own_port: int | None = None
        self._runner = _Runner(app, max_connections=server.max_connections, shutdown_timeout_s=1.0)
        self.port = server.port

    @property
    def base_url(self) -> str:
        """Where this machine finds it."""
        return called_at(self._server.host, self.port, is_tls=self.certificate is not None)

    @property
    def own_url(self) -> str:
        """Where the daemon's own children find it: a certificate has the name that others call the machine by."""
        return self.base_url if self._own_port is None else f"http://127.0.0.1:{self._own_port}"

    async def start(self) -> None:
        """Listen. Raises OSError where the address is taken, MissingPolicyError for a route without one."""
        await self._runner.setup()
        if self.certificate is None:
            await web.TCPSite(self._runner, self._server.host, self._server.port, backlog=_BACKLOG).start()
        else:
            await _TlsSite(self._runner, self._server, self.certificate).start()
            known = len(self._runner.addresses)
            await web.TCPSite(self._runner, "127.0.0.1", 0).start()
            self._own_port = self._runner.addresses[known][1]
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the socket and every connection; the work under way was drained before."""
        await self._runner.cleanup()
