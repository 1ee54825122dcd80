"""The files of local runs: where they lie, and what they say about a run. Starts and signals nothing.

runs/NAME/       see supervise.py; a folder appears whole, by a rename, and under a held lock
settled/NAME/    the same after its end is durable in the queue: proof that the attempt must not start again
logs/NAME.log    and NAME.log.1, the older half
work/JOB/        the working folder of a job that names none
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scheduler.launchers.contract import CHECKPOINTED_EXIT_CODES, AlreadyStartedError, Ending, Run, RunEnded, RunSpec
from scheduler.launchers.supervise import sync_folder, write_durably


class RunFolders:
    def __init__(self, root: Path) -> None:
        self._runs, self._settled, self._logs, self._work = (
            root.resolve() / name for name in ("runs", "settled", "logs", "work")
        )

    def prepare(self) -> None:
        for folder in (self._runs, self._settled, self._logs, self._work):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def run_ids(self) -> list[str]:
        """Everything not settled, in a fixed order."""
        return sorted(path.name for path in self._runs.iterdir() if not path.name.startswith("."))

    def folder(self, run_id: str) -> Path:
        return self._runs / run_id

    def log(self, run_id: str) -> Path:
        return self._logs / f"{run_id}.log"

    @contextmanager
    def created(self, run: RunSpec, now_s: float) -> Iterator[int]:
        """The run's folder, with its lock held on the descriptor. Raises AlreadyStartedError."""
        unfinished = self._runs / f".new-{run.run_id}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        with (unfinished / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            write_durably(unfinished / "spec.json", json.dumps(self._spec(run, now_s)))
            self._reveal(run.run_id, unfinished)
            yield lock.fileno()

    def _reveal(self, run_id: str, unfinished: Path) -> None:
        folder = self.folder(run_id)
        if folder.exists() or (self._settled / run_id).exists():
            shutil.rmtree(unfinished)
            raise AlreadyStartedError(run_id)
        unfinished.rename(folder)
        sync_folder(self._runs)

    def _spec(self, run: RunSpec, now_s: float) -> dict[str, Any]:
        cwd = self._work / run.job_id if run.cwd is None else run.cwd
        if run.cwd is None:
            cwd.mkdir(mode=0o700, exist_ok=True)
        return {
            "job_id": run.job_id,
            "attempt": run.attempt,
            "token": run.token,
            "command": list(run.command),
            "cwd": str(cwd),
            "grace_s": run.grace_s,
            "log": str(self.log(run.run_id)),
            "max_log_bytes": run.max_log_bytes,
            "handed_over_at_s": now_s,
            "devices": run.devices,
        }

    def is_supervised(self, run_id: str) -> bool:
        """Whether its supervisor lives. The lock says so: a process id could be somebody else's by now."""
        with (self.folder(run_id) / "lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def supervisor_pid(self, run_id: str) -> int | None:
        """None until the supervisor has written it."""
        path = self.folder(run_id) / "pid"
        return int(path.read_text()) if path.exists() else None

    def ask(self, run_id: str, what: str) -> None:
        write_durably(self.folder(run_id) / "asked", what)

    def settle(self, run_id: str) -> None:
        if self.folder(run_id).exists():
            self.folder(run_id).rename(self._settled / run_id)
            sync_folder(self._settled)
            sync_folder(self._runs)

    def run(self, run_id: str) -> Run:
        spec = self._read(run_id, "spec.json")
        started = self._read(run_id, "started.json")
        return Run(
            run_id=run_id,
            job_id=spec["job_id"],
            attempt=spec["attempt"],
            token=spec["token"],
            started_at_s=started.get("started_at_s", spec["handed_over_at_s"]),
            devices=None if spec.get("devices") is None else tuple(spec["devices"]),
        )

    def end(self, run_id: str) -> RunEnded | None:
        """How it ended by its own account; None when it left none."""
        exited = self._read(run_id, "exit.json")
        if not exited:
            return None
        run = self.run(run_id)
        return RunEnded(
            run_id=run_id,
            job_id=run.job_id,
            attempt=run.attempt,
            token=run.token,
            ending=_ending(exited),
            exit_code=exited["exit_code"],
            started_at_s=exited["started_at_s"],
            ended_at_s=exited["ended_at_s"],
            problem=exited["problem"] or ("killed after its grace" if exited["was_killed"] else ""),
        )

    def loss(self, run_id: str) -> RunEnded:
        """What is known of a run that left no account of its end."""
        run = self.run(run_id)
        has_started = bool(self._read(run_id, "started.json"))
        return RunEnded(
            run_id=run_id,
            job_id=run.job_id,
            attempt=run.attempt,
            token=run.token,
            ending=Ending.LOST,
            exit_code=None,
            started_at_s=run.started_at_s if has_started else None,
            ended_at_s=None,
            problem="its supervisor is gone" if has_started else "it was handed over but never started",
        )

    def _read(self, run_id: str, name: str) -> dict[str, Any]:
        path = self.folder(run_id) / name
        read: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return read


def _ending(exited: dict[str, Any]) -> Ending:
    match exited["asked"]:
        case None:
            return Ending.EXITED
        case "stop":
            return Ending.STOPPED
        case "pause" if not exited["was_killed"]:
            return Ending.PAUSED if exited["exit_code"] in CHECKPOINTED_EXIT_CODES else Ending.EXITED
        case _:
            return Ending.LOST
