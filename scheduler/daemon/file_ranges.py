"""Which part of a file is sent: the one range that a `Range` header names, or all of it.

Decides by RFC 9110, section 14: a unit we do not know, a text that is no range, and several ranges at once are passed
over, and a range that lies outside the file is refused. Sends nothing itself.
"""

from __future__ import annotations

import re

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from scheduler.daemon.api_errors import ApiError

_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


class WholeFile(web.FileResponse):
    """All of a file, whatever range was asked for."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        headers = request.headers.copy()
        headers.popall(hdrs.RANGE, None)
        return await super().prepare(request.clone(headers=headers))


def names_one_range(text: str | None, size_bytes: int) -> bool:
    """Whether a part is asked for. Raises ApiError 416 for a part that the file does not have."""
    found = _ONE_RANGE.fullmatch(text or "")
    if found is None or found[1] == found[2] == "" or (found[1] and found[2] and int(found[1]) > int(found[2])):
        return False
    first_byte = int(found[1]) if found[1] else size_bytes - int(found[2])
    if size_bytes == 0 or first_byte >= size_bytes:
        raise _outside(size_bytes)
    return True


def _outside(size_bytes: int) -> ApiError:
    return ApiError(
        416,
        f"The file has {size_bytes} bytes, and none of them is in this range.",
        kind="invalid_request_error",
        param="Range",
        code="range_not_satisfiable",
        more_headers={hdrs.CONTENT_RANGE: f"bytes */{size_bytes}"},
    )
