"""The files of the status page: which there are, and the headers that keep a browser from doing more than showing them.

The files come with the package and are read once. The page's shell is open, because it holds no data; what it shows it
asks of the API with the key that its reader types in. Knows no job and no number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from aiohttp import ETag, hdrs, web

from scheduler.daemon.api_errors import not_found
from scheduler.daemon.http import Policies, Scope

INDEX = "index.html"
POLICIES: Policies = {"GET /": Scope.OPEN, "GET /page/{name}": Scope.OPEN}

_CONTENT_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

# Labels of jobs are written by users and shown to operators: even one that slipped through as markup could neither run
# nor load nor send anything.
_SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """One file as it is sent. The tag changes with the content, so an upgraded daemon never shows half a new page."""

    body: bytes
    content_type: str
    tag: str


def packaged_files() -> Mapping[str, StaticFile]:
    """The files of the page by name."""
    folder = files(__package__) / "static"
    return {one.name: _static_file(one.name, one.read_bytes()) for one in folder.iterdir() if one.is_file()}


def _static_file(name: str, body: bytes) -> StaticFile:
    content_type = _CONTENT_TYPES[name.rpartition(".")[2]]
    return StaticFile(body=body, content_type=content_type, tag=hashlib.sha256(body).hexdigest()[:32])


class Page:
    """The handlers of the page's files."""

    def __init__(self) -> None:
        self._files = packaged_files()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/", self.index, allow_head=False)
        app.router.add_get("/page/{name}", self.asset, allow_head=False)

    async def index(self, request: web.Request) -> web.Response:
        return self._answer(request, INDEX)

    async def asset(self, request: web.Request) -> web.Response:
        """A file by its name in the package; a path that is no such name leads nowhere."""
        name = request.match_info["name"]
        if name not in self._files or name == INDEX:
            raise not_found("The status page has no such file.")
        return self._answer(request, name)

    def _answer(self, request: web.Request, name: str) -> web.Response:
        file = self._files[name]
        is_known = any(tag.value in (file.tag, "*") for tag in request.if_none_match or ())
        response = web.Response(status=304) if is_known else web.Response(body=file.body)
        if not is_known:
            response.headers[hdrs.CONTENT_TYPE] = f"{file.content_type}; charset=utf-8"
        response.etag = ETag(file.tag)
        response.headers[hdrs.CACHE_CONTROL] = "no-cache"  # kept, but asked about each time: it costs one 304
        response.headers.update(_SECURITY_HEADERS)
        return response
