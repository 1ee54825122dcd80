"""`GET /openapi.json`.

Open to anyone: it describes the package, which is public, and tells nothing of this installation, its models, tenants
or settings; tools that make clients from it and pages that show it have no key.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

import msgspec
from aiohttp import web

from scheduler.daemon.http import Policies, Scope
from scheduler.daemon.openapi.document import document
from scheduler.keys import Asked

POLICIES: Policies = {"GET /openapi.json": Scope.OPEN}


class OpenApi:
    """The handler. The document is made once, at start. Raises UndocumentedRouteError."""

    def __init__(self, policies: Mapping[str, Asked]) -> None:
        self._body = msgspec.json.encode(document(policies, version=version("slacktide")))

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/openapi.json", self.show, allow_head=False)

    async def show(self, _: web.Request) -> web.Response:
        return web.Response(body=self._body, content_type="application/json", headers={"Cache-Control": "no-cache"})
