"""What a check finds. Knows no settings."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scheduler.toml_positions import KeyPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong at `path`, and the way out."""

    path: KeyPath
    what: str
    hint: str = ""
    is_warning: bool = False


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or nothing when no known word is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def repeated(table: str, key: str, values: list[str]) -> Iterator[Finding]:
    seen: Counter[str] = Counter()
    for index, value in enumerate(values):
        seen[value] += 1
        if seen[value] == 2:
            yield Finding(path=(table, index, key), what=f"another [[{table}]] has {key} {value!r} already")


def unknown_region(path: KeyPath, name: str, regions: list[str]) -> Finding:
    return Finding(
        path=path, what=f"no [[region]] is called {name!r}", hint=nearest(name, regions) or "add one with name and zone"
    )
