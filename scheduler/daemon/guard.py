"""Who stands at the front door: the key or the session of a request, and whether it opens what is asked for.

Translates what keys.py decides into refusals. A request with a session's cookie that changes something has to come from
our own page: a browser sends the cookie by itself, and says where the page is from. Knows no route and no body.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import hdrs, web

from scheduler.config import Server
from scheduler.daemon.api_errors import ApiError, unauthorized, unavailable
from scheduler.daemon.env import Env
from scheduler.daemon.identity_tokens import IdentityTokens
from scheduler.daemon.sessions import COOKIE, Sessions
from scheduler.keys import ANYONE, NOBODY, Asked, Caller, Keyring, Refusal, Scope, bootstrap_key

CALLER = web.RequestKey("caller", Caller)

_WHY = {
    Refusal.UNKNOWN: "This key is not known here.",
    Refusal.EXPIRED: "This key has expired: ask for a new one.",
    Refusal.REVOKED: "This key was revoked: ask for a new one.",
}
# Where nobody says whose a job, a file or a request is.
DEFAULT_TENANT = "default"
_RETRY_AFTER_S = 30.0
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Believes keys, sessions, and tokens where an identity provider is set."""

    def __init__(self, env: Env, keyring: Keyring, identity: IdentityTokens | None = None) -> None:
        self._env = env
        self.keyring, self.identity = keyring, identity
        self.sessions = Sessions()

    @property
    def asks_for_keys(self) -> bool:
        return self.keyring.asks_for_keys or self.identity is not None

    async def prepare(self, request: web.Request) -> None:
        """Have at hand what the token of a request needs, if it is one. Called before `admit`."""
        token = _bearer(request)
        if self.identity is not None and token is not None and self.identity.is_one(token):
            await self.identity.prepare(token)

    def admit(self, request: web.Request, asked: Asked | None) -> None:
        """Note who calls. None: a path without a route, which any key may find to be one. Raises ApiError."""
        if not self.asks_for_keys:
            request[CALLER] = ANYONE
        elif asked is Scope.OPEN:
            request[CALLER] = NOBODY
        else:
            caller = request[CALLER] = self.caller(request)
            if asked is not None and not caller.may(asked):
                raise _missing_scope(asked)

    def believe(self, shown: str) -> Caller:
        """Whoever holds this key. Raises ApiError 401."""
        return _welcome(self.keyring.believed(shown, self._env.now_s()))

    def caller(self, request: web.Request) -> Caller:
        """Whoever the key, or the session, of a request stands for. Raises ApiError."""
        if hdrs.AUTHORIZATION in request.headers:
            if (shown := _bearer(request)) is not None:
                return self._of_token(shown) or self.believe(shown)
        elif hdrs.COOKIE in request.headers and (token := request.cookies.get(COOKIE)) is not None:
            return self._of_session(request, token)
        raise unauthorized("Send a key: Authorization: Bearer KEY.")

    def _of_token(self, shown: str) -> Caller | None:
        """None for what is no token of a provider."""
        if self.identity is None or not self.identity.is_one(shown):
            return None
        if not self.identity.has_keys:
            message = "The identity provider cannot be asked for its keys now."
            raise unavailable(message, code="identity_unavailable", retry_after_s=_RETRY_AFTER_S)
        return _welcome(self.identity.believed(shown))

    def _of_session(self, request: web.Request, token: str) -> Caller:
        key_id = self.sessions.key_id(token, self._env.monotonic_s())
        key = None if key_id is None else self.keyring.key(key_id)
        if key is None:
            raise unauthorized("The session is over: log in again.", code="session_over")
        caller = _welcome(self.keyring.standing(key, self._env.now_s()))
        if request.method not in _SAFE:
            refuse_unless_own_page(request)
        return caller


def guard_of(server: Server, env: Env) -> Guard:
    """Of the keys in the settings alone."""
    return Guard(env, Keyring([bootstrap_key(digest) for digest in server.keys_sha256]))


def caller_of(request: web.Request) -> Caller:
    """Who calls; behind the front door there is always an answer."""
    try:  # not get(), which does the same in three calls
        return request[CALLER]
    except KeyError:
        return NOBODY


def owned(request: web.Request, tenant: str, missing: Callable[[], ApiError]) -> None:
    """Raises what `missing` makes for another tenant's: that it is there at all is nobody else's business."""
    if not caller_of(request).acts_for(tenant):
        raise missing()


def tenant_for(request: web.Request, asked: str = DEFAULT_TENANT) -> str:
    """Whose the new work is: the key's tenant where it has one, else whichever is named. Raises ApiError 403."""
    own = caller_of(request).tenant
    if own is None:
        return asked
    if asked not in (own, DEFAULT_TENANT):
        message = f"This key is of tenant {own!r}: leave the tenant out, or name that one."
        raise ApiError(403, message, kind="permission_error", param="tenant", code="other_tenant")
    return own


def tenant_looked_at(request: web.Request) -> str | None:
    """The tenant that a list is narrowed down to; None: all of them. Raises ApiError 403."""
    asked, own = request.query.get("tenant"), caller_of(request).tenant
    return asked if own is None else tenant_for(request, asked or own)


def refuse_single_tenants(request: web.Request) -> None:
    """What tells of all tenants is for keys of all tenants. Raises ApiError 403."""
    if caller_of(request).tenant is not None:
        message = "This tells of every tenant: it needs a key of all tenants."
        raise ApiError(403, message, kind="permission_error", code="other_tenant")


def refuse_unless_own_page(request: web.Request) -> None:
    """A change that a browser was made to send carries another page's origin, or none. Raises ApiError."""
    origin = request.headers.get(hdrs.ORIGIN, "")
    if origin.partition("://")[2] != request.headers.get(hdrs.HOST, "") or not origin:
        message = "A session changes things from its own page only: the Origin header has to name this host."
        raise ApiError(403, message, kind="permission_error", param="Origin", code="other_origin")


def _bearer(request: web.Request) -> str | None:
    kind, _, shown = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return shown.strip() if kind.lower() == "bearer" and shown else None


def _welcome(verdict: Caller | Refusal) -> Caller:
    if isinstance(verdict, Refusal):
        raise unauthorized(_WHY[verdict], code=verdict)
    return verdict


def _missing_scope(asked: Asked) -> ApiError:
    names = [asked] if isinstance(asked, Scope) else sorted(asked)
    return ApiError(
        403,
        f"This key lacks the scope {' or '.join(names)}.",
        kind="permission_error",
        code="missing_scope",
    )
