"""A virtual environment for each peer, thrown away afterwards: none of them shares a package with ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clients.checks import NotRunError

_INSTALLED_WITHIN_S = 600.0
_REASON_LENGTH = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a peer is installed."""

    folder: Path

    @property
    def python(self) -> str:
        return self.program("python")

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    def install(self, *what: str) -> None:
        """Raises NotRunError where there is no network, or no such package."""
        # uv, a part of the development environment, takes seconds for what takes pip minutes.
        _succeed((sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", self.python, *what))

    def version(self, distribution: str) -> str:
        asked = f"import importlib.metadata as m; print(m.version({distribution!r}))"
        return _succeed((self.python, "-c", asked)).strip()


def created(folder: Path) -> Environment:
    """One with nothing in it."""
    _succeed((sys.executable, "-m", "venv", "--without-pip", str(folder)))
    return Environment(folder=folder)


def _succeed(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALLED_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        raise NotRunError(f"{command[0]} took over {_INSTALLED_WITHIN_S:.0f} s") from None
    if done.returncode:
        raise NotRunError(" ".join(done.stderr.split())[-_REASON_LENGTH:])
    return done.stdout
