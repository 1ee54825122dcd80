"""A future whose waiter goes on in the very call that brings what it waits for, not in a later turn of the event loop.

Each further turn asks the system what is ready, and stands behind whatever that is. Knows no socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class AtOnce(asyncio.Future[T]):
    """One that a single task waits for. What else settles it, and whatever cancels it, wakes that task as usual."""

    __slots__ = ("_context", "_resume")
    _resume: Callable[[Any], object]
    _context: Context

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        _add(self, fn, context=context)
        if context is not None:
            self._resume, self._context = fn, context

    def settle(self, result: T) -> None:
        """Set the result, and return when the task that waits for it has run as far as it can.

        To be called last: the task may do anything to the caller. Within another task it waits for the next turn, as
        one task cannot run inside another.
        """
        try:
            resume, context = self._resume, self._context
        except AttributeError:  # nobody waits yet
            self.set_result(result)
            return
        self.remove_done_callback(resume)
        self.set_result(result)
        try:
            context.run(resume, self)
        except RuntimeError:  # not the waiter's own error, which stays with its task
            self.get_loop().call_soon(resume, self, context=context)


_add = asyncio.Future.add_done_callback
