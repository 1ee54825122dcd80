"""The settings and commands of docs/serving.md and docs/launches.md, as a reader would use them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.config_text import read_settings
from tests.acceptance.console import Example, examples
from tests.architecture.sources import ROOT

SERVING, LAUNCHES = ((ROOT / "docs" / name).read_text("utf-8") for name in ("serving.md", "launches.md"))
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def toml(text: str) -> str:
    return "\n".join(re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def test_the_settings_shown_are_settings() -> None:
    settings = read_settings(toml(SERVING) + toml(LAUNCHES), "docs", {}).settings

    assert [template.name for template in settings.template] == ["evaluate"]
    assert [launch.name for launch in settings.launch] == ["nightly-finetune", "preprocess-and-train", "sweep"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with those settings, and the environment of a shell beside the daemon that serves them."""
    folder = tmp_path_factory.mktemp("served")
    # A made-up grid: a test asks nobody outside this machine.
    (folder / "slacktide.toml").write_text(toml(SERVING).replace('"uk_carbon"', '"synthetic"'))
    environment = {**os.environ, "PATH": PATH, "HOME": str(folder)}
    command = ["slacktide", "serve", "-c", "slacktide.toml"]
    on_any_port = {**environment, "SLACKTIDE_SERVER__PORT": "0"}
    with subprocess.Popen(command, cwd=folder, env=on_any_port, stderr=subprocess.PIPE, text=True) as daemon:
        assert daemon.stderr is not None
        found = None
        while found is None:
            line = daemon.stderr.readline()
            assert line, "the daemon ended before it served"
            found = re.search(r"daemon_ready.*address=(http://\S+)", line)
        yield folder, {**environment, "SLACKTIDE_URL": found[1]}
        daemon.terminate()
        daemon.stderr.read()


# The line that ends in & is the daemon of the fixture.
TYPED = [one for one in examples(SERVING) + examples(LAUNCHES) if not one.command.endswith("&")]


@pytest.mark.slow
@pytest.mark.parametrize("example", TYPED, ids=lambda example: example.command)
def test_every_command_shown_works(example: Example, served: tuple[Path, dict[str, str]]) -> None:
    folder, environment = served
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr  # the hour decides whether a job waits: `no such jobs` goes to stderr
