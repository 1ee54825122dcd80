"""What one request costs the gateway and a bare proxy in instructions, which other processes hardly change.

    python -m benchmarks.gateway_instructions [--requests 1000]

Needs valgrind, whose callgrind counts what a process executes in user space; the kernel's part, which is the same for
both, and waits for memory are not in it. What is left when a longer and a shorter load are taken from each other is of
the requests alone. How many requests share a turn of the event loop is the machine's doing: some percent.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.gateway_rounds import BARE, HOLDING, PASS_THROUGH, REQUEST, serving
from benchmarks.http_load import requests_of

_CONNECTIONS = 16
_WARM_UP_REQUESTS = 200
_SHORT_REQUESTS = 100
_TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
_WRITTEN_WITHIN_S = 30.0


class Counted:
    """A server under callgrind, which counts from `begin` on."""

    def __init__(self, process: subprocess.Popen[str], port: int, folder: Path) -> None:
        self._process, self.port, self._folder = process, port, folder
        self._parts = 0

    def begin(self) -> None:
        self._control("-i", "on")

    def since_last(self) -> int:
        """Instructions since the last time."""
        self._parts += 1
        self._control("-d")
        return self._read(self._folder / f"out.{self._parts}")

    def _control(self, *words: str) -> None:
        command = ["callgrind_control", *words, str(self._process.pid)]
        subprocess.run(command, check=True, capture_output=True, timeout=60.0)

    def _read(self, part: Path) -> int:
        given_up_at_s = time.monotonic() + _WRITTEN_WITHIN_S
        while time.monotonic() < given_up_at_s:
            if part.exists() and (found := _TOTALS.search(part.read_text())):
                return int(found[1])
            time.sleep(0.1)  # another program writes
        raise RuntimeError("callgrind wrote no count")


@contextmanager
def counted(role: str, *options: str) -> Iterator[Counted]:
    with tempfile.TemporaryDirectory() as place:
        callgrind = ("valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no")
        command = [*callgrind, f"--callgrind-out-file={place}/out", sys.executable, "-m", "benchmarks.gateway_servers"]
        # Where names meet in a dictionary is drawn anew for each process otherwise, and worth some percent.
        env = {**os.environ, "PYTHONHASHSEED": "0"}
        process = subprocess.Popen(
            [*command, role, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        try:
            assert process.stdout is not None
            yield Counted(process, int(process.stdout.readline()), Path(place))
        finally:
            process.kill()
            process.communicate()


def instructions_per_request(server: Counted, requests: int) -> int:
    asyncio.run(requests_of(server.port, REQUEST, connections=_CONNECTIONS, count=_WARM_UP_REQUESTS))
    server.begin()
    taken = []
    for count in (_SHORT_REQUESTS, _SHORT_REQUESTS + requests):
        asyncio.run(requests_of(server.port, REQUEST, connections=_CONNECTIONS, count=count))
        taken.append(server.since_last())
    return (taken[1] - taken[0]) // requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    chosen = parser.parse_args()
    roles = {BARE: ("bare",), PASS_THROUGH: ("gateway", "--hold", "0"), HOLDING: ("gateway", "--hold", "0.02")}
    found: dict[str, int] = {}
    print("| server | instructions a request | bare proxy's to these |\n|---|---|---|")
    with serving("worker", 1) as worker:
        for name, (role, *options) in roles.items():
            with counted(role, "--upstream", f"http://127.0.0.1:{worker.port}", *options) as server:
                found[name] = instructions_per_request(server, chosen.requests)
            print(f"| {name} | {found[name]:,} | {found[BARE] / found[name]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
