"""The README's commands, typed as a reader would type them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.console import Example, examples
from tests.architecture.sources import ROOT

README = ROOT / "README.md"
LONGEST_S = 600.0
# Of the daemon's settings and of the example's worker.
DAEMON, WORKER = 8080, 8000
# They make environments of their own from package indexes; CI runs one of them by being run.
INSTALLS = ("make ", "git clone", "cd ", "pipx ", "uv ", "pip ")


def is_run(example: Example) -> bool:
    return not example.not_run and not example.command.startswith(INSTALLS)


@pytest.mark.slow
@pytest.mark.timeout(2 * LONGEST_S)
def test_every_command_of_the_readme_works(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
    }
    # What is compiled is kept for all tests; only the rest of this reader's home is empty.
    environment.setdefault("SLACKTIDE_COMPILED", str(Path.home() / ".cache" / "slacktide" / "compiled"))
    elsewhere = {port: _free_port() for port in (DAEMON, WORKER) if _is_served(port)}
    environment["SLACKTIDE_URL"] = _moved(f"http://127.0.0.1:{DAEMON}", elsewhere)
    with ExitStack() as servers:
        for example in filter(is_run, examples(README.read_text("utf-8"))):
            command = _moved(example.command, elsewhere)
            if command.endswith("&"):
                servers.callback(_ended, _started(command.rstrip("& "), tmp_path, environment))
                _until_served(_moved(str(WORKER if " worker " in command else DAEMON), elsewhere))
            else:
                _run(replace(example, command=command), tmp_path, environment)
            if command.startswith("slacktide config init"):
                settings = tmp_path / "slacktide.toml"
                settings.write_text(_moved(settings.read_text("utf-8"), elsewhere))


def _moved(text: str, elsewhere: dict[int, int]) -> str:
    """With other ports in place of those that somebody else has on this machine."""
    for port, other in elsewhere.items():
        text = re.sub(rf"(?<!\d){port}(?!\d)", str(other), text)
    return text


def _is_served(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _until_served(port: str) -> None:
    """A reader types on once a server has said that it listens."""
    clock = threading.Event()
    for _ in range(int(LONGEST_S / 0.05)):
        if _is_served(int(port)):
            return
        clock.wait(0.05)
    raise AssertionError(f"nothing listens on port {port}")


def _run(example: Example, folder: Path, environment: dict[str, str]) -> None:
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_S,
    )
    said = f"{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
    assert result.returncode == 0, f"README.md:{example.line}: {example.command}\n{said}"


def _started(command: str, folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A server that runs while the later commands are typed; its own output is not looked at."""
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", f"exec {command}"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _ended(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait(timeout=LONGEST_S)


def test_make_targets_named_in_the_documents_exist() -> None:
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if ":" in line}
    documents = [README, ROOT / "CONTRIBUTING.md"]
    named = [one for path in documents for one in examples(path.read_text("utf-8")) if one.command.startswith("make ")]
    assert [one for one in named if one.command.split()[1] not in targets] == []


def test_only_commands_after_a_dollar_are_examples() -> None:
    block = "```console\n$ slacktide regions\nDE  Germany\n$ slacktide plan \\\n    --zone DE\n$ last\n```\n"
    text = f"Text\n{block}$ not this\n"
    assert examples(text) == [
        Example(command="slacktide regions", line=3),
        Example(command="slacktide plan --zone DE", line=5),
        Example(command="last", line=7),
    ]


def test_a_block_is_left_out_only_with_a_reason() -> None:
    text = "<!-- not run: needs a cluster -->\n```console\n$ one\n```\n\n```console\n$ two\n```\n```sh\n$ three\n```\n"
    assert examples(text) == [Example(command="one", line=3, not_run="needs a cluster"), Example(command="two", line=7)]
