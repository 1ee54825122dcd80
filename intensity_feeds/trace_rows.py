"""Opens a trace file and gathers its points: CSV, gzipped CSV, Parquet. Knows no meaning of a column.

A file that is wrong is refused whole, with line, column and remedy: a trace read in part would be a different grid.
"""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from intensity_feeds.answers import MOST_GCO2E_PER_KWH
from intensity_feeds.instants import parse_utc_s

_MISSING = frozenset({"", "nan", "null", "na", "none"})
_FIRST_DATA_LINE = 2
_UNREADABLE = (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error)


class TraceError(ValueError):
    """A trace file that cannot be read: which file, which line (1 is the header), which column, and the remedy."""

    def __init__(self, path: Path, line: int | None, column: str, what: str) -> None:
        self.path, self.line, self.column, self.what = path, line, column, what
        place = "" if line is None else f", line {line}"
        super().__init__(f"{path}{place}{f', column {column}' if column else ''}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a value can be; one outside is in another unit."""

    low: float = 0.0
    high: float = MOST_GCO2E_PER_KWH
    unit: str = "gCO2e/kWh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns to gather; `issued` and `obtained` may be absent."""

    value: str
    issued: str = ""
    obtained: str = ""
    timestamp: str = "timestamp"
    zone: str = "zone"
    limits: Limits = Limits()


@dataclass(slots=True)
class Points:
    """Columns of one series as read: interval starts, values (NaN: missing), when each line was obtained."""

    starts_at_s: list[float] = field(default_factory=list)
    array: list[float] = field(default_factory=list)
    obtained_at_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rows:
    """Header and data lines of an open file; every cell is text."""

    path: Path
    header: list[str]
    lines: Iterator[Sequence[str]]

    def require(self, *columns: str) -> None:
        """Raises TraceError naming the first column that the header lacks."""
        for column in columns:
            if column not in self.header:
                found = ", ".join(self.header)[:120] or "nothing"
                raise TraceError(self.path, 1, column, f"the column is missing; the header has: {found}")


@contextmanager
def opened(path: Path) -> Iterator[Rows]:
    """The file, closed afterwards. Raises TraceError."""
    if not path.is_file():
        raise TraceError(path, None, "", "no such file; give the path of a CSV, CSV.gz or Parquet file")
    if path.suffix == ".parquet":
        yield _parquet(path)
        return
    with _text(path) as stream:
        reader = csv.reader(stream)
        try:
            header = next(reader, [])
        except _UNREADABLE as error:
            remedy = "is it a CSV file in UTF-8, gzipped if the name ends in .gz?"
            raise TraceError(path, 1, "", f"cannot be read ({error}); {remedy}") from None
        yield Rows(path, header, reader)


def gather(rows: Rows, columns: Columns, zones: Collection[str] | None) -> dict[tuple[str, float], Points]:
    """Points by zone and time of issue (0 where the file has none), in the order of the file. Raises TraceError."""
    rows.require(columns.timestamp, columns.zone, columns.value, *filter(None, [columns.issued]))
    gathered: dict[tuple[str, float], Points] = {}
    zone_at = rows.header.index(columns.zone)
    wanted = None if zones is None else frozenset(zones)
    cells = _Cells(rows, columns)
    number = _FIRST_DATA_LINE - 1
    try:
        for number, row in enumerate(rows.lines, start=_FIRST_DATA_LINE):
            if not row:
                continue
            if len(row) <= cells.last_at:
                raise TraceError(rows.path, number, "", f"{len(row)} cells, the header has {len(rows.header)}")
            if wanted is None or row[zone_at] in wanted:
                cells.into(gathered, row, number)
    except _UNREADABLE as error:
        remedy = "the file is damaged or cut off; fetch it again"
        raise TraceError(rows.path, number + 1, "", f"cannot be read ({error}); {remedy}") from None
    return gathered


class _Cells:
    """Reads the cells of a row. Instants are remembered, since every zone of a trace repeats the same ones."""

    def __init__(self, rows: Rows, columns: Columns) -> None:
        self._path, self._columns = rows.path, columns
        self._time_at, self._zone_at = rows.header.index(columns.timestamp), rows.header.index(columns.zone)
        self._value_at = rows.header.index(columns.value)
        self._issued_at = rows.header.index(columns.issued) if columns.issued else None
        self._obtained_at = rows.header.index(columns.obtained) if columns.obtained else None
        used = (self._time_at, self._zone_at, self._value_at, self._issued_at or 0, self._obtained_at or 0)
        self.last_at = max(used)
        self._instants_s: dict[str, float] = {}

    def into(self, gathered: dict[tuple[str, float], Points], row: Sequence[str], number: int) -> None:
        issued_at, obtained_at = self._issued_at, self._obtained_at
        issued_s = 0.0 if issued_at is None else self._instant_s(row[issued_at], number, self._columns.issued)
        key = (row[self._zone_at], issued_s)
        points = gathered.get(key)
        if points is None:
            points = gathered[key] = Points()
        points.starts_at_s.append(self._instant_s(row[self._time_at], number, self._columns.timestamp))
        points.array.append(self._value(row[self._value_at], number))
        if obtained_at is not None:
            points.obtained_at_s.append(self._instant_s(row[obtained_at], number, self._columns.obtained))

    def _instant_s(self, cell: str, number: int, column: str) -> float:
        instant_s = self._instants_s.get(cell)
        if instant_s is None:
            try:
                instant_s = self._instants_s[cell] = parse_utc_s(cell)
            except ValueError as error:
                what = str(error) if "time zone" in str(error) else f"{cell!r} is no instant"
                raise TraceError(self._path, number, column, f"{what}; write 2022-03-01T12:00:00Z") from None
        return instant_s

    def _value(self, cell: str, number: int) -> float:
        limits = self._columns.limits
        try:
            value = float(cell)
        except ValueError:
            if cell.strip().lower() in _MISSING:
                return math.nan
            remedy = f"write a number in {limits.unit}, or leave the cell empty where the value is missing"
            raise TraceError(self._path, number, self._columns.value, f"{cell!r} is no number; {remedy}") from None
        if not (limits.low <= value <= limits.high or math.isnan(value)):
            what = f"{cell} is outside {limits.low:.0f} to {limits.high:.0f} {limits.unit}; is it in another unit?"
            raise TraceError(self._path, number, self._columns.value, what)
        return value


def _text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _parquet(path: Path) -> Rows:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        remedy = 'Parquet needs an extra: pip install "slacktide[parquet]"; or convert the file to CSV'
        raise TraceError(path, None, "", remedy) from None
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise TraceError(path, None, "", f"not a readable Parquet file ({error})") from None
    columns = [[_as_cell(value) for value in column.to_pylist()] for column in table.columns]
    return Rows(path, list(table.column_names), zip(*columns, strict=True))


def _as_cell(value: object) -> str:
    """As the same cell would stand in a CSV file. A time without a zone stays one, and is refused later."""
    if value is None:
        return ""
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if isoformat else str(value)
