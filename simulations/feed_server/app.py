"""The emulators as one aiohttp application: routes, credentials, and the faults of the wire.

Decides nothing about intensity. One port serves Electricity Maps (/v3, /v4, /beta), WattTime (/login, /v3) and the GB
Carbon Intensity API (/intensity, /regional, /generation); their paths do not collide.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from aiohttp import web

from intensity_feeds.series import IntensitySeries
from simulations.feed_server import electricity_maps, optimizer, watttime
from simulations.feed_server.faults import NO_FAULTS, FaultCounter, Faults
from simulations.feed_server.grid_view import GridView
from simulations.feed_server.places import regions_of
from simulations.feed_server.replies import FORBIDDEN_PAGE, GATEWAY_PAGE, UNAUTHORIZED_PAGE, RefusedError, Reply
from simulations.feed_server.routes import Route, Service, routes


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the services ask for. Where None, any non-empty token or user will do."""

    electricity_maps_token: str | None = None
    watttime_user: str | None = None
    watttime_password: str | None = None
    allow_anonymous: bool = False


ANY_CREDENTIALS = Credentials()


@dataclass(slots=True)
class _Token:
    issued_at_s: float
    calls: int = 0


@dataclass(slots=True)
class FeedServer:
    """The replay and what it remembers between requests: fault counts and tokens handed out."""

    view: GridView
    now_s: Callable[[], float]
    counter: FaultCounter
    credentials: Credentials
    tokens: dict[str, _Token] = field(default_factory=dict)

    def set_faults(self, faults: Faults) -> None:
        """Exchange the faults of a running server; counts start anew."""
        self.counter = FaultCounter(faults)

    def seen(self, request: web.Request) -> GridView:
        """The view at this request's instant, with the faults that hit it. Counts the request."""
        now_s = self.now_s()
        holding = self.counter.holding(request.path, now_s)
        faults = self.counter.faults
        if "clock_skew" in holding:
            now_s += faults.skew_s
        frozen_at_s = self.counter.began_at_s.get("frozen_latest", now_s) if "frozen_latest" in holding else now_s
        return replace(self.view, now_s=now_s, data_now_s=frozen_at_s, holding=holding, faults=faults)

    # -- credentials --------------------------------------------------------------------------------------------------

    def refused(self, route: Route, request: web.Request, view: GridView) -> Reply | None:
        """The service's refusal of these credentials, or None."""
        if route.service is Service.UK_CARBON:
            return _page(401, UNAUTHORIZED_PAGE) if "unauthorized" in view.holding else None
        if route.service is Service.ELECTRICITY_MAPS:
            return self._refused_by_electricity_maps(route, request, view)
        return None if route.is_open else self._refused_by_watttime(request, view)

    def _refused_by_electricity_maps(self, route: Route, request: web.Request, view: GridView) -> Reply | None:
        if route.is_open:
            return None
        token = _electricity_maps_token(request)
        wanted = self.credentials.electricity_maps_token
        is_known = bool(token) if wanted is None else token == wanted
        if "unauthorized" in view.holding or not (is_known or self.credentials.allow_anonymous):
            return Reply(status=401, payload={"error": "Invalid auth-token"})
        if "out_of_scope" in view.holding:
            return electricity_maps.scope_refusal(request.query.get("zone", "unknown"), *route.scope)
        return None

    def _refused_by_watttime(self, request: web.Request, view: GridView) -> Reply | None:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        token = self.tokens.get(text) if kind == "Bearer" else None
        if token is not None:
            token.calls += 1
        is_dead = token is None or view.now_s - token.issued_at_s >= watttime.TOKEN_LIFE_S
        is_used_up = token is not None and token.calls > view.faults.token_calls
        if "expired_token_403" in view.holding and is_used_up:
            return _page(403, FORBIDDEN_PAGE)
        if "unauthorized" in view.holding or is_dead or ("expired_token" in view.holding and is_used_up):
            return _page(401, UNAUTHORIZED_PAGE)
        return watttime.scope_refusal() if "out_of_scope" in view.holding else None

    def login(self, request: web.Request, view: GridView) -> Reply:
        """A new token for thirty emulated minutes; the HTML 403 of the front end for a wrong user."""
        user, password = _basic_credentials(request)
        wanted = self.credentials
        is_known = (wanted.watttime_user or user, wanted.watttime_password or password) == (user, password)
        if not (user and password and is_known) or "unauthorized" in view.holding:
            return _page(403, FORBIDDEN_PAGE)
        token = f"replay-{len(self.tokens) + 1}"
        self.tokens[token] = _Token(view.now_s)
        return Reply(payload={"token": token})


FEED_SERVER: web.AppKey[FeedServer] = web.AppKey("feed_server", FeedServer)


