"""The handlers of paths without a variable part, found with one look instead of the router's walk.

The router looks at each part of a path, makes a match for each request and wraps each handler twice; for a path that is
spelled as in its route all of that comes to the same each time. Whatever is spelled otherwise, asks for a continuation
or is not known goes through the router as before, so that it alone decides what is not found. Knows no path by name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, reduce

from aiohttp import hdrs, web

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
        if found is None or hdrs.EXPECT in request.headers:
            return self._router(request)
        request._match_info, handler = found
        return handler(request)


def _match(app: web.Application, route: web.AbstractRoute) -> web.UrlMappingMatchInfo:
    """One for all requests: nothing in it is of a single one."""
    match = web.UrlMappingMatchInfo({}, route)
    match.add_app(app)
    match.freeze()
    return match


def _in_middlewares(app: web.Application, handler: Handler) -> Handler:
    """As the application nests them: the first one outermost."""
    return reduce(lambda inner, one: partial(one, handler=inner), reversed(app.middlewares), handler)
