"""What a simulated worker says: labelled text, lengths and vectors that follow from the prompt alone, OpenAI-shaped.

Decides content, never timing. Nothing here resembles a model's answer; every text says that it is simulated.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np

LABEL = "[simulated]"
CHARACTERS_PER_TOKEN = 4  # English text under the usual tokenizers
TOKENS_PER_MESSAGE = 4  # role and separators of one chat message
EMBEDDING_DIMENSIONS = 384
# Median 129 and 99th percentile 601 output tokens, as in the Azure 2023 conversation trace.
_LENGTH_LOG_MEDIAN, _LENGTH_LOG_SIGMA = math.log(129), math.log(601 / 129) / 2.326
_LENGTH_MAX_TOKENS = 4096
_VOCABULARY = (
    "wind solar hydro grid clean hour batch wait slack carbon token prefill decode queue worker step power watt "
    "joule ratio night noon forecast window deadline release group dense idle warm region zone"
)
_WORDS = tuple(_VOCABULARY.split())


def text_tokens(text: str) -> int:
    """Estimated tokens of a text; at least one."""
    return max(1, math.ceil(len(text) / CHARACTERS_PER_TOKEN))


def chat_text(messages: Sequence[dict[str, Any]]) -> str:
    """The text of a conversation, all parts in order; images and the like count nothing."""
    return "\n".join(_content_text(message.get("content")) for message in messages)


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
    return ""


def chat_tokens(messages: Sequence[dict[str, Any]]) -> int:
    return text_tokens(chat_text(messages)) + TOKENS_PER_MESSAGE * len(messages)


def natural_length_tokens(prompt: str, seed: int) -> int:
    """How long the answer is when the caller sets no limit: the same for the same prompt and seed."""
    length = Random(f"{seed}:{_digest(prompt)}").lognormvariate(_LENGTH_LOG_MEDIAN, _LENGTH_LOG_SIGMA)
    return max(1, min(_LENGTH_MAX_TOKENS, round(length)))


def answer_tokens(prompt: str, start: int, count: int) -> str:
    """Tokens `start` to `start + count` of the answer to a prompt; each is one word, the first is the label."""
    offset = _digest(prompt)
    words = (
        LABEL if n == 0 else " " + _WORDS[(offset + n * n + 7 * n) % len(_WORDS)] for n in range(start, start + count)
    )
    return "".join(words)


def embedding(text: str, dimensions: int = EMBEDDING_DIMENSIONS) -> list[float]:
    """A unit vector that follows from the text, in float32 precision."""
    vector = np.random.default_rng(_digest(text)).standard_normal(dimensions)
    return [float(value) for value in (vector / np.linalg.norm(vector)).astype(np.float32)]


def encoded_embedding(vector: Sequence[float]) -> str:
    """Base64 of little-endian float32, as the official client asks for by default."""
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode("ascii")


def usage(prompt_tokens: int, completion_tokens: int, cached_tokens: int | None = None) -> dict[str, Any]:
    """`cached_tokens` of the prompts were in the prefix cache; None where there is none to speak of."""
    counted: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    if cached_tokens is not None:
        counted["prompt_tokens_details"] = {"cached_tokens": cached_tokens}
    return counted


def error_body(
    message: str, *, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
