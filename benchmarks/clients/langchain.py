"""`langchain-openai` with a gateway: chat, streams, tools, structured output, embeddings."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.clients.checks import Check, NotRunError, compared
from benchmarks.clients.environments import Environment
from benchmarks.clients.stand import PROFILED_MODEL, Stand

DISTRIBUTION = "langchain-openai"
_RUNNER = Path(__file__).with_name("langchain_run.py")
_WITHIN_S = 300.0
_ENERGY = "x-slacktide-energy-wh"
_ARGUMENTS = {"job", "is_urgent"}


def asked(peer: Environment, stand: Stand, names: Sequence[str]) -> dict[str, Any]:
    """What each of the calls gave. Raises NotRunError with what it said."""
    command = (peer.python, str(_RUNNER), stand.base_url, stand.model, *names)
    done = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    if done.returncode:
        raise NotRunError(done.stderr[-300:])
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def chats(peer: Environment, stand: Stand) -> Iterator[Check]:
    """What any chat model can do."""
    told = asked(peer, stand, ("chat", "stream"))
    yield _chat(told["chat"], stand)
    yield _stream(told["stream"])


def without_tools(peer: Environment, stand: Stand) -> Iterator[Check]:
    """What the simulated worker can do: it calls no tools and follows no schema."""
    told = asked(peer, stand, ("chat", "stream", "embeddings"))
    yield _chat(told["chat"], stand)
    yield _stream(told["stream"])
    yield _embeddings(told["embeddings"])


def with_tools(peer: Environment, stand: Stand) -> Iterator[Check]:
    """What an engine can do that holds its output to a grammar."""
    told = asked(peer, stand, ("chat", "stream", "tools", "tools_stream", "structured"))
    yield _chat(told["chat"], stand)
    yield _stream(told["stream"])
    for name in ("tools", "tools_stream"):
        yield _tool_call(name.replace("_", " in a "), told[name])
    yield _structured(told["structured"])


def _chat(told: dict[str, Any], stand: Stand) -> Check:
    if "raised" in told:
        return _raised("chat", told)
    headers, usage = told["metadata"]["headers"], told["usage"]
    energy = f", {headers[_ENERGY]} Wh" if _ENERGY in headers else ""  # of models that have a profile
    record = stand.record(headers["x-request-id"])
    counted = (record["prompt_tokens"], record["output_tokens"])
    return compared(
        "chat",
        f"{usage['output_tokens']} tokens, {told['metadata']['finish_reason']}{energy}",
        content=bool(told["content"]),
        finish_reason=told["metadata"]["finish_reason"] in ("length", "stop"),
        usage_as_in_the_daemon=(usage["input_tokens"], usage["output_tokens"]) == counted,
        status=record["status"] == 200,
        energy=float(headers.get(_ENERGY, 0.0)) > 0 or stand.model != PROFILED_MODEL,
    )


def _stream(told: dict[str, Any]) -> Check:
    if "raised" in told:
        return _raised("chat in a stream", told)
    return compared(
        "chat in a stream",
        f"{told['chunks']} chunks, {told['usage'] and told['usage']['output_tokens']} tokens",
        content=bool(told["content"]),
        more_than_one_chunk=told["chunks"] > 1,
        finish_reason=told["metadata"]["finish_reason"] in ("length", "stop"),
        usage=bool(told["usage"]) and told["usage"]["output_tokens"] > 0,
    )


def _tool_call(what: str, told: dict[str, Any]) -> Check:
    if "raised" in told:
        return _raised(what, told)
    calls = told["tool_calls"]
    return compared(
        what,
        f"{calls[0]['name']}({', '.join(calls[0]['args'])})" if calls else "no call",
        one_call=len(calls) == 1,
        arguments=bool(calls) and set(calls[0]["args"]) == _ARGUMENTS,
    )


def _structured(told: dict[str, Any]) -> Check:
    if "raised" in told:
        return _raised("structured output", told)
    parsed = told["parsed"] or {}
    return compared(
        "structured output",
        json.dumps(sorted(parsed)),
        parsed=set(parsed) == _ARGUMENTS and isinstance(parsed["is_urgent"], bool),
        no_error=told["error"] is None,
    )


def _embeddings(told: dict[str, Any]) -> Check:
    if "raised" in told:
        return _raised("embeddings", told)
    return compared(
        "embeddings",
        f"{told['count']} vectors of {told['lengths']}",
        one_for_each=told["count"] == 2,
        of_one_length=len(told["lengths"]) == 1,
        different=not told["are_equal"],
    )


def _raised(what: str, told: dict[str, Any]) -> Check:
    return Check(what=what, found=told["raised"], wrong=("raised",))
