"""Reads the folder of a published study: a shell. Decides only which files are carbon, and that a gap is an error."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from intensity_feeds.series import Floats
from simulations.reproductions.tables import Pack, PackError, Row

# Columns of a carbon file that say when; every other one is a zone.
_WHEN = frozenset({"hour", "timestamp_utc"})
_CARBON = "carbon_"


def read_pack(folder: Path) -> Pack:
    """Every CSV and CSV.gz file of a folder; those called carbon_* as intensity by zone. Raises PackError."""
    if not folder.is_dir():
        raise PackError(f"{folder} is not a folder")
    tables = {_stem(path): read_rows(path) for path in _csv_files(folder) if not path.name.startswith(_CARBON)}
    return Pack(place=str(folder), intensity_gco2e_per_kwh=_read_carbon(folder), tables=tables)


def read_rows(path: Path) -> list[Row]:
    """The rows of one CSV or CSV.gz file with a header. Raises PackError."""
    unpacked = gzip.open if path.suffix == ".gz" else open
    try:
        with unpacked(path, "rt", newline="", encoding="utf-8-sig") as file:
            return list(_whole_rows(csv.DictReader(file), path))
    except OSError as error:
        raise PackError(f"{path} cannot be read: {error.strerror or error}") from error
    except (EOFError, UnicodeDecodeError, csv.Error) as error:
        raise PackError(f"{path} cannot be read: {error}") from error


def _whole_rows(reader: csv.DictReader[str], path: Path) -> Iterator[Row]:
    for row in reader:
        if None in row or None in row.values():
            raise PackError(f"{path}, line {reader.line_num}: not as many cells as the header has")
        yield row


def _csv_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith((".csv", ".csv.gz")))


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")


def _read_carbon(folder: Path) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for path in _csv_files(folder):
        if path.name.startswith(_CARBON):
            for zone, steps in _zones_of(path).items():
                if zone in found and not np.array_equal(found[zone], steps):
                    raise PackError(f"{path}: another file of the folder has other numbers for {zone}")
                found[zone] = steps
    return found


def _zones_of(path: Path) -> dict[str, Floats]:
    rows = read_rows(path)
    zones = [name for name in rows[0] if name not in _WHEN] if rows else []
    return {zone: _steps(rows, zone, path) for zone in zones}


def _steps(rows: Sequence[Row], zone: str, path: Path) -> Floats:
    """Empty cells at the end are the end of that zone's series; one before it is a gap, which nothing here can fill."""
    try:
        steps = np.array([float(row[zone] or "nan") for row in rows], dtype=np.float64)
    except ValueError as error:
        raise PackError(f"{path}, column {zone}: {error}") from error
    known = np.flatnonzero(~np.isnan(steps))
    if len(known) == 0 or len(known) <= known[-1]:
        raise PackError(f"{path}, column {zone}: has a gap, or no number at all")
    return steps[: len(known)]
