"""Keeps the answer of a costly question for a while, so that many open pages cost as much as one. Knows no question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# Of the time between two askings, the most that answering may take.
_BUSY_RATIO = 0.1


class Kept(Generic[T]):
    """The last answer, asked for anew once it is older than `fresh_s`. Those who come meanwhile wait for one asking.

    Times are real seconds of `monotonic_s`. A question that takes long is asked more rarely.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], *, fresh_s: float, monotonic_s: Callable[[], float]) -> None:
        self._ask, self._fresh_s, self._monotonic_s = ask, fresh_s, monotonic_s
        self._answer: T | None = None
        self._stale_at_s = float("-inf")
        self._lock = asyncio.Lock()

    async def answer(self) -> T:
        """The answer; raises whatever asking raises, and then asks again the next time."""
        async with self._lock:
            began_s = self._monotonic_s()
            if self._answer is None or began_s >= self._stale_at_s:
                self._answer = await self._ask()
                ended_s = self._monotonic_s()
                self._stale_at_s = ended_s + max(self._fresh_s, (ended_s - began_s) / _BUSY_RATIO)
            return self._answer
