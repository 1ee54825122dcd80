"""Which formats of traces are known, how one is told from its first line, and what a scenario reads of it.

The trace begins at 0 with its first arrival or submission; where that was on the calendar is kept beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from simulations.imports.job_logs import PAI_STATUSES, PAI_TASKS, SWF_FIELDS, pai, philly, sacct, swf
from simulations.imports.request_logs import azure, burstgpt, mooncake, vidur
from simulations.imports.rows import JobRow, LeftOut, RequestRow, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """`has_calendar`: its times are instants and no seconds since some start. `is_shown_by` looks at its first line."""

    read: Callable[[Iterable[str]], Iterator[Row]]
    is_shown_by: Callable[[str], bool]
    has_calendar: bool = False


def _all_of(*names: str) -> Callable[[str], bool]:
    return lambda line: all(name in line for name in names)


def _is_a_pai_task(line: str) -> bool:
    fields = line.split(",")
    return len(fields) == len(PAI_TASKS) and fields[PAI_TASKS.index("status")] in PAI_STATUSES


def _is_swf(line: str) -> bool:
    return line.startswith(";") or len(line.split()) == SWF_FIELDS


FORMATS: Mapping[str, Format] = {
    "azure": Format(read=azure, is_shown_by=_all_of("TIMESTAMP", "ContextTokens"), has_calendar=True),
    "burstgpt": Format(read=burstgpt, is_shown_by=_all_of("Timestamp", "Response tokens")),
    "mooncake": Format(read=mooncake, is_shown_by=_all_of('"input_length"', '"output_length"')),
    "vidur": Format(read=vidur, is_shown_by=_all_of("arrived_at", "num_prefill_tokens")),
    "philly": Format(read=philly, is_shown_by=lambda line: line.startswith("["), has_calendar=True),
    "pai": Format(read=pai, is_shown_by=_is_a_pai_task),
    "swf": Format(read=swf, is_shown_by=_is_swf),
    "sacct": Format(read=sacct, is_shown_by=_all_of("JobID", "|", "AllocTRES"), has_calendar=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What could be run again, in the order of time, and how many records could not, by reason.

    `begins_at_s` is POSIX time, None without a calendar.
    """

    rows: list[RequestRow | JobRow]
    left_out: Mapping[str, int]
    begins_at_s: float | None

    @property
    def span_s(self) -> float:
        return _at_s(self.rows[-1]) if self.rows else 0.0


def format_of(first_line: str) -> str | None:
    """The format that a file's first line shows; None where it shows none."""
    return next((name for name, one in FORMATS.items() if one.is_shown_by(first_line)), None)


def imported(rows: Iterable[Row], *, has_calendar: bool) -> Imported:
    """The records in the order of time, from the first one on."""
    left_out: Counter[str] = Counter()
    kept: list[RequestRow | JobRow] = []
    for row in rows:
        if isinstance(row, LeftOut):
            left_out[row.reason] += 1
        else:
            kept.append(row)
    kept.sort(key=_at_s)
    begins_s = _at_s(kept[0]) if kept else 0.0
    return Imported(
        rows=[_earlier(row, begins_s) for row in kept],
        left_out=left_out,
        begins_at_s=begins_s if kept and has_calendar else None,
    )


def _at_s(row: RequestRow | JobRow) -> float:
    return row.arrival_s if isinstance(row, RequestRow) else row.submit_s


def _earlier(row: RequestRow | JobRow, by_s: float) -> RequestRow | JobRow:
    if isinstance(row, RequestRow):
        return replace(row, arrival_s=row.arrival_s - by_s)
    return replace(row, submit_s=row.submit_s - by_s)
