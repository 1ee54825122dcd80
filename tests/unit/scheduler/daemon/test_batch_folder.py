from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.daemon.batch_folder import BatchFolder, TooLongLineError
from scheduler.daemon.batch_lines import Line, result_line
from tests.batch_files import some_lines


def a_folder(tmp_path: Path, lines: int = 3) -> BatchFolder:
    uploaded = tmp_path / "file-1"
    uploaded.write_bytes(some_lines(lines))
    folder = BatchFolder(tmp_path / "batch-1", 1000)
    folder.take_input(uploaded)
    return folder


def a_result(number: int) -> bytes:
    return result_line("batch-1", Line(number=number, custom_id="x", body=b""), status=200, request_id="r", body=b"{}")


def test_the_input_outlives_the_upload(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    (tmp_path / "file-1").unlink()
    assert [line.custom_id for line in folder.lines()] == ["line-0", "line-1", "line-2"]


def test_answers_are_recovered_and_a_cut_one_is_cut_off(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    folder.append(folder.output, [a_result(1), a_result(3)])
    folder.append(folder.errors, [a_result(2)])
    with folder.output.open("ab") as file:
        file.write(a_result(4)[:-5])
    assert folder.recovered() == ({1, 3}, {2})
    assert folder.output.read_bytes() == a_result(1) + a_result(3)
    folder.append(folder.output, [a_result(4)])
    assert folder.recovered() == ({1, 3, 4}, {2})


def test_a_line_longer_than_a_request_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    folder.input.write_bytes(b"{}\n" + b"x" * 1001)
    with pytest.raises(TooLongLineError) as refused:
        list(folder.raw_lines())
    assert refused.value.number == 2


def test_publishing_twice_is_publishing_once(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    folder.append(folder.output, [a_result(1)])
    target = tmp_path / "file-2"
    assert folder.publish(folder.output, target) == folder.publish(folder.output, target) == len(a_result(1))
    assert folder.publish(folder.errors, tmp_path / "file-3") == 0
    folder.remove()
    assert target.read_bytes() == a_result(1)
    assert not (tmp_path / "file-3").exists()
