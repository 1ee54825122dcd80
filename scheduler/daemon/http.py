"""The front door: who may pass, in which shape refusals leave, and what every answer carries.

One table says what each route asks of a caller, and the daemon does not start while a route is missing from it. Paths
are matched as the router decoded them and never rebuilt from the Host header. Knows no model and no job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import msgspec
from aiohttp import StreamReader, hdrs, web

from scheduler.addresses import is_loopback
from scheduler.config import Server
from scheduler.daemon.api_errors import ApiError, internal, invalid, not_found
from scheduler.daemon.audit import NOTED, TARGET, AuditLog
from scheduler.daemon.env import Env
from scheduler.daemon.guard import Guard, caller_of, guard_of, refuse_single_tenants
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.request_context import REQUEST_IN_HAND
from scheduler.daemon.traces import TRACE, UNTRACED, Traces
from scheduler.keys import NOBODY, Asked
from scheduler.keys import Scope as Scope

log = logging.getLogger(__name__)

REQUEST_ID_HEADER = "x-request-id"
REQUEST_ID = web.RequestKey("request_id", str)
# What a handler wants every answer to carry, a refusal and the beginning of a stream as well.
MORE_HEADERS = web.RequestKey("more_headers", dict[str, str])
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# A body has to arrive at this pace, after a first allowance; a client that drips bytes holds a place for nothing.
_BODY_ALLOWANCE_S = 15.0
_BODY_MIN_BYTES_PER_S = 64 * 1024


_CLIENT_LEFT = 499
_NO_HEADERS: dict[str, str] = {}
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_USUAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})  # known without parsing


_BROKEN_BODY = ApiError(
    400, "The body is not HTTP.", kind="invalid_request_error", code="bad_request", closes_connection=True
)


# "METHOD /path" as the router spells the path.
Policies = Mapping[str, Asked]

OWN_POLICIES: Policies = {"GET /healthz": Scope.OPEN, "GET /readyz": Scope.OPEN, "GET /metrics": Scope.READ}


class MissingPolicyError(Exception):
    """A route that no table gives a policy; the daemon must not start with it."""

    def __init__(self, route: str) -> None:
        self.route = route
        super().__init__(f"route {route} has no policy: add it to the table of policies beside its handler")


class ExposedWithoutKeysError(Exception):
    """An address that others can reach, and no key to keep them out."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"server.host is {host}, which others can reach: set server.keys_sha256, make a key with `slacktide keys "
            "create` while listening on loopback, or stay there"
        )


def refuse_exposure(server: Server, *, has_keys: bool = False) -> None:
    """Raises ExposedWithoutKeysError. `has_keys`: some are stored, whatever the settings name."""
    if not has_keys and not server.keys_sha256 and not is_loopback(server.host):
        raise ExposedWithoutKeysError(server.host)


def make_app(
    server: Server,
    *,
    env: Env,
    metrics: Metrics,
    problems: Callable[[], Sequence[str]],
    policies: Policies,
    remarks: Callable[[], Sequence[str]] = tuple,
    guard: Guard | None = None,
    audit: AuditLog | None = None,
    traces: Traces | None = None,
) -> web.Application:
    """An application with the front door and the probes; routes are added to it afterwards.

    `problems` says what keeps the daemon from being ready, in words; empty means ready. `remarks` says what it does
    without meanwhile. `policies` covers every route
    that others add; `start` of the listener raises MissingPolicyError for one it lacks. Without a `guard` the keys are
    those of the settings.
    """
    door = _Door(guard or guard_of(server, env), audit, env, metrics, {**OWN_POLICIES, **policies}, traces)
    app = web.Application(middlewares=[door.middleware], client_max_size=server.max_body_bytes + 1)
    app.on_response_prepare.append(_finish_headers)
    app.on_startup.append(door.check_policies)
    app.router.add_get("/healthz", _alive, allow_head=False)
    app.router.add_get("/readyz", _Readiness(problems, remarks).handle, allow_head=False)
    app.router.add_get("/metrics", _Exposition(metrics).handle, allow_head=False)
    return app


async def _alive(_: web.Request) -> web.Response:
    return web.Response(body=b'{"status":"alive"}', content_type="application/json")


