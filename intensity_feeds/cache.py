"""Keeps what the feeds said on disk, so that a restart forgets nothing.

One file each for the newest forecast and for the history of a (feed, signal, basis, zone). A file is replaced whole or
not at all; a damaged one is a miss with a line in the log. Which version of a point holds is decided in records.py.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from intensity_feeds.records import (
    DamagedRecordError,
    Record,
    as_text,
    fetched,
    from_text,
    from_wrong_clock,
    made_by,
    merged,
)
from intensity_feeds.series import Basis, IntensitySeries, Signal

T = TypeVar("T")

logger = logging.getLogger(__name__)

# Enough to settle what ran last month, and six times what the own forecast looks at.
HISTORY_KEPT_S = 90 * 86400.0


class _Part(StrEnum):
    FORECAST = "forecast"
    HISTORY = "history"


class IntensityCache:
    """Reads and writes below `folder`, which is made when first needed. Safe to use from several threads.

    A full or read-only disk costs the memory across a restart and nothing else: what was put is also kept in memory.
    """

    def __init__(self, folder: Path | str, *, history_kept_s: float = HISTORY_KEPT_S) -> None:
        self._folder, self._history_kept_s = Path(folder), history_kept_s
        self._lock = threading.RLock()
        self._known: dict[Path, Record | None] = {}

    def forecast(self, feed: str, zone: str, kind: tuple[Signal, Basis]) -> Record | None:
        """The newest forecast that was put, or None."""
        return self._get(self._path(feed, zone, kind, _Part.FORECAST))

    def history(self, feed: str, zone: str, kind: tuple[Signal, Basis]) -> Record | None:
        """Everything of the past that was put and is young enough, or None."""
        return self._get(self._path(feed, zone, kind, _Part.HISTORY))

    def put_forecast(self, feed: str, series: IntensitySeries, fetched_at_s: float) -> None:
        """Keep the forecast unless a newer one is there already, as when the answers of two threads cross."""
        path = self._path(feed, series.zone, (series.signal, series.basis), _Part.FORECAST)
        with self._lock:
            known = self._get(path)
            if known is None or known.fetched_at_s <= fetched_at_s or from_wrong_clock(known, fetched_at_s):
                self._put(path, fetched(series, fetched_at_s))

    def put_history(self, feed: str, series: IntensitySeries, fetched_at_s: float) -> None:
        """Merge the series into what is known; newer versions of a point hold."""
        path = self._path(feed, series.zone, (series.signal, series.basis), _Part.HISTORY)
        with self._lock:
            record, known = fetched(series, fetched_at_s), self._get(path)
            if known is not None:
                known = made_by(known, fetched_at_s) if from_wrong_clock(known, fetched_at_s) else known
                record = merged(known, record, keep_from_s=fetched_at_s - self._history_kept_s)
            self._put(path, record)

    def _path(self, feed: str, zone: str, kind: tuple[Signal, Basis], part: _Part) -> Path:
        return place(self._folder, feed, zone, kind, part)

    def _get(self, path: Path) -> Record | None:
        with self._lock:
            if path not in self._known:
                self._known[path] = kept(path, from_text)
            return self._known[path]

    def _put(self, path: Path, record: Record) -> None:
        self._known[path] = record
        keep(path, as_text(record))


def place(folder: Path, feed: str, zone: str, kind: tuple[Signal, Basis], part: str) -> Path:
    """Where one part of what is known of a zone is kept."""
    signal, basis = kind
    return folder / quote(feed, safe="") / f"{signal}-{basis}" / f"{quote(zone, safe='')}.{part}"


def keep(path: Path, text: str) -> None:
    """Replace the file whole; a disk that takes nothing costs a line in the log."""
    try:
        _replace(path, text)
    except OSError as error:
        fields = {"action": "cache_not_written", "path": str(path), "reason": error.strerror}
        logger.error("intensity is kept in memory only", extra=fields)


def kept(path: Path, read: Callable[[str], T]) -> T | None:
    """What `read` makes of the file; None where there is none, or where it is damaged, with a line in the log."""
    try:
        return read(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, DamagedRecordError) as error:
        fields = {"action": "cache_file_ignored", "path": str(path), "reason": str(error)}
        logger.warning("a damaged cache file is ignored", extra=fields)
        return None


def _replace(path: Path, text: str) -> None:
    """Write beside, force to disk, rename: a crash at any instant leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    _force_folder(path.parent)


def _force_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
