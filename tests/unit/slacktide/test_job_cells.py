"""Cells of a file of jobs: what means yes."""

from __future__ import annotations

import pytest

from slacktide.job_cells import yes_or_no


@pytest.mark.parametrize(
    ("text", "is_yes"),
    [("1", True), ("0", False), ("True", True), ("false", False), ("1.0", True), ("0.0", False)],
)
def test_yes_and_no_may_be_written_as_other_programs_do(text: str, is_yes: bool) -> None:
    assert yes_or_no(text) is is_yes


@pytest.mark.parametrize("text", ["", "yes", "2", "nan"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        yes_or_no(text)
