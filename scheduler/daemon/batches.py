"""Carries open batches through their states: checked, fed to the workers, their answers kept, closed in time.

    validating -> in_progress -> finalizing -> completed        every state is in the store before it is shown
                      |-> cancelling -> cancelled               every answer is on the disk before it is counted
                      '-> expired

Decides nothing of when: batch_flow.py says which lines may go, line_rate.py how fast, batch_lines.py what a line must
be. One task feeds; a line on its way, a check and a closing are tasks of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextvars import Context
from dataclasses import replace
from pathlib import Path
from typing import Never

from scheduler.batch_flow import Backlog, Pace, decide
from scheduler.batch_standing import LineFlow
from scheduler.batches import (
    Batch,
    BatchStatus,
    FilePurpose,
    IllegalBatchMoveError,
    LineCounts,
    StoredFile,
    moved,
)
from scheduler.config import BatchesSettings
from scheduler.daemon.batch_folder import BatchFolder, TooLongLineError
from scheduler.daemon.batch_lines import FileCheck, Line, Reading, numbered, result_line
from scheduler.daemon.batch_path import WORTH_ANOTHER_TRY, BatchPath
from scheduler.daemon.env import Env
from scheduler.daemon.file_folder import FileFolder
from scheduler.daemon.open_batch import OpenBatch, Result
from scheduler.daemon.openai_api import Endpoint
from scheduler.daemon.pools import ModelPool
from scheduler.line_rate import LineRate
from scheduler.store.contract import DiskFullError, Reads, Store, StoreBusyError
from scheduler.store.writer import Writing

log = logging.getLogger(__name__)

# The feeder looks again after this long, should nothing call it; and not more often than that, however fast lines are.
_LONGEST_SLEEP_S = 60.0
_SHORTEST_SLEEP_S = 0.01
_RETRY_S = 5.0  # real, after a database that takes nothing now
# To find the cleanest start takes some tenths of a millisecond, in which nobody is served.
_ASKED_AT_ONCE = 16
_CHECKED_AT_ONCE = 100  # about a millisecond

_UNANSWERED = {
    BatchStatus.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    BatchStatus.CANCELLED: ("batch_cancelled", "This request was not executed: the batch was cancelled."),
}

# When work of a region should start: (region, now_s, duration_s, release_by_s) -> instant.
CleanHours = Callable[[str, float, float, float], float]


class Batches:
    """All open batches of one daemon."""

    def __init__(
        self,
        *,
        env: Env,
        settings: BatchesSettings,
        max_line_bytes: int,
        writer: Writing,
        reads: Reads,
        path: BatchPath,
        files: FileFolder,
        folder: Path,
        clean_hours: CleanHours,
    ) -> None:
        self._env, self._settings, self._max_line_bytes = env, settings, max_line_bytes
        self._writer, self._reads, self._path = writer, reads, path
        self._files, self._folder, self._clean_hours = files, folder, clean_hours
        self._open: dict[str, OpenBatch] = {}
        self._outdated: list[OpenBatch] = []  # whose waiting was decided on an older forecast
        self._paces: dict[str, Pace] = {}
        self._rate = LineRate()
        self._changed = asyncio.Event()
        self._checking = asyncio.Semaphore(1)  # a file at a time: a check keeps a processor busy
        self._group: asyncio.TaskGroup | None = None
        self._is_draining = False

    # -- life ---------------------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Take up what an earlier life left open, with the answers that are on the disk."""
        for batch in await self._env.in_thread(self._reads.open_batches):
            one = self._open[batch.id] = OpenBatch(batch=batch, folder=self._folder_of(batch.id))
            await self._env.in_thread(one.recover)
            log.info("batch taken up", extra={"action": "batch_recovered", "batch": batch.id, "open": one.counts.open})
        await self._env.in_thread(self._remove_closed)

    def _remove_closed(self) -> None:
        for folder in self._folder.glob("batch-*"):
            if folder.name not in self._open:
                self._folder_of(folder.name).remove()

    async def run(self) -> Never:
        """Feed, check and close until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            for one in list(self._open.values()):
                self._take_up(one)
            while True:
                self._changed.clear()
                await self._sleep(await self._feed())
        raise AssertionError("the group only ends with its tasks")

    def hold(self) -> None:
        """Send no more lines: the daemon stops."""
        self._is_draining = True

    async def settle(self) -> None:
        """Wait until the answers that have come are on the disk."""
        writing = [one.writing for one in self._open.values() if one.writing is not None]
        if writing:
            await asyncio.wait(writing)

    def on_forecast_changed(self) -> None:
        """Every batch that waits is asked anew, some at a time."""
        self._outdated = list(self._open.values())
        self._changed.set()

    async def _sleep(self, until_s: float) -> None:
        slept_from_s = self._env.monotonic_s()
        await self._env.sleep_s(_SHORTEST_SLEEP_S * self._env.speed)
        self._rate.turned(_SHORTEST_SLEEP_S, self._env.monotonic_s() - slept_from_s)
        left_s = self._env.real_s(until_s - self._env.now_s())
        try:
            async with asyncio.timeout(max(0.0, min(_LONGEST_SLEEP_S, left_s))):
                await self._changed.wait()
        except TimeoutError:
            pass

    # -- what others ask ----------------------------------------------------------------------------------------------

    def serves(self, model: str) -> bool:
        return self._path.serves(model)

    def live_counts(self) -> dict[str, LineCounts]:
        """Of the batches that have not ended, as they are now."""
        return {batch_id: one.counts for batch_id, one in self._open.items()}

    def flow_of(self, batch_id: str) -> LineFlow:
        """How the lines of a batch stand; of one that has ended, nothing is known."""
        one = self._open.get(batch_id)
        return LineFlow() if one is None else one.flow

    def home_of(self, batch: Batch) -> str | None:
        """The region whose workers answer its lines; None before they are checked, or where no worker has the model."""
        pool = self._path.home(batch.model)
        return None if pool is None else pool.home

    async def accept(self, batch: Batch) -> None:
        """Durable when this returns. Raises FileNotFoundError for a lost input, StoreBusyError, DiskFullError."""
        one = OpenBatch(batch=batch, folder=self._folder_of(batch.id))
        await self._env.in_thread(one.folder.take_input, self._files.path(batch.input_file_id))
        await self._writer.write(lambda store: store.add_batch(batch), is_admission=True)
        self._open[batch.id] = one
        self._take_up(one)

    async def cancel(self, batch_id: str) -> Batch:
        """As it stands afterwards. Raises UnknownBatchError, IllegalBatchMoveError, StoreBusyError, DiskFullError."""
        batch = await self._move(batch_id, BatchStatus.CANCELLING)
        one = self._open.get(batch_id)
        if one is not None:
            one.batch = batch
            self._begin_closing(one, BatchStatus.CANCELLED)
        return batch

    # -- states -------------------------------------------------------------------------------------------------------

    def _take_up(self, one: OpenBatch) -> None:
        if self._group is None:  # taken up when it runs
            return
        match one.batch.status:
            case BatchStatus.VALIDATING:
                self._start(self._check(one), f"check {one.batch.id}")
            case BatchStatus.FINALIZING:
                self._begin_closing(one, BatchStatus.COMPLETED)
            case BatchStatus.CANCELLING:
                self._begin_closing(one, BatchStatus.CANCELLED)
            case _:
                self._changed.set()

    def _start(self, work: object, name: str) -> asyncio.Task[None]:
        assert self._group is not None, "batches are taken in while the daemon runs"
        # It outlives the request that made the batch, and works for none.
        return self._group.create_task(work, name=name, context=Context())  # type: ignore[arg-type]

    async def _move(self, batch_id: str, status: BatchStatus, **changes: object) -> Batch:
        """Write a state down, as it follows from what is stored. Raises IllegalBatchMoveError."""

        def change(store: Store) -> Batch:
            batch = replace(moved(store.batch(batch_id), status, self._env.now_s()), **changes)  # type: ignore[arg-type]
            store.write_batch(batch)
            return batch

        return await self._writer.write(change)

    async def _insist(self, batch_id: str, status: BatchStatus, **changes: object) -> Batch:
        """The same for what must be written down: a busy database or a full disk is waited for."""
        while True:
            try:
                return await self._move(batch_id, status, **changes)
            except (StoreBusyError, DiskFullError) as error:
                log.warning("batch not written", extra={"action": "batch_kept", "batch": batch_id, "why": str(error)})
                await self._env.sleep_s(_RETRY_S * self._env.speed)

    async def _check(self, one: OpenBatch) -> None:
        async with self._checking:
            reading = await self._read(one)
        try:
            if reading.problems:
                one.batch = await self._insist(one.batch.id, BatchStatus.FAILED, problems=reading.problems)
                await self._forget(one)
            else:
                one.counts = LineCounts(total=reading.lines)
                one.batch = await self._insist(
                    one.batch.id,
                    BatchStatus.IN_PROGRESS,
                    model=reading.model,
                    counts=one.counts,
                    line_s=reading.guessed_line_s,
                )
        except IllegalBatchMoveError:  # cancelled meanwhile
            return
        log.info("batch checked", extra={"action": f"batch_{one.batch.status}", "batch": one.batch.id})
        self._changed.set()

    async def _read(self, one: OpenBatch) -> Reading:
        """A slice at a time: one long stay in the interpreter would hold up everybody's requests."""
        check = FileCheck(Endpoint(one.batch.endpoint), is_known=self._path.serves, max_lines=self._settings.max_lines)
        lines = numbered(one.folder.raw_lines())
        try:
            while await self._env.in_thread(check.check_some, lines, _CHECKED_AT_ONCE):
                pass
        except TooLongLineError as error:
            check.refuse(f"This line is longer than {error.max_bytes} bytes.", error.number)
        except FileNotFoundError:  # cancelled, and closed, before its turn came
            check.refuse("The input file is gone.")
        return check.reading()

    # -- feeding ------------------------------------------------------------------------------------------------------

    async def _feed(self) -> float:
        """Send what may go; when to look again."""
        now_s = self._env.now_s()
        wake_at_s = now_s + _LONGEST_SLEEP_S * self._env.speed
        for one in self._outdated[:_ASKED_AT_ONCE]:
            one.waits_until_s = None
        self._outdated = self._outdated[_ASKED_AT_ONCE:]
        if self._outdated:
            wake_at_s = now_s
        flowing: dict[str, list[OpenBatch]] = {}
        for one in self._open.values():
            self._close_if_over(one, now_s)
            if one.closing is None:
                wake_at_s = min(wake_at_s, one.batch.deadline_at_s)
            if one.is_flowing and (pool := self._path.home(one.batch.model)) is not None:
                flowing.setdefault(pool.model, []).append(one)
        for some in flowing.values():
            wake_at_s = min(wake_at_s, await self._feed_pool(some, now_s))
        return wake_at_s

    def _close_if_over(self, one: OpenBatch, now_s: float) -> None:
        if one.batch.status in (BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS) and now_s >= one.batch.deadline_at_s:
            self._begin_closing(one, BatchStatus.EXPIRED)
        elif one.is_flowing and one.counts.open == 0:
            self._begin_closing(one, BatchStatus.COMPLETED)

    async def _feed_pool(self, some: list[OpenBatch], now_s: float) -> float:
        pool = self._path.home(some[0].batch.model)
        if pool is None or self._is_draining:
            return float("inf")
        backlogs = [
            Backlog(
                batch_id=one.batch.id,
                deadline_at_s=one.batch.deadline_at_s,
                open_lines=one.counts.open,
                in_flight=len(one.on_their_way),
                goes_until_s=one.goes_until_s,
                waits_until_s=one.waits_until_s,
            )
            for one in some
        ]
        by_id = {one.batch.id: one for one in some}
        verdicts = decide(
            backlogs,
            pace=self._pace(pool, some),
            places=self._path.places(pool, self._settings.lines_at_once),
            now_s=now_s,
            cleanest_start=lambda duration_s, by_s: self._clean_hours(pool.home, now_s, duration_s, by_s),
        )
        wake_at_s = float("inf")
        for verdict in verdicts:
            one = by_id[verdict.batch_id]
            one.goes_until_s, one.waits_until_s = verdict.goes_until_s, verdict.waits_until_s
            one.latest_start_at_s, one.need_s = verdict.latest_start_at_s, verdict.need_s
            if verdict.waits_until_s is not None:
                wake_at_s = min(wake_at_s, verdict.waits_until_s)
            elif verdict.lines:
                granted = self._rate.granted(verdict.lines)
                if granted < verdict.lines:
                    wake_at_s = now_s
                if granted:
                    await self._send(one, granted)
        return wake_at_s

    def _pace(self, pool: ModelPool, some: list[OpenBatch]) -> Pace:
        """Until an answer has come, as slow as the slowest guess: to begin too early costs grams, too late a window."""
        pace = self._paces.setdefault(pool.model, Pace(0.0))
        pace.gap_s = self._env.speed / self._rate.per_s
        if not pace.is_measured:
            guess_s = max(pool.service.expected_s, *(one.batch.line_s for one in some))
            pace.line_s = guess_s * self._env.speed
        return pace

    async def _send(self, one: OpenBatch, lines: int) -> None:
        for line in await self._env.in_thread(one.next_lines, lines):
            if one.closing is not None:
                return
            one.on_their_way[line.number] = self._start(self._answer(one, line), f"line {line.number}")

    async def _answer(self, one: OpenBatch, line: Line) -> None:
        batch, began_s = one.batch, self._env.now_s()
        answer = await self._path.answer(
            Endpoint(batch.endpoint),
            line.body,
            submitted_at_s=batch.created_at_s,
            deadline_at_s=batch.deadline_at_s,
            tenant=batch.tenant,
        )
        if self._is_draining and answer.status in WORTH_ANOTHER_TRY:  # our own end is no answer: the next life asks
            return
        self._pace_of(batch).observe(self._env.now_s() - began_s)
        result = result_line(batch.id, line, status=answer.status, request_id=answer.request_id, body=answer.body)
        one.results.append(Result(number=line.number, is_completed=answer.status == 200, line=result))
        if one.writing is None or one.writing.done():
            one.writing = self._start(self._write(one), f"answers {batch.id}")

    async def _write(self, one: OpenBatch) -> None:
        """What has come while a write is under way shares the next one."""
        while one.results:
            await one.write_results(self._env)
            self._changed.set()

    def _pace_of(self, batch: Batch) -> Pace:
        pool = self._path.home(batch.model)
        assert pool is not None, "a line was answered"
        return self._paces[pool.model]

    # -- closing ------------------------------------------------------------------------------------------------------

    def _begin_closing(self, one: OpenBatch, status: BatchStatus) -> None:
        if one.closing is None and self._group is not None:
            one.closing = self._start(self._close(one, status), f"close {one.batch.id}")

    async def _close(self, one: OpenBatch, status: BatchStatus) -> None:
        for task in one.on_their_way.values():
            task.cancel()
        await asyncio.gather(*one.on_their_way.values(), return_exceptions=True)
        if one.writing is not None:
            await one.writing
        status = await self._finalizing(one, status)
        if status in _UNANSWERED and one.counts.total:
            code, message = _UNANSWERED[status]
            await one.write_off(self._env, code, message)
        one.batch = await self._publish(one, status)
        await self._forget(one)
        log.info("batch closed", extra={"action": f"batch_{one.batch.status}", "batch": one.batch.id})

    async def _finalizing(self, one: OpenBatch, status: BatchStatus) -> BatchStatus:
        """How it ends: a cancellation that came first stands."""
        if status is not BatchStatus.COMPLETED or one.batch.status is BatchStatus.FINALIZING:
            return status
        try:
            one.batch = await self._insist(one.batch.id, BatchStatus.FINALIZING)
        except IllegalBatchMoveError:
            return BatchStatus.CANCELLED
        return status

    async def _publish(self, one: OpenBatch, status: BatchStatus) -> Batch:
        """The answers become files, and the batch ends, in one transaction."""
        batch, folder = one.batch, one.folder
        target = self._files.path
        output_bytes = await self._env.in_thread(folder.publish, folder.output, target(batch.output_file_id))
        error_bytes = await self._env.in_thread(folder.publish, folder.errors, target(batch.error_file_id))
        counts = one.counts

        def change(store: Store) -> Batch:
            now_s, stored = self._env.now_s(), store.batch(batch.id)
            end = BatchStatus.CANCELLED if stored.status is BatchStatus.CANCELLING else status
            ended = replace(
                moved(stored, end, now_s), counts=counts, output_bytes=output_bytes, error_bytes=error_bytes
            )
            for file in _files_of(ended, now_s):
                store.add_file(file)
            store.write_batch(ended)
            return ended

        while True:
            try:
                return await self._writer.write(change)
            except (StoreBusyError, DiskFullError) as error:
                log.warning("batch not written", extra={"action": "batch_kept", "batch": batch.id, "why": str(error)})
                await self._env.sleep_s(_RETRY_S * self._env.speed)

    async def _forget(self, one: OpenBatch) -> None:
        del self._open[one.batch.id]
        await self._env.in_thread(one.folder.remove)

    def _folder_of(self, batch_id: str) -> BatchFolder:
        return BatchFolder(self._folder / batch_id, self._max_line_bytes)


def _files_of(batch: Batch, now_s: float) -> Iterator[StoredFile]:
    expires_at_s = None if batch.output_life_s is None else now_s + batch.output_life_s
    files = ((batch.output_file_id, "output", batch.output_bytes), (batch.error_file_id, "error", batch.error_bytes))
    for file_id, what, size_bytes in files:
        if size_bytes:
            yield StoredFile(
                id=file_id,
                purpose=FilePurpose.BATCH_OUTPUT,
                filename=f"{batch.id}_{what}.jsonl",
                size_bytes=size_bytes,
                created_at_s=now_s,
                expires_at_s=expires_at_s,
                tenant=batch.tenant,
            )
