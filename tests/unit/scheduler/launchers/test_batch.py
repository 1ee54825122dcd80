from __future__ import annotations

import json
from pathlib import Path

import pytest

from scheduler.launchers.batch import answered_ids


def answer(custom_id: str) -> bytes:
    return json.dumps({"custom_id": custom_id, "response": None}).encode() + b"\n"


@pytest.mark.parametrize("rest", [b"", b'{"custom_id": "c"', b"\0" * 64 + b"\n" + answer("d"), b"[]\n", b"{}\n"])
def test_what_a_crash_left_half_written_is_cut_off_and_asked_again(tmp_path: Path, rest: bytes) -> None:
    output = tmp_path / "output.jsonl"
    output.write_bytes(answer("a") + answer("b") + rest)

    assert answered_ids(output) == {"a", "b"}
    assert output.read_bytes() == answer("a") + answer("b")


def test_a_batch_that_never_ran_has_no_answers(tmp_path: Path) -> None:
    assert answered_ids(tmp_path / "output.jsonl") == set()
