"""What a reader of the status page's stream is told, and what it makes of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.daemon.dashboard.board import Board

Table = dict[str, dict[str, Any]]


class Reader:
    """Applies what it is told, as the page does."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.revision: int | None = None

    def reads(self, board: Board) -> None:
        for name, told in board.since(self.revision).items():
            rows = {**self.tables.get(name, {}), **told["rows"]}
            self.tables[name] = {key: rows[key] for key in told.get("ids", rows)}
        self.revision = board.revision


def test_the_first_answer_holds_every_table_an_empty_one_too() -> None:
    board = Board("b")
    board.show({"job": {"one": {"state": "waiting"}}, "batch": {}})
    assert board.since(None) == {
        "job": {"rows": {"one": {"state": "waiting"}}, "ids": ["one"]},
        "batch": {"rows": {}, "ids": []},
    }


def test_only_rows_that_changed_are_told_and_nothing_when_none_did() -> None:
    board = Board("b")
    board.show({"job": {"one": {"state": "waiting"}, "two": {"state": "waiting"}}})
    first = board.revision
    board.show({"job": {"one": {"state": "running"}, "two": {"state": "waiting"}}})
    assert board.since(first) == {"job": {"rows": {"one": {"state": "running"}}}}
    assert board.since(board.revision) == {}


def test_a_look_that_finds_the_same_is_no_revision() -> None:
    board = Board("b")
    board.show({"job": {"one": {"state": "waiting"}}})
    before = board.mark
    board.show({"job": {"one": {"state": "waiting"}}})
    assert board.mark == before


def test_a_row_that_has_gone_is_told_by_the_list_of_those_that_are_left() -> None:
    board = Board("b")
    board.show({"job": {"one": {}, "two": {}}})
    first = board.revision
    board.show({"job": {"two": {}}})
    assert board.since(first) == {"job": {"rows": {}, "ids": ["two"]}}


def test_a_mark_of_another_board_or_of_the_future_means_nothing() -> None:
    board = Board("b")
    board.show({"job": {}})
    assert board.revision_of(board.mark) == 1
    marks = ("", "1", "b.", "b.x", "a.1", "b.2", "b.-1", "b.\u0661", f"b.{'9' * 30}")
    assert [board.revision_of(mark) for mark in marks] == [None] * len(marks)


ROWS = st.dictionaries(st.sampled_from("abc"), st.fixed_dictionaries({"n": st.integers(0, 2)}), max_size=3)
LOOKS = st.lists(st.tuples(st.dictionaries(st.sampled_from(["job", "batch"]), ROWS), st.booleans()), max_size=12)


@settings(max_examples=50)
@given(LOOKS)
def test_a_reader_who_misses_any_looks_ends_with_what_is_there(looks: list[tuple[dict[str, Table], bool]]) -> None:
    board, reader = Board("b"), Reader()
    there: dict[str, Table] = {}
    for tables, is_read in looks:
        board.show(tables)
        there |= tables
        if is_read:
            reader.reads(board)
            assert reader.tables == there
    reader.reads(board)
    assert reader.tables == there
