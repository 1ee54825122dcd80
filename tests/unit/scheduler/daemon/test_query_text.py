from __future__ import annotations

import json

import pytest

from scheduler.daemon.openai_api import Endpoint
from scheduler.daemon.query_text import query_text, with_model

USER, SYSTEM = {"role": "user", "content": "second"}, {"role": "system", "content": "be brief"}


@pytest.mark.parametrize(
    ("endpoint", "field", "said", "text"),
    [
        (Endpoint.CHAT, "messages", [SYSTEM, {"role": "user", "content": "first"}, USER], "second"),
        (Endpoint.CHAT, "messages", [USER, {"role": "assistant", "content": "an answer"}], "second"),
        (Endpoint.CHAT, "messages", [SYSTEM], "be brief"),
        (
            Endpoint.CHAT,
            "messages",
            [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url"}]}],
            "see",
        ),
        (Endpoint.CHAT, "messages", [{"role": "user", "content": None}], ""),
        (Endpoint.CHAT, "messages", ["no message"], ""),
        (Endpoint.COMPLETIONS, "prompt", "once", "once"),
        (Endpoint.COMPLETIONS, "prompt", ["once", "twice"], "once\ntwice"),
        (Endpoint.COMPLETIONS, "prompt", [1, 2, 3], ""),
        (Endpoint.EMBEDDINGS, "input", "a text", "a text"),
        (Endpoint.RESPONSES, "input", "a text", "a text"),
        (Endpoint.RESPONSES, "input", [SYSTEM, USER, {"type": "function_call_output", "output": "7"}], "second"),
        (
            Endpoint.RESPONSES,
            "input",
            [{"role": "user", "content": [{"type": "input_text", "text": "see"}, {"type": "input_image"}]}],
            "see",
        ),
    ],
)
def test_the_last_thing_said_is_what_is_judged(endpoint: Endpoint, field: str, said: object, text: str) -> None:
    assert query_text(endpoint, json.dumps({"model": "auto", field: said}).encode()) == text


def test_another_model_changes_nothing_else() -> None:
    body = b'{"temperature": 0.70000000000000001, "model": "auto", "messages": [{"role":"user", "content":"\\u00e9"}]}'
    changed = with_model(body, 'a "quoted" model')

    assert json.loads(changed) == json.loads(body) | {"model": 'a "quoted" model'}
    assert b"0.70000000000000001" in changed
    assert b'[{"role":"user", "content":"\\u00e9"}]' in changed
