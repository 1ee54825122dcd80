"""Measured serving points as text: reads the rows of a CSV and says where one is wrong.

Decides what a cell means and what an empty one stands for. Knows no profile and no file: lines come as an argument.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shaping.calibration import Point
from shaping.saturation import Traffic

MOST_LINES = 1_000_000  # a table that a person measured has thousands
_ERRORS_SHOWN = 80
_LEAST, _MOST = 1e-9, 1e15  # nothing that is measured here is smaller or larger in any of its units


class Phase(StrEnum):
    """How the batch was formed."""

    CONTINUOUS = "serving-steady-state"
    STATIC = "static-batch-prefill-plus-decode"


class MeasurementError(ValueError):
    """A table that cannot be read: place, line and character column (from 1), the name of the column, and why."""

    def __init__(self, place: str, line: int, column: int, name: str, what: str) -> None:
        self.place, self.line, self.column, self.name, self.what = place, line, column, name, what
        super().__init__(f"{place}:{line}:{column}: {f'{name}: ' if name else ''}{what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measured point. None is not measured or not published; flags are the table's own."""

    line: int
    group_id: str
    source: str
    stack: str
    phase: Phase
    task: str
    model_id: str
    architecture: str
    total_params: float | None
    active_params: float | None
    precision: str
    gpu: str
    gpus: int
    is_expert_parallel: bool
    power_cap_ratio: float
    batch_sequences: float
    prompt_tokens: float | None
    output_tokens: float
    tokens_per_s: float | None
    j_per_token: float | None
    flags: frozenset[str]

    @property
    def curve(self) -> tuple[str, ...]:
        """What a batch is varied over: everything else that was set is the same."""
        return (self.group_id, self.stack, self.task, self.precision, str(self.gpus), str(self.is_expert_parallel))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A row that cannot be predicted because a cell of it is empty or wrong; `reason` names column and fault."""

    line: int
    group_id: str
    gpu: str
    architecture: str
    reason: str


_REQUIRED = (
    "group_id",
    "serving_stack",
    "phase",
    "task",
    "model_id",
    "architecture",
    "weight_precision",
    "gpu",
    "num_gpus",
    "avg_batch_size",
    "avg_output_tokens",
    "output_throughput_tokens_per_s",
    "energy_per_output_token_j",
)
_POINT_COLUMNS = ("batch", "j_per_token", "tokens_per_s")


def read_measurements(lines: Iterable[str], place: str) -> list[Measurement]:
    """All rows of a table with the columns of the published measurements. Raises MeasurementError."""
    return [_measurement(row) for row in table_rows(lines, place, _REQUIRED)]


def read_each(lines: Iterable[str], place: str) -> tuple[list[Measurement], list[Unread]]:
    """The rows of such a table, those with an unusable cell apart.

    A row without a group's name is of the group of its model and GPU. Raises MeasurementError only for what is no such
    table: without a header, a column or a cell.
    """
    measured: list[Measurement] = []
    unread: list[Unread] = []
    for row in table_rows(lines, place, _REQUIRED):
        try:
            measured.append(_measurement(row))
        except MeasurementError as error:
            unread.append(_unread(row, f"{error.name}: {error.what}"))
    return measured, unread


def _unread(row: TableRow, reason: str) -> Unread:
    return Unread(
        line=row.line,
        group_id=row.text("group_id", f"{row.text('model_id')}|{row.text('gpu')}"),
        gpu=row.text("gpu"),
        architecture=row.text("architecture"),
        reason=reason,
    )


def read_row(cells: Mapping[str, str], place: str, line: int) -> Measurement:
    """One row whose cells come by the names of their columns; a column that is not there counts as empty.

    Raises MeasurementError.
    """
    whole = dict.fromkeys(_REQUIRED, "") | dict(cells)
    at = {name: index for index, name in enumerate(whole)}
    return _measurement(TableRow(place, line, at, list(whole.values())))


def read_points(lines: Iterable[str], place: str) -> list[tuple[int, Point]]:
    """Points to calibrate to, each with its line, from the columns batch, j_per_token and tokens_per_s.

    Raises MeasurementError.
    """
    points = [
        (
            row.line,
            Point(
                batch_sequences=row.amount("batch"),
                j_per_token=row.amount("j_per_token"),
                tokens_per_s=row.amount("tokens_per_s"),
            ),
        )
        for row in table_rows(lines, place, _POINT_COLUMNS)
    ]
    if not points:
        raise MeasurementError(place, 2, 1, "", "no point; one is enough to scale, two to fit the whole curve")
    return points


def read_traffic(lines: Iterable[str], place: str) -> Traffic | None:
    """Mean lengths of the requests that points were measured with; None where their table does not say.

    From the columns prompt_tokens and output_tokens. Raises MeasurementError.
    """
    rows = list(table_rows(lines, place, _POINT_COLUMNS))
    if not rows or not all(name in rows[0].at for name in ("prompt_tokens", "output_tokens")):
        return None
    lengths = [(row.counter_if_any("prompt_tokens"), row.amount_if_any("output_tokens")) for row in rows]
    said = [(prompt, output) for prompt, output in lengths if prompt is not None and output is not None]
    if not said:
        return None
    prompts, outputs = zip(*said, strict=True)
    return Traffic(prompt_tokens=sum(prompts) / len(said), output_tokens=sum(outputs) / len(said))


@dataclass(frozen=True, slots=True)
class TableRow:
    """The cells of one line, asked for by the name of their column."""

    place: str
    line: int
    at: Mapping[str, int]
    cells: Sequence[str]

    def text(self, name: str, otherwise: str = "") -> str:
        index = self.at.get(name)
        return otherwise if index is None else self.cells[index].strip() or otherwise

    def amount(self, name: str) -> float:
        found = self.amount_if_any(name)
        if found is None:
            raise self.wrong(name, "is empty; a number is needed here")
        return found

    def amount_if_any(self, name: str) -> float | None:
        """A plausible number above 0; None where the cell is empty."""
        text = self.text(name)
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            raise self.wrong(name, f"{text[:_ERRORS_SHOWN]!r} is not a number") from None
        if not _LEAST <= number <= _MOST:
            raise self.wrong(name, f"{text[:_ERRORS_SHOWN]} must be finite and above 0, from {_LEAST:g} to {_MOST:g}")
        return number

    def counter_if_any(self, name: str) -> float | None:
        """A reading of a counter, which may be 0; None where the cell is empty or the column is missing."""
        return 0.0 if self._is_zero(name) else self.amount_if_any(name)

    def _is_zero(self, name: str) -> bool:
        text = self.text(name)
        return bool(text) and not text.strip("0.")

    def count(self, name: str, otherwise: int | None = None) -> int:
        number = self.amount_if_any(name) if otherwise is not None else self.amount(name)
        if number is None:
            return otherwise or 0
        if number != int(number):
            raise self.wrong(name, f"{number:g} must be a whole number")
        return int(number)

    def wrong(self, name: str, what: str) -> MeasurementError:
        return MeasurementError(self.place, self.line, _column(self.cells, self.at[name]), name, what)


def _column(cells: Sequence[str], index: int) -> int:
    """Where a cell starts in its line, from 1; a cell with a comma, a quote or a line break in it was quoted."""
    widths = [
        len(cell) + (2 + cell.count('"') if any(mark in cell for mark in ',"\n') else 0) for cell in cells[:index]
    ]
    return 1 + sum(widths) + index


def table_rows(lines: Iterable[str], place: str, required: Sequence[str]) -> Iterator[TableRow]:
    """The rows of a CSV with a header that names at least the required columns. Raises MeasurementError."""
    reader = csv.reader(lines, strict=True)
    header = _next(reader, place)
    if header is None:
        raise MeasurementError(
            place, 1, 1, "", f"the file is empty; the first line names the columns {', '.join(required)}"
        )
    names = [name.strip().removeprefix("\ufeff") for name in header]
    missing = [name for name in required if name not in names]
    if missing:
        found = ", ".join(names)[:_ERRORS_SHOWN]
        raise MeasurementError(place, 1, 1, missing[0], f"the column is missing; the header has: {found}")
    at = {name: index for index, name in enumerate(names)}
    while (cells := _next(reader, place)) is not None:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            raise MeasurementError(place, reader.line_num, 1, "", f"{len(cells)} cells, the header has {len(names)}")
        if reader.line_num > MOST_LINES:
            raise MeasurementError(place, reader.line_num, 1, "", f"more than {MOST_LINES} lines; split the file")
        yield TableRow(place, reader.line_num, at, cells)


def _next(reader: Iterator[list[str]], place: str) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        line = getattr(reader, "line_num", 1)
        raise MeasurementError(place, line, 1, "", f"is no CSV ({error})") from None


def _measurement(row: TableRow) -> Measurement:
    return Measurement(
        line=row.line,
        group_id=_named(row, "group_id"),
        source=row.text("source"),
        stack=_named(row, "serving_stack"),
        phase=_phase(row),
        task=row.text("task"),
        model_id=_named(row, "model_id"),
        architecture=row.text("architecture"),
        total_params=_billions(row, "total_params_b"),
        active_params=_billions(row, "active_params_b"),
        precision=row.text("weight_precision"),
        gpu=_named(row, "gpu"),
        gpus=row.count("num_gpus"),
        is_expert_parallel=row.count("expert_parallel", 1) > 1,
        power_cap_ratio=_at_most_one(row, "power_cap_fraction"),
        batch_sequences=row.amount("avg_batch_size"),
        prompt_tokens=row.amount_if_any("avg_prompt_tokens"),
        output_tokens=row.amount("avg_output_tokens"),
        tokens_per_s=row.amount_if_any("output_throughput_tokens_per_s"),
        j_per_token=row.amount_if_any("energy_per_output_token_j"),
        flags=frozenset(filter(None, row.text("quality_flags").split(";"))),
    )


def _named(row: TableRow, name: str) -> str:
    text = row.text(name)
    if not text:
        raise row.wrong(name, "is empty; a name is needed here")
    return text


def _billions(row: TableRow, name: str) -> float | None:
    number = row.amount_if_any(name) if name in row.at else None
    return None if number is None else number * 1e9


def _at_most_one(row: TableRow, name: str) -> float:
    number = row.amount_if_any(name)
    if number is not None and number > 1.0:
        raise row.wrong(name, f"{number:g} must be at most 1")
    return 1.0 if number is None else number


def _phase(row: TableRow) -> Phase:
    text = row.text("phase")
    try:
        return Phase(text)
    except ValueError:
        raise row.wrong("phase", f"{text[:_ERRORS_SHOWN]!r} is none of {', '.join(Phase)}") from None
