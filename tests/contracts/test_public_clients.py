"""Public clients, unchanged, where they are installed here; `python -m benchmarks.clients` installs them itself."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.clients import langchain, llm_command
from benchmarks.clients.checks import Check
from benchmarks.clients.environments import Environment
from benchmarks.clients.stand import simulated

HERE = Environment(folder=Path(sys.prefix))


def needs(module: str) -> pytest.MarkDecorator:
    reason = f"{module} is not installed here; `python -m benchmarks.clients` runs it"
    return pytest.mark.skipif(find_spec(module) is None, reason=reason)


def wrong(checks: Iterable[Check]) -> list[Check]:
    return [one for one in checks if one.wrong]


@pytest.mark.slow
@needs("langchain_openai")
def test_langchain_chats_streams_and_embeds(tmp_path: Path) -> None:
    with simulated(tmp_path) as stand:
        assert wrong(langchain.without_tools(HERE, stand)) == []


@pytest.mark.slow
@needs("llm")
def test_the_llm_command_prompts_and_logs(tmp_path: Path) -> None:
    with simulated(tmp_path) as stand:
        assert wrong(llm_command.checks(HERE, stand, tmp_path / "llm")) == []
