"""The folder in which a daemon keeps its state: one daemon at a time, and where in it each part has its own."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from scheduler.config import Server


class StateFolderInUseError(Exception):
    """Two daemons on one folder would start everything twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} belongs to a daemon that runs: stop it, or set server.state_dir")


class StateFolder:
    """Nothing is made before `take`."""

    def __init__(self, server: Server) -> None:
        self.path = Path(server.state_dir).expanduser()
        self.database_url = server.database_url or f"sqlite:///{self.path / 'queue.db'}"
        self.runs, self.journal, self.files = self.path / "runs", self.path / "journal", self.path / "files"
        self.batches, self.fine_tunes = self.path / "batches", self.path / "fine_tunes"
        self.meter_logs, self.model_pools = self.path / "telemetry", self.path / "model_pools.json"
        self._lock: IO[str] | None = None

    def take(self) -> None:
        """Made where it is missing, and ours until `leave`. Raises StateFolderInUseError, OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateFolderInUseError(self.path) from None

    def leave(self) -> None:
        if self._lock is not None:
            self._lock.close()
