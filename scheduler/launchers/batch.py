"""Sends the lines of a batch to the gateway and appends the answers: `python -m scheduler.launchers.batch FOLDER N`.

Runs as a job's process, so it outlives the daemon, is paused by SIGTERM and started again: lines whose answer is in the
output are not sent again, and a half-written last line counts as not answered. A gateway that does not answer (a daemon
that restarts) is asked again; what it refuses is the answer of that line.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp

from scheduler.launchers.contract import JOB_HEADER
from scheduler.launchers.whole_lines import keys_of_whole_lines

# A restart of the daemon is over in seconds; a worker that is gone may take minutes to come back.
_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 15.0
_TRY_AGAIN = frozenset({429, 502, 503, 504})
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=900.0)


def answered_ids(output: Path) -> set[str]:
    """The lines whose answer is whole; cuts the file off before the first that is not, as a crash may leave it."""
    return keys_of_whole_lines(output, _custom_id)


def _custom_id(line: bytes) -> str | None:
    """Whose answer a line of the output is; None where it was cut, or never reached the disk."""
    if not line.endswith(b"\n"):
        return None
    try:
        return str(json.loads(line)["custom_id"])
    except (ValueError, KeyError, TypeError):
        return None


class Batch:
    """One run over the open lines of a folder's input."""

    def __init__(self, folder: Path, concurrency: int, environment: Mapping[str, str]) -> None:
        output = folder / "output.jsonl"
        done = answered_ids(output)
        lines = [json.loads(line) for line in (folder / "input.jsonl").read_bytes().splitlines()]
        self._open = [line for line in lines if line["custom_id"] not in done]
        self._output_path = output
        self._places = asyncio.Semaphore(concurrency)
        self._base_url = environment["SLACKTIDE_URL"]
        self._headers = {JOB_HEADER: environment.get("SLACKTIDE_JOB_ID", ""), "Content-Type": "application/json"}
        if key := environment.get("SLACKTIDE_KEY"):
            self._headers["Authorization"] = f"Bearer {key}"

    async def run(self) -> None:
        """Until every line has its answer."""
        session = aiohttp.ClientSession(timeout=_TIMEOUT, headers=self._headers)
        with self._output_path.open("ab") as output:
            async with session, asyncio.TaskGroup() as group:
                for line in self._open:
                    await self._places.acquire()
                    group.create_task(self._answer(session, line, output))

    async def _answer(self, session: aiohttp.ClientSession, line: Mapping[str, Any], output: BinaryIO) -> None:
        try:
            answer = await self._asked(session, line)
            output.write(json.dumps({"custom_id": line["custom_id"], **answer}).encode() + b"\n")
            output.flush()
        finally:
            self._places.release()

    async def _asked(self, session: aiohttp.ClientSession, line: Mapping[str, Any]) -> dict[str, Any]:
        wait_s = _FIRST_RETRY_S
        while True:
            try:
                async with session.post(self._base_url + line["url"], json=line["body"]) as response:
                    text = await response.text()
                    if response.status not in _TRY_AGAIN:
                        return _result(response.status, text)
            except (aiohttp.ClientError, TimeoutError):
                pass  # the daemon is away; whoever stops this process decides when that is too long
            await asyncio.sleep(wait_s)  # noqa: TID251  a process of its own, without an Env
            wait_s = min(2 * wait_s, _LONGEST_RETRY_S)


def _result(status: int, text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        body = {"error": {"message": "the answer was no JSON", "type": "server_error", "param": None, "code": None}}
    error = body.get("error") if status >= 400 and isinstance(body, dict) else None
    return {"response": {"status_code": status, "body": body}, "error": error}


async def _main(folder: Path, concurrency: int) -> None:
    task = asyncio.current_task()
    assert task is not None
    # A pause: what is under way is given up and sent again after the resumption.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await Batch(folder, concurrency, os.environ).run()


if __name__ == "__main__":
    try:
        asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2])))
    except asyncio.CancelledError:
        sys.exit(0)
