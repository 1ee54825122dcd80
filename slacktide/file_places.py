"""Where in a file something is wrong, said in one form: `file:line:column: what`. Reads texts, opens only to read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from slacktide.terminal import UsageProblem


def text_of(path: Path, option: str) -> str:
    """The file as text. Raises UsageProblem that names the option."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise UsageProblem(f"{option}: {path} cannot be read: {problem.strerror}", "give a file that exists") from None
    except UnicodeDecodeError as problem:
        raise UsageProblem(f"{path}: byte {problem.start} is no UTF-8", "save it as UTF-8") from None


def rows_of(path: Path, option: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row of a CSV file, and the line where it begins. Raises UsageProblem."""
    rows = csv.reader(io.StringIO(text_of(path, option), newline=""))
    number = 1
    try:
        for cells in rows:
            if any("\n" in cell for cell in cells):
                hint = "close it, or leave the quotes out"
                raise wrong_at(path, number, 1, "a quote that is opened in this line is not closed there", hint)
            yield number, cells
            number = rows.line_num + 1
    except csv.Error as problem:
        raise wrong_at(path, number, 1, f"is no CSV: {problem}", "is a quote left open?") from None


def wrong_at(path: Path, line: int, column: int, what: str, hint: str = "") -> UsageProblem:
    return UsageProblem(f"{path}:{line}:{column}: {what}", hint)


def nearest_of(name: str, known: tuple[str, ...]) -> str:
    """A hint: the known name that is meant, or all of them."""
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
