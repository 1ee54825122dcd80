from __future__ import annotations

from pathlib import Path

from scheduler.launchers.batch import answered_ids


def test_a_half_written_last_line_counts_as_not_answered_and_is_cut_off(tmp_path: Path) -> None:
    output = tmp_path / "output.jsonl"
    output.write_text('{"custom_id": "a"}\n{"custom_id": "b"}\n{"custom_')

    assert answered_ids(output) == {"a", "b"}
    assert output.read_text().endswith('"b"}\n')


def test_nothing_is_answered_before_the_first_run(tmp_path: Path) -> None:
    assert answered_ids(tmp_path / "output.jsonl") == set()
