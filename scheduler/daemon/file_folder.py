"""The data of files, under names that we make. What is not whole yet has another suffix. Decides nothing; blocks."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

_UNFINISHED = ".part"


class FileFolder:
    """One folder; a file lies under its id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, file_id: str) -> Path:
        """`file_id` is one of ours, never what a client wrote."""
        return self._folder / file_id

    def begin(self, file_id: str) -> UnfinishedFile:
        return UnfinishedFile(self.path(file_id + _UNFINISHED), self.path(file_id))

    def remove(self, file_id: str) -> None:
        self.path(file_id).unlink(missing_ok=True)

    def remove_others(self, known: Collection[str]) -> None:
        """What a crash left without a row: uploads that were not acknowledged."""
        for path in self._folder.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)


class UnfinishedFile:
    """A file on its way in."""

    def __init__(self, path: Path, final: Path) -> None:
        self._path, self._final = path, final
        # Exclusive: a name that is there already is never followed or overwritten.
        self._file = path.open("xb")
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self.size_bytes += len(chunk)

    def finish(self) -> None:
        """On the disk under its final name when this returns."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.rename(self._final)
        folder = os.open(self._final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
