"""`/api/v1/session`: the status page logs in with a key and gets a cookie that no script can read.

The cookie is sent by this site's own pages only (SameSite=Strict) and changes nothing without their Origin. It stands
for the key: what ends the key ends the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from scheduler.daemon.api_errors import ApiError, invalid
from scheduler.daemon.audit import AuditLog
from scheduler.daemon.env import Env
from scheduler.daemon.guard import Guard
from scheduler.daemon.http import REQUEST_ID, Policies, Scope, read_json_body, refuse_other_origins
from scheduler.daemon.sessions import COOKIE, LIFE_S
from scheduler.keys import ANYONE, Caller

# Open, because this is where one proves who one is.
POLICIES: Policies = {
    "POST /api/v1/session": Scope.OPEN,
    "GET /api/v1/session": Scope.OPEN,
    "DELETE /api/v1/session": Scope.OPEN,
}

_MAX_BODY_BYTES = 4 * 1024


class LoginFields(msgspec.Struct):
    """The key that a session stands for."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionApi:
    """The handlers."""

    env: Env
    guard: Guard
    audit: AuditLog

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/api/v1/session", self.begin)
        app.router.add_get("/api/v1/session", self.show, allow_head=False)
        app.router.add_delete("/api/v1/session", self.end)

    async def begin(self, request: web.Request) -> web.Response:
        """201 and the cookie, for a key that is good. Raises ApiError 401 for another."""
        refuse_other_origins(request)
        caller = self.guard.believe(_key_in(await read_json_body(request, max_bytes=_MAX_BODY_BYTES)))
        self._forget(request)  # a session never outlives the login that follows it
        token = self.env.new_secret()
        self.guard.sessions.begin(token, caller.key_id, self.env.monotonic_s())
        await self.audit.note(caller, "POST /api/v1/session", "", status=201, request_id=request[REQUEST_ID])
        response = _told(201, caller)
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(LIFE_S),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=_is_encrypted(request),
        )
        return response

    async def show(self, request: web.Request) -> web.Response:
        """Who is logged in; nobody, where a key is asked for and none was shown."""
        if not self.guard.asks_for_keys:
            return _told(200, ANYONE)
        try:
            return _told(200, self.guard.caller(request))
        except ApiError:
            return _told(200, None)

    async def end(self, request: web.Request) -> web.Response:
        """204, logged out; the key is as good as before."""
        refuse_other_origins(request)
        self._forget(request)
        response = web.Response(status=204)
        response.del_cookie(COOKIE, path="/")
        return response

    def _forget(self, request: web.Request) -> None:
        if (token := request.cookies.get(COOKIE)) is not None:
            self.guard.sessions.end(token)


def _key_in(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=LoginFields).key.strip()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid('The body must be {"key": "..."}.', param="key") from None


def _is_encrypted(request: web.Request) -> bool:
    # A proxy that ends TLS says so; who claims it falsely gets a cookie that his own browser will not send.
    return request.secure or request.headers.get("X-Forwarded-Proto", "") == "https"


def _told(status: int, caller: Caller | None) -> web.Response:
    told: dict[str, Any] = {"object": "session", "key": None, "tenant": None, "scopes": []}
    if caller is not None:
        told.update(key=caller.key_id, tenant=caller.tenant, scopes=sorted(caller.scopes))
    headers = {"Cache-Control": "no-store"}
    body = msgspec.json.encode(told)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
