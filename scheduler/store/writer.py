"""The one thread that writes: what waits while a commit is under way goes into the next commit together.

A write is acknowledged after its COMMIT has reached the disk, never before. One that fails is undone alone, the others
of its transaction stand. Decides nothing about jobs. After a failed fsync nobody knows what is on the disk: the writer
never tries again, it reports and stays down, and the daemon must stop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from scheduler.store.contract import DiskFullError, Store, StoreBrokenError, StoreBusyError
from scheduler.store.disk import DiskGuard

T = TypeVar("T")

# A batch is one fsync; beyond some hundreds of writes the fsync is no longer what costs.
MAX_BATCH = 512
MAX_WAITING = 10_000

_log = logging.getLogger(__name__)


class Writing(Protocol):
    """Where the daemon sends every change of the store."""

    async def write(self, change: Callable[[Store], T], *, is_admission: bool = False) -> T:
        """The answer of `change`, once it is durable. It may be called again after a rollback: no effects elsewhere.

        `is_admission` marks new work, which is refused first when the disk runs full.
        Raises what `change` raises; StoreBusyError, DiskFullError, StoreBrokenError.
        """


class InlineWriter:
    """Writes at once on the event loop: for virtual time, where a thread would be a second clock."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, change: Callable[[Store], T], *, is_admission: bool = False) -> T:
        with self._store.transaction():
            return change(self._store)


class Writer:
    """Owns `store` from `start` to `close`. `on_fatal` is called on the event loop, once, with the reason."""

    def __init__(
        self,
        store: Store,
        *,
        on_fatal: Callable[[StoreBrokenError], None],
        disk: DiskGuard | None = None,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._store = store
        self._on_fatal = on_fatal
        self._disk = disk
        self._max_batch = max_batch
        self._inbox = _Inbox(max_waiting)
        self._thread = threading.Thread(target=self._run, name="slacktide-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._broken: StoreBrokenError | None = None
        self._has_room = True

    @property
    def has_room(self) -> bool:
        """Whether new work was admitted at the last commit; readiness follows it."""
        return self._has_room

    @property
    def is_broken(self) -> bool:
        return self._broken is not None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def close(self) -> None:
        """Write what is waiting, then close the store."""
        self._inbox.close()
        if self._loop is None:
            self._store.close()
            return
        await self._ended.wait()

    async def write(self, change: Callable[[Store], T], *, is_admission: bool = False) -> T:
        """See `Writing.write`. A caller that is cancelled no longer learns the answer; the write goes on."""
        if self._broken is not None:
            raise StoreBrokenError(str(self._broken))
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._inbox.put(_Write(change=change, is_admission=is_admission, answer=answer))
        return await answer

    # -- on the writer's thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._inbox.take(self._max_batch):
            try:
                answers = self._commit(batch)
            except Exception as error:  # noqa: BLE001  the outermost frame of this thread: whatever it is, stop
                self._break_down(batch, error)
                break
            self._on_loop(_hand_out, answers)
        self._store.close()
        self._on_loop(self._ended.set)

    def _commit(self, batch: Sequence[_Write]) -> list[_Answer]:
        self._look_for_room()
        admitted = [write for write in batch if self._has_room or not write.is_admission]
        refused = [write for write in batch if not self._has_room and write.is_admission]
        full = DiskFullError("the disk is nearly full: no new work is admitted until there is room again")
        return self._commit_admitted(admitted) + [_Answer(write=write, error=full) for write in refused]

    def _look_for_room(self) -> None:
        if self._disk is None:
            return
        had_room, self._has_room = self._has_room, self._disk.admits()
        if self._has_room and not had_room:
            _log.info("disk has room", extra={"action": "disk_has_room", "folder": str(self._disk.folder)})
        elif had_room and not self._has_room:
            told = {"folder": str(self._disk.folder), "needs_free_mib": self._disk.min_free_bytes // 2**20}
            fix = "make room there: until then no new work is admitted"
            _log.error("disk nearly full", extra={"action": "disk_nearly_full", **told, "fix": fix})

    def _commit_admitted(self, batch: Sequence[_Write]) -> list[_Answer]:
        try:
            return self._attempt(batch)
        except StoreBusyError as busy:
            return [_Answer(write=write, error=busy) for write in batch]
        except DiskFullError as full:
            self._has_room = False
            return self._commit_on_ballast(batch, full)

    def _commit_on_ballast(self, batch: Sequence[_Write], full: DiskFullError) -> list[_Answer]:
        """What reports on work under way may use the reserve; new work is turned away."""
        has_freed = self._disk is not None and self._disk.free_ballast()
        _log.error("disk full", extra={"action": "disk_full", "has_freed_ballast": has_freed, "writes": len(batch)})
        reports = [write for write in batch if not write.is_admission] if has_freed else []
        refused = [write for write in batch if write.is_admission or not has_freed]
        try:
            answers = self._attempt(reports)
        except DiskFullError:
            answers = [_Answer(write=write, error=full) for write in reports]
        return answers + [_Answer(write=write, error=full) for write in refused]

    def _attempt(self, batch: Sequence[_Write]) -> list[_Answer]:
        if not batch:
            return []
        with self._store.transaction():
            return [self._apply(write) for write in batch]

    def _apply(self, write: _Write) -> _Answer:
        try:
            with self._store.savepoint():
                return _Answer(write=write, value=write.change(self._store))
        except (DiskFullError, StoreBrokenError):
            raise  # no fault of this write: the transaction as a whole is gone
        except Exception as error:  # noqa: BLE001  belongs to whoever awaits this write
            return _Answer(write=write, error=error)

    def _break_down(self, batch: Sequence[_Write], error: Exception) -> None:
        broken = error if isinstance(error, StoreBrokenError) else StoreBrokenError(f"{type(error).__name__}: {error}")
        self._broken = broken
        self._inbox.close()
        _log.critical("store broken", extra={"action": "store_broken", "error": str(broken)})
        lost = [*batch, *self._inbox.take_all()]
        self._on_loop(self._on_fatal, broken)  # before anybody who awaits a write can act on its failure
        self._on_loop(_hand_out, [_Answer(write=write, error=broken) for write in lost])

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits for an answer any more
            self._loop.call_soon_threadsafe(function, *arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    change: Callable[[Store], Any]
    is_admission: bool
    answer: asyncio.Future[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    write: _Write
    value: Any = None
    error: Exception | None = None


def _hand_out(answers: Sequence[_Answer]) -> None:
    for answer in answers:
        future = answer.write.answer
        if future.done():  # cancelled by a caller that went away
            continue
        if answer.error is None:
            future.set_result(answer.value)
        else:
            future.set_exception(answer.error)


class _Inbox:
    """A bounded queue that can be taken from by the batch, and be closed from either side."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._waiting: deque[_Write] = deque()
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, write: _Write) -> None:
        """Raises StoreBusyError when full or closed."""
        with self._changed:
            if self._is_closed:
                raise StoreBusyError("the store is closing: no more writes are taken")
            if len(self._waiting) >= self._max_waiting:
                raise StoreBusyError(f"{len(self._waiting)} writes are waiting for the disk: try again later")
            self._waiting.append(write)
            self._changed.notify()

    def take(self, most: int) -> list[_Write]:
        """Blocks until there is something; empty only when closed and drained."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def take_all(self) -> list[_Write]:
        with self._changed:
            return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
