"""One batch that has not ended: its next lines, its answers on their way to the disk, and the counts of both.

Decides nothing: which lines go and when it ends is said by batches.py.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from scheduler.batch_standing import LineFlow
from scheduler.batches import Batch, BatchStatus, LineCounts
from scheduler.daemon.batch_folder import BatchFolder
from scheduler.daemon.batch_lines import Line, unanswered_line
from scheduler.daemon.env import Env

log = logging.getLogger(__name__)

_RETRY_S = 5.0  # real, on a full disk
_WRITTEN_OFF_AT_ONCE = 500
_ON_A_FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The line of the output, or of the errors, that answers one line of the input."""

    number: int
    is_completed: bool
    line: bytes


@dataclass(slots=True, kw_only=True)
class OpenBatch:
    """`on_their_way` holds a line until its answer is on the disk, `results` are answers that are not there yet."""

    batch: Batch
    folder: BatchFolder
    counts: LineCounts = LineCounts()
    on_their_way: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    writing: asyncio.Task[None] | None = None
    closing: asyncio.Task[None] | None = None
    goes_until_s: float = float("-inf")
    waits_until_s: float | None = None
    latest_start_at_s: float | None = None
    need_s: float | None = None
    _answered: set[int] = field(default_factory=set)  # by an earlier life; each forgotten as it is passed
    _lines: Iterator[Line] | None = None

    @property
    def is_flowing(self) -> bool:
        return self.batch.status is BatchStatus.IN_PROGRESS and self.closing is None

    @property
    def flow(self) -> LineFlow:
        return LineFlow(
            in_flight=len(self.on_their_way),
            waits_until_s=self.waits_until_s,
            latest_start_at_s=self.latest_start_at_s,
            need_s=self.need_s,
        )

    def recover(self) -> None:
        """Read back what is answered. Blocks."""
        completed, failed = self.folder.recovered()
        self._answered = completed | failed
        self.counts = replace(self.batch.counts, completed=len(completed), failed=len(failed))

    def next_lines(self, most: int) -> list[Line]:
        """Lines that were never sent in this life, nor answered before it. Blocks."""
        if self._lines is None:
            self._lines = (line for line in self.folder.lines() if not self._was_answered(line.number))
        return list(islice(self._lines, most))

    def _was_answered(self, number: int) -> bool:
        if number in self._answered:
            self._answered.discard(number)
            return True
        return False

    async def write_results(self, env: Env) -> None:
        """Put what has come on the disk, and count it then."""
        taken, self.results = self.results, []
        outputs = [result.line for result in taken if result.is_completed]
        errors = [result.line for result in taken if not result.is_completed]
        await self._append(env, outputs, errors)
        for result in taken:
            self.on_their_way.pop(result.number, None)

    async def write_off(self, env: Env, code: str, message: str) -> None:
        """A line in the error file for every request without an answer."""
        completed, failed = await env.in_thread(self.folder.recovered)
        self.counts = replace(self.counts, completed=len(completed), failed=len(failed))
        left = (line for line in self.folder.lines() if line.number not in completed and line.number not in failed)
        while some := await env.in_thread(lambda: list(islice(left, _WRITTEN_OFF_AT_ONCE))):
            errors = [unanswered_line(self.batch.id, line, code=code, message=message) for line in some]
            await self._append(env, [], errors)

    async def _append(self, env: Env, outputs: Sequence[bytes], errors: Sequence[bytes]) -> None:
        """Room on a full disk is waited for; any other failure of a disk ends the daemon."""
        for path, lines in ((self.folder.output, outputs), (self.folder.errors, errors)):
            while lines:
                try:
                    await env.in_thread(self.folder.append, path, lines)
                    break
                except OSError as error:
                    if error.errno not in _ON_A_FULL_DISK:
                        raise
                    log.error("answers wait for the disk", extra={"action": "batch_disk_full", "why": str(error)})
                    await env.sleep_s(_RETRY_S * env.speed)
        self.counts = replace(
            self.counts, completed=self.counts.completed + len(outputs), failed=self.counts.failed + len(errors)
        )
