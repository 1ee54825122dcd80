"""Tables of measured points: what is read, and where a wrong one is wrong."""

from __future__ import annotations

import pytest

from shaping.measurements import MeasurementError, Phase, read_each, read_measurements, read_points
from tests.unit.shaping.measured_rows import HEADER, a_table

POINTS = "batch,j_per_token,tokens_per_s"


def test_a_row_is_read_as_it_stands() -> None:
    (one,) = read_measurements(a_table({"quality_flags": "a;b", "expert_parallel": "4", "num_gpus": "4"}), "t.csv")
    assert (one.line, one.group_id, one.batch_sequences, one.j_per_token) == (2, "m|g", 8.0, 0.5)
    assert one.phase is Phase.CONTINUOUS
    assert (one.gpus, one.is_expert_parallel, one.flags) == (4, True, frozenset({"a", "b"}))


def test_an_empty_cell_is_not_measured() -> None:
    (one,) = read_measurements(a_table({"energy_per_output_token_j": "", "avg_prompt_tokens": ""}), "t.csv")
    assert one.j_per_token is None
    assert one.prompt_tokens is None
    assert one.tokens_per_s == 1000.0


def test_empty_lines_are_passed_over_and_optional_columns_may_be_missing() -> None:
    lines = ["batch,tokens_per_s,j_per_token,note\n", "\n", '8,1000,0.5,"a, b"\n']
    ((line, one),) = read_points(lines, "p.csv")
    assert line == 3
    assert (one.batch_sequences, one.tokens_per_s, one.j_per_token) == (8, 1000, 0.5)


@pytest.mark.parametrize(
    ("column", "cell", "what"),
    [
        ("avg_batch_size", "many", "'many' is not a number"),
        ("avg_batch_size", "", "is empty"),
        ("avg_batch_size", "0", "above 0"),
        ("avg_batch_size", "nan", "finite"),
        ("num_gpus", "1.5", "whole number"),
        ("group_id", "", "a name is needed"),
        ("phase", "training", "none of serving-steady-state"),
        ("power_cap_fraction", "50", "at most 1"),
        ("energy_per_output_token_j", "-1", "above 0"),
    ],
)
def test_a_wrong_cell_is_named_by_file_line_and_column(column: str, cell: str, what: str) -> None:
    lines = a_table({}, {column: cell})
    with pytest.raises(MeasurementError, match=what) as caught:
        read_measurements(lines, "t.csv")
    error = caught.value
    assert str(error).startswith(f"t.csv:3:{error.column}: {column}: ")
    assert lines[2][error.column - 1 :].startswith(cell)


def test_a_row_with_an_unusable_cell_is_kept_apart_and_the_others_are_read() -> None:
    read, unread = read_each(a_table({}, {"avg_batch_size": ""}, {"phase": "training", "group_id": ""}, {}), "t.csv")
    assert [one.line for one in read] == [2, 5]
    empty, unknown = unread
    assert (empty.line, empty.group_id) == (3, "m|g")
    assert empty.reason == "avg_batch_size: is empty; a number is needed here"
    assert (unknown.line, unknown.group_id) == (4, "meta-llama/Llama-3.1-8B-Instruct|H100-SXM5-80GB")


def test_a_table_without_a_column_is_refused_even_where_rows_are_kept_apart() -> None:
    with pytest.raises(MeasurementError, match="the column is missing"):
        read_each(["group_id,gpu\n", "m|g,H100\n"], "t.csv")


def test_the_column_counts_quoted_cells_as_they_were_written() -> None:
    lines = ["note,batch,j_per_token,tokens_per_s\n", '"a, ""b""",8,x,9\n']
    with pytest.raises(MeasurementError) as caught:
        read_points(lines, "p.csv")
    assert lines[1][caught.value.column - 1] == "x"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "p.csv:1:1: the file is empty"),
        ([POINTS], "p.csv:2:1: no point"),
        (["batch,j_per_token"], "p.csv:1:1: tokens_per_s: the column is missing"),
        ([POINTS, "1,2"], "p.csv:2:1: 2 cells, the header has 3"),
        ([POINTS, '1,"2,3'], "p.csv:2:1: is no CSV"),
    ],
)
def test_a_table_that_is_none_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(MeasurementError) as caught:
        read_points([f"{line}\n" for line in lines], "p.csv")
    assert str(caught.value).startswith(message)


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    assert len(read_measurements([f"\ufeff{','.join(HEADER)}\n", *a_table({})[1:]], "t.csv")) == 1
