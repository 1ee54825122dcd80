"""How sure a model was of its answer, read from the answer itself as OpenAI-compatible servers write it.

The signal is the mean log probability of the tokens that the model chose, as a probability: exp(mean), the geometric
mean of what it gave each token. It is asked for with `logprobs` and taken out again where the caller did not ask. An
answer that was cut off without a limit of the caller's, that is empty, or that was filtered is not sure whatever its
tokens say. Decides no threshold and no next model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from scheduler.daemon.openai_api import Endpoint
from shaping.routing import RouteReason

CAN_CASCADE = frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS})


class _Token(msgspec.Struct, gc=False):
    ln_ratio: float | None = msgspec.field(default=None, name="logprob")


class _Logprobs(msgspec.Struct, gc=False):
    content: list[_Token] | None = None  # of chats
    tokens_ln_ratio: list[float | None] | None = msgspec.field(default=None, name="token_logprobs")  # of completions


class _Message(msgspec.Struct, gc=False):
    content: Any = None
    tool_calls: list[Any] | None = None


class _ChoiceOf(msgspec.Struct, gc=False):
    finish_reason: str | None = None
    message: _Message | None = None
    text: str | None = None
    logprobs: _Logprobs | None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_ChoiceOf]


class _Asked(msgspec.Struct, gc=False):
    logprobs: Any = None  # whatever it is, it is the worker's to judge
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


_answers = msgspec.json.Decoder(_Answer)
_asked = msgspec.json.Decoder(_Asked)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_choices = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """What an answer says of itself: a probability, or None and why it stands for nothing."""

    ratio: float | None
    flaw: RouteReason | None = None


def confidence(answer: bytes, *, has_limit: bool) -> Confidence:
    """Of the choice that is least sure; `has_limit` is whether the caller limited the length."""
    try:
        choices = _answers.decode(answer).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Confidence(ratio=None, flaw=RouteReason.NO_CONFIDENCE)
    found = [_of_choice(one, has_limit=has_limit) for one in choices]
    flawed = next((one for one in found if one.ratio is None), None)
    if flawed is not None or not found:
        return flawed or Confidence(ratio=None, flaw=RouteReason.EMPTY)
    return Confidence(ratio=min(one.ratio for one in found if one.ratio is not None))


def _of_choice(one: _ChoiceOf, *, has_limit: bool) -> Confidence:
    said = one.message.content if one.message is not None else one.text
    if not said and not (one.message is not None and one.message.tool_calls):
        return Confidence(ratio=None, flaw=RouteReason.EMPTY)
    if one.finish_reason == "content_filter":
        return Confidence(ratio=None, flaw=RouteReason.FILTERED)
    if one.finish_reason == "length" and not has_limit:
        return Confidence(ratio=None, flaw=RouteReason.CUT_OFF)
    logprobs = list(_numbers(one.logprobs))
    if not logprobs:
        return Confidence(ratio=None, flaw=RouteReason.NO_CONFIDENCE)
    return Confidence(ratio=math.exp(min(0.0, math.fsum(logprobs) / len(logprobs))))


def _numbers(logprobs: _Logprobs | None) -> Iterable[float]:
    if logprobs is None:
        return ()
    told = logprobs.tokens_ln_ratio or [token.ln_ratio for token in logprobs.content or ()]
    return (one for one in told if one is not None and math.isfinite(one))


# -- asking for it -----------------------------------------------------------------------------------------------------


def has_limit(body: bytes) -> bool:
    """Whether the caller limited the length of the answer."""
    asked = _asked.decode(body)
    return asked.max_tokens is not None or asked.max_completion_tokens is not None


def asks_for_logprobs(body: bytes) -> bool:
    wanted = _asked.decode(body).logprobs
    return wanted is not None and wanted is not False


def with_logprobs(endpoint: Endpoint, body: bytes) -> bytes:
    """The same body, with the chosen tokens' log probabilities asked for."""
    fields = _fields.decode(body)
    fields["logprobs"] = msgspec.Raw(b"true" if endpoint is Endpoint.CHAT else b"1")
    return msgspec.json.encode(fields)


def without_logprobs(answer: bytes) -> bytes:
    """An answer as if nobody had asked for them; what has no choices is returned as it is."""
    try:
        fields = _fields.decode(answer)
        choices = _choices.decode(fields["choices"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, RecursionError):
        return answer
    for choice in choices:
        choice["logprobs"] = msgspec.Raw(b"null")
    fields["choices"] = msgspec.Raw(msgspec.json.encode(choices))
    return msgspec.json.encode(fields)
