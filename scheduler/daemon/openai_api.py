"""What the gateway reads of an OpenAI request, and what it reads of an answer. The bytes themselves pass unchanged.

Decides which fields matter here (model, stream, sizes, tier, deadline) and refuses what is not JSON or has the wrong
type. Refuses to know what the other fields mean: they are the worker's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from scheduler.daemon.api_errors import ApiError, invalid
from shaping.prefixes import Prefix, named_blocks
from shaping.request import LatencyClass


class Endpoint(StrEnum):
    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"
    RESPONSES = "/v1/responses"


FLEX, PRIORITY, DEFAULT = "flex", "priority", "default"
SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})

# A byte pair is about four characters of English; JSON's own punctuation makes this an upper bound, which is the safe
# side for memory.
_BYTES_PER_TOKEN = 4
# Prompts are compared in blocks of so many tokens: fine enough for a system prompt, coarse enough to be named at once.
PREFIX_BLOCK_TOKENS = 128
# Reserved where the caller sets no limit: about what the published conversation traces answer on average.
_OUTPUT_TOKENS_UNSAID = 256


class CallMetadata(msgspec.Struct, gc=False):
    slacktide_deadline: str | None = None


class _Common(msgspec.Struct, gc=False, kw_only=True):
    model: str
    stream: bool | None = None
    service_tier: str | None = None
    metadata: CallMetadata | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None


class ChatFields(_Common, gc=False, kw_only=True):
    messages: msgspec.Raw


class CompletionFields(_Common, gc=False, kw_only=True):
    prompt: msgspec.Raw


class EmbeddingFields(_Common, gc=False, kw_only=True):
    input: msgspec.Raw


class ResponseFields(_Common, gc=False, kw_only=True):
    input: msgspec.Raw
    max_output_tokens: int | None = None
    background: bool | None = None


_DECODERS: dict[Endpoint, msgspec.json.Decoder[Any]] = {
    Endpoint.CHAT: msgspec.json.Decoder(ChatFields),
    Endpoint.COMPLETIONS: msgspec.json.Decoder(CompletionFields),
    Endpoint.EMBEDDINGS: msgspec.json.Decoder(EmbeddingFields),
    Endpoint.RESPONSES: msgspec.json.Decoder(ResponseFields),
}


def fields_of(endpoint: Endpoint) -> type[msgspec.Struct]:
    """What is read of a body; its other fields are passed on unread."""
    found: type[msgspec.Struct] = _DECODERS[endpoint].type
    return found


_PROMPT_FIELD = {
    Endpoint.CHAT: "messages",
    Endpoint.COMPLETIONS: "prompt",
    Endpoint.EMBEDDINGS: "input",
    Endpoint.RESPONSES: "input",
}


@dataclass(slots=True, kw_only=True)
class Call:
    """What the gateway knows of one request. Token counts are estimates."""

    model: str
    is_streaming: bool
    prompt_tokens: int
    output_tokens: int
    service_tier: str | None = None
    deadline: str | None = None


def read_call(endpoint: Endpoint, body: bytes) -> Call:
    """Peek at a request body. Raises ApiError naming the field."""
    fields = _decode(endpoint, body)
    prompt = bytes(getattr(fields, _PROMPT_FIELD[endpoint]))
    _check_prompt(_PROMPT_FIELD[endpoint], prompt)
    if endpoint is Endpoint.RESPONSES and fields.background:
        # It would be asked for again by its id, and of a worker that no longer knows which of them has it.
        raise invalid("background is not served here: use /v1/batches, or a deadline", param="background")
    tier = fields.service_tier
    if tier is not None and tier not in SERVICE_TIERS:
        raise invalid(f"service_tier must be one of {', '.join(sorted(SERVICE_TIERS))}", param="service_tier")
    return Call(
        model=fields.model,
        is_streaming=bool(fields.stream) and endpoint is not Endpoint.EMBEDDINGS,
        prompt_tokens=_token_estimate(prompt),
        output_tokens=0 if endpoint is Endpoint.EMBEDDINGS else _output_limit(fields),
        service_tier=tier,
        deadline=fields.metadata.slacktide_deadline if fields.metadata is not None else None,
    )


def prompt_prefix(endpoint: Endpoint, body: bytes, model: str) -> Prefix:
    """Names of the blocks that the prompt of a valid body begins with.

    It is compared as JSON: who sends the same messages again in another layout is taken for somebody else.
    """
    prompt = bytes(getattr(_DECODERS[endpoint].decode(body), _PROMPT_FIELD[endpoint]))
    return named_blocks(prompt, PREFIX_BLOCK_TOKENS * _BYTES_PER_TOKEN, root=model.encode())


def _decode(endpoint: Endpoint, body: bytes) -> Any:
    if not body:
        raise invalid("The body is empty; send a JSON object.", param=None, code="empty_body")
    try:
        return _DECODERS[endpoint].decode(body)
    except msgspec.ValidationError as error:
        raise invalid(_said_plainly(str(error)), param=_field_in(str(error))) from None
    except msgspec.DecodeError as error:
        raise invalid(f"The body is not valid JSON: {error}", code="invalid_json") from None
    except UnicodeDecodeError:
        raise invalid("The body is not valid UTF-8.", code="invalid_json") from None
    except RecursionError:
        raise invalid("The body is nested too deeply.", code="invalid_json") from None


_PLACE = re.compile(r" - at `\$\.?([^`]*)`")
_MISSING = re.compile(r"missing required field `([^`]+)`")


def _field_in(problem: str) -> str | None:
    found = _PLACE.search(problem) or _MISSING.search(problem)
    return found[1] or None if found else None


def _said_plainly(problem: str) -> str:
    missing = _MISSING.search(problem)
    if missing:
        return f"The field `{missing[1]}` is missing."
    place = _PLACE.search(problem)
    return f"{place[1] or 'body'}: {problem[: place.start()]}" if place else f"The body: {problem}"


def _check_prompt(field: str, prompt: bytes) -> None:
    kind = prompt[:1]
    if field == "messages" and kind != b"[":
        raise invalid("messages must be a list of message objects", param="messages")
    if kind not in (b"[", b'"'):
        raise invalid(f"{field} must be a string or a list", param=field)
    if kind == b"[" and not prompt[1:-1].strip():
        raise invalid(f"{field} must not be empty", param=field)


def _token_estimate(prompt: bytes) -> int:
    # A prompt of token ids counts itself: one comma between two of them.
    if prompt[:1] == b"[" and prompt[1:].lstrip()[:1] in b"[0123456789":
        return prompt.count(b",") + 1
    return max(1, len(prompt) // _BYTES_PER_TOKEN)


def _output_limit(fields: _Common) -> int:
    of_response = fields.max_output_tokens if isinstance(fields, ResponseFields) else None
    completion, whole, choices = fields.max_completion_tokens, fields.max_tokens, fields.n
    if completion is not None and completion < 1:
        raise _no_limit("max_completion_tokens", completion)
    if whole is not None and whole < 0:
        raise _no_limit("max_tokens", whole)
    if of_response is not None and of_response < 1:
        raise _no_limit("max_output_tokens", of_response)
    if choices is not None and choices < 1:
        raise _no_limit("n", choices)
    return (of_response or completion or whole or _OUTPUT_TOKENS_UNSAID) * (choices or 1)


def _no_limit(name: str, limit: int) -> ApiError:
    return invalid(f"{name} cannot be {limit}", param=name)


# -- answers -----------------------------------------------------------------------------------------------------------


class _PromptDetails(msgspec.Struct, gc=False, frozen=True):
    cached_tokens: int | None = None


class Usage(msgspec.Struct, gc=False, frozen=True):
    """Tokens as the worker counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None

    @property
    def cached_tokens(self) -> int:
        """Of the prompt, read from the worker's prefix cache; 0 where it does not say."""
        details = self.prompt_tokens_details
        return 0 if details is None else min(max(0, details.cached_tokens or 0), self.prompt_tokens)


