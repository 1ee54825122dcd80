"""Real processes under the local launcher: how they start, end, pause, outlive the daemon, and never run twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scheduler.daemon.env import Env
from scheduler.launchers.contract import AlreadyStartedError, Ending, LaunchError, RunEnded, RunSpec
from scheduler.launchers.local import LocalLauncher

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0


class Ear:
    """Hears the lines that processes write to one FIFO; a test waits for them instead of sleeping."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._reader = asyncio.StreamReader()
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._descriptor, self._hear)

    def _hear(self) -> None:
        self._reader.feed_data(os.read(self._descriptor, 4096))

    async def line(self) -> str:
        async with asyncio.timeout(PATIENCE_S):
            return (await self._reader.readline()).decode().strip()

    @property
    def has_heard_more(self) -> bool:
        return bool(self._reader._buffer)  # type: ignore[attr-defined]

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)


class Bench:
    """A launcher in a folder of its own, which can die and come back."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.launcher = LocalLauncher(root / "state", Env())
        self.ear = Ear(root / "ear")
        self._ends = self.launcher.outcomes()

    def run(self, body: str, *, attempt: int = 1, grace_s: float = 10.0, **more: object) -> RunSpec:
        """`say(text)` in the body reaches the ear."""
        preamble = f"""
import os, signal, sys, time
def say(text):
    with open({str(self.ear.path)!r}, 'w') as ear: ear.write(f'{{text}}\\n')
def forever():
    while True: signal.pause()
"""
        command = (sys.executable, "-c", preamble + body)
        settings: dict[str, object] = {"job_id": "j", "attempt": attempt, "token": attempt, "grace_s": grace_s}
        return RunSpec(command=command, **(settings | more))  # type: ignore[arg-type]

    async def end(self) -> RunEnded:
        async with asyncio.timeout(PATIENCE_S):
            return await anext(self._ends)

    async def come_back(self) -> None:
        """As after a kill -9: nothing is told to anybody, only the folder is left."""
        await self.launcher.close()
        self.launcher = LocalLauncher(self.root / "state", Env())
        self._ends = self.launcher.outcomes()

    def supervisor_pid(self, run_id: str) -> int:
        return int((self.root / "state" / "runs" / run_id / "pid").read_text())


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    await bench.launcher.recover()
    yield bench
    await bench.come_back()
    for run in (await bench.launcher.recover()).running:
        await bench.launcher.stop(run.run_id)
    await bench.launcher.close()
    bench.ear.close()


async def test_a_run_that_ends_well_has_succeeded_and_kept_its_log(bench: Bench) -> None:
    run = await bench.launcher.start(bench.run("print('epoch 1', flush=True); print('oops', file=sys.stderr)"))
    ended = await bench.end()
    assert (ended.run_id, ended.job_id, ended.attempt, ended.token) == ("slacktide-j-1", "j", 1, 1)
    assert (ended.ending, ended.exit_code, ended.has_succeeded) == (Ending.EXITED, 0, True)
    assert ended.ended_at_s is not None and ended.ended_at_s >= run.started_at_s
    assert bench.launcher.log_path(run.run_id).read_text() == "epoch 1\noops\n"


async def test_a_run_that_fails_says_its_exit_code(bench: Bench) -> None:
    await bench.launcher.start(bench.run("sys.exit(3)"))
    ended = await bench.end()
    assert (ended.ending, ended.exit_code, ended.has_succeeded) == (Ending.EXITED, 3, False)


async def test_a_command_that_does_not_exist_ends_at_once_and_says_why(bench: Bench) -> None:
    await bench.launcher.start(RunSpec(job_id="j", attempt=1, token=1, command=("no-such-program",)))
    ended = await bench.end()
    assert (ended.ending, ended.exit_code) == (Ending.EXITED, 127)
    assert "no-such-program" in ended.problem


async def test_an_attempt_is_started_once_for_all_time(bench: Bench) -> None:
    spec = bench.run("say('here')")
    run = await bench.launcher.start(spec)
    with pytest.raises(AlreadyStartedError):
        await bench.launcher.start(spec)
    await bench.end()
    await bench.launcher.settle(run.run_id)
    with pytest.raises(AlreadyStartedError):
        await bench.launcher.start(spec)
    assert await bench.ear.line() == "here"
    assert not bench.ear.has_heard_more


async def test_a_job_id_that_would_leave_the_folder_is_refused() -> None:
    with pytest.raises(LaunchError):
        RunSpec(job_id="../etc", attempt=1, token=1, command=("true",))


async def test_a_process_is_told_who_it_is_and_no_file_keeps_its_secrets(bench: Bench, tmp_path: Path) -> None:
    told = ("SLACKTIDE_JOB_ID", "SLACKTIDE_ATTEMPT", "SLACKTIDE_RESUME", "SLACKTIDE_DONE_S", "CUDA_VISIBLE_DEVICES")
    body = f"say(' '.join(os.environ[name] for name in {told!r})); say(os.environ['TOKEN'])"
    spec = bench.run(body, attempt=2, done_s=1800.0, devices=("2", "3"), env={"TOKEN": "canary-5f1c"})
    await bench.launcher.start(spec)
    assert await bench.ear.line() == "j 2 1 1800 2,3"
    assert await bench.ear.line() == "canary-5f1c"
    await bench.end()
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert not [path for path in files if b"canary-5f1c" in path.read_bytes()]


async def test_attempts_of_a_job_share_its_folder(bench: Bench) -> None:
    await bench.launcher.start(bench.run("open('checkpoint', 'w').write('7')"))
    await bench.end()
    await bench.launcher.start(bench.run("say(open('checkpoint').read())", attempt=2))
    assert await bench.ear.line() == "7"
    await bench.end()


async def test_a_long_log_keeps_its_newest_part_within_the_bound(bench: Bench) -> None:
    body = "for number in range(3000): print(f'line {number:04d} ' + 'x' * 90)"
    run = await bench.launcher.start(bench.run(body, max_log_bytes=64 * 1024))
    await bench.end()
    newest = bench.launcher.log_path(run.run_id)
    older = newest.with_name(newest.name + ".1")
    assert newest.read_text().splitlines()[-1].startswith("line 2999")
    assert newest.stat().st_size + older.stat().st_size <= 64 * 1024 + 64 * 1024


async def test_stop_ends_a_run_that_listens(bench: Bench) -> None:
    run = await bench.launcher.start(bench.run("say('up'); forever()"))
    await bench.ear.line()
    assert await bench.launcher.stop(run.run_id)
    ended = await bench.end()
    assert (ended.ending, ended.exit_code) == (Ending.STOPPED, -signal.SIGTERM)
    assert not await bench.launcher.stop(run.run_id)


async def test_stop_kills_a_run_that_does_not_listen_once_its_grace_is_over(bench: Bench) -> None:
    run = await bench.launcher.start(
        bench.run("signal.signal(signal.SIGTERM, lambda *_: say('no')); say('up'); forever()", grace_s=2.0)
    )
    await bench.ear.line()
    await bench.launcher.stop(run.run_id)
    assert await bench.ear.line() == "no"
    ended = await bench.end()
    assert (ended.ending, ended.exit_code) == (Ending.STOPPED, -signal.SIGKILL)


async def test_stop_reaches_the_children_of_a_run(bench: Bench) -> None:
    body = """
