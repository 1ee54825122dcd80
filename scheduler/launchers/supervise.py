"""The parent of one local run: `python supervise.py RUN_DIR LOCK_FD`. Outlives the daemon; decides nothing.

It starts the command in a session of its own, keeps its log within bounds, forwards SIGTERM with a grace period and
writes down how it ended. Standard library only, and no import from this project: it is started by its path, isolated,
in some 15 ms. As long as it lives it holds the lock on LOCK_FD; that is how others know, whatever its process id.

RUN_DIR holds   spec.json      what to run (by the launcher)
                pid            of this process
                started.json   the command runs
                asked          `pause` or `stop` (by the launcher, before it sends SIGTERM)
                exit.json      how it ended; nothing is written after it
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

MARKER = "SLACKTIDE_RUN_DIR"
CANNOT_EXECUTE = 127
_CHUNK_BYTES = 64 * 1024
_KILL_WAIT_S = 0.01


def main() -> None:
    run_dir = Path(sys.argv[1])
    ready, tell_ready = os.pipe()
    if os.fork():
        # The launcher waits for this process: it ends when the command runs, or when the supervisor is gone.
        os.close(tell_ready)
        os.read(ready, 1)
        os._exit(0)
    os.setsid()
    os.close(ready)
    _supervise(run_dir, tell_ready)


def _supervise(run_dir: Path, tell_ready: int) -> None:
    signals = _listen()
    spec = json.loads((run_dir / "spec.json").read_bytes())
    write_durably(run_dir / "pid", str(os.getpid()))
    started_at_s = time.time()  # noqa: TID251  a process of its own, outside the daemon's clock
    try:
        child = _start(run_dir, spec)
    except OSError as error:
        ended = {"exit_code": CANNOT_EXECUTE, "asked": None, "was_killed": False, "problem": str(error)}
    else:
        write_durably(run_dir / "started.json", json.dumps({"pid": child.pid, "started_at_s": started_at_s}))
        os.write(tell_ready, b".")
        with _Log(Path(spec["log"]), spec["max_log_bytes"]) as log:
            ended = _Watch(child, run_dir, spec["grace_s"], signals, log).until_end()
    ended_at_s = time.time()  # noqa: TID251
    write_durably(run_dir / "exit.json", json.dumps({**ended, "started_at_s": started_at_s, "ended_at_s": ended_at_s}))


def _listen() -> int:
    """A descriptor that yields the number of each signal that arrives."""
    signals, arriving = os.pipe()
    os.set_blocking(arriving, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(arriving)
    return signals


def _start(run_dir: Path, spec: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        spec["command"],
        cwd=spec["cwd"],
        env={**os.environ, MARKER: str(run_dir)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
    )


class _Watch:
    def __init__(self, child: subprocess.Popen[bytes], run_dir: Path, grace_s: float, signals: int, log: _Log) -> None:
        assert child.stdout is not None
        self._child, self._run_dir, self._grace_s, self._log = child, run_dir, grace_s, log
        self._signals, self._output = signals, child.stdout.fileno()
        self._asked: str | None = None
        self._kill_at_s: float | None = None
        self._was_killed = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._signals, selectors.EVENT_READ)
        self._selector.register(self._output, selectors.EVENT_READ)

    def until_end(self) -> dict[str, Any]:
        while not self._has_ended():
            self._step()
        # Before the leader is reaped its group's number cannot have gone to somebody else.
        self._signal_group(signal.SIGKILL)
        exit_code = self._child.wait()
        kill_marked(self._run_dir)
        self._drain()
        return {"exit_code": exit_code, "asked": self._asked, "was_killed": self._was_killed, "problem": ""}

    def _step(self) -> None:
        wait_s = None if self._kill_at_s is None else max(0.0, self._kill_at_s - time.monotonic())
        for key, _ in self._selector.select(wait_s):
            if key.fd == self._output:
                self._pass_on_output()
            elif {signal.SIGTERM, signal.SIGINT} & set(os.read(self._signals, 256)) and not self._has_ended():
                self._ask_to_end()
        if self._kill_at_s is not None and time.monotonic() >= self._kill_at_s:
            self._was_killed, self._kill_at_s = True, None
            self._signal_group(signal.SIGKILL)

    def _ask_to_end(self) -> None:
        is_first = self._asked is None
        asked = self._run_dir / "asked"
        # Without that file nobody of ours asked: the system is going down, or somebody sent us a signal.
        self._asked = asked.read_text() if asked.exists() else "outside"
        if is_first:
            self._kill_at_s = time.monotonic() + self._grace_s
            self._signal_group(signal.SIGTERM)
            self._signal_group(signal.SIGCONT)  # one that is stopped could not hear it

    def _pass_on_output(self) -> None:
        chunk = os.read(self._output, _CHUNK_BYTES)
        if chunk:
            self._log.append(chunk)
        else:
            self._selector.unregister(self._output)

    def _drain(self) -> None:
        os.set_blocking(self._output, False)
        with suppress(BlockingIOError):
            while chunk := os.read(self._output, _CHUNK_BYTES):
                self._log.append(chunk)

    def _has_ended(self) -> bool:
        return os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)


class _Log:
    """The newest output, in two generations of half the bound each. A full disk costs output, not the run."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path, self._half_bytes = path, max_bytes // 2
        self._file = path.open("ab", buffering=0)

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, chunk: bytes) -> None:
        with suppress(OSError):
            if self._file.tell() + len(chunk) > self._half_bytes:
                self._file.close()
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._file = self._path.open("ab", buffering=0)
            self._file.write(chunk)


def write_durably(path: Path, text: str) -> None:
    """All of it or nothing, and on the disk when this returns."""
    unfinished = path.with_name(path.name + ".new")
    with unfinished.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def kill_marked(run_dir: Path) -> int:
    """SIGKILL to every process that still carries the mark of this run, wherever it hides; how many there were.

    Found by their environment, not by a process id on file, which could be somebody else's by now. Returns when none
    is left: one that hangs in the kernel still holds its GPU, and nothing must start beside it.
    """
    killed = 0
    while marked := _marked(run_dir):
        killed += len(marked)
        for pid in marked:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_KILL_WAIT_S)
    return killed


def _marked(run_dir: Path) -> list[int]:
    mark = f"{MARKER}={run_dir}".encode()
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):  # ended meanwhile, or not ours to look at
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
    return found


if __name__ == "__main__":
    main()
