"""What the daemon may ask of whatever runs a job, and what it hears back. Knows no process and no cluster.

A run is one attempt of one job. Its outside name is made of both, so that asking twice cannot start it twice, and a
daemon that comes back finds what it left. How a run ended:

    exited    by itself, with its own exit code: 0 has succeeded, anything else has failed
    paused    asked to pause, it ended within its grace with exit code 0 or by the signal: its checkpoint is good
    stopped   asked to stop; whatever it said
    lost      its supervisor is gone, or it was killed while checkpointing, or by the system: run it again

A process that is asked to pause just when it had finished counts as paused. Started again it finds its work done and
exits with 0: that costs a start, and nothing is lost.

What the process is told by its environment: SLACKTIDE_JOB_ID, SLACKTIDE_ATTEMPT, SLACKTIDE_RESUME (1 from the second
attempt on), SLACKTIDE_DONE_S (the part of its duration behind a checkpoint), SLACKTIDE_GRACE_S (the time between
SIGTERM and SIGKILL), SLACKTIDE_GPUS (how many it was given), SLACKTIDE_RUN_DIR, and CUDA_VISIBLE_DEVICES where devices
are assigned. SIGTERM means: write a checkpoint if you can, and exit.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from signal import SIGTERM
from typing import Protocol

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

# How our own client of a batch tells the gateway whose request it is.
JOB_HEADER = "x-slacktide-job"

# Both generations of a log together; the newest output is kept.
MAX_LOG_BYTES = 64 * 1024 * 1024

# Asked to pause, a process has checkpointed when it says so by 0 or dies of the signal, directly or under a shell.
CHECKPOINTED_EXIT_CODES = frozenset({0, -SIGTERM, 128 + SIGTERM})


class LaunchError(Exception):
    """The run could not be handed over; nothing was started."""

    def __init__(self, run_id: str, what: str) -> None:
        self.run_id, self.what = run_id, what
        super().__init__(f"{run_id}: {what}")


class AlreadyStartedError(LaunchError):
    """This attempt was started before. `recover` says what became of it; another try needs another attempt."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id, "was started before; a new try needs a new attempt")


class Ending(StrEnum):
    EXITED = "exited"
    PAUSED = "paused"
    STOPPED = "stopped"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One attempt. `cwd` None is the job's own folder, which all of its attempts share.

    `env` is added to the daemon's own environment and reaches the process only, no file and no log. `devices` None
    leaves the choice of GPUs to the process, an empty one gives it none; `gpus` is how many it may use.
    """

    job_id: str
    attempt: int
    token: int
    command: tuple[str, ...]
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 30.0
    done_s: float = 0.0
    devices: tuple[str, ...] | None = None
    gpus: int | None = None
    max_log_bytes: int = MAX_LOG_BYTES

    def __post_init__(self) -> None:
        if not _JOB_ID.fullmatch(self.job_id):
            raise LaunchError(self.job_id, "a job id is made of letters, digits, dots, dashes and underscores")
        if not self.command:
            raise LaunchError(self.run_id, "there is no command")

    @property
    def run_id(self) -> str:
        return run_id_of(self.job_id, self.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is under way."""

    run_id: str
    job_id: str
    attempt: int
    token: int
    started_at_s: float
    devices: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """`exit_code` is negative for a signal and None when nobody saw the end, as are the instants.

    `problem` says why there was nothing to run, or what killed it.
    """

    run_id: str
    job_id: str
    attempt: int
    token: int
    ending: Ending
    exit_code: int | None
    started_at_s: float | None
    ended_at_s: float | None
    problem: str = ""

    @property
    def has_succeeded(self) -> bool:
        return self.ending is Ending.EXITED and self.exit_code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a daemon that comes back finds: runs that go on, and runs whose end it has not settled yet."""

    running: tuple[Run, ...]
    ended: tuple[RunEnded, ...]


def run_id_of(job_id: str, attempt: int) -> str:
    return f"slacktide-{job_id}-{attempt}"


class Launcher(Protocol):
    async def start(self, run: RunSpec) -> Run:
        """Start it, once for all time. Raises AlreadyStartedError, LaunchError.

        A command that cannot be executed is no error here: the run ends at once with exit code 127 and the problem.
        """

    async def stop(self, run_id: str) -> bool:
        """SIGTERM, its grace, SIGKILL; returns once asked. False when it is not running."""

    async def pause(self, run_id: str) -> bool:
        """The same, but meant to be resumed."""

    async def recover(self) -> Recovered:
        """Once, before anything is started: find the runs of an earlier life and go on watching them."""

    def outcomes(self) -> AsyncIterator[RunEnded]:
        """The ends of runs as they happen, for one listener. What is not settled is told again after a restart."""

    async def settle(self, run_id: str) -> None:
        """The end of this run is durable elsewhere: `recover` need not tell of it again."""

    async def close(self) -> None:
        """Stop watching; what runs goes on."""
