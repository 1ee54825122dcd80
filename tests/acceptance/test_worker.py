"""`slacktide worker` from outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
import requests

COMMAND = [sys.executable, "-m", "slacktide.main", "worker"]


@pytest.mark.slow
def test_the_worker_says_where_it_listens_answers_and_ends_on_sigterm() -> None:
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--speed", "1000", "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or lines[-1].strip() != "}":
            line = process.stdout.readline()
            assert line, "the worker ended before it listened"
            lines.append(line)
        base_url = json.loads("".join(lines))["base_url"]
        body = {"model": "llama-3.1-8b", "prompt": "hello", "max_tokens": 3}
        answer = requests.post(f"{base_url}/completions", json=body, timeout=180).json()
        assert answer["usage"]["completion_tokens"] == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu", "h100"], "did you mean h100-sxm"),
        (["--model", "llama-3.1-70b"], "needs at least 2"),
        (["--speed", "0"], "positive factor"),
    ],
)
def test_a_mistake_is_answered_with_the_remedy_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
