"""A published table as data: which columns name a cell, which hold a number, and who computes it.

Decides what is compared with what, and how far apart two values are. Knows no study, no file and no screen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from intensity_feeds.series import Floats

Row = Mapping[str, str]
Value = str | int | float | None


class PackError(ValueError):
    """Data of a pack that is missing or cannot be read; says what and where."""


class CellError(ValueError):
    """A cell that a reproduction cannot answer. `column` is where in the row the trouble stands."""

    def __init__(self, what: str, column: str) -> None:
        self.what, self.column = what, column
        super().__init__(f"column {column}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """The inputs of one study.

    `intensity_gco2e_per_kwh` maps a zone to its steps, shape (n,), oldest first; `tables` maps a file's name without
    its endings to its rows.
    """

    place: str
    intensity_gco2e_per_kwh: Mapping[str, Floats] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)

    def intensity_of(self, zone: str) -> Floats:
        """The steps of one zone. Raises CellError for a zone that no carbon file has."""
        if zone not in self.intensity_gco2e_per_kwh:
            known = ", ".join(sorted(self.intensity_gco2e_per_kwh)) or "none"
            raise CellError(f"{self.place} has no carbon intensity of {zone!r}; it has {known}", "zone")
        return self.intensity_gco2e_per_kwh[zone]

    def only_zone(self) -> str:
        """The zone of a pack of one. Raises PackError."""
        if len(self.intensity_gco2e_per_kwh) != 1:
            count = len(self.intensity_gco2e_per_kwh)
            raise PackError(f"{self.place}: needs carbon files with one zone in all, there are {count}")
        return next(iter(self.intensity_gco2e_per_kwh))

    def table(self, name: str) -> Sequence[Row]:
        """The rows of one file. Raises PackError."""
        if name not in self.tables:
            raise PackError(f"{self.place}: {name}.csv (or .csv.gz) is missing")
        return self.tables[name]

    def tables_like(self, prefix: str) -> Mapping[str, Sequence[Row]]:
        """All files whose name starts with `prefix`, by the rest of their names."""
        return {name.removeprefix(prefix): rows for name, rows in self.tables.items() if name.startswith(prefix)}


Answers = Callable[[Pack, Sequence[Row]], list[dict[str, Value]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """One kind of table. `keys` are the columns that name a cell: a file that has them all is of this kind.

    `answer` gets the rows of a file and returns, for each, our values by the names of value columns.
    `tolerances` says how far we may be from the published value of a column, in its own unit.
    """

    expected: str
    keys: tuple[str, ...]
    answer: Answers
    tolerances: Mapping[str, str]
    parameters: tuple[str, ...] = ()  # columns that some files add to name a cell
    is_published: Callable[[Row], bool] = lambda _row: True  # which rows of its own file the study shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A study: its tables, the most particular first. `folder` is where its inputs lie, if not in one of its name."""

    name: str
    study: str
    tables: tuple[PublishedTable, ...]
    folder: str = ""

    @property
    def inputs(self) -> str:
        """The folder of its inputs below that of all data."""
        return self.folder or f"reproductions/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One published value beside ours. `difference` is ours minus published; None where either is not a number."""

    table: str
    cell: Mapping[str, Value]
    column: str
    published: Value
    ours: Value

    @property
    def difference(self) -> Value:
        if isinstance(self.published, str) or isinstance(self.ours, str):
            return None if self.published == self.ours else "differs"
        if self.published is None or self.ours is None:
            return None
        return self.ours - self.published


def table_for(reproduction: Reproduction, columns: Sequence[str]) -> PublishedTable:
    """The kind of table that a file with these columns is. Raises CellError."""
    for table in reproduction.tables:
        if set(table.keys) <= set(columns):
            return table
    kinds = " or ".join(", ".join(table.keys) for table in reproduction.tables)
    raise CellError(f"{reproduction.name} needs columns {kinds}; the file has {', '.join(columns)}", "header")


def our_rows(table: PublishedTable, pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    """The rows of `cells` in their order, their value columns holding ours; all we know where they have none.

    A number that is not known here is None, and never what the file says. A row that cannot be answered holds None and
    the `reason`; the others hold ours all the same. Raises CellError where there is no answer to any row.
    """
    named = {*table.keys, *table.parameters}
    return [_filled(row, ours, named) for row, ours in zip(cells, _answers(table, pack, cells), strict=True)]


def _answers(table: PublishedTable, pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    try:
        return table.answer(pack, cells)
    except CellError as error:
        one_by_one = [_one_answer(table, pack, row) for row in cells]
        if all("reason" in answer for answer in one_by_one):
            raise error
        return one_by_one


def _one_answer(table: PublishedTable, pack: Pack, row: Row) -> dict[str, Value]:
    try:
        return table.answer(pack, [row])[0]
    except CellError as error:
        return {"reason": str(error)}


def _filled(row: Row, ours: Mapping[str, Value], named: Set[str]) -> dict[str, Value]:
    cell = {name: plain(text) if name in named or isinstance(plain(text), str) else None for name, text in row.items()}
    if "reason" in ours:
        return {**{name: value if name in named else None for name, value in cell.items()}, **ours}
    asked = {name: ours[name] for name in row if name in ours}
    return {**cell, **(asked or ours)}


def comparisons(table: PublishedTable, pack: Pack, cells: Sequence[Row]) -> Iterator[Comparison]:
    """Every published value of `cells` beside ours."""
    named = (*table.keys, *table.parameters)
    shown = [row for row in cells if table.is_published(row)]
    for row, ours in zip(shown, table.answer(pack, shown), strict=True):
        cell = {name: plain(row[name]) for name in named if name in row}
        for column in (name for name in row if name in ours and name not in cell):
            yield Comparison(
                table=table.expected, cell=cell, column=column, published=plain(row[column]), ours=ours[column]
            )


def largest_first(found: Sequence[Comparison]) -> list[Comparison]:
    """By the size of the difference; a text that differs is worse than any number, what has none comes last."""
    return sorted(found, key=_size, reverse=True)


def worst(found: Sequence[Comparison]) -> Comparison | None:
    """The largest difference, where there is any number to compare."""
    return next((one for one in largest_first(found) if one.difference is not None), None)


def _size(one: Comparison) -> float:
    if isinstance(one.difference, int | float):
        return abs(one.difference)
    return -1.0 if one.difference is None else float("inf")


def plain(text: str) -> Value:
    """A cell of a CSV file: a whole number, a number, nothing where it is empty, else the text."""
    if text.strip() == "":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def number(row: Row, column: str) -> float:
    """A number out of a row. Raises CellError."""
    try:
        return float(row[column])
    except KeyError:
        raise CellError("is missing", column) from None
    except ValueError:
        raise CellError(f"{row[column]!r} is not a number", column) from None


def whole(row: Row, column: str, least: int = 0) -> int:
    """A whole number of at least `least` out of a row. Raises CellError."""
    found = number(row, column)
    if not found.is_integer() or found < least:
        raise CellError(f"{row[column]!r} is not a whole number of {least} or more", column)
    return int(found)
