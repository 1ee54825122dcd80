"""Traces of requests and jobs from CSV files, whole or the first rows of them.

An incomplete row is left out and counted, never filled in; a malformed one is an error with its line and column.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from simulations.workloads import Floats, JobTrace, RequestTrace

_RECORDED_OF_JOBS = ("slack_s", "power_per_gpu_w")


class WorkloadError(ValueError):
    """A trace that cannot be read; says which file, line and column."""

    def __init__(self, path: Path, what: str, line: int | None = None, column: str | None = None) -> None:
        self.path, self.line, self.column = path, line, column
        place = f"{path}" + (f", line {line}" if line else "") + (f", column {column}" if column else "")
        super().__init__(f"{place}: {what}")


def read_request_trace(path: Path, limit: int | None = None) -> RequestTrace:
    """Columns `arrival_s, prompt_tokens, output_tokens` of a CSV or CSV.gz. Raises WorkloadError."""
    table, left_out = _read_columns(path, ("arrival_s", "prompt_tokens", "output_tokens"), limit)
    arrivals, prompts, outputs = _sorted_by_first(table)
    for column, values in (("prompt_tokens", prompts), ("output_tokens", outputs)):
        if len(values) and values.min() < 1:
            raise WorkloadError(path, "a request has at least one token", column=column)
    return RequestTrace(
        arrival_s=arrivals,
        prompt_tokens=prompts.astype(np.int64),
        output_tokens=outputs.astype(np.int64),
        left_out=left_out,
    )


def read_job_trace(path: Path, limit: int | None = None, gpus_column: str = "gpus") -> JobTrace:
    """Columns `submit_s, duration_s` and `gpus_column` of a CSV or CSV.gz. Raises WorkloadError.

    `slack_s` and `power_per_gpu_w` are read where there are such columns. Fractions of a GPU are rounded up.
    """
    recorded = [column for column in _RECORDED_OF_JOBS if column in _header(path)]
    table, left_out = _read_columns(path, ("submit_s", "duration_s", gpus_column, *recorded), limit)
    submits, durations, gpus, *others = _sorted_by_first(table)
    if len(durations) and durations.min() <= 0:
        raise WorkloadError(path, "a job lasts more than 0 s", column="duration_s")
    return JobTrace(
        submit_s=submits,
        duration_s=durations,
        gpus=np.ceil(gpus).astype(np.int64),
        left_out=left_out,
        **dict(zip(recorded, others, strict=True)),
    )


def _header(path: Path) -> list[str]:
    try:
        with _open_text(path) as file:
            return next(csv.reader(file), [])
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise WorkloadError(path, f"cannot be read: {_reason(error)}") from error


def _read_columns(path: Path, columns: Sequence[str], limit: int | None) -> tuple[Floats, int]:
    """The first `limit` complete rows, shape (n, len(columns)), and how many incomplete ones were passed over."""
    rows: list[list[float]] = []
    left_out = 0
    try:
        with _open_text(path) as file:
            for line, fields in _fields(path, file, columns):
                if limit is not None and len(rows) >= limit:
                    break
                if "" in fields:
                    left_out += 1
                    continue
                rows.append(_numbers(path, line, columns, fields))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise WorkloadError(path, f"cannot be read: {_reason(error)}") from error
    if not rows:
        raise WorkloadError(path, "has no complete row")
    return np.array(rows, dtype=np.float64), left_out


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _fields(path: Path, file: TextIO, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(file)
    header = next(reader, [])
    missing = [column for column in columns if column not in header]
    if missing:
        found = ", ".join(header) or "nothing"
        raise WorkloadError(path, f"no such column; the file has {found}", line=1, column=missing[0])
    places = [header.index(column) for column in columns]
    for row in reader:
        if len(row) != len(header):
            raise WorkloadError(path, f"{len(row)} fields where the header has {len(header)}", line=reader.line_num)
        yield reader.line_num, [row[place] for place in places]


def _numbers(path: Path, line: int, columns: Sequence[str], fields: Sequence[str]) -> list[float]:
    numbers = []
    for column, text in zip(columns, fields, strict=True):
        try:
            number = float(text)
        except ValueError:
            raise WorkloadError(path, f"{text!r} is no number", line=line, column=column) from None
        if not 0 <= number < float("inf"):
            raise WorkloadError(path, f"{text} is negative or not finite", line=line, column=column)
        numbers.append(number)
    return numbers


def _sorted_by_first(table: Floats) -> tuple[Floats, ...]:
    ordered = table[np.argsort(table[:, 0], kind="stable")]
    return tuple(ordered.T)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
