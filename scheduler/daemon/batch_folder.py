"""The files of one batch while it is open: a copy of its input, and the answers so far. Decides nothing.

    state_dir/batches/ID/input.jsonl    a second name of the uploaded file, which may be deleted meanwhile
                         output.jsonl   the lines answered with 200
                         errors.jsonl   all others

A line counts once it is in one of the two and that has been synced; which lines are answered is read from them after a
restart, and what a crash left of a last line is cut off. Every method blocks.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from scheduler.daemon.batch_lines import Line, number_of, numbered, read_line
from scheduler.launchers.whole_lines import keys_of_whole_lines


class TooLongLineError(Exception):
    """A line of the input that is longer than a request may be."""

    def __init__(self, number: int, max_bytes: int) -> None:
        self.number, self.max_bytes = number, max_bytes
        super().__init__(f"line {number} is longer than {max_bytes} bytes")


def raw_lines(path: Path, max_bytes: int) -> Iterator[bytes]:
    """The lines of a file, never more than one of them in memory. Raises TooLongLineError."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(max_bytes + 1):
            number += 1
            if len(raw) > max_bytes:
                raise TooLongLineError(number, max_bytes)
            yield raw


class BatchFolder:
    """Where one open batch keeps what it has."""

    def __init__(self, folder: Path, max_line_bytes: int) -> None:
        self._folder = folder
        self._max_line_bytes = max_line_bytes
        self.input = folder / "input.jsonl"
        self.output = folder / "output.jsonl"
        self.errors = folder / "errors.jsonl"

    def take_input(self, uploaded: Path) -> None:
        """Raises FileNotFoundError where the upload is gone."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):  # an earlier life came this far
            os.link(uploaded, self.input)

    def raw_lines(self) -> Iterator[bytes]:
        return raw_lines(self.input, self._max_line_bytes)

    def lines(self) -> Iterator[Line]:
        """The requests in their order."""
        return (read_line(number, raw) for number, raw in numbered(self.raw_lines()))

    def recovered(self) -> tuple[set[int], set[int]]:
        """The numbers of the lines that were answered with 200, and of those that failed."""
        return keys_of_whole_lines(self.output, number_of), keys_of_whole_lines(self.errors, number_of)

    def append(self, path: Path, lines: Sequence[bytes]) -> None:
        """To the output or the errors; on the disk when it returns, and nothing of it is there when it fails."""
        left = b"".join(lines)
        with path.open("ab", buffering=0) as file:
            whole_bytes = file.tell()
            try:
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:  # the caller may come again with the same lines
                file.truncate(whole_bytes)
                raise

    def publish(self, path: Path, target: Path) -> int:
        """Give a finished file its place among the files; its size, 0 where there is nothing to publish."""
        if not path.exists():
            return 0
        with suppress(FileExistsError):
            os.link(path, target)
        return path.stat().st_size

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