class _UsageOfResponse(msgspec.Struct, gc=False, frozen=True):
    """The same under the names of `/v1/responses`."""

    input_tokens: int
    output_tokens: int = 0
    input_tokens_details: _PromptDetails | None = None

    def as_usage(self) -> Usage:
        return Usage(
            prompt_tokens=self.input_tokens,
            completion_tokens=self.output_tokens,
            prompt_tokens_details=self.input_tokens_details,
        )


class _Answer(msgspec.Struct, gc=False):
    usage: Usage | None = None


class _ResponseAnswer(msgspec.Struct, gc=False):
    usage: _UsageOfResponse | None = None


_response_decoder = msgspec.json.Decoder(_ResponseAnswer)
_response_usage_decoder = msgspec.json.Decoder(_UsageOfResponse)
# The last event of such a stream repeats the whole answer; its usage stands near the end, beside no text unescaped.
_USAGE_IN_EVENT = re.compile(rb'"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})')
_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_answer_decoder = msgspec.json.Decoder(_Answer)


def read_usage(answer: bytes, endpoint: Endpoint = Endpoint.CHAT) -> Usage | None:
    """The token counts in a JSON answer; None where there are none, or where the answer is no JSON."""
    try:
        if endpoint is Endpoint.RESPONSES:
            found = _response_decoder.decode(answer).usage
            return None if found is None else found.as_usage()
        return _answer_decoder.decode(answer).usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_stream_usage(tail: bytes, endpoint: Endpoint = Endpoint.CHAT) -> Usage | None:
    """The token counts in the last events of a stream, if the client asked for them."""
    if endpoint is Endpoint.RESPONSES:
        return _usage_of_last_response(tail)
    for line in reversed(tail.splitlines()):
        if line.startswith(b"data: {"):
            usage = read_usage(line[6:])
            if usage is not None:
                return usage
    return None


