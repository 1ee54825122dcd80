"""The journal on disk: one file per life of the daemon, the newest few kept. Decides nothing.

A line is handed to the system before its commands are carried out, so a kill of the daemon loses none. It is not
synced: what must survive a power cut is in the queue, and the journal only explains it. So a disk that is full ends the
journal of this life, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from scheduler.events import Command, Event
from scheduler.journal import Decision, encode_decision, encode_header
from scheduler.planning.plan import Region

log = logging.getLogger(__name__)

# A forecast of 96 points is 3 kB; a zone polled every 5 minutes writes about 1 MB a day.
MAX_FILE_BYTES = 64 * 1024 * 1024
FILES_KEPT = 5


class JournalFile:
    """Appends decisions to `journal-NNNNNN.jsonl` in a folder."""

    def __init__(self, folder: Path, regions: Sequence[Region], planner_name: str) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        number = max((_number(path) for path in folder.glob("journal-*.jsonl")), default=0) + 1
        self.path = folder / f"journal-{number:06d}.jsonl"
        # Unbuffered: what could not be written must not be tried again when the file is closed.
        self._file: FileIO | None = self.path.open("ab", buffering=0)
        self._write(self._file, encode_header(regions, planner_name))
        self._remove_old()

    def append(self, now_s: float, events: Sequence[Event], commands: Sequence[Command]) -> None:
        """Write one decision. A full file ends the journal of this life: it explains, it must not fill the disk."""
        if self._file is not None:
            self._write(self._file, encode_decision(Decision(now_s=now_s, events=events, commands=commands)))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, file: FileIO, line: bytes) -> None:
        try:
            is_whole = file.write(line) == len(line)
        except OSError as error:
            is_whole = False
            log.warning("journal ended", extra={"action": "journal_ended", "why": str(error)})
        if not is_whole or file.tell() > MAX_FILE_BYTES:
            self.close()

    def _remove_old(self) -> None:
        for path in sorted(self._folder.glob("journal-*.jsonl"), key=_number)[:-FILES_KEPT]:
            path.unlink(missing_ok=True)


def _number(path: Path) -> int:
    digits = path.stem.removeprefix("journal-")
    return int(digits) if digits.isdigit() else 0
