"""Reading a folder: carbon of every file, ragged ends, gaps and disagreements."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest

from simulations.reproductions.pack_files import read_pack
from simulations.reproductions.tables import (
    CellError,
    Pack,
    PackError,
    PublishedTable,
    Row,
    Value,
    number,
    our_rows,
    plain,
)


def test_every_carbon_file_of_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "carbon_a.csv").write_text("timestamp_utc,X,Y\n1,1.5,2\n2,2.5,\n")
    (tmp_path / "carbon_b.csv.gz").write_bytes(gzip.compress(b"hour,timestamp_utc,Z\n0,1,7\n"))
    (tmp_path / "jobs_some.csv").write_text("job_id\n4\n")
    pack = read_pack(tmp_path)
    steps = {zone: values.tolist() for zone, values in pack.intensity_gco2e_per_kwh.items()}
    assert steps == {"X": [1.5, 2.5], "Y": [2.0], "Z": [7.0]}
    assert pack.table("jobs_some") == [{"job_id": "4"}]


@pytest.mark.parametrize("text", ["timestamp_utc,X\n1,1\n2,\n3,2\n", "timestamp_utc,X\n1,\n", "timestamp_utc,X\n1,a\n"])
def test_a_gap_is_never_a_number(tmp_path: Path, text: str) -> None:
    (tmp_path / "carbon_a.csv").write_text(text)
    with pytest.raises(PackError, match="column X"):
        read_pack(tmp_path)


def test_files_that_disagree_on_a_zone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "carbon_a.csv").write_text("hour,X\n0,1\n")
    (tmp_path / "carbon_b.csv").write_text("hour,X\n0,2\n")
    with pytest.raises(PackError, match="other numbers for X"):
        read_pack(tmp_path)


def test_a_ragged_row_is_an_error_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "expected.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(PackError, match="line 3"):
        read_pack(tmp_path)


def test_a_value_that_is_not_known_is_never_what_the_file_says() -> None:
    table = PublishedTable(
        expected="t", keys=("k",), answer=lambda pack, rows: [{"a": 1.5} for _ in rows], tolerances={}
    )
    pack = Pack(place="by hand")
    assert our_rows(table, pack, [{"k": "1", "a": "9", "other": "9"}]) == [{"k": 1, "a": 1.5, "other": None}]
    assert our_rows(table, pack, [{"k": "1", "other": "9"}]) == [{"k": 1, "other": None, "a": 1.5}]


def test_a_note_in_the_file_comes_back_as_it_is() -> None:
    table = PublishedTable(
        expected="t", keys=("k",), answer=lambda pack, rows: [{"a": 1.5} for _ in rows], tolerances={}
    )
    assert our_rows(table, Pack(place="by hand"), [{"note": "mine", "k": "1", "a": ""}]) == [
        {"note": "mine", "k": 1, "a": 1.5}
    ]


def test_a_row_that_cannot_be_answered_says_why_and_leaves_the_others_alone() -> None:
    def halved(pack: Pack, rows: Sequence[Row]) -> list[dict[str, Value]]:
        return [{"half": number(row, "k") / 2} for row in rows]

    table, pack = PublishedTable(expected="t", keys=("k",), answer=halved, tolerances={}), Pack(place="by hand")
    assert our_rows(table, pack, [{"k": "3", "half": ""}, {"k": "x", "half": "7"}]) == [
        {"k": 3, "half": 1.5},
        {"k": "x", "half": None, "reason": "column k: 'x' is not a number"},
    ]
    with pytest.raises(CellError, match="'x' is not a number"):
        our_rows(table, pack, [{"k": "x"}, {"k": "y"}])


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("5.0", 5.0), ("", None), ("DE", "DE"), (" ", None)])
def test_cells_are_numbers_where_they_look_like_one(text: str, value: object) -> None:
    assert plain(text) == value
