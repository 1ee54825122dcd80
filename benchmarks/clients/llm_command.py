"""The `llm` command line with a gateway as a custom model: a plain and a streamed prompt, and what its log keeps."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.clients.checks import Check, compared
from benchmarks.clients.environments import Environment
from benchmarks.clients.stand import Stand

DISTRIBUTION = "llm"
CHAT = "/v1/chat/completions"
_NAME, _LATER = "slacktide", "slacktide-later"
# Shorter than the time kept free before a deadline: of the class that may wait, without a wait.
_DEADLINE = 'headers: {x-slacktide-deadline: "3s"}'
_WITHIN_S = 120.0


def checks(peer: Environment, stand: Stand, folder: Path) -> Iterator[Check]:
    """Two prompts and the log."""
    folder.mkdir()
    (folder / "extra-openai-models.yaml").write_text(_model(_NAME, stand) + _model(_LATER, stand, _DEADLINE))
    before = stand.answered()
    plain = _run(peer, folder, "-m", _NAME, "--no-stream", "-o", "max_tokens", "12", "When is the grid cleanest?")
    streamed = _run(peer, folder, "-m", _NAME, "-o", "max_tokens", "13", "And the dirtiest?")
    first, second = json.loads(_run(peer, folder, "logs", "list", "--json", "-n", "2"))
    answered = stand.answered() - before
    yield _logged("a plain prompt", plain, first, 12)
    yield _logged("a streamed prompt", streamed, second, 13)
    yield compared("requests that the daemon counts", str(dict(answered)), two=answered == {(CHAT, "200"): 2})
    yield _deferred(peer, stand, folder)


def _model(name: str, stand: Stand, *more: str) -> str:
    fields = (f"- model_id: {name}", f"model_name: {stand.model}", f'api_base: "{stand.base_url}"', *more)
    return "\n  ".join(fields) + "\n"


def _deferred(peer: Environment, stand: Stand, folder: Path) -> Check:
    """A model whose prompts may wait, by a header of its own."""
    before = stand.answered_of("flex")
    printed = _run(peer, folder, "-m", _LATER, "-o", "max_tokens", "9", "No hurry.")
    flex = stand.answered_of("flex") - before
    return compared("a prompt with a deadline", f"{flex} flex request", printed=bool(printed.strip()), flex=flex == 1)


def _run(peer: Environment, folder: Path, *words: str) -> str:
    environment = {**os.environ, "LLM_USER_PATH": str(folder)}
    done = subprocess.run(
        (peer.python, "-m", "llm", *words),
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=True,
        env=environment,
    )
    return done.stdout


def _logged(what: str, printed: str, entry: dict[str, Any], tokens: int) -> Check:
    return compared(
        what,
        f"{entry['input_tokens']} + {entry['output_tokens']} tokens in its log",
        printed=bool(printed.strip()),
        printed_is_logged=printed.strip() == entry["response"].strip(),
        tokens=entry["output_tokens"] == tokens and entry["input_tokens"] > 0,
    )