def _usage_of_last_response(tail: bytes) -> Usage | None:
    for found in reversed(_USAGE_IN_EVENT.findall(tail)):
        try:
            usage: _UsageOfResponse = _response_usage_decoder.decode(found)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        return usage.as_usage()
    return None


def tier_used(asked: str, latency_class: LatencyClass) -> str:
    """The service tier by which a request was served: what may wait is flex, whatever it was called."""
    if latency_class is not LatencyClass.INTERACTIVE:
        return FLEX
    return PRIORITY if asked == PRIORITY else DEFAULT


def with_tier(answer: bytes, tier: str) -> bytes:
    """The worker's JSON object with this service tier in it; every other field keeps its bytes.

    What is no JSON object stays as it is.
    """
    if not answer.lstrip().startswith(b"{") or not answer.rstrip().endswith(b"}"):
        return answer
    if b'"service_tier"' not in answer:
        inside = answer.rstrip()[:-1]
        comma = b"" if inside.rstrip().endswith(b"{") else b","
        return inside + comma + b'"service_tier":"' + tier.encode() + b'"}'
    try:
        fields = _raw_fields.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return answer
    fields["service_tier"] = msgspec.Raw(msgspec.json.encode(tier))
    return msgspec.json.encode(fields)


def models_answer(models: Iterable[str], *, created_at_s: float) -> bytes:
    """GET /v1/models in OpenAI's list shape."""
    return msgspec.json.encode({"object": "list", "data": [_model(model, created_at_s) for model in models]})


def model_answer(model: str, *, created_at_s: float) -> bytes:
    """GET /v1/models/{model}."""
    return msgspec.json.encode(_model(model, created_at_s))


def _model(model: str, created_at_s: float) -> dict[str, object]:
    return {"id": model, "object": "model", "created": int(created_at_s), "owned_by": "slacktide"}


def error_event(error: ApiError) -> bytes:
    """An error inside a stream whose status is already sent; the official client raises it."""
    return b"data: " + error.body() + b"\n\n"


def wrapped_as_event(answer: bytes) -> bytes:
    """A worker's JSON error as one server-sent event."""
    # JSON strings hold no raw line breaks, so only the layout changes.
    return b"data: " + answer.replace(b"\r", b"").replace(b"\n", b" ") + b"\n\n"
