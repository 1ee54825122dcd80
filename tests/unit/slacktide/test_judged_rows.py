"""Tables of judged queries: what is read, what is left out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from slacktide.judged_rows import judged_rows
from slacktide.terminal import UsageProblem


def a_table(folder: Path, *lines: str) -> Path:
    path = folder / "judged.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_a_query_that_somebody_left_unjudged_is_left_out_and_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_table(tmp_path, "query,subject,weak_correct,strong_correct", "Who?,a,1,0", "What?,a,,1", "Why?,b,0,1")
    found = judged_rows(path)
    assert (found.queries, found.subjects) == (["Who?", "Why?"], ["a", "b"])
    assert found.is_right["weak"].tolist() == [True, False]
    assert "1 of 3 queries are not judged" in capsys.readouterr().err


def test_truths_may_be_written_as_other_programs_do_and_a_subject_is_not_needed(tmp_path: Path) -> None:
    path = a_table(tmp_path, "strong_correct,query,weak_correct", "True,Who?,0.0", "false,What?,1.0")
    found = judged_rows(path)
    assert found.is_right["strong"].tolist() == [True, False]
    assert found.is_right["weak"].tolist() == [False, True]
    assert found.subjects == ["", ""]


def test_a_half_truth_is_refused_with_its_row_in_the_file(tmp_path: Path) -> None:
    path = a_table(tmp_path, "query,weak_correct,strong_correct", "Who?,,1", "What?,0.5,1")
    with pytest.raises(UsageProblem, match=r"row 2, column weak_correct: '0\.5'"):
        judged_rows(path)


def test_a_table_in_which_nothing_is_judged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no query is judged"):
        judged_rows(a_table(tmp_path, "query,weak_correct,strong_correct", "Who?,,1"))
