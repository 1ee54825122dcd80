"""An event loop whose clock jumps to the next timer when nothing is ready: hours of a daemon in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Never waits: where asyncio would sleep until a timer, the loop's clock is put to that timer's instant."""

    jump: Callable[[], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self.jump()
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at instant 0. No real socket, process or thread may be waited for in it."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.jump = self._jump
        super().__init__(selector)
        self._now_s = 0.0
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._now_s

    def _jump(self) -> None:
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        assert scheduled, "everything waits and no timer is set: a deadlock"
        self._now_s = max(self._now_s, scheduled[0].when())


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
