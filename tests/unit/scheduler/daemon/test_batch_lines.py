from __future__ import annotations

import json

import pytest

from scheduler.daemon.batch_lines import (
    MAX_PROBLEMS,
    FileCheck,
    Line,
    Reading,
    number_of,
    numbered,
    read_line,
    result_line,
    unanswered_line,
)
from scheduler.daemon.openai_api import Endpoint
from tests.batch_files import MODEL, a_line, as_file, some_lines

STREAMED = {"model": MODEL, "messages": [{}], "stream": True}
LINE = Line(number=7, custom_id="seven", body=b"{}")


def read(data: bytes, *, endpoint: Endpoint = Endpoint.CHAT, max_lines: int = 50_000) -> Reading:
    lines = data.splitlines(keepends=True)
    check = FileCheck(endpoint, is_known=lambda model: model in (MODEL, "other"), max_lines=max_lines)
    left = numbered(lines)
    while check.check_some(left, 2):
        pass
    return check.reading()


def problem(data: bytes, **options: int) -> tuple[int | None, str, str | None]:
    (found,) = read(data, **options).problems  # type: ignore[arg-type]
    return found.line, found.code, found.param


def test_a_good_file_is_read_with_its_model_and_size() -> None:
    reading = read(some_lines(3))
    assert (reading.lines, reading.model, reading.problems) == (3, MODEL, ())
    assert reading.guessed_line_s == 1.0  # 20 tokens each


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b'{"custom_id": "x"', (1, "invalid_json_line", None)),
        (b"[]", (1, "invalid_request", None)),
        (as_file(a_line("x", method="GET")), (1, "invalid_method", "method")),
        (as_file(a_line("x", url="/v1/completions")), (1, "url_mismatch", "url")),
        (as_file(a_line("")), (1, "invalid_request", "custom_id")),
        (as_file(a_line("x" * 513)), (1, "invalid_request", "custom_id")),
        (as_file(a_line("x", body=[])), (1, "invalid_request", "body")),
        (as_file(a_line("x", body={"model": MODEL})), (1, "invalid_request", "body.messages")),
        (as_file(a_line("x", body={"model": "nobody", "messages": [{}]})), (1, "model_not_found", "body.model")),
        (as_file(a_line("x", body=STREAMED)), (1, "invalid_request", "body.stream")),
        (as_file(a_line("x")).replace(b"20", b"NaN"), (1, "invalid_json_line", None)),
        (as_file(a_line("x")).replace(b"20", b"[" * 100_000 + b"]" * 100_000), (1, "invalid_json_line", None)),
        (b"\xff\xfe", (1, "invalid_json_line", None)),
        (b"", (None, "empty_file", None)),
        (b"\n \r\n", (None, "empty_file", None)),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(line: bytes, found: tuple[int | None, str, str | None]) -> None:
    assert problem(line) == found


def test_a_name_used_twice_is_refused_where_it_comes_again() -> None:
    assert problem(as_file(a_line("a"), a_line("b"), a_line("a"))) == (3, "duplicate_custom_id", "custom_id")


def test_all_lines_ask_one_model() -> None:
    other = a_line("b", body={"model": "other", "messages": [{"role": "user", "content": "x"}]})
    assert problem(as_file(a_line("a"), other)) == (2, "model_mismatch", "body.model")


def test_one_line_more_than_allowed_is_refused() -> None:
    assert read(some_lines(3), max_lines=3).problems == ()
    assert problem(some_lines(4), max_lines=3) == (4, "too_many_tasks", None)


def test_problems_are_not_listed_without_end() -> None:
    assert len(read(b"{\n" * 1000).problems) == MAX_PROBLEMS


def test_marks_and_line_ends_of_other_systems_are_no_part_of_a_line() -> None:
    data = b"\xef\xbb\xbf" + as_file(a_line("a")).replace(b"\n", b"\r\n") + b"\r\n" + as_file(a_line("b")).rstrip()
    assert read(data).problems == ()
    assert [number for number, _ in numbered(data.splitlines(keepends=True))] == [1, 3]


def test_the_body_of_a_line_keeps_its_bytes() -> None:
    body = b'{"model": "m", "x": 0.70000000000000001}'
    raw = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":' + body + b"}"
    assert read_line(4, raw) == Line(number=4, custom_id="a", body=body)


def test_an_answer_is_one_line_that_names_its_request() -> None:
    line = result_line("batch-ab", LINE, status=200, request_id="req-1", body=b'{\n "a": 0.70000000000000001\r\n}')
    assert line.count(b"\n") == 1
    assert b"0.70000000000000001" in line
    assert json.loads(line) == {
        "id": "batch_req_ab_7",
        "custom_id": "seven",
        "response": {"status_code": 200, "request_id": "req-1", "body": {"a": 0.7}},
        "error": None,
    }
    assert number_of(line) == 7


def test_an_answer_that_is_no_json_is_kept_as_text() -> None:
    line = result_line("batch-ab", LINE, status=502, request_id="req-1", body=b"<html>\xff")
    assert json.loads(line)["response"]["body"] == "<html>\ufffd"


def test_a_request_without_an_answer_says_why() -> None:
    line = unanswered_line("batch-ab", LINE, code="batch_expired", message="too late")
    assert json.loads(line)["error"] == {"code": "batch_expired", "message": "too late"}
    assert json.loads(line)["response"] is None
    assert number_of(line) == 7


@pytest.mark.parametrize("cut", [b"", b"{", b"\n", b"\0\0\0\n", b'{"id":"batch_req_ab_7"}', b'{"id":"x"}\n'])
def test_a_cut_line_answers_nothing(cut: bytes) -> None:
    assert number_of(cut) is None
