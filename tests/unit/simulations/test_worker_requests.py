"""What a body may look like, and what is said of one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from simulations.worker_requests import BadBody, ChatBody, CompletionBody, output_limit_tokens, parse, texts


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("one", [("one", None)]),
        (["one", "two"], [("one", None), ("two", None)]),
        ([1, 2, 3], [("1 2 3", 3)]),
        ([[1, 2], [3]], [("1 2", 2), ("3", 1)]),
    ],
)
def test_prompts_come_as_text_or_as_token_ids(value: Any, expected: list[tuple[str, int | None]]) -> None:
    assert texts(value, "prompt") == expected


@pytest.mark.parametrize("value", [[], [[]], ["one", 2], [None], [1.5]])
def test_a_prompt_of_no_known_form_is_refused(value: list[Any]) -> None:
    with pytest.raises(BadBody) as caught:
        texts(value, "prompt")
    assert caught.value.param == "prompt"


def test_the_newer_limit_wins_over_the_older() -> None:
    body = parse(
        b'{"model":"m","messages":[{"role":"user"}],"max_tokens":5,"max_completion_tokens":7,"top_p":1}', ChatBody
    )
    assert output_limit_tokens(body) == 7


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b'{"prompt":"x"}', "model"),
        (b'{"model":"m","prompt":5}', "prompt"),
        (b'{"model":"m","prompt":"x","max_tokens":-1}', "max_tokens"),
        (b'{"model":"m","prompt":"x","stream":"yes"}', "stream"),
        (b"\xff\xfe", None),
        (b"[]", None),
        (b'{"model":"m","prompt":"x","max_tokens":NaN}', None),
    ],
)
def test_a_bad_body_names_the_field_to_blame(raw: bytes, param: str | None) -> None:
    with pytest.raises(BadBody) as caught:
        parse(raw, CompletionBody)
    assert caught.value.param == param
