"""Opens tables of measured points. Decides no number."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from shaping.calibration import Point
from shaping.measurements import Measurement, Unread, read_each, read_measurements, read_points
from shaping.meter_log import Sample, read_meter_log
from shaping.saturation import Traffic
from slacktide.terminal import OwnFailure, UsageProblem

_GZIP_MARK = b"\x1f\x8b"


def measurements(path: Path) -> list[Measurement]:
    """The rows of a table, gzipped or not. Raises UsageProblem with file, line and column."""
    with _opened(path) as lines:
        return read_measurements(lines, str(path))


def rows_of(path: Path) -> tuple[list[Measurement], list[Unread]]:
    """The same, rows with an unusable cell apart. Raises UsageProblem for what is no such table."""
    with _opened(path) as lines:
        return read_each(lines, str(path))


def points(path: Path) -> list[tuple[int, Point]]:
    """Points to calibrate to with their lines, likewise."""
    with _opened(path) as lines:
        return read_points(lines, str(path))


def meter_log(path: Path) -> list[Sample]:
    """The samples of a meter's log, likewise."""
    with _opened(path) as lines:
        return read_meter_log(lines, str(path))


def write_points(path: Path, found: Sequence[Point], traffic: Traffic) -> None:
    """Points as a CSV that `points` reads, with the mean lengths of the requests beside each. Raises OwnFailure."""
    head = "batch,j_per_token,tokens_per_s,prompt_tokens,output_tokens\n"
    lengths = f"{traffic.prompt_tokens:.6g},{traffic.output_tokens:.6g}"
    rows = [f"{one.batch_sequences:.6g},{one.j_per_token:.6g},{one.tokens_per_s:.6g},{lengths}\n" for one in found]
    try:
        path.write_text(head + "".join(rows), encoding="utf-8")
    except OSError as error:
        raise OwnFailure(f"{path} cannot be written: {error.strerror}") from None


def _is_packed(path: Path) -> bool:
    """By its first bytes: names lie."""
    with path.open("rb") as raw:
        return raw.read(len(_GZIP_MARK)) == _GZIP_MARK


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    from shaping.measurements import MeasurementError

    try:
        opened = gzip.open if _is_packed(path) else open
        with opened(path, "rt", encoding="utf-8", newline="") as lines:
            yield lines
    except MeasurementError as error:
        raise UsageProblem(str(error), "mend that cell, or leave the row out") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageProblem(f"{path}:1:1: cannot be unpacked ({error})", "fetch the file again") from None
    except UnicodeDecodeError as error:
        raise UsageProblem(f"{path}:1:1: is no UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read: {error.strerror}", "name a CSV or CSV.gz file") from None
