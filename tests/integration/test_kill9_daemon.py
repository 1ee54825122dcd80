"""kill -9 of the daemon at random instants under load: no acknowledged job is lost, none runs twice."""

from __future__ import annotations

import math
import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

KILLS = 50
SUBMITTERS = 6
SEED = 20_260_728
LONGEST_LIFE_S = 0.4  # after it listens
# Every fifth life is counted from its first instruction on: it ends while it recovers, mostly before it listens.
EVERY_NTH_DIES_YOUNG, LONGEST_YOUTH_S = 5, 0.15
BETWEEN_SUBMISSIONS_S = 0.02
PATIENCE_S = 60.0

SETTINGS = """
[server]
port = 0
state_dir = "{folder}/state"

[[region]]
name = "here"
zone = "nowhere"
gpus = 1000

[[template]]
name = "mark"
command = ["/bin/sh", "-c", "echo $SLACKTIDE_JOB_ID {{word}} >> '{folder}/marks'"]
"""


@dataclass
class Lives:
    """The daemon, life after life; `address` is where the newest that listened did."""

    process: subprocess.Popen[str]
    address: str = ""
    pid: int = 0
    said: list[str] = field(default_factory=list)
    ready: queue.Queue[str] = field(default_factory=queue.Queue)

    def listen(self) -> None:
        """On a thread of its own: what the daemons log."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"daemon_ready.*address=(http://\S+)", line):
                self.address = found[1]
                self.ready.put(found[1])

    def begin(self) -> None:
        while not self.ready.empty():  # of a life that was killed just then
            self.ready.get()
        assert self.process.stdin is not None
        print("live", file=self.process.stdin, flush=True)
        self.pid = int(self._line())

    def until_ready(self) -> None:
        self.ready.get(timeout=PATIENCE_S)

    def end(self, number: signal.Signals) -> int:
        os.kill(self.pid, number)
        self.pid, exit_code = 0, int(self._line())
        return exit_code

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@contextmanager
def lives(folder: Path, settings: str = SETTINGS) -> Iterator[Lives]:
    config = folder / "slacktide.toml"
    config.write_text(settings.format(folder=folder))
    command = [sys.executable, "-m", "tests.integration.daemon_lives", str(config)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        daemon = Lives(process=process)
        listener = threading.Thread(target=daemon.listen)
        listener.start()
        try:
            yield daemon
        finally:
            if daemon.pid:
                with suppress(ProcessLookupError):
                    os.kill(daemon.pid, signal.SIGKILL)
            process.stdin.close()
            listener.join()


@dataclass
class Load:
    """Clients that submit one job after another, each until it is acknowledged, and some of them again after that."""

    daemon: Lives
    is_over: threading.Event = field(default_factory=threading.Event)
    acknowledged: dict[str, set[str]] = field(default_factory=dict)  # word of the job -> ids that were answered

    def submit_jobs(self, client: int) -> None:
        draw, number = random.Random(SEED + client), 0
        while not self.is_over.wait(BETWEEN_SUBMISSIONS_S):
            number += 1
            word = f"job-{client}-{number}"
            while not (self._submitted(word) or self.is_over.wait(0.01)):
                pass  # the daemon is away: the same key again
            if draw.random() < 0.2:
                self._submitted(word)

    def until_more_than(self, known: int) -> None:
        """A life in which nothing was acknowledged could lose nothing."""
        for _ in range(int(PATIENCE_S / 0.002)):
            if len(self.acknowledged) > known:
                return
            self.is_over.wait(0.002)
        raise AssertionError("the daemon acknowledges nothing")

    def _submitted(self, word: str) -> bool:
        body = {
            "template": "mark",
            "arguments": {"word": word},
            "duration": "1s",
            "power": "1kW",
            "within": "12h",
            "gpus": 0,
        }
        headers = {"Idempotency-Key": word}
        try:
            answer = requests.post(f"{self.daemon.address}/api/v1/jobs", json=body, headers=headers, timeout=10)
        except requests.RequestException:
            return False
        assert answer.status_code in (200, 201, 503), answer.text
        if answer.ok:
            self.acknowledged.setdefault(word, set()).add(answer.json()["id"])
        return answer.ok


def all_jobs(address: str, **query: Any) -> dict[str, str]:
    """State by id."""
    states: dict[str, str] = {}
    before: dict[str, int] = {}
    while True:
        page = requests.get(f"{address}/api/v1/jobs", params={"limit": 500, **before, **query}, timeout=10).json()
        states |= {job["id"]: job["state"] for job in page["data"]}
        if page["next_before"] is None:
            return states
        before = {"before": page["next_before"]}


def until_all_have_ended(address: str) -> None:
    still_open = ["waiting", "starting", "running"]
    clock, fewest, waits = threading.Event(), math.inf, 0
    while waits < PATIENCE_S / 0.1:  # since the last one ended
        left = len(all_jobs(address, state=still_open))
        if not left:
            return
        fewest, waits = min(fewest, left), 0 if left < fewest else waits + 1
        clock.wait(0.1)
    raise AssertionError(f"still open: {all_jobs(address, state=still_open)}")


@pytest.mark.slow
@pytest.mark.timeout(900)  # it starts a daemon fifty times
def test_kill_9_at_50_instants_under_load_loses_no_acknowledged_job_and_runs_none_twice(tmp_path: Path) -> None:
    draw, clock = random.Random(SEED), threading.Event()
    with lives(tmp_path) as daemon, ThreadPoolExecutor(SUBMITTERS) as clients:
        load = Load(daemon=daemon)
        try:
            daemon.begin()
            daemon.until_ready()
            submitters = [clients.submit(load.submit_jobs, client) for client in range(SUBMITTERS)]
            for kill in range(KILLS):
                if kill % EVERY_NTH_DIES_YOUNG == EVERY_NTH_DIES_YOUNG - 1:
                    clock.wait(draw.uniform(0.0, LONGEST_YOUTH_S))
                else:
                    if kill:
                        daemon.until_ready()
                    known = len(load.acknowledged)
                    clock.wait(draw.uniform(0.0, LONGEST_LIFE_S))
                    load.until_more_than(known)
                assert daemon.end(signal.SIGKILL) == -signal.SIGKILL, "".join(daemon.said)[-3000:]
                daemon.begin()
            daemon.until_ready()
        finally:
            load.is_over.set()
        for one in submitters:
            one.result()
        until_all_have_ended(daemon.address)
        states = all_jobs(daemon.address)
        assert daemon.end(signal.SIGTERM) == 0, "".join(daemon.said)[-3000:]

    ran = [line.split() for line in (tmp_path / "marks").read_text().splitlines()]
    assert {job_id for ids in load.acknowledged.values() for job_id in ids} <= states.keys()
    assert all(len(ids) == 1 for ids in load.acknowledged.values()), "one key, two jobs"
    assert set(states.values()) == {"succeeded"}
    assert Counter(job_id for job_id, _ in ran) == dict.fromkeys(states, 1)
    assert len({word for _, word in ran}) == len(ran), "one key ran under two ids"
