"""The documents of the OpenAI interface that a simulated worker writes. Decides their shape, not their content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from simulations.worker_answers import answer_tokens, usage

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt of a request and the answer that it will get."""

    text: str
    prompt_tokens: int
    output_tokens: int
    is_cut: bool  # the caller's limit ended it, not the answer itself
    cached_tokens: int | None = None  # None where nothing is cached

    @property
    def answer(self) -> str:
        return answer_tokens(self.text, 0, self.output_tokens)

    @property
    def finish_reason(self) -> str:
        return "length" if self.is_cut else "stop"


class Shape(Protocol):
    """How an answer is written, whole or in chunks."""

    def whole(self, prompts: Sequence[Prompt]) -> Document: ...

    def opening(self, index: int) -> Document | None: ...

    def part(self, index: int, text: str) -> Document: ...

    def closing(self, index: int, finish_reason: str) -> Document: ...

    def usage(self, prompts: Sequence[Prompt]) -> Document: ...


def total_usage(prompts: Sequence[Prompt]) -> dict[str, Any]:
    cached = [one.cached_tokens for one in prompts if one.cached_tokens is not None]
    return usage(
        sum(one.prompt_tokens for one in prompts),
        sum(one.output_tokens for one in prompts),
        sum(cached) if cached else None,
    )


@dataclass(frozen=True, slots=True)
class ChatShape:
    """/v1/chat/completions."""

    id: str
    model: str

    def whole(self, prompts: Sequence[Prompt]) -> Document:
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": prompt.answer},
                "logprobs": None,
                "finish_reason": prompt.finish_reason,
            }
            for index, prompt in enumerate(prompts)
        ]
        return {**self._head("chat.completion"), "choices": choices, "usage": total_usage(prompts)}

    def opening(self, index: int) -> Document | None:
        return self._chunk(index, {"role": "assistant", "content": ""}, None)

    def part(self, index: int, text: str) -> Document:
        return self._chunk(index, {"content": text}, None)

    def closing(self, index: int, finish_reason: str) -> Document:
        return self._chunk(index, {}, finish_reason)

    def usage(self, prompts: Sequence[Prompt]) -> Document:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": total_usage(prompts)}

    def _chunk(self, index: int, delta: Document, finish_reason: str | None) -> Document:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> Document:
        return {"id": self.id, "object": kind, "created": 0, "model": self.model}


@dataclass(frozen=True, slots=True)
class CompletionShape:
    """/v1/completions."""

    id: str
    model: str

    def whole(self, prompts: Sequence[Prompt]) -> Document:
        choices = [self._choice(index, prompt.answer, prompt.finish_reason) for index, prompt in enumerate(prompts)]
        return {**self._head(), "choices": choices, "usage": total_usage(prompts)}

    def opening(self, index: int) -> Document | None:
        return None  # plain completions begin with their first text

    def part(self, index: int, text: str) -> Document:
        return {**self._head(), "choices": [self._choice(index, text, None)]}

    def closing(self, index: int, finish_reason: str) -> Document:
        return {**self._head(), "choices": [self._choice(index, "", finish_reason)]}

    def usage(self, prompts: Sequence[Prompt]) -> Document:
        return {**self._head(), "choices": [], "usage": total_usage(prompts)}

    def _choice(self, index: int, text: str, finish_reason: str | None) -> Document:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}

    def _head(self) -> Document:
        return {"id": self.id, "object": "text_completion", "created": 0, "model": self.model}
