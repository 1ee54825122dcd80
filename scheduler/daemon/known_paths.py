"""The handlers of paths without a variable part, found with one look instead of the router's walk.

The router looks at each part of a path, makes a match for each request and wraps each handler twice; for a path that is
spelled as in its route all of that comes to the same each time. Whatever is spelled otherwise, asks for a continuation
or is not known goes through the router as before, so that it alone decides what is not found. Knows no path by name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, reduce

from aiohttp import hdrs, web

from scheduler.daemon.api_errors import error_body

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class KnownPaths:
    """Hands requests to the handlers of one application, whose routes and middlewares stay as they are by now."""

    def __init__(self, app: web.Application, router: Handler) -> None:
        """`router` is the application's own way to its handlers."""
        self._router = router
        self._known = {
            (route.method, resource.canonical): (_match(app, route), _in_middlewares(app, route.handler))
            for resource in app.router.resources()
            if isinstance(resource, web.PlainResource)
            for route in resource
        }

    def handle(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        found = self._known.get((request.method, request.raw_path))
        if hdrs.EXPECT in request.headers:
            return self._expecting(request)
        if found is None:
            return self._router(request)
        request._match_info, handler = found
        return handler(request)

    async def _expecting(self, request: web.Request) -> web.StreamResponse:
        """The router tells who waits for it to send on, and refuses other wishes where no middleware sees it."""
        try:
            return await self._router(request)
        except web.HTTPExpectationFailed:
            said = "Of what a request may expect, only 100-continue is known here."
            body = error_body(said, kind="invalid_request_error", param="Expect", code="expectation_failed")
            return web.Response(status=417, body=body, content_type="application/json")


def _match(app: web.Application, route: web.AbstractRoute) -> web.UrlMappingMatchInfo:
    """One for all requests: nothing in it is of a single one."""
    match = web.UrlMappingMatchInfo({}, route)
    match.add_app(app)
    match.freeze()
    return match


def _in_middlewares(app: web.Application, handler: Handler) -> Handler:
    """As the application nests them: the first one outermost."""
    return reduce(lambda inner, one: partial(one, handler=inner), reversed(app.middlewares), handler)
