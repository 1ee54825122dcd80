"""Processes of a benchmark: started with a port to call, read from outside for memory and processor time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One that serves."""

    port: int
    id: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """Processor time so far, its own and the system's for it."""
        fields = Path(f"/proc/{self.id}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waited_s(self) -> float:
        """How long its main thread was ready to run by now, and had no core."""
        return int(Path(f"/proc/{self.id}/schedstat").read_text().split()[1]) / 1e9

    def resident_mb(self) -> float:
        return self._status_mb("VmRSS")

    def most_resident_mb(self) -> float:
        """The most it ever was."""
        return self._status_mb("VmHWM")

    def _status_mb(self, name: str) -> float:
        lines = Path(f"/proc/{self.id}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6


@contextmanager
def started(module: str, *options: str, core: int | None = None) -> Iterator[Process]:
    """A module that prints its port and serves until its input closes; on this core alone, where there is one."""
    command = [sys.executable, "-m", module, *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if core is not None:
            pin(process.pid, core)
        assert process.stdout is not None
        yield Process(port=int(process.stdout.readline()), id=process.pid)
    finally:
        process.terminate()
        process.communicate()


def pin(process_id: int, core: int) -> None:
    """Keep a process, 0 for this one, on one core; where there are fewer, on one of them."""
    os.sched_setaffinity(process_id, {core % (os.cpu_count() or 1)})
