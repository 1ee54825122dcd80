"""What a sweep leaves in its folder: runs and points as CSV, and as Parquet where pyarrow is there. A shell."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from simulations.sweep import PointResult, trades_of
from simulations.sweep_runs import DoneRun

Row = dict[str, Any]


def run_rows(names: Sequence[str], runs: Sequence[DoneRun]) -> list[Row]:
    """Parameters, seed, then every measure of the run."""
    return [
        dict(zip(names, run.planned.values, strict=True)) | {"seed": run.planned.seed} | dict(run.measures)
        for run in runs
    ]


def point_rows(names: Sequence[str], points: Sequence[PointResult]) -> list[Row]:
    """Parameters, number of runs, savings with their interval, the means, and whether it is on each front."""
    trades = trades_of(points)
    return [
        dict(zip(names, point.values, strict=True))
        | {
            "runs": point.runs,
            "savings_mean_ratio": point.savings.mean_ratio,
            "savings_low_ratio": point.savings.low_ratio,
            "savings_high_ratio": point.savings.high_ratio,
        }
        | {name: mean for name, mean in point.means.items() if name != "savings_ratio"}
        | {f"on_front_{name}": name in point.fronts for name in trades}
        for point in points
    ]


def has_parquet() -> bool:
    return find_spec("pyarrow") is not None


def write_tables(folder: Path, tables: Mapping[str, Sequence[Row]]) -> list[str]:
    """`NAME.csv` always, `NAME.parquet` where pyarrow is there; the names of what was written."""
    written = []
    for name, rows in tables.items():
        _write_csv(folder / f"{name}.csv", rows)
        written.append(f"{name}.csv")
        if has_parquet():
            _write_parquet(folder / f"{name}.parquet", rows)
            written.append(f"{name}.parquet")
    return written


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = {name: _of_one_kind([row[name] for row in rows]) for name in rows[0]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def _of_one_kind(values: Sequence[Any]) -> list[Any]:
    """A column of Parquet has one type: numbers become floats where one is, and all becomes text beside a text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [None if value is None else str(value) for value in values]
    return list(values)
