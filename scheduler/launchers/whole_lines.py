"""What a crash left of a file of lines: every line that reached the disk whole, the rest cut off. Blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

K = TypeVar("K")


def keys_of_whole_lines(path: Path, key_of: Callable[[bytes], K | None]) -> set[K]:
    """The keys of the lines before the first that has none, from which on the file is cut off; empty without a file."""
    if not path.exists():
        return set()
    keys: set[K] = set()
    with path.open("r+b") as file:
        whole_bytes = 0
        for line in file:
            if (key := key_of(line)) is None:
                break
            keys.add(key)
            whole_bytes += len(line)
        file.truncate(whole_bytes)
    return keys
