"""The one way out to the providers: a GET with time-outs, a size cap, few retries and errors of feed.py's tree.

Decides nothing about an answer's meaning; a 400, 401, 403 or 404 is handed back, since each provider means something
else by it. Follows no redirects: the hosts are those of the settings and no others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util.retry import Retry

from intensity_feeds.calls import Call, Reply
from intensity_feeds.feed import FeedAnswerError, FeedThrottledError, FeedUnreachableError

logger = logging.getLogger(__name__)

# A month of 5-minute points is about 1 MB of JSON, and no single call asks for more.
MAX_BODY_BYTES = 16 * 1024 * 1024
CONNECT_TIMEOUT_S = 5.0
# A Retry-After up to this is waited for on the spot; beyond it the caller does better things with the thread.
LONGEST_WAIT_S = 3.0
_CHUNK_BYTES = 65536
_TOO_MANY_REQUESTS = 429
_UNAVAILABLE = 503


class _ShortRetry(Retry):
    """Two more tries after a broken connection or a bad gateway; none after a silence, which would only double it."""

    def increment(self, *args: Any, **kwargs: Any) -> Self:
        error = kwargs.get("error")
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(*args, **kwargs)


class _NoSurprises(AuthBase):
    """Leaves the request as it is: without it `requests` would replace our header by a login from a .netrc file."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Transport:
    """Calls one service. Safe to use from several threads."""

    def __init__(
        self,
        feed: str,
        base_url: str,
        *,
        timeout_s: float,
        session: requests.Session | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        sleep: Callable[[float], None] = time.sleep,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.feed, self.base_url, self.timeout_s = feed, base_url.rstrip("/"), timeout_s
        self._session = _retrying_session() if session is None else session
        self._max_body_bytes = max_body_bytes
        self._sleep, self._monotonic_s = sleep, monotonic_s

    def get(
        self, call: Call, zone: str, *, headers: Mapping[str, str] | None = None, auth: AuthBase | None = None
    ) -> Reply:
        """The answer to `call`: 2xx, or a 4xx that its provider explains in the body.

        Raises FeedUnreachableError, FeedThrottledError for 429 and for a 503 that says when to come back,
        FeedAnswerError for redirects, other 5xx and huge bodies.
        """
        reply, retry_after_s = self._once(call, zone, headers, auth)
        if _is_throttled(reply, retry_after_s) and retry_after_s is not None and retry_after_s <= LONGEST_WAIT_S:
            self._sleep(retry_after_s)
            reply, retry_after_s = self._once(call, zone, headers, auth)
        if _is_throttled(reply, retry_after_s):
            what = f"told to come back later: HTTP {reply.status} {reply.message()}".strip()
            raise FeedThrottledError(self.feed, zone, what, retry_after_s)
        if reply.status >= 500 or 300 <= reply.status < 400:
            raise FeedAnswerError(self.feed, zone, f"HTTP {reply.status} {reply.message()}".strip())
        return reply

    def _once(
        self, call: Call, zone: str, headers: Mapping[str, str] | None, auth: AuthBase | None
    ) -> tuple[Reply, float | None]:
        started_s = self._monotonic_s()
        try:
            with self._session.get(
                self.base_url + call.path,
                params=list(call.query),
                headers={"Accept": "application/json", "User-Agent": "slacktide", **(headers or {})},
                auth=auth or _NoSurprises(),
                timeout=(min(CONNECT_TIMEOUT_S, self.timeout_s), self.timeout_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = self._body(response, zone, started_s)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise FeedUnreachableError(self.feed, zone, _reason(error, self.timeout_s)) from error
        fields = {"action": "feed_answered", "feed": self.feed, "zone": zone, "status": response.status_code}
        logger.debug("feed answered", extra=fields)
        return Reply(status=response.status_code, body=body), _retry_after_s(response.headers.get("Retry-After"))

    def _body(self, response: requests.Response, zone: str, started_s: float) -> str:
        """The whole body, within the size cap and the time-out: a service that drips bytes is one that hangs."""
        parts, size_bytes = [], 0
        while part := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            parts.append(part)
            size_bytes += len(part)
            if size_bytes > self._max_body_bytes:
                raise FeedAnswerError(self.feed, zone, f"the answer is larger than {self._max_body_bytes} bytes")
            if self._monotonic_s() - started_s > 2 * self.timeout_s:
                raise FeedUnreachableError(self.feed, zone, f"the answer took longer than {2 * self.timeout_s:g} s")
        return b"".join(parts).decode("utf-8", errors="replace")


def _retrying_session() -> requests.Session:
    session = requests.Session()
    retry = _ShortRetry(
        total=2,
        backoff_factor=0.2,
        backoff_jitter=0.3,
        status_forcelist=(502, 503, 504),
        allowed_methods=("GET",),
        respect_retry_after_header=False,
        raise_on_status=False,
        redirect=False,
    )
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _is_throttled(reply: Reply, retry_after_s: float | None) -> bool:
    return reply.status == _TOO_MANY_REQUESTS or (reply.status == _UNAVAILABLE and retry_after_s is not None)


def _retry_after_s(header: str | None) -> float | None:
    """Seconds; None where the header is absent or a date, which our clock may not agree with."""
    return float(header) if header is not None and header.strip().isdigit() else None


def _reason(error: Exception, timeout_s: float) -> str:
    if isinstance(error, requests.Timeout | ReadTimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, requests.ConnectionError):
        return "no connection, or it broke"
    return f"the exchange failed ({type(error).__name__})"
