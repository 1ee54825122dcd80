"""Whose request the code at hand works for: what every line of the log names. Knows no request itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

REQUEST_IN_HAND: ContextVar[str] = ContextVar("request in hand", default="")


@contextmanager
def working_for(request_id: str) -> Iterator[None]:
    """Within, and in every task begun within, lines of the log carry this id."""
    token = REQUEST_IN_HAND.set(request_id)
    try:
        yield
    finally:
        REQUEST_IN_HAND.reset(token)
