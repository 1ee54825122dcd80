"""The audit log: who changed what, when, with which result. Written before the answer is sent; never changed.

Holds ids, routes and statuses. It is never given a body, a header or a key, so no secret can end up in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiohttp import web

from scheduler.daemon.env import Env
from scheduler.daemon.guard import caller_of
from scheduler.keys import Caller
from scheduler.store.access_contract import AuditEntry
from scheduler.store.contract import DiskFullError, Store, StoreBusyError
from scheduler.store.writer import Writing

log = logging.getLogger(__name__)

# Set by a handler that wrote its own entry, with the change itself.
NOTED = web.RequestKey("noted", bool)
# What a handler has made, where the path does not name it.
TARGET = web.RequestKey("target", str)
_MAX_TARGET = 200


class AuditLog:
    """Where the front door notes what was done."""

    def __init__(self, env: Env, writer: Writing) -> None:
        self._env, self._writer = env, writer

    def entry(
        self, caller: Caller, action: str, target: str, *, status: int, code: str = "", request_id: str
    ) -> AuditEntry:
        """An entry of now, to be written with the change it tells of."""
        return AuditEntry(
            at_s=self._env.now_s(),
            key_id=caller.key_id,
            tenant=caller.tenant,
            action=action,
            target=target[:_MAX_TARGET],
            status=status,
            code=code,
            request_id=request_id,
        )

    async def with_change(
        self, request: web.Request, target: str, change: Callable[[Store], None], *, status: int, request_id: str
    ) -> None:
        """A change and its entry, or neither. Raises StoreBusyError, DiskFullError."""
        name = f"{request.method} {request.match_info.route.resource.canonical}"  # type: ignore[union-attr]
        entry = self.entry(caller_of(request), name, target, status=status, request_id=request_id)

        def both(store: Store) -> None:
            change(store)
            store.append_audit([entry])

        await self._writer.write(both)
        request[NOTED] = True

    async def note(
        self, caller: Caller, action: str, target: str, *, status: int, code: str = "", request_id: str
    ) -> None:
        """Write down what was done. Where the disk takes nothing, the daemon's own log is what is left."""
        entry = self.entry(caller, action, target, status=status, code=code, request_id=request_id)
        try:
            await self._writer.write(lambda store: store.append_audit([entry]))
        except (StoreBusyError, DiskFullError) as error:
            fields = {"key": entry.key_id, "what": action, "target": entry.target, "status": status}
            log.error("audit entry not written", extra={"action": "audit_lost", "why": str(error), **fields})