class _Exposition:
    """The metrics name tenants, so they are for keys of all of them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def handle(self, request: web.Request) -> web.Response:
        refuse_single_tenants(request)
        return await self._metrics.handle(request)


class _Readiness:
    def __init__(self, problems: Callable[[], Sequence[str]], remarks: Callable[[], Sequence[str]]) -> None:
        self._problems, self._remarks = problems, remarks

    async def handle(self, _: web.Request) -> web.Response:
        problems = list(self._problems())
        status = "not ready" if problems else "ready"
        body = msgspec.json.encode({"status": status, "problems": problems, "remarks": list(self._remarks())})
        return web.Response(status=503 if problems else 200, body=body, content_type="application/json")


async def _finish_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers.pop(hdrs.SERVER, None)
    finish_headers(request, response.headers)


def finish_headers(request: web.BaseRequest, headers: MutableMapping[str, str]) -> None:
    """Add what every answer carries."""
    try:  # not get(), which does the same in three calls
        headers[REQUEST_ID_HEADER], more = request[REQUEST_ID], request[MORE_HEADERS]
    except KeyError:  # one that was answered before the front door
        headers[REQUEST_ID_HEADER] = ""
    else:
        if more:
            headers.update(more)


class _Door:
    """The one middleware: a chain of them would cost each request a coroutine apiece."""

    def __init__(
        self,
        guard: Guard,
        audit: AuditLog | None,
        env: Env,
        metrics: Metrics,
        policies: Policies,
        traces: Traces | None,
    ) -> None:
        self._guard, self._env, self._metrics, self._policies = guard, env, metrics, policies
        self._audit, self._traces = audit, traces
        self._asked: dict[web.AbstractRoute, Asked] = {}  # what is said in `policies`, found without spelling a name
        self._noting: set[asyncio.Task[None]] = set()
        self._audited = frozenset(name for name, asked in policies.items() if _is_audited(name, asked))

    async def check_policies(self, app: web.Application) -> None:
        for route in app.router.routes():
            if _policy_name(route) not in self._policies:
                raise MissingPolicyError(_policy_name(route))
            self._asked[route] = self._policies[_policy_name(route)]

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request[REQUEST_ID] = self._env.new_id("req")
        # All are there from the start: a request asked for what it lacks raises and catches an error inside.
        request[TRACE], request[MORE_HEADERS] = UNTRACED, _NO_HEADERS
        REQUEST_IN_HAND.set(request_id)  # in the context of the connection's task, until its next request
        if self._traces is None or _is_probe(request):
            return await self._answered(request, handler)
        with self._traces.request(request, _route_name(request), request_id) as whole:
            response = await self._answered(request, handler)
            whole.note(status=response.status)
            return response

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        code = ""
        try:
            if self._guard.identity is not None:
                await self._guard.prepare(request)
            self._check(request)
            response = await handler(request)
        except ApiError as error:
            response, code = self._refusal(error), error.code or error.kind
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = self._refusal(_translated(error))
        except web.RequestPayloadError:
            response, code = self._refusal(_BROKEN_BODY), "bad_request"
        except (asyncio.CancelledError, ConnectionError):
            # The client has left: nobody is there to be answered, and what it asked for may be done all the same.
            self._note_soon(request)
            raise
        except Exception:  # the outermost runner of a request
            log.exception("request failed", extra={"action": "request_failed", "request_id": request[REQUEST_ID]})
            response, code = self._refusal(internal()), "internal"
        if self._is_noted(request):
            await self._note(request, response.status, code)
        return response

    def _check(self, request: web.Request) -> None:
        _check_target(request)
        if not self._guard.asks_for_keys:
            _check_host(request)
        # A path without a route has no policy: the key is asked for first, so that paths cannot be probed.
        self._guard.admit(request, self._asked.get(request.match_info.route))

    def _is_noted(self, request: web.Request) -> bool:
        """One who showed no good key leaves no trace: strangers must not be able to fill the disk."""
        if request.method in _READING or self._audit is None or not self._guard.asks_for_keys or NOTED in request:
            return False
        return _policy_name(request.match_info.route) in self._audited and caller_of(request) is not NOBODY

    async def _note(self, request: web.Request, status: int, code: str) -> None:
        assert self._audit is not None, "asked before"
        target = request.get(TARGET) or request.match_info.get("id", "")
        name, request_id = _policy_name(request.match_info.route), request[REQUEST_ID]
        await self._audit.note(caller_of(request), name, target, status=status, code=code, request_id=request_id)

    def _note_soon(self, request: web.Request) -> None:
        """Beside a request that is being cancelled."""
        if self._is_noted(request):
            noting = asyncio.create_task(self._note(request, _CLIENT_LEFT, "client_left"))
            self._noting.add(noting)
            noting.add_done_callback(self._noting.discard)

    def _refusal(self, error: ApiError) -> web.Response:
        self._metrics.refused(error.status, error.code or error.kind)
        response = web.Response(status=error.status, body=error.body(), headers=error.headers())
        if error.closes_connection:
            response.force_close()
        return response


def _is_audited(name: str, asked: Asked) -> bool:
    """What changes something, except inference, whose record is the ledger."""
    scopes = {asked} if isinstance(asked, Scope) else asked
    return name.partition(" ")[0] not in _READING and scopes.isdisjoint({Scope.OPEN, Scope.INFER})


def _policy_name(route: web.AbstractRoute) -> str:
    return f"{route.method} {route.resource.canonical if route.resource is not None else '?'}"


def _route_name(request: web.Request) -> str:
    """The path as the router spells it: one with ids in it would make a name for each of them."""
    resource = request.match_info.route.resource
    return "?" if resource is None else resource.canonical


def _is_probe(request: web.Request) -> bool:
    return not request.path.startswith(("/v1/", "/api/"))


def _check_target(request: web.Request) -> None:
    # An absolute URI would override Host, and //x or an encoded dot reads differently here and in a proxy before us.
    target = request.raw_path
    if not target.startswith("/") or target.startswith("//"):
        raise invalid("The request target must be a path that starts with a single slash.", code="bad_target")
    if "%" in target and "%2e" in target.partition("?")[0].lower():
        raise invalid("The path must not hold encoded dots.", code="bad_target")
    if "%00" in target:  # PostgreSQL takes no such text, and no name of ours has one
        raise invalid("The request target must not hold NUL.", code="bad_target")


def names_loopback(request: web.Request) -> bool:
    """Whether its Host header names this machine to itself. Not by the URL, which an absolute target overrides."""
    host = request.headers.get(hdrs.HOST, "")
    name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
    return name in _USUAL_HOSTS or is_loopback(name)


def _check_host(request: web.Request) -> None:
    # Without keys the browser of anyone at this machine is the risk: a page whose name resolves to 127.0.0.1.
    if not names_loopback(request):
        raise ApiError(
            421,
            "Without keys this server answers to loopback names only; set server.keys_sha256 to serve others.",
            kind="invalid_request_error",
            param="Host",
            code="bad_host",
        )


def _translated(error: web.HTTPException) -> ApiError:
    if error.status == 404:
        return not_found("There is nothing at this path.")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return ApiError(
            405,
            f"{error.method} does not go with this path; it takes {allowed}.",
            kind="invalid_request_error",
            code="method_not_allowed",
            more_headers={hdrs.ALLOW: allowed},
        )
    code = {413: "body_too_large"}.get(error.status, "http_error")
    return ApiError(error.status, f"{error.reason}.", kind="invalid_request_error", code=code)


async def read_json_body(request: web.Request, *, max_bytes: int) -> bytes:
    """The body of a JSON request: counted here, in time, and not compressed. Raises ApiError."""
    _check_body_headers(request, max_bytes)
    content = request.content
    if content.is_eof():
        return await _read_counted(content, max_bytes)
    try:
        async with in_time(request, max_bytes):
            return await _read_counted(content, max_bytes)
    except TimeoutError:
        raise slow_body() from None


def in_time(request: web.Request, max_bytes: int) -> asyncio.Timeout:
    """As long as a body of this length may take."""
    return asyncio.timeout(_BODY_ALLOWANCE_S + (request.content_length or max_bytes) / _BODY_MIN_BYTES_PER_S)


def slow_body() -> ApiError:
    return ApiError(
        408, "The body arrived too slowly.", kind="invalid_request_error", code="slow_body", closes_connection=True
    )


def refuse_other_origins(request: web.Request) -> None:
    """A page in a browser may post a form anywhere unasked, and says where it is from. Raises ApiError."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin.partition("://")[2] != request.headers.get(hdrs.HOST, ""):
        message = "Pages of other origins may not change anything here."
        raise ApiError(403, message, kind="permission_error", param="Origin", code="other_origin")


