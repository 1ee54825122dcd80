"""How sure an answer is of itself, by answers as vLLM, SGLang and OpenAI write them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from scheduler.daemon.answer_confidence import (
    Confidence,
    asks_for_logprobs,
    confidence,
    has_limit,
    with_logprobs,
    without_logprobs,
)
from scheduler.daemon.openai_api import Endpoint
from shaping.routing import RouteReason


def a_choice(*logprobs: float | None, text: str | None = "yes", **changes: Any) -> dict[str, Any]:
    told: list[dict[str, Any]] = [{"token": "t", "logprob": one, "bytes": None, "top_logprobs": []} for one in logprobs]
    message = {"role": "assistant", "content": text}
    return {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": told}, **changes}


def judged(*choices: dict[str, Any], is_limited: bool = False) -> Confidence:
    return confidence(json.dumps({"id": "x", "choices": choices}).encode(), has_limit=is_limited)


def test_the_confidence_is_the_geometric_mean_of_the_tokens_probabilities() -> None:
    assert judged(a_choice(math.log(0.9), math.log(0.4))).ratio == pytest.approx(0.6)


def test_of_several_choices_the_least_sure_one_counts() -> None:
    assert judged(a_choice(math.log(0.9)), a_choice(math.log(0.5))).ratio == pytest.approx(0.5)


def test_a_completion_tells_its_tokens_in_another_place() -> None:
    choice = {"text": "yes", "finish_reason": "stop", "logprobs": {"token_logprobs": [None, math.log(0.25)]}}
    assert judged(choice).ratio == pytest.approx(0.25)


def test_a_call_of_a_tool_has_no_text_and_is_an_answer() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    assert judged(a_choice(math.log(0.9), message=message)).ratio == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("choice", "flaw"),
    [
        (a_choice(-0.1, text=""), RouteReason.EMPTY),
        (a_choice(-0.1, text=None), RouteReason.EMPTY),
        (a_choice(-0.1, finish_reason="content_filter"), RouteReason.FILTERED),
        (a_choice(-0.1, finish_reason="length"), RouteReason.CUT_OFF),
        (a_choice(), RouteReason.NO_CONFIDENCE),
        (a_choice(logprobs=None), RouteReason.NO_CONFIDENCE),
        (a_choice(None, math.inf), RouteReason.NO_CONFIDENCE),
    ],
)
def test_an_answer_that_is_none_stands_for_nothing(choice: dict[str, Any], flaw: RouteReason) -> None:
    assert judged(choice) == Confidence(ratio=None, flaw=flaw)
    assert judged(a_choice(-0.1), choice).flaw is flaw


def test_an_answer_that_the_caller_cut_off_is_no_flaw() -> None:
    assert judged(a_choice(math.log(0.9), finish_reason="length"), is_limited=True).ratio == pytest.approx(0.9)


@pytest.mark.parametrize(("answer", "flaw"), [(b"no json", "no_confidence"), (b'{"choices":[]}', "empty")])
def test_what_is_no_answer_says_nothing(answer: bytes, flaw: str) -> None:
    assert confidence(answer, has_limit=False).flaw == flaw


@pytest.mark.parametrize(
    ("field", "is_limited"), [({}, False), ({"max_tokens": 9}, True), ({"max_tokens": None}, False)]
)
def test_a_limit_is_the_callers(field: dict[str, Any], is_limited: bool) -> None:
    assert has_limit(json.dumps({"model": "m", **field}).encode()) is is_limited


@pytest.mark.parametrize(("wanted", "asks"), [(True, True), (False, False), (None, False), (0, True), ("yes", True)])
def test_a_caller_may_ask_for_them_as_well(wanted: object, asks: bool) -> None:
    assert asks_for_logprobs(json.dumps({"logprobs": wanted}).encode()) is asks


def test_they_are_asked_for_and_taken_out_again() -> None:
    body = json.dumps({"model": "m", "messages": [], "seed": 1.50}).encode()
    assert json.loads(with_logprobs(Endpoint.CHAT, body))["logprobs"] is True
    assert json.loads(with_logprobs(Endpoint.COMPLETIONS, body))["logprobs"] == 1
    answer = json.dumps({"id": "x", "choices": [a_choice(-0.1)], "usage": {"prompt_tokens": 3}}).encode()
    shown = json.loads(without_logprobs(answer))
    assert shown["choices"][0].pop("logprobs") is None
    kept = json.loads(answer)
    del kept["choices"][0]["logprobs"]
    assert shown == kept


@pytest.mark.parametrize("answer", [b"no json", b"\xff", b'{"choices":3}', b"{}"])
def test_what_has_no_choices_is_left_as_it_is(answer: bytes) -> None:
    assert without_logprobs(answer) == answer
