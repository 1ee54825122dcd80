"""What the gateway reads of requests and answers."""

from __future__ import annotations

import json

import pytest

from scheduler.daemon.api_errors import ApiError
from scheduler.daemon.openai_api import (
    Call,
    Endpoint,
    Usage,
    error_event,
    models_answer,
    prompt_prefix,
    read_call,
    read_stream_usage,
    read_usage,
    wrapped_as_event,
)


def chat(**fields: object) -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 400}], **fields}
    return read_call(Endpoint.CHAT, json.dumps(body).encode())


def completion(prompt: object, **fields: object) -> Call:
    return read_call(Endpoint.COMPLETIONS, json.dumps({"model": "m", "prompt": prompt, **fields}).encode())


def test_a_prompt_counts_a_token_for_four_bytes() -> None:
    # 400 letters and 34 characters of JSON around them.
    assert chat().prompt_tokens == pytest.approx(110, abs=5)


@pytest.mark.parametrize(("ids", "tokens"), [([1, 2, 3], 3), ([[1, 2], [3, 4, 5]], 5), ([7], 1)])
def test_token_ids_count_themselves(ids: object, tokens: int) -> None:
    assert completion(ids).prompt_tokens == tokens


def test_a_text_that_begins_with_a_digit_is_still_text() -> None:
    assert completion("1, 2, 3, 4, 5, 6, 7, 8, 9, 10").prompt_tokens == 7


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"max_tokens": 10}, 10),
        ({"max_tokens": 10, "max_completion_tokens": 20}, 20),
        ({"max_tokens": 10, "n": 3}, 30),
        ({}, 256),
    ],
)
def test_output_is_as_long_as_the_caller_allows(fields: dict[str, object], tokens: int) -> None:
    assert chat(**fields).output_tokens == tokens


def test_an_embedding_has_no_output_and_is_never_a_stream() -> None:
    call = read_call(Endpoint.EMBEDDINGS, b'{"model":"m","input":["a","b"],"stream":true}')
    assert (call.output_tokens, call.is_streaming) == (0, False)


def test_nulls_are_as_good_as_absent() -> None:
    call = chat(stream=None, max_tokens=None, service_tier=None, metadata=None, n=None)
    assert (call.is_streaming, call.service_tier, call.deadline) == (False, None, None)


def test_unknown_fields_and_other_metadata_are_not_ours() -> None:
    call = chat(tools=[{"type": "function"}], metadata={"user": "7", "slacktide_deadline": "6h"}, service_tier="flex")
    assert (call.deadline, call.service_tier) == ("6h", "flex")


@pytest.mark.parametrize("prompt", [3, {"a": 1}, True])
def test_a_prompt_of_another_kind_is_refused(prompt: object) -> None:
    with pytest.raises(ApiError) as refused:
        completion(prompt)
    assert (refused.value.status, refused.value.param) == (400, "prompt")


def test_usage_is_read_where_there_is_any() -> None:
    assert read_usage(b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}') == Usage(
        prompt_tokens=1, completion_tokens=2
    )
    assert read_usage(b'{"usage":{"prompt_tokens":1,"total_tokens":1}}') == Usage(prompt_tokens=1)
    assert read_usage(b'{"data":[]}') is None
    assert read_usage(b"<html>") is None


def test_usage_of_a_stream_stands_in_its_last_event_that_has_any() -> None:
    tail = b'ut off"}\n\ndata: {"usage":{"prompt_tokens":4,"completion_tokens":5}}\n\ndata: [DONE]\n\n'
    assert read_stream_usage(tail) == Usage(prompt_tokens=4, completion_tokens=5)
    assert read_stream_usage(b'data: {"usage":null}\n\ndata: [DONE]\n\n') is None


def test_models_have_openais_list_shape() -> None:
    answer = json.loads(models_answer(["m"], created_at_s=5.7))
    assert answer == {
        "object": "list",
        "data": [{"id": "m", "object": "model", "created": 5, "owned_by": "slacktide"}],
    }


def test_an_error_of_several_lines_becomes_one_event() -> None:
    event = wrapped_as_event(b'{\r\n "error": {"message": "two  spaces"}\n}')
    assert event.count(b"\n") == 2
    assert json.loads(event.removeprefix(b"data: "))["error"]["message"] == "two  spaces"


def test_an_error_event_is_the_error_object() -> None:
    event = error_event(ApiError(502, "no", kind="server_error", code="c"))
    assert event.endswith(b"\n\n")
    assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == "c"


def prefix_of(*contents: str, model: str = "m", **fields: object) -> tuple[int, ...]:
    messages = [{"role": "user", "content": content} for content in contents]
    return prompt_prefix(Endpoint.CHAT, json.dumps({"model": model, "messages": messages, **fields}).encode(), model)


def test_a_conversation_begins_with_its_earlier_turns() -> None:
    first, second = prefix_of("x" * 2000), prefix_of("x" * 2000, "and now?" * 100)
    assert second[: len(first)] == first
    assert len(second) > len(first) == 3  # whole blocks of 512 characters


def test_what_is_not_the_prompt_does_not_matter_and_the_model_does() -> None:
    assert prefix_of("x" * 2000, temperature=1) == prefix_of("x" * 2000)
    assert prefix_of("x" * 2000, model="other")[0] != prefix_of("x" * 2000)[0]


@pytest.mark.parametrize(
    ("details", "cached"),
    [({"cached_tokens": 30}, 30), ({"cached_tokens": 500}, 100), ({"cached_tokens": None}, 0), ({}, 0), (None, 0)],
)
def test_a_worker_says_what_its_prefix_cache_spared(details: object, cached: int) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": details}
    found = read_usage(json.dumps({"usage": usage}).encode())
    assert found is not None
    assert found.cached_tokens == cached


# -- /v1/responses ----------------------------------------------------------------------------------------------------


def response(**fields: object) -> Call:
    return read_call(Endpoint.RESPONSES, json.dumps({"model": "m", "input": "hello, you", **fields}).encode())


def test_a_response_is_asked_for_with_a_text_or_a_list_and_a_limit_of_its_own() -> None:
    assert (response().prompt_tokens, response(max_output_tokens=7).output_tokens) == (3, 7)
    assert response(input=[{"role": "user", "content": "hi"}], stream=True).is_streaming
    with pytest.raises(ApiError, match="input must be a string or a list"):
        response(input=7)
    with pytest.raises(ApiError, match="max_output_tokens cannot be 0"):
        response(max_output_tokens=0)


def test_a_response_in_the_background_is_refused_because_nobody_could_ask_for_it() -> None:
    assert response(background=False).model == "m"
    with pytest.raises(ApiError, match="background is not served here"):
        response(background=True)


def test_the_usage_of_a_response_has_other_names() -> None:
    answer = b'{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":5}}'
    usage = read_usage(answer, Endpoint.RESPONSES)
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (9, 5, 4)
    assert read_usage(b'{"usage":null}', Endpoint.RESPONSES) is None


def test_the_usage_of_a_streamed_response_is_read_from_an_event_whose_beginning_is_gone() -> None:
    text = json.dumps('"usage":{"input_tokens":99}').encode()
    tail = (
        b' cut off"}],"text":' + text + b',"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":0},'
        b'"output_tokens":5,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":14},"user":null}}\n\n'
    )
    usage = read_stream_usage(tail, Endpoint.RESPONSES)
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (9, 5)
    assert read_stream_usage(b'data: {"response":{"usage":null}}\n\n', Endpoint.RESPONSES) is None
