"""`slacktide agent` from outside: what it refuses to start with, and one reading of this machine."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slacktide.main import app
from slacktide.terminal import UsageProblem

RUN = CliRunner()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """The command sets up the logging of its process, which is ours here."""
    loggers = [logging.getLogger(name) for name in (None, "scheduler", "intensity_feeds", "simulations", "slacktide")]
    before = [(one, one.level, list(one.handlers)) for one in (*loggers, logging.getLogger("urllib3"))]
    yield
    for one, level, handlers in before:
        one.setLevel(level)
        one.handlers[:] = handlers


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACKTIDE_AGENT_TOKEN", raising=False)


def refused(*options: str) -> UsageProblem:
    problem = RUN.invoke(app, ["agent", *options]).exception
    assert isinstance(problem, UsageProblem)
    return problem


@pytest.mark.slow
def test_beyond_loopback_it_does_not_start_without_a_token() -> None:
    problem = refused("--host", "0.0.0.0")
    assert problem.what == "0.0.0.0 is reachable from other machines, and there is no token"
    assert "openssl rand -hex 32" in problem.hint


@pytest.mark.parametrize("held", ["", "short\n"])
def test_a_token_that_can_be_guessed_is_refused_and_not_shown(tmp_path: Path, held: str) -> None:
    file = tmp_path / "token"
    file.write_text(held)
    problem = refused("--token-file", str(file))
    assert "shorter than 16 characters" in problem.what
    assert not held or held.strip() not in problem.what.replace("shorter", "")


def test_a_token_file_that_is_not_there_is_a_mistake_of_the_call(tmp_path: Path) -> None:
    assert "cannot be read" in refused("--token-file", str(tmp_path / "none")).what


@pytest.mark.parametrize("sample", ["50ms", "1m", "often", "-1s"])
def test_the_gpus_are_read_neither_too_often_nor_too_seldom(sample: str) -> None:
    assert "--sample" in refused("--sample", sample, "--once").what


@pytest.mark.slow
def test_once_says_what_is_here_and_fails_where_nothing_can_be_metered() -> None:
    plain = RUN.invoke(app, ["agent", "--once"])
    told = RUN.invoke(app, ["agent", "--once", "--json"])
    report = json.loads(told.stdout)
    assert plain.exit_code == told.exit_code == (1 if report["problem"] else 0)
    if report["problem"]:
        assert f"nothing is metered here: {report['problem']}" in plain.stdout
        assert f"fix: {report['remedy']}" in plain.stdout
    else:
        assert all(gpu["uuid"] in plain.stdout for gpu in report["gpus"])
