"""The tables of a scenario with where each value came from: a line of a file, or an option of the command line.

Lays a file over those it includes. Opens no file and judges no value.
"""

from __future__ import annotations

import posixpath
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scheduler.toml_positions import KeyPath, positions

INCLUDE = "include"
# Keys that hold a path relative to the file they stand in, by table.
_PATHS = (("grid", "trace"), ("forecast", "trace"), ("price", "trace"), ("requests", "trace"), ("jobs", "trace"))


class ScenarioError(ValueError):
    """A scenario that cannot be used; `line` is None where no single line is at fault."""

    def __init__(self, source: str, what: str, hint: str = "", line: int | None = None) -> None:
        self.source, self.what, self.hint, self.line = source, what, hint, line
        super().__init__(f"{source}, line {line}: {what}" if line else f"{source}: {what}")
        if hint:  # where nobody translates it, as in a notebook, the remedy stands below the error
            self.add_note(hint)

    def __reduce__(self) -> tuple[Any, ...]:
        # By its fields, or it could not come back from another process.
        return ScenarioError, (self.source, self.what, self.hint, self.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A line of a file; or an option as it was written, which has no line."""

    source: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What a TOML text holds, and the origin of every table, key and element by its path."""

    plain: Mapping[str, Any]
    origins: Mapping[KeyPath, Origin]

    def origin(self, path: KeyPath) -> Origin | None:
        """Its own, or that of the nearest table around it."""
        depths = range(len(path), 0, -1)
        return next((self.origins[path[:depth]] for depth in depths if path[:depth] in self.origins), None)


def tables_of(text: str, source: str) -> Tables:
    """Raises ScenarioError."""
    try:
        plain, places = tomllib.loads(text), positions(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(source, f"is no TOML: {error}") from error
    origins = {path: Origin(source=source, line=place.line) for path, place in places.items()}
    return Tables(plain=plain, origins=origins)


def includes_of(tables: Tables, source: str) -> tuple[list[str], Tables]:
    """The files that a file asks for, and its tables without the asking. Raises ScenarioError."""
    names = tables.plain.get(INCLUDE, [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        line = tables.origins[(INCLUDE,)].line
        raise ScenarioError(source, "include: is no list of files", 'write include = ["base.toml"]', line)
    return names, replace(tables, plain={key: value for key, value in tables.plain.items() if key != INCLUDE})


def seen_from(tables: Tables, name: str) -> Tables:
    """The tables of an included file with their paths as seen from the file that included it by `name`."""
    plain = dict(tables.plain)
    for table, key in _PATHS:
        entries = plain.get(table)
        if isinstance(entries, list):
            plain[table] = [_with_path(entry, key, name) for entry in entries]
        else:
            plain[table] = _with_path(entries, key, name)
    return replace(tables, plain={key: value for key, value in plain.items() if value is not None})


def _with_path(entry: Any, key: str, name: str) -> Any:
    path = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(path, str) or not path or path.startswith("~"):
        return entry
    return {**entry, key: posixpath.join(posixpath.dirname(name), path)}


def laid_over(base: Tables, over: Tables) -> Tables:
    """Key by key; an entry of a list of tables changes the one of the same name, or is added."""
    plain = dict(base.plain)
    origins = dict(base.origins)
    places: dict[KeyPath, KeyPath] = {}
    for key, value in over.plain.items():
        if _are_tables(value) and _are_tables(plain.get(key)):
            plain[key], found = _joined(plain[key], value, key)
            places |= {(key, mine): (key, its) for mine, its in enumerate(found)}
        else:
            plain[key] = _merged(plain.get(key), value)
    for path, origin in over.origins.items():
        origins[(*places.get(path[:2], path[:2]), *path[2:])] = origin
    return Tables(plain=plain, origins=origins)


def _joined(base: list[Any], over: list[Any], table: str) -> tuple[list[Any], list[int]]:
    """The entries, and where each of `over` went. Two of one name in one file stay two, to be refused."""
    entries = list(base)
    free = {entry.get("name", table): place for place, entry in reversed(list(enumerate(base)))}
    places = []
    for entry in over:
        place = free.pop(entry.get("name", table), len(entries))
        entries[place : place + 1] = [_merged(entries[place] if place < len(entries) else None, entry)]
        places.append(place)
    return entries, places


def _merged(base: Any, over: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return base | {key: _merged(base.get(key), value) for key, value in over.items()}


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def all_laid_over(parts: Iterable[Tables]) -> Tables:
    """The later over the earlier."""
    found = Tables(plain={}, origins={})
    for part in parts:
        found = laid_over(found, part)
    return found
