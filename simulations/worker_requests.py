"""The bodies that a simulated worker accepts, strictly typed; fields it does not know are ignored, as vLLM does.

Decides what is wrong with a body and which field it is. Knows no server.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar

import msgspec

_FIELD = re.compile(r"`\$\.([A-Za-z_]+)")
_MISSING = re.compile(r"required field `([A-Za-z_]+)`")


class BadBody(ValueError):  # noqa: N818
    """A body that is no request: says what, and which field if one is to blame."""

    status = 400
    code: str | None = None

    def __init__(self, what: str, param: str | None = None) -> None:
        self.what, self.param = what, param
        super().__init__(what)


class UnknownModel(BadBody):
    """A model that this worker does not serve."""

    status = 404
    code = "model_not_found"

    def __init__(self, name: str, served: str) -> None:
        super().__init__(f"the model {name!r} does not exist; this worker serves {served!r}", "model")


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class TransferParams(msgspec.Struct, frozen=True):
    """vLLM's, of its NIXL connector: keep the KV cache of the prompt for another engine, or fetch it from one."""

    do_remote_decode: bool = False
    do_remote_prefill: bool = False
    remote_engine_id: str | None = None
    remote_block_ids: list[int] | None = None
    remote_host: str | None = None
    remote_port: int | None = None


class ChatBody(msgspec.Struct, frozen=True):
    model: str
    messages: list[dict[str, Any]]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = None
    kv_transfer_params: TransferParams | None = None


class CompletionBody(msgspec.Struct, frozen=True):
    model: str
    prompt: str | list[Any]
    max_tokens: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = None
    kv_transfer_params: TransferParams | None = None


class EmbeddingBody(msgspec.Struct, frozen=True):
    model: str
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


B = TypeVar("B", ChatBody, CompletionBody, EmbeddingBody)


def parse(raw: bytes, kind: type[B]) -> B:
    """The body of a request. Raises BadBody."""
    try:
        body = msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise BadBody(str(error), _field(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadBody(f"the body is no valid JSON: {error}") from None
    if not isinstance(body, EmbeddingBody):
        _check_limits(body)
    return body


def output_limit_tokens(body: ChatBody | CompletionBody) -> int | None:
    """The number of tokens the caller allows, or None."""
    if isinstance(body, ChatBody) and body.max_completion_tokens is not None:
        return body.max_completion_tokens
    return body.max_tokens


def texts(value: str | list[Any], param: str) -> list[tuple[str, int | None]]:
    """The prompts or inputs of one request, each with its token count where it came as token ids. Raises BadBody."""
    if isinstance(value, str):
        return [(value, None)]
    if value and all(isinstance(part, str) for part in value):
        return [(part, None) for part in value]
    if value and all(isinstance(part, int) for part in value):
        return [(_spelled(value), len(value))]
    if value and all(isinstance(part, list) and part and all(isinstance(i, int) for i in part) for part in value):
        return [(_spelled(part), len(part)) for part in value]
    raise BadBody(f"{param} must be a string, a list of strings, or token ids, and not empty", param)


def _spelled(token_ids: list[int]) -> str:
    return " ".join(map(str, token_ids))


def _check_limits(body: ChatBody | CompletionBody) -> None:
    params = body.kv_transfer_params
    if params is not None and params.do_remote_prefill and not (params.remote_engine_id and params.remote_block_ids):
        raise BadBody("a KV cache is fetched from remote_engine_id, remote_block_ids", "kv_transfer_params")
    limit = output_limit_tokens(body)
    if limit is not None and limit < 1:
        is_chat_limit = isinstance(body, ChatBody) and body.max_completion_tokens is not None
        raise BadBody("at least one token must be allowed", "max_completion_tokens" if is_chat_limit else "max_tokens")
    if body.n not in (None, 1):
        raise BadBody("a simulated worker makes one answer for each prompt: n must be 1", "n")
    if isinstance(body, ChatBody) and not body.messages:
        raise BadBody("messages must not be empty", "messages")


def _field(message: str) -> str | None:
    found = _FIELD.search(message) or _MISSING.search(message)
    return found[1] if found else None
