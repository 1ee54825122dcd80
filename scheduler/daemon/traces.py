"""The parts of a request as a tracer is told of them, and the caller's trace context on its way to the worker.

Without a tracer a part is told to nobody, and the caller's own `traceparent` goes to the worker as it came. Knows no
tracing library.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from aiohttp import web

# W3C Trace Context. Longer ones are no such header, and nothing that a worker should be sent.
_PASSED_ON = (("traceparent", 128), ("tracestate", 512))


class Part(Protocol):
    """A part of a request, while it lasts."""

    def note(self, **facts: str | float | None) -> None:
        """Facts by which one looks for it; None is left out."""
        ...

    def headers(self, came_with: Mapping[str, str]) -> dict[str, str]:
        """What makes a worker's spans parts of this one; `came_with` are the caller's own headers."""
        ...


class Trace(Protocol):
    """One request's spans."""

    def part(self, name: str) -> AbstractContextManager[Part]: ...


class Traces(Protocol):
    """Where spans go."""

    def request(self, http: web.Request, name: str, request_id: str) -> AbstractContextManager[Part]:
        """The whole of a request, whose trace is then under TRACE."""
        ...


TRACE = web.RequestKey("trace", Trace)  # of every request behind the front door


def part_of(http: web.Request, name: str) -> AbstractContextManager[Part]:
    """A part of the request, told to its tracer if it has one."""
    return http[TRACE].part(name)


class _Untold:
    """One for all requests: without a tracer, a part costs nothing to speak of."""

    __slots__ = ()

    def __enter__(self) -> _Untold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        return None

    def note(self, **facts: str | float | None) -> None:
        return None

    def headers(self, came_with: Mapping[str, str]) -> dict[str, str]:
        if "traceparent" not in came_with:
            return _NOTHING
        passed_on = ((name, came_with.get(name, ""), longest) for name, longest in _PASSED_ON)
        return {name: value for name, value, longest in passed_on if 0 < len(value) <= longest and value.isascii()}


class _Untraced:
    """The trace of a request without a tracer."""

    __slots__ = ()

    def part(self, name: str) -> AbstractContextManager[Part]:
        return UNTOLD


UNTOLD = _Untold()
_NOTHING: dict[str, str] = {}
UNTRACED: Trace = _Untraced()
