"""Small packs by hand, and the real ones."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from simulations.reproductions.catalogue import REPRODUCTIONS
from simulations.reproductions.pack_files import read_pack
from simulations.reproductions.tables import Comparison, Pack, PublishedTable, Row, Value, comparisons
from tests.real_data import real_data


def a_pack(
    intensity_gco2e_per_kwh: Mapping[str, Sequence[float]] | None = None,
    tables: Mapping[str, Sequence[Mapping[str, object]]] | None = None,
) -> Pack:
    zones = {zone: np.array(steps, dtype=float) for zone, steps in (intensity_gco2e_per_kwh or {}).items()}
    texts = {name: [a_row(**row) for row in rows] for name, rows in (tables or {}).items()}
    return Pack(place="by hand", intensity_gco2e_per_kwh=zones, tables=texts)


def a_row(**cells: object) -> Row:
    return {name: str(value) for name, value in cells.items()}


def answers(name: str, expected: str, pack: Pack, *rows: Row) -> list[dict[str, Value]]:
    table = next(table for table in REPRODUCTIONS[name].tables if table.expected == expected)
    return table.answer(pack, rows)


def real_comparisons(name: str) -> list[tuple[PublishedTable, list[Comparison]]]:
    """Every published cell of a study beside ours, by table; skips where the inputs are not there."""
    pack = read_pack(real_data(f"reproductions/{name}/README.md").parent)
    tables = [table for table in REPRODUCTIONS[name].tables if table.expected in pack.tables]
    return [(table, list(comparisons(table, pack, pack.table(table.expected)))) for table in tables]


def too_far(table: PublishedTable, found: Sequence[Comparison]) -> list[Comparison]:
    """Values further from the published ones than the table's tolerance; what has none must be equal."""
    return [one for one in found if not _is_close(one, float(table.tolerances.get(one.column, "0")))]


def _is_close(one: Comparison, tolerance: float) -> bool:
    if isinstance(one.published, str) or one.published is None:
        return one.published == one.ours
    return isinstance(one.difference, int | float) and abs(one.difference) <= tolerance


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
