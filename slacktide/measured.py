"""Opens tables of measured points. Decides no number."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from shaping.calibration import Point
from shaping.measurements import Measurement, Unreadable, read_each, read_points
from shaping.meter_log import Sample, read_meter_log
from shaping.saturation import Traffic
from slacktide.terminal import OwnFailure, UsageProblem


def measurements(path: Path) -> list[Measurement | Unreadable]:
    """The rows of a table, gzipped if its name ends so. Raises UsageProblem with file, line and column."""
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


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    from shaping.measurements import MeasurementError

    try:
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8", newline="") as lines
        ):
            yield lines
    except MeasurementError as error:
        raise UsageProblem(str(error), "mend that cell, or leave the row out") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageProblem(f"{path}:1:1: cannot be unpacked ({error})", "fetch the file again") from None
    except UnicodeDecodeError as error:
        raise UsageProblem(f"{path}:1:1: is no UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read: {error.strerror}", "name a CSV or CSV.gz file") from None