async def _read_counted(content: StreamReader, max_bytes: int) -> bytes:
    pieces = [await content.readany()]
    size = len(pieces[0])
    while not content.at_eof() and size <= max_bytes:
        pieces.append(await content.readany())
        size += len(pieces[-1])
    if size > max_bytes:
        raise _too_large(max_bytes)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _check_body_headers(request: web.Request, max_bytes: int) -> None:
    headers = request.headers
    if headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        # A few compressed kilobytes unpack into gigabytes; nobody sends prompts compressed.
        raise _unsupported("Content-Encoding", "Send the body uncompressed, without Content-Encoding.")
    if headers.get(hdrs.CONTENT_TYPE) != "application/json" and request.content_type != "application/json":
        # A page in a browser may post text/plain to any address unasked, but not JSON.
        raise _unsupported("Content-Type", "Send Content-Type: application/json.")
    length = request.content_length
    if length is not None and length > max_bytes:
        raise _too_large(max_bytes)


def whole(request: web.Request, name: str, default: int, most: int) -> int:
    """A whole number of the query. Raises ApiError."""
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or not 0 < int(text) <= most:
        raise invalid(f"{name}: must be a whole number from 1 to {most}", param=name)
    return int(text)


def _unsupported(param: str, message: str) -> ApiError:
    return ApiError(
        415,
        message,
        kind="invalid_request_error",
        param=param,
        code="unsupported_media_type",
        closes_connection=True,
    )


def _too_large(max_bytes: int) -> ApiError:
    return ApiError(
        413,
        f"The body is larger than the {max_bytes} bytes that server.max_body_bytes allows.",
        kind="invalid_request_error",
        code="body_too_large",
        closes_connection=True,
    )


def json_answer(status: int, data: Mapping[str, Any]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(data), content_type="application/json")
