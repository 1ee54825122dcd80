"""Retries of a call that still runs wait for its answer, so that an impatient client does not have the work done twice.

Decides which two calls are one: the same caller and endpoint, and either the same idempotency key, or the same body
where the second says that it is a retry. A call goes on until the last that waits for it has left. Streams are not
joined: what was sent of one is gone. Knows no model and no worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from scheduler.daemon.api_errors import ApiError, invalid

KEY_HEADER = "Idempotency-Key"
RETRY_HEADER = "x-stainless-retry-count"
JOINED_HEADER = "x-slacktide-joined"
_LONGEST_KEY = 255
# What our server writes anew for each answer.
_OWN_HEADERS = frozenset({hdrs.CONTENT_LENGTH, hdrs.DATE, hdrs.SERVER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Under what a call is found while it runs; `is_retry` is whether its body alone may find another."""

    by_key: Hashable | None
    by_body: Hashable | None
    is_retry: bool
    body: bytes


def may_be_retried(headers: Mapping[str, str]) -> bool:
    """Whether the client says by which its retries are known; asked of every call."""
    return RETRY_HEADER in headers or KEY_HEADER in headers


def names_of(headers: Mapping[str, str], whose: Hashable, body: bytes) -> Names:
    """Raises ApiError for a key that is none. `whose` is all but the body that makes two calls the same."""
    key, count = headers.get(KEY_HEADER), headers.get(RETRY_HEADER)
    if key is not None and not 0 < len(key) <= _LONGEST_KEY:
        raise invalid(f"{KEY_HEADER} has 1 to {_LONGEST_KEY} characters", param=KEY_HEADER)
    return Names(
        by_key=None if key is None else ("key", whose, key),
        # Who names a key says by it which calls are one.
        by_body=("body", whose, body) if key is None else None,
        # Not by its value: thousands of digits are no number that Python reads.
        is_retry=count is not None and count.isascii() and count.isdigit() and count.strip("0") != "",
        body=body,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An answer as others may be sent it too."""

    response: web.StreamResponse
    headers: Mapping[str, str]

    def again(self, joined: str) -> web.Response:
        """A copy for one who joined the call of this id."""
        assert isinstance(self.response, web.Response), "streams are not joined"
        headers = {**self.headers, JOINED_HEADER: joined}
        return web.Response(status=self.response.status, body=self.response.body, headers=headers)


class RunningCall:
    """One call under way, and how many wait for it."""

    def __init__(self, request_id: str, body: bytes, work: Coroutine[Any, Any, web.StreamResponse]) -> None:
        self.request_id, self.body = request_id, body
        self._waiting = 0
        self.task = asyncio.create_task(_finished(work), name=f"call {request_id}")

    async def answer(self) -> Finished:
        """Wait for it; it is broken off when nobody does any more. Raises ApiError."""
        self._waiting += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self.task.cancel()  # a no-op for one that has ended


async def _finished(work: Coroutine[Any, Any, web.StreamResponse]) -> Finished:
    response = await work
    # Now, before our server adds what is of one answer only.
    return Finished(response=response, headers={k: v for k, v in response.headers.items() if k not in _OWN_HEADERS})


class JoinedCalls:
    """The calls under way that a retry may join."""

    def __init__(self) -> None:
        self._running: dict[Hashable, RunningCall] = {}

    def __len__(self) -> int:
        return len(self._running)

    def of(self, names: Names) -> RunningCall | None:
        """The call that this one is a retry of. Raises ApiError 409 for a key that another body runs under."""
        if names.by_key is None:
            return self._running.get(names.by_body) if names.is_retry else None
        found = self._running.get(names.by_key)
        if found is not None and found.body != names.body:
            message = f"A call with this {KEY_HEADER} and another body still runs: choose a new key."
            raise ApiError(409, message, kind="invalid_request_error", param=KEY_HEADER, code="conflict")
        return found

    def begin(self, names: Names, request_id: str, work: Coroutine[Any, Any, web.StreamResponse]) -> RunningCall:
        """Begin a call that others may join."""
        call = RunningCall(request_id, names.body, work)
        # A second call that says it is no retry runs beside the first, and the first stays the one that is joined.
        mine: Sequence[Hashable] = [
            name for name in (names.by_key, names.by_body) if name is not None and name not in self._running
        ]
        for name in mine:
            self._running[name] = call
        call.task.add_done_callback(lambda task: self._forget(mine, task))
        return call

    def _forget(self, names: Sequence[Hashable], task: asyncio.Task[Finished]) -> None:
        for name in names:
            del self._running[name]
        if not task.cancelled():
            task.exception()  # taken note of, though all who waited for it may have left
