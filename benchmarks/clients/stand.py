"""A real `slacktide serve` in front of a worker, each a process of its own, and what the daemon says of requests."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

PROFILED_MODEL = "llama-3.1-8b"
_STARTS_IN_S = 60.0
_ASKED_S = 10.0
_SAMPLE = re.compile(r"^(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class StandError(Exception):
    """Something that was started did not come up, or ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A gateway and its worker."""

    gateway_url: str
    worker_url: str
    model: str

    @property
    def base_url(self) -> str:
        """What a client is told instead of OpenAI's."""
        return f"{self.gateway_url}/v1"

    def record(self, request_id: str) -> dict[str, Any]:
        """What the daemon knows of one request."""
        found = requests.get(f"{self.gateway_url}/api/v1/requests/{request_id}", timeout=_ASKED_S)
        found.raise_for_status()
        document: dict[str, Any] = found.json()
        return document

    def answered(self) -> Counter[tuple[str, str]]:
        """Requests answered so far by endpoint and status."""
        found: Counter[tuple[str, str]] = Counter()
        for labels, value in samples(self._page(), "slacktide_requests_total"):
            found[labels["endpoint"], labels["status"]] += round(value)
        return found

    def answered_of(self, latency_class: str) -> int:
        """Requests of one class answered so far."""
        counts = samples(self._page(), "slacktide_requests_total")
        return round(sum(value for labels, value in counts if labels["latency_class"] == latency_class))

    def _page(self) -> str:
        return requests.get(f"{self.gateway_url}/metrics", timeout=_ASKED_S).text

    def model_names(self) -> list[str]:
        found = requests.get(f"{self.base_url}/models", timeout=_ASKED_S).json()
        return [one["id"] for one in found["data"]]


def samples(page: str, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
    """Labels and value of each sample of one metric."""
    for line in page.splitlines():
        found = _SAMPLE.match(line)
        if found is not None and found["name"] == name:
            yield dict(_LABEL.findall(found["labels"])), float(found["value"])


@contextmanager
def running(command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None) -> Iterator[Path]:
    """A program that runs meanwhile, its output in `log`; it and what it started are ended afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        try:
            yield log
        finally:
            process.terminate()
            try:
                process.wait(_STARTS_IN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until_it_answers(url: str, log: Path, *, within_s: float = _STARTS_IN_S) -> None:
    """Wait for a program that has just been started. Raises StandError with the end of its log."""
    given_up_at_s = time.monotonic() + within_s
    while time.monotonic() < given_up_at_s:
        try:
            if requests.get(url, timeout=_ASKED_S).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)  # another program starts
    raise StandError(f"{url} did not answer within {within_s:.0f} s: {log.read_text(errors='replace')[-1500:]}")


def until(is_so: Callable[[], bool], within_s: float, *, every_s: float = 0.05) -> bool:
    """Whether it came about in that time."""
    given_up_at_s = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > given_up_at_s:
            return False
        time.sleep(every_s)  # nothing tells of it
    return True


def free_port() -> int:
    """A port that nobody has at the moment, for programs that cannot choose one themselves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def simulated(folder: Path) -> Iterator[Stand]:
    """The gateway in front of `slacktide worker`."""
    port = free_port()
    options = ("--port", str(port), "--model", PROFILED_MODEL, "--speed", "5")
    log = folder / "worker.log"
    with running(_slacktide("worker", *options), log):
        url = f"http://127.0.0.1:{port}"
        until_it_answers(f"{url}/health", log)
        with before(folder, url, PROFILED_MODEL, engine="openai") as stand:
            yield stand


@contextmanager
def before(folder: Path, worker_url: str, model: str, *, engine: str) -> Iterator[Stand]:
    """The gateway in front of a worker that runs already."""
    port, log = free_port(), folder / "serve.log"
    settings = folder / "slacktide.toml"
    settings.write_text(_settings(folder / "state", port, worker_url, model, engine))
    with running(_slacktide("serve", "-c", str(settings), "--log-json"), log):
        url = f"http://127.0.0.1:{port}"
        until_it_answers(f"{url}/readyz", log)
        yield Stand(gateway_url=url, worker_url=worker_url, model=model)


def _slacktide(*words: str) -> list[str]:
    return [sys.executable, "-m", "slacktide.main", *words]


def _settings(state: Path, port: int, worker_url: str, model: str, engine: str) -> str:
    return f"""
[server]
port = {port}
state_dir = {json.dumps(str(state))}
drain_s = 2

[[region]]
name = "here"
zone = "SUN"
gpus = 1

[[feed]]
kind = "synthetic"
zones = ["SUN"]
archetype = "solar"

[[worker]]
url = "{worker_url}"
models = ["{model}"]
region = "here"
engine = "{engine}"
priority = "{"engine" if engine == "vllm" else "none"}"
gpu = "h100-sxm"
"""