child = os.fork()
if child == 0:
    say(f'child {os.getpid()}')
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.setsid()
    forever()
os.wait()
"""
    run = await bench.launcher.start(bench.run(body, grace_s=0.2))
    child = int((await bench.ear.line()).split()[1])
    await bench.launcher.stop(run.run_id)
    assert (await bench.end()).ending is Ending.STOPPED
    await gone(child)


PAUSABLE = """
def checkpoint(*_):
    open('checkpoint', 'w').write('step 5')
    say('saved')
    sys.exit(0)
signal.signal(signal.SIGTERM, checkpoint)
if os.environ['SLACKTIDE_RESUME'] == '1':
    say('resumed at ' + open('checkpoint').read())
    sys.exit(0)
say('up')
forever()
"""


async def test_a_paused_run_is_no_finished_run_and_resumes_from_its_checkpoint(bench: Bench) -> None:
    run = await bench.launcher.start(bench.run(PAUSABLE))
    await bench.ear.line()
    assert await bench.launcher.pause(run.run_id)
    paused = await bench.end()
    assert (paused.ending, paused.exit_code, paused.has_succeeded) == (Ending.PAUSED, 0, False)
    assert await bench.ear.line() == "saved"
    await bench.launcher.start(bench.run(PAUSABLE, attempt=2))
    assert await bench.ear.line() == "resumed at step 5"
    assert (await bench.end()).has_succeeded


async def test_a_run_killed_while_checkpointing_is_lost(bench: Bench) -> None:
    run = await bench.launcher.start(
        bench.run("signal.signal(signal.SIGTERM, lambda *_: say('saving')); say('up'); forever()", grace_s=0.2)
    )
    await bench.ear.line()
    await bench.launcher.pause(run.run_id)
    ended = await bench.end()
    assert (ended.ending, ended.problem) == (Ending.LOST, "killed after its grace")


async def test_a_run_that_crashes_on_pause_has_failed(bench: Bench) -> None:
    run = await bench.launcher.start(
        bench.run("signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); say('up'); forever()")
    )
    await bench.ear.line()
    await bench.launcher.pause(run.run_id)
    ended = await bench.end()
    assert (ended.ending, ended.exit_code) == (Ending.EXITED, 9)


async def test_a_run_goes_on_while_the_daemon_is_away(bench: Bench) -> None:
    spec = bench.run("say('up'); signal.signal(signal.SIGUSR1, lambda *_: sys.exit(4)); say(os.getpid()); forever()")
    run = await bench.launcher.start(spec)
    await bench.ear.line()
    process = int(await bench.ear.line())
    await bench.come_back()
    recovered = await bench.launcher.recover()
    assert [(found.run_id, found.token) for found in recovered.running] == [(run.run_id, 1)]
    assert recovered.ended == ()
    with pytest.raises(AlreadyStartedError):
        await bench.launcher.start(spec)
    os.kill(process, signal.SIGUSR1)
    ended = await bench.end()
    assert (ended.run_id, ended.exit_code) == (run.run_id, 4)


async def test_a_recovered_run_can_be_stopped(bench: Bench) -> None:
    run = await bench.launcher.start(bench.run("say('up'); forever()"))
    await bench.ear.line()
    await bench.come_back()
    await bench.launcher.recover()
    assert await bench.launcher.stop(run.run_id)
    assert (await bench.end()).ending is Ending.STOPPED


async def test_an_end_is_told_again_until_it_is_settled(bench: Bench) -> None:
    run = await bench.launcher.start(bench.run("sys.exit(5)"))
    await bench.end()
    await bench.come_back()
    [ended] = (await bench.launcher.recover()).ended
    assert (ended.run_id, ended.exit_code) == (run.run_id, 5)
    await bench.launcher.settle(run.run_id)
    await bench.come_back()
    assert (await bench.launcher.recover()).ended == ()


async def test_a_run_whose_supervisor_is_killed_is_lost_and_nothing_of_it_runs_on(bench: Bench) -> None:
    run = await bench.launcher.start(bench.run("say(os.getpid()); forever()"))
    process = int(await bench.ear.line())
    os.kill(bench.supervisor_pid(run.run_id), signal.SIGKILL)
    ended = await bench.end()
    assert (ended.ending, ended.exit_code, ended.problem) == (Ending.LOST, None, "its supervisor is gone")
    await gone(process)


async def test_a_supervisor_killed_while_the_daemon_was_away_is_found_out(bench: Bench) -> None:
    run = await bench.launcher.start(bench.run("say(os.getpid()); forever()"))
    process = int(await bench.ear.line())
    supervisor = os.pidfd_open(bench.supervisor_pid(run.run_id))
    await bench.come_back()
    signal.pidfd_send_signal(supervisor, signal.SIGKILL)
    await readable(supervisor)
    [ended] = (await bench.launcher.recover()).ended
    assert ended.ending is Ending.LOST
    await gone(process)


async def test_a_run_that_was_handed_over_but_never_started_is_lost(bench: Bench, tmp_path: Path) -> None:
    run = await bench.launcher.start(bench.run("pass"))
    await bench.end()
    folder = tmp_path / "state" / "runs" / run.run_id
    for name in ("pid", "started.json", "exit.json"):  # as if the daemon had died before it came to the process
        (folder / name).unlink()
    await bench.come_back()
    [ended] = (await bench.launcher.recover()).ended
    assert (ended.ending, ended.started_at_s) == (Ending.LOST, None)


async def test_a_process_number_on_file_that_belongs_to_somebody_else_is_left_alone(
    bench: Bench, tmp_path: Path
) -> None:
    run = await bench.launcher.start(bench.run("say('up'); forever()"))
    await bench.ear.line()
    supervisor = os.pidfd_open(bench.supervisor_pid(run.run_id))
    await bench.come_back()
    signal.pidfd_send_signal(supervisor, signal.SIGKILL)
    await readable(supervisor)
    (tmp_path / "state" / "runs" / run.run_id / "pid").write_text(str(os.getpid()))
    recovered = await bench.launcher.recover()
    assert recovered.running == ()
    assert recovered.ended[0].ending is Ending.LOST


async def readable(pidfd: int) -> None:
    """The process behind it has ended."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.add_reader(pidfd, over.set_result, None)
    async with asyncio.timeout(PATIENCE_S):
        await over
    loop.remove_reader(pidfd)
    os.close(pidfd)


async def gone(pid: int) -> None:
    """Times out when the process goes on."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    await readable(pidfd)
