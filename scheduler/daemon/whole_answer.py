"""An answer whose body is at hand, sent as it is: one look at what its head has to say instead of aiohttp's eight.

Decides nothing: head and body are those that aiohttp would send. What is to be compressed, has no body or ends its
connection is left to it. Sets no cookies.
"""

from __future__ import annotations

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web_request import BaseRequest

from scheduler.daemon.http import finish_headers


class WholeAnswer(web.Response):
    """To be made with a body of bytes and its content type, and sent once."""

    async def _start(self, request: BaseRequest) -> AbstractStreamWriter:
        body = self._body
        if not isinstance(body, bytes) or not self._is_plain(request):
            return await super()._start(request)
        self._req, self._keep_alive = request, True
        writer = self._payload_writer = request.writer
        writer.length = len(body)
        headers = self._headers
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
        headers[hdrs.DATE] = rfc822_formatted_time()
        finish_headers(request, headers)
        await writer.write_headers(f"HTTP/1.1 {self._status} {self._reason}", headers)
        return writer

    def _is_plain(self, request: BaseRequest) -> bool:
        """Whether nothing of what this leaves out would be said."""
        is_kept = self._keep_alive is not False and request.keep_alive
        return is_kept and request.version == HttpVersion11 and not self._must_be_empty_body and not self._compression
