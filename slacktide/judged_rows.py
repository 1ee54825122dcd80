"""Reads queries with judged answers, and router models. Opens files; decides no number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shaping.router_model import STRONG, WEAK, RouterModel, RouterModelError, from_document
from shaping.router_training import Judged
from simulations.reproductions.pack_files import read_rows
from simulations.reproductions.routing import Answered
from simulations.reproductions.tables import PackError
from slacktide.terminal import UsageProblem, reason_of, say

_JUDGED = "_correct"
_NEEDED = ("query", f"{WEAK}{_JUDGED}", f"{STRONG}{_JUDGED}")
# Tables that went through other programs write a whole number or a truth in their own ways.
_IS_RIGHT = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


def judged_rows(path: Path) -> Judged:
    """The rows of a CSV with query and NAME_correct of every judged model, and perhaps a subject. Raises UsageProblem.

    A query that somebody left unjudged is left out, and said so.
    """
    rows = _rows(path, _NEEDED)
    names = [name for name in rows[0] if name.endswith(_JUDGED)]
    judged = [(place, row) for place, row in enumerate(rows, start=1) if all(row[name].strip() for name in names)]
    if not judged:
        raise UsageProblem(f"{path}: no query is judged by all of {', '.join(names)}", "write 0 or 1 in each")
    if len(judged) < len(rows):
        say(f"note: {len(rows) - len(judged)} of {len(rows)} queries are not judged by all, and left out")
    return Judged(
        queries=[row["query"] for _, row in judged],
        subjects=[row.get("subject", "") for _, row in judged],
        is_right={name.removesuffix(_JUDGED): _column(judged, name, path) for name in names},
    )


def query_rows(path: Path) -> list[Mapping[str, str]]:
    """The rows of a CSV that has at least a column `query`. Raises UsageProblem."""
    return list(_rows(path, ("query",)))


def answered(judged: Judged) -> Answered:
    """Who answered what, of the weak and the strong model."""
    return Answered(weak=judged.is_right[WEAK], strong=judged.is_right[STRONG])


def read_router(path: Path) -> RouterModel:
    """The model in a file. Raises UsageProblem."""
    try:
        return from_document(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise UsageProblem(
            f"{path}: cannot be read: {reason_of(error)}", "write one: slacktide router train --out FILE"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UsageProblem(f"{path}: is no JSON: {error}", "write one: slacktide router train --out FILE") from None
    except RouterModelError as error:
        raise UsageProblem(f"{path}: {error}", "train it anew: slacktide router train --out FILE") from None


def _rows(path: Path, needed: Sequence[str]) -> Sequence[Mapping[str, str]]:
    columns = ", ".join(needed)
    try:
        rows = read_rows(path)
    except PackError as error:
        raise UsageProblem(str(error), f"name a CSV or CSV.gz file with the columns {columns}") from None
    if not rows:
        raise UsageProblem(f"{path}:1:1: holds no query", f"columns are {columns}")
    missing = [name for name in needed if name not in rows[0]]
    if missing:
        raise UsageProblem(f"{path}:1:1: has no column {missing[0]}", f"columns are {columns}")
    return rows


def _column(rows: Sequence[tuple[int, Mapping[str, str]]], name: str, path: Path) -> NDArray[np.bool_]:
    for place, row in rows:
        if row[name].strip().lower() not in _IS_RIGHT:
            raise UsageProblem(f"{path}: row {place}, column {name}: {row[name]!r} is neither 0 nor 1", "write 0 or 1")
    return np.array([_IS_RIGHT[row[name].strip().lower()] for _, row in rows], dtype=bool)
