"""Columns and bars as text."""

from __future__ import annotations

from slacktide.columns import aligned, bars


def test_columns_are_as_wide_as_their_widest_cell_and_numbers_end_flush() -> None:
    assert aligned([("A", "N", "Z"), ("long", "1", ""), ("b", "100", "z")], right=(1,)) == (
        "A       N  Z\nlong    1\nb     100  z"
    )


def test_bars_run_from_the_smallest_to_the_largest_and_leave_gaps_blank() -> None:
    assert bars([0.0, None, 70.0, 35.0]) == "▁ █▅"
    assert bars([5.0, 5.0]) == "▁▁"
    assert bars([None]) == " "
    assert bars([]) == ""
