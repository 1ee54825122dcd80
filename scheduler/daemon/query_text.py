"""The words of a request that a router may judge: the last thing the caller said. Decides nothing about them."""

from __future__ import annotations

from typing import Any

import msgspec

from scheduler.daemon.openai_api import Endpoint

_PROMPT_FIELD = {Endpoint.COMPLETIONS: "prompt", Endpoint.EMBEDDINGS: "input"}


class _Message(msgspec.Struct, gc=False):
    role: str = ""
    content: Any = None


class _Chat(msgspec.Struct, gc=False):
    messages: list[_Message]


class _Response(msgspec.Struct, gc=False):
    input: str | list[_Message]


_response_decoder = msgspec.json.Decoder(_Response)
_chat_decoder = msgspec.json.Decoder(_Chat)
_any_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def query_text(endpoint: Endpoint, body: bytes) -> str:
    """The text of the last user message, or of the prompt; empty where there is none, as for token ids."""
    try:
        if endpoint is Endpoint.CHAT:
            return _last_said(_chat_decoder.decode(body).messages)
        if endpoint is Endpoint.RESPONSES:
            asked = _response_decoder.decode(body).input
            return asked if isinstance(asked, str) else _last_said(asked)
        return _joined(msgspec.json.decode(_any_decoder.decode(body)[_PROMPT_FIELD[endpoint]]))
    except msgspec.DecodeError:  # messages of a shape that only the worker can judge
        return ""


def with_model(body: bytes, model: str) -> bytes:
    """The same body for another model; every other field keeps its bytes."""
    fields = _any_decoder.decode(body)
    fields["model"] = msgspec.Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)


def _last_said(messages: list[_Message]) -> str:
    said = [message for message in messages if message.role == "user"] or messages
    return _joined(said[-1].content) if said else ""


def _joined(content: Any) -> str:
    """Text is text; a list holds texts, or parts with a text among images and the like."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    return "\n".join(part for part in parts if isinstance(part, str))
