"""Agents that meter GPUs of other machines, as settings name them, and what must hold between them and workers.

Decides the words and the mistakes; what an agent says is gpu_report.py's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Protocol
from urllib.parse import urlsplit

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.addresses import is_host
from scheduler.setting_values import STRICT, Duration


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AgentSettings:
    """[[agent]]: a `slacktide agent` on another machine, which meters the GPUs of workers there."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", description="Name that workers refer to.")]
    url: Annotated[str, Field(pattern=r"^https?://", description="Its address, such as `http://gpu1:9402`.")]
    token_env: Annotated[str, Field(description="Environment variable with the token that the agent asks for.")] = ""
    timeout_s: Annotated[Duration, Field(gt=0, description="Time-out of one call.")] = 2.0


class MeteredWorker(Protocol):
    """A worker, as seen from here."""

    @property
    def agent(self) -> str: ...

    @property
    def devices(self) -> tuple[str, ...]: ...


def host_of(url: str) -> str:
    """The host of an address of scheme, host and port only; empty for anything else."""
    try:
        parts = urlsplit(url)
        is_plain = parts.port != 0 and not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    except ValueError:  # half a bracket, or no number for a port
        return ""
    host = parts.hostname or ""
    return host if is_plain and is_host(host) else ""


# The place in the table, the key, what, the remedy, and whether it is a warning only.
Mistake = tuple[str, int, str, str, str, bool]


def mistakes(agents: Sequence[AgentSettings], workers: Sequence[MeteredWorker]) -> Iterator[Mistake]:
    """Everything that contradicts itself about agents; an unknown name of one is the caller's to find."""
    used = {worker.agent for worker in workers}
    for index, agent in enumerate(agents):
        if not host_of(agent.url):
            hint = "write scheme, host and port only, such as http://gpu1:9402"
            yield "agent", index, "url", f"{agent.url!r} is no address of an agent", hint, False
        if agent.name not in used:
            hint = f'add agent = "{agent.name}" and devices to the [[worker]] whose GPUs it meters'
            yield "agent", index, "name", "no [[worker]] names it: nothing is metered by it", hint, True
    for index, worker in enumerate(workers):
        if worker.agent and not worker.devices:
            hint = "name the GPUs of the worker by index or UUID; `slacktide agent --once` there lists them"
            yield "worker", index, "agent", "needs devices: which of the agent's GPUs are the worker's", hint, False
        yield from _shared(index, worker, workers)


def _shared(index: int, worker: MeteredWorker, workers: Sequence[MeteredWorker]) -> Iterator[Mistake]:
    """The same workers may share all of their GPUs; half of them would be counted in two sums."""
    for earlier in workers[:index]:
        both = set(worker.devices) & set(earlier.devices)
        if worker.agent and worker.agent == earlier.agent and both and set(worker.devices) != set(earlier.devices):
            what = f"GPU {min(both)!r} of agent {worker.agent!r} is another worker's as well, with other GPUs beside it"
            hint = "workers share all of their devices, or none: their joules are split over the requests of both"
            yield "worker", index, "devices", what, hint, False
            return
