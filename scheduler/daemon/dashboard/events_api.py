"""`GET /api/v1/events`: what the status page shows, as server-sent events: everything once, then each change.

However many listen, the daemon is looked at once a second for each tenant, and not at all while nobody listens. Nothing
is kept for a listener but the revision it has: one who reads slowly gets the newest of what it missed, not all of it.
A listener that comes back shows the mark it had, and gets what changed meanwhile; of another life of the daemon, all.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

import msgspec
from aiohttp import web

from scheduler.daemon.api_errors import ApiError, unavailable
from scheduler.daemon.dashboard.board import Board
from scheduler.daemon.dashboard.kept import Kept
from scheduler.daemon.dashboard.sights import Sights
from scheduler.daemon.env import Env
from scheduler.daemon.guard import Guard, caller_of
from scheduler.daemon.http import Policies, Scope
from scheduler.daemon.metrics import Metrics
from scheduler.quantities import format_instant
from scheduler.store.contract import StoreBusyError

log = logging.getLogger(__name__)

POLICIES: Policies = {"GET /api/v1/events": Scope.READ}

# Real seconds, all of them.
LOOK_S = 1.0
HEARTBEAT_S = 5.0
_PATIENCE_S = 30.0  # with a listener that does not read
_RETRY_MS = 1000
MAX_LISTENERS, MAX_OF_ONE_KEY = 256, 64
_RETRY_AFTER_S = 5.0

_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Watch:
    """One tenant's board, and the look that all who listen to it share."""

    def __init__(self, env: Env, sights: Sights, tenant: str | None) -> None:
        self.board = Board(env.new_secret())  # even a seeded daemon has another one in its next life
        self._sights, self._tenant = sights, tenant
        self._looked = Kept(self._look, fresh_s=LOOK_S * 0.9, monotonic_s=env.monotonic_s)

    async def refresh(self) -> None:
        await self._looked.answer()

    async def _look(self) -> bool:
        try:
            self.board.show(await self._sights.look(self._tenant))
        except StoreBusyError as error:  # the next look is soon
            log.warning("no look for the status page", extra={"action": "look_failed", "why": str(error)})
        return True


class EventsApi:
    """The listeners, and what each of them is told."""

    def __init__(self, *, env: Env, guard: Guard, sights: Sights, metrics: Metrics) -> None:
        self._env, self._guard, self._sights, self._metrics = env, guard, sights, metrics
        self._watches: dict[str | None, Watch] = {}  # as many as there are tenants with keys
        self._listeners: Counter[str] = Counter()
        self._closing = asyncio.Event()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/v1/events", self.listen, allow_head=False)

    def close(self) -> None:
        """End every stream; who comes after that is sent away."""
        self._closing.set()

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """The stream, from the mark in `Last-Event-ID` or `after` on. Ends with the key or session that opened it."""
        caller = caller_of(request)
        self._refuse_crowd(caller.key_id)
        self._listeners[caller.key_id] += 1
        self._metrics.listeners.inc()
        try:
            return await self._told(request, self._watch(caller.tenant))
        finally:
            self._listeners -= Counter({caller.key_id: 1})
            self._metrics.listeners.dec()

    def _refuse_crowd(self, key_id: str) -> None:
        if self._closing.is_set():
            raise unavailable("The daemon is stopping.", code="draining", retry_after_s=_RETRY_AFTER_S)
        if self._listeners.total() >= MAX_LISTENERS or self._listeners[key_id] >= MAX_OF_ONE_KEY:
            message = f"Too many listen: at most {MAX_LISTENERS}, and {MAX_OF_ONE_KEY} with one key."
            raise unavailable(message, code="too_many_listeners", retry_after_s=_RETRY_AFTER_S)

    def _watch(self, tenant: str | None) -> Watch:
        if tenant not in self._watches:
            self._watches[tenant] = Watch(self._env, self._sights, tenant)
        return self._watches[tenant]

    async def _told(self, request: web.Request, watch: Watch) -> web.StreamResponse:
        await watch.refresh()
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        await response.write(f"retry: {_RETRY_MS}\n\n".encode())
        mark = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        sent, quiet_since_s = watch.board.revision_of(mark), float("-inf")
        while not self._closing.is_set() and self._is_welcome(request):
            now_s = self._env.monotonic_s()
            told = self._news(watch.board, sent) or (
                self._heartbeat() if now_s - quiet_since_s >= HEARTBEAT_S else None
            )
            sent = watch.board.revision
            if told is not None:
                quiet_since_s = now_s
                if not await self._is_written(response, *told):
                    break
            await self._wait()
            await watch.refresh()
        return response

    def _news(self, board: Board, sent: int | None) -> tuple[str, bytes] | None:
        tables = board.since(sent)
        if not tables:
            return None
        told = {**self._clock(), "is_whole": sent is None, "tables": tables}
        return "changes", _event("changes", told, mark=board.mark)

    def _heartbeat(self) -> tuple[str, bytes]:
        return "heartbeat", _event("heartbeat", self._clock())

    def _clock(self) -> dict[str, Any]:
        return {"now": format_instant(self._env.now_s()), "speed": self._env.speed}

    async def _is_written(self, response: web.StreamResponse, kind: str, event: bytes) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await response.write(event)
        except TimeoutError:
            kind = "unread"
        self._metrics.events_told.labels(kind).inc()
        return kind != "unread"

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._closing.wait()
        except TimeoutError:
            return

    def _is_welcome(self, request: web.Request) -> bool:
        """Whether the key, or session, that opened the stream is still good, and may still read."""
        try:
            self._guard.admit(request, Scope.READ)
        except ApiError:
            return False
        return True


def _event(kind: str, data: dict[str, Any], mark: str = "") -> bytes:
    head = f"event: {kind}\nid: {mark}\ndata: " if mark else f"event: {kind}\ndata: "
    return head.encode() + msgspec.json.encode(data) + b"\n\n"
