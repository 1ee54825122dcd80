"""What every format of a trace is read into, and how its fields become numbers. Knows no format.

The fields of RequestRow and JobRow are the columns that a scenario reads.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


class TraceFormatError(ValueError):
    """A line that is not as its format says; names line and field."""

    def __init__(self, what: str, line: int, field: str = "") -> None:
        self.what, self.line, self.field = what, line, field
        super().__init__(f"line {line}" + (f", {field}" if field else "") + f": {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """`arrival_s` on the clock of the trace."""

    arrival_s: float
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """`submit_s` on the clock of the trace; `duration_s` it ran."""

    submit_s: float
    duration_s: float
    gpus: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A record that is no request or job one could run again, and why."""

    reason: str


Row = RequestRow | JobRow | LeftOut


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one record by name, with its line for what may be wrong with them."""

    line: int
    values: Mapping[str, object]

    def text(self, field: str) -> str:
        if (value := self.values.get(field)) is None:
            raise TraceFormatError("is missing", self.line, field)
        return str(value)

    def number(self, field: str) -> float:
        try:
            return float(self.text(field))
        except ValueError:
            raise TraceFormatError(f"{self.text(field)!r} is no number", self.line, field) from None

    def count(self, field: str) -> int:
        number = self.number(field)
        if not number.is_integer():
            raise TraceFormatError(f"{self.text(field)!r} is no whole number", self.line, field)
        return int(number)

    def instant_s(self, field: str) -> float:
        """An ISO 8601 date and time, without a zone read as UTC; digits beyond microseconds are kept."""
        text, fraction_s = _without_fraction(self.text(field))
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise TraceFormatError(f"{self.text(field)!r} is no date and time", self.line, field) from None
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() + fraction_s


def _without_fraction(text: str) -> tuple[str, float]:
    """Some traces have seven digits of a second, which Python's own reader refuses."""
    whole, point, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return (whole + rest[len(digits) :], float(f"0.{digits}")) if point and digits else (text, 0.0)


def table(lines: Iterable[str], delimiter: str = ",", header: tuple[str, ...] | None = None) -> Iterator[Fields]:
    """The records of a table, by the names in its first line or in `header`. Raises TraceFormatError."""
    reader = csv.reader(lines, delimiter=delimiter)
    names = list(header) if header else next(reader, [])
    try:
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise TraceFormatError(f"{len(row)} fields, {len(names)} were expected", reader.line_num)
            yield Fields(reader.line_num, dict(zip(names, row, strict=True)))
    except csv.Error as error:
        raise TraceFormatError(str(error), reader.line_num) from None


def request_row(arrival_s: float, prompt_tokens: int, output_tokens: int) -> Row:
    """A request without an answer, or without a prompt, was not served: what it would have cost is not known."""
    if output_tokens < 1:
        return LeftOut("no output token")
    if prompt_tokens < 1:
        return LeftOut("no prompt token")
    return RequestRow(arrival_s=arrival_s, prompt_tokens=prompt_tokens, output_tokens=output_tokens)


def job_row(submit_s: float, duration_s: float, gpus: int) -> Row:
    if duration_s <= 0:
        return LeftOut("never ran")
    if gpus < 1:
        return LeftOut("no GPU")
    return JobRow(submit_s=submit_s, duration_s=duration_s, gpus=gpus)
