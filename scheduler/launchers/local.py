"""Runs jobs as processes of this machine. They survive the daemon, and none is started twice.

Each run has a supervisor of its own (supervise.py); this file hands runs over to them, signals them and notices their
end. Everything that has to be known after a restart lies in the run's folder, nothing only in memory.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from scheduler.daemon.env import Env
from scheduler.launchers import supervise
from scheduler.launchers.contract import Launcher, LaunchError, Recovered, Run, RunEnded, RunSpec
from scheduler.launchers.folder import RunFolders

# Forking one process and starting another; much longer means that the machine is in trouble.
START_TIMEOUT_S = 30.0
# A supervisor that holds its lock writes its process id some milliseconds later.
_PID_TRIES = 200
_PID_WAIT_S = 0.05


class LocalLauncher(Launcher):
    """`withheld` names variables of the daemon's environment that no run gets to see: the feeds' secrets."""

    def __init__(self, root: Path, env: Env, withheld: frozenset[str] = frozenset()) -> None:
        self.withheld = withheld
        self._folders = RunFolders(root)
        self._env = env
        self._loop = asyncio.get_running_loop()
        self._watched: dict[str, int] = {}  # run id -> pidfd of its supervisor
        self._over: asyncio.Queue[str] = asyncio.Queue()

    def log_path(self, run_id: str) -> Path:
        """The newest output; the half before it has the suffix `.1`."""
        return self._folders.log(run_id)

    async def recover(self) -> Recovered:
        run_ids = await self._env.in_thread(self._unsettled)
        running, ended = [], []
        for run_id in run_ids:
            if await self._watch(run_id):
                running.append(await self._env.in_thread(self._folders.run, run_id))
            else:
                ended.append(await self._env.in_thread(self._end, run_id))
        return Recovered(running=tuple(running), ended=tuple(ended))

    def _unsettled(self) -> list[str]:
        self._folders.prepare()
        return self._folders.run_ids()

    async def start(self, run: RunSpec) -> Run:
        now_s = self._env.now_s()
        try:
            await self._env.in_thread(self._hand_over, run, now_s)
        except OSError as error:
            raise LaunchError(run.run_id, str(error)) from error
        if not await self._watch(run.run_id):
            self._over.put_nowait(run.run_id)  # it has ended already
        # Not read back from its folder: its end may have been told, and settled, by now.
        return Run(run_id=run.run_id, job_id=run.job_id, attempt=run.attempt, token=run.token, started_at_s=now_s)

    def _hand_over(self, run: RunSpec, now_s: float) -> None:
        self._folders.prepare()
        with self._folders.created(run, now_s) as lock:
            folder = self._folders.folder(run.run_id)
            command = [sys.executable, "-I", "-S", supervise.__file__, str(folder), str(lock)]
            # Past this line the attempt is spent, whatever happens: its folder says so.
            with (folder / "supervisor.err").open("wb") as errors, suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    command,
                    env={**self._inherited(), **_told(run)},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    pass_fds=(lock,),
                    start_new_session=True,
                    timeout=START_TIMEOUT_S,
                    check=False,
                )

    def _inherited(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name not in self.withheld}

    async def stop(self, run_id: str) -> bool:
        return await self._ask(run_id, "stop")

    async def pause(self, run_id: str) -> bool:
        return await self._ask(run_id, "pause")

    async def _ask(self, run_id: str, what: str) -> bool:
        if run_id not in self._watched:
            return False
        await self._env.in_thread(self._folders.ask, run_id, what)
        pidfd = self._watched.get(run_id)  # it may have ended meanwhile
        if pidfd is None:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        return True

    async def outcomes(self) -> AsyncIterator[RunEnded]:
        while True:
            run_id = await self._over.get()
            now_s = self._env.now_s()
            ended = await self._env.in_thread(self._end, run_id)
            # Seen as it happened: by the daemon's clock, which may not be the supervisor's.
            yield replace(ended, ended_at_s=now_s) if ended.ended_at_s is not None else ended

    async def settle(self, run_id: str) -> None:
        await self._env.in_thread(self._folders.settle, run_id)

    async def close(self) -> None:
        for run_id in list(self._watched):
            self._unwatch(run_id)

    # -- noticing the end --------------------------------------------------------------------------------------------

    async def _watch(self, run_id: str) -> bool:
        """False when there is nothing to watch any more."""
        pidfd = await self._env.in_thread(self._supervisor, run_id)
        if pidfd is None:
            return False
        self._watched[run_id] = pidfd
        self._loop.add_reader(pidfd, self._on_end, run_id)
        return True

    def _on_end(self, run_id: str) -> None:
        self._unwatch(run_id)
        self._over.put_nowait(run_id)

    def _unwatch(self, run_id: str) -> None:
        pidfd = self._watched.pop(run_id)
        self._loop.remove_reader(pidfd)
        os.close(pidfd)

    def _supervisor(self, run_id: str) -> int | None:
        """A descriptor of the living supervisor."""
        for _ in range(_PID_TRIES):
            pid = self._folders.supervisor_pid(run_id)
            if not self._folders.is_supervised(run_id):
                return None
            if pid is not None:
                return self._opened(run_id, pid)
            time.sleep(_PID_WAIT_S)  # on a worker thread
        raise LaunchError(run_id, "its supervisor holds the lock but does not say who it is")

    def _opened(self, run_id: str, pid: int) -> int | None:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        # Still locked after the process was opened: it is the supervisor, and no later bearer of its number.
        if self._folders.is_supervised(run_id):
            return pidfd
        os.close(pidfd)
        return None

    def _end(self, run_id: str) -> RunEnded:
        """Its account of the end, or its loss, once nothing of it runs any more."""
        ended = self._folders.end(run_id)
        if ended is None:
            supervise.kill_marked(self._folders.folder(run_id))
            ended = self._folders.loss(run_id)
        return ended


def _told(run: RunSpec) -> Mapping[str, str]:
    told = {
        **run.env,
        "SLACKTIDE_JOB_ID": run.job_id,
        "SLACKTIDE_ATTEMPT": str(run.attempt),
        "SLACKTIDE_RESUME": "1" if run.attempt > 1 else "0",
        "SLACKTIDE_DONE_S": f"{run.done_s:g}",
        "SLACKTIDE_GRACE_S": f"{run.grace_s:g}",
    }
    if run.gpus is not None:
        told["SLACKTIDE_GPUS"] = str(run.gpus)
    if run.devices is not None:
        told["CUDA_VISIBLE_DEVICES"] = ",".join(run.devices)
    return told
