"""Work of one job piece after piece, that of different jobs side by side. What fails is logged; the next goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)

# Starting a process takes some 50 ms; a store that is busy or full for longer will be so for long.
CLOSE_WITHIN_S = 5.0


class Chains:
    """One chain for each job that has work under way."""

    def __init__(self) -> None:
        self._last: dict[str, asyncio.Task[None]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    def add(self, job_id: str, work: Coroutine[Any, Any, None]) -> None:
        """After all that was added for the job before."""
        before = self._last.get(job_id)
        task = asyncio.create_task(_after(before, work), name=f"run {job_id}")
        self._last[job_id] = task
        self._under_way.add(task)
        task.add_done_callback(lambda done: self._drop(job_id, done))

    def _drop(self, job_id: str, done: asyncio.Task[None]) -> None:
        self._under_way.discard(done)
        if self._last.get(job_id) is done:
            del self._last[job_id]
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("command failed", exc_info=error, extra={"action": "command_failed", "job": job_id})

    async def close(self) -> None:
        """Finish what is under way; what is stuck is given up, and what waits behind it."""
        if self._under_way:
            _, stuck = await asyncio.wait(self._under_way, timeout=CLOSE_WITHIN_S)
            for task in stuck:
                task.cancel()


async def _after(before: asyncio.Task[None] | None, work: Coroutine[Any, Any, None]) -> None:
    try:
        if before is not None:
            await asyncio.wait((before,))
        await work
    finally:
        work.close()  # where it was given up before it began
