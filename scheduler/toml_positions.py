"""Where every key and element of a TOML text stands. Expects a text that a TOML parser has accepted; judges nothing.

tomllib gives values without places, and tomlkit keeps the layout but no line numbers.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass

# ("launch", 0, "regions", 1): names of keys, and indexes into arrays and arrays of tables.
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Both from 1, as editors count."""

    line: int
    column: int


_BLANK = re.compile(r"[ \t]+")
_BLANK_AND_COMMENTS = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\r\n]+")


def positions(text: str) -> dict[KeyPath, Position]:
    """The place of each table header, key and array element, by its path. Raises tomllib.TOMLDecodeError."""
    tomllib.loads(text)
    return _Scan(text).run()


class _Scan:
    """One pass over the text; `at` is the offset of the next character not yet looked at."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.found: dict[KeyPath, Position] = {}
        self.tables: dict[KeyPath, int] = {}  # arrays of tables: how many elements so far
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def run(self) -> dict[KeyPath, Position]:
        table: KeyPath = ()
        while self._skip(_BLANK_AND_COMMENTS) < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.found

    def _header(self) -> KeyPath:
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 2 if is_array else 1
        path = self._resolved(self._key())
        self.at += 2 if is_array else 1
        if is_array:
            self.tables[path] = self.tables.get(path, 0) + 1
            path = (*path, self.tables[path] - 1)
        self._remember(path, start)
        return path

    def _resolved(self, key: KeyPath) -> KeyPath:
        """A header names an array of tables by its key alone and means its latest element."""
        path: KeyPath = ()
        for part in key[:-1]:
            path = (*path, part)
            if path in self.tables:
                path = (*path, self.tables[path] - 1)
        return (*path, *key[-1:])

    def _pair(self, table: KeyPath) -> None:
        start = self.at
        key = self._key()
        self._remember((*table, *key), start)
        self._skip(_BLANK)
        self.at += 1  # the equals sign
        self._value((*table, *key))

    def _remember(self, path: KeyPath, start: int) -> None:
        """`path` stands here, and so do the tables around it unless they stood before."""
        for length in range(1, len(path)):
            self.found.setdefault(path[:length], self._position(start))
        self.found[path] = self._position(start)

    def _key(self) -> KeyPath:
        """A dotted key, quoted parts included; leaves `at` behind it and its blanks."""
        parts: list[str] = []
        while True:
            self._skip(_BLANK)
            parts.append(self._key_part())
            self._skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return tuple(parts)
            self.at += 1

    def _key_part(self) -> str:
        if bare := _BARE_KEY.match(self.text, self.at):
            self.at = bare.end()
            return bare[0]
        start = self.at
        quoted = self.text[start : self._skip(_STRING)]
        return str(tomllib.loads(f"key = {quoted}")["key"])

    def _value(self, path: KeyPath) -> None:
        self._skip(_BLANK)
        match self.text[self.at]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._skip(_STRING)
            case _:
                self._skip(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while self.text[self._skip(_BLANK_AND_COMMENTS)] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.found[(*path, index)] = self._position(self.at)
            self._value((*path, index))
            index += 1
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while self.text[self._skip(_BLANK_AND_COMMENTS)] != "}":
            if self.text[self.at] == ",":
                self.at += 1
            else:
                self._pair(path)
        self.at += 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        """Move behind `pattern` if it stands here; the new offset."""
        if match := pattern.match(self.text, self.at):
            self.at = match.end()
        return self.at

    def _position(self, offset: int) -> Position:
        line = bisect_right(self.line_starts, offset)
        return Position(line=line, column=offset - self.line_starts[line - 1] + 1)