def build_app(
    trace: Mapping[str, IntensitySeries],
    *,
    now_s: Callable[[], float],
    faults: Faults = NO_FAULTS,
    marginal: Mapping[str, IntensitySeries] | None = None,
    regions: Mapping[str, str] | None = None,
    gb_zones: Mapping[int, str] | None = None,
    credentials: Credentials = ANY_CREDENTIALS,
) -> web.Application:
    """The three services over one trace, at the emulated instants that `now_s` gives.

    `marginal` answers for WattTime's `co2_moer`; `regions` maps WattTime regions onto zones before the usual table;
    `gb_zones` maps GB regions (1 to 17; 0 the nation) onto zones. `app[FEED_SERVER]` exchanges faults at run time.
    """
    zones = {**trace, **(marginal or {})}
    view = GridView(
        trace=trace,
        now_s=0.0,
        data_now_s=0.0,
        marginal=marginal or {},
        regions=regions_of(zones, regions or {}),
        gb_zones=gb_zones or {},
    )
    app = web.Application()
    app[FEED_SERVER] = FeedServer(view, now_s, FaultCounter(faults), credentials)
    for route in routes():
        app.router.add_get(route.path, partial(_answer_get, route))
    app.router.add_get("/login", _answer_login)
    app.router.add_post("/register", _answer_register)
    app.router.add_post("/beta/carbon-aware-optimizer", _answer_optimizer)
    return app


# -- answering --------------------------------------------------------------------------------------------------------


async def _answer_get(route: Route, request: web.Request) -> web.StreamResponse:
    server = request.app[FEED_SERVER]
    view = server.seen(request)
    query = {**request.query, **request.match_info, **route.fixed}
    if route.service is Service.ELECTRICITY_MAPS and _electricity_maps_token(request):
        query["with_token"] = "yes"
    return await _carried_out(request, view, lambda: server.refused(route, request, view) or route.handler(view, query))


async def _answer_login(request: web.Request) -> web.StreamResponse:
    server = request.app[FEED_SERVER]
    view = server.seen(request)
    return await _carried_out(request, view, lambda: server.login(request, view))


async def _answer_register(request: web.Request) -> web.StreamResponse:
    view = request.app[FEED_SERVER].seen(request)
    body = _parsed(await request.text())
    return await _carried_out(request, view, lambda: watttime.register(body))


async def _answer_optimizer(request: web.Request) -> web.StreamResponse:
    server = request.app[FEED_SERVER]
    view = server.seen(request)
    route = Route(
        path=request.path,
        service=Service.ELECTRICITY_MAPS,
        handler=lambda _view, _query: Reply(),
        scope=("carbon-intensity", "forecast"),
    )
    body = _parsed(await request.text())
    return await _carried_out(
        request, view, lambda: server.refused(route, request, view) or optimizer.optimize(view, body)
    )


async def _carried_out(request: web.Request, view: GridView, answer: Callable[[], Reply]) -> web.StreamResponse:
    """The answer, unless a fault of the wire comes before it."""
    if "slow" in view.holding:
        await asyncio.sleep(view.faults.delay_s)  # noqa: TID251  the fault is a wall-clock delay of a test server
    if "reset" in view.holding:
        return _reset(request)
    return await _sent(request, view, _wire_fault(view) or _replied(answer))


def _replied(answer: Callable[[], Reply]) -> Reply:
    try:
        return answer()
    except RefusedError as refused:
        return refused.reply


def _wire_fault(view: GridView) -> Reply | None:
    faults, holding = view.faults, view.holding
    if "rate_limited" in holding or "rate_limited_silently" in holding:
        hint = {"Retry-After": f"{faults.retry_after_s:g}"} if "rate_limited" in holding else {}
        return Reply(status=429, payload={"error": "Too many requests"}, headers=hint)
    if "server_error" in holding:
        return Reply(status=faults.server_status, payload={"error": "Internal server error"})
    return _page(200, GATEWAY_PAGE) if "html" in holding else None


async def _sent(request: web.Request, view: GridView, reply: Reply) -> web.StreamResponse:
    if reply.html:
        return web.Response(status=reply.status, text=reply.html, content_type="text/html")
    body = json.dumps(reply.payload).encode()
    if "empty_body" in view.holding:
        body = b""
    if "cut_json" in view.holding:
        body = body[: len(body) // 2]
    if "truncated" in view.holding:
        return await _truncated(request, reply, body)
    return web.Response(status=reply.status, body=body, content_type="application/json", headers=reply.headers)


async def _truncated(request: web.Request, reply: Reply, body: bytes) -> web.StreamResponse:
    """Announces the whole body, sends half of it and hangs up."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = "application/json"
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _page(status: int, html: str) -> Reply:
    return Reply(status=status, html=html)


# -- reading ----------------------------------------------------------------------------------------------------------


def _electricity_maps_token(request: web.Request) -> str:
    """The `auth-token` header, or the password or user of HTTP Basic."""
    user, password = _basic_credentials(request)
    return request.headers.get("auth-token", "") or password or user


def _basic_credentials(request: web.Request) -> tuple[str, str]:
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    if kind != "Basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(text).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _parsed(text: str) -> object:
    try:
        parsed: object = json.loads(text)
    except ValueError:
        return None
    return parsed
