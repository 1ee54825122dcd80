"""Opens tables of measured points. Decides no number."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from shaping.calibration import Point
from shaping.measurements import Measurement, read_measurements, read_points
from slacktide.terminal import UsageProblem


def measurements(path: Path) -> list[Measurement]:
    """The rows of a table, gzipped if its name ends so. Raises UsageProblem with file, line and column."""
    with _opened(path) as lines:
        return read_measurements(lines, str(path))


def points(path: Path) -> list[tuple[int, Point]]:
    """Points to calibrate to with their lines, likewise."""
    with _opened(path) as lines:
        return read_points(lines, str(path))


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
