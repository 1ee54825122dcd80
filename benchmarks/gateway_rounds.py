"""Rounds of the gateway's benchmark: in each, every server at full speed and every server at half of the gateway's.

Within a round servers come in an order drawn anew, in slices of a few seconds, so that what else the machine does meets
all alike. The load of a round follows from what the gateway could do in that very round: a machine's speed swings, and
half of what it did a minute ago may be most of what it does now. No slice is left out.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import selectors
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway_servers import CHAT, MODEL
from benchmarks.http_load import latencies_s, post, requests_per_s
from benchmarks.litellm_proxy import NAME as LITELLM
from benchmarks.litellm_proxy import litellm
from benchmarks.processes import Process, started

CONNECTIONS = 64
# Of the rate at which the gateway is saturated: beyond it queueing drowns what is added.
LOAD_RATIO = 0.5
DIRECT, BARE, PASS_THROUGH, HOLDING = "worker alone", "bare proxy", "gateway", "gateway, holds of 20 ms"
# The servers under test have a core, the worker and the load have another.
TESTED_CORE, OTHER_CORE = 0, 1
REQUEST = post(
    CHAT,
    json.dumps(
        {
            "model": MODEL,
            "messages": [
                {"role": "system", "content": "You are a careful assistant. " * 10},
                {"role": "user", "content": "When is the grid in Germany cleanest, and why? " * 10},
            ],
            "max_tokens": 120,
            "temperature": 0.2,
        }
    ).encode(),
)
_STOLEN = 8  # the field of a core's line in /proc/stat


@dataclass(frozen=True, slots=True, kw_only=True)
class FullSpeed:
    """One server with as many requests as it takes."""

    requests_per_s: float
    cpu_ms_per_request: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One server at the load of the round."""

    latencies_s: list[float]  # in ascending order
    busy_ratio: float  # of the slice, on a core
    waited_ratio: float  # of the slice, ready to run without a core
    stolen_ratio: float  # of the slice, its core given to others by the machine beneath


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """All servers, within half a minute."""

    arrivals_per_s: float
    full_speed: Mapping[str, FullSpeed]  # in the order of the servers, not in that of the round
    slices: Mapping[str, Slice]


@contextmanager
def all_servers(worker_role: str, litellm_program: str) -> Iterator[dict[str, Process]]:
    with ExitStack() as stack:
        worker = stack.enter_context(serving(worker_role, OTHER_CORE))
        upstream = ("--upstream", worker.base_url)
        servers = {
            DIRECT: worker,
            BARE: stack.enter_context(serving("bare", TESTED_CORE, *upstream)),
            PASS_THROUGH: stack.enter_context(serving("gateway", TESTED_CORE, *upstream, "--hold", "0")),
            HOLDING: stack.enter_context(serving("gateway", TESTED_CORE, *upstream, "--hold", "0.02")),
        }
        if litellm_program:
            servers[LITELLM] = stack.enter_context(litellm(litellm_program, worker.base_url, MODEL, TESTED_CORE))
        yield servers


def serving(role: str, core: int, *options: str) -> AbstractContextManager[Process]:
    return started("benchmarks.gateway_servers", role, *options, core=core)


def measured(
    servers: Mapping[str, Process], rounds: int, lasts_s: float, on_round: Callable[[Round], None]
) -> list[Round]:
    """So many rounds, in slices of `lasts_s` real seconds. Nobody looks for garbage in the load meanwhile."""
    found = []
    gc.disable()
    for seed in range(rounds):
        found.append(one_round(servers, lasts_s, seed))
        on_round(found[-1])
        gc.collect()
    gc.enable()
    return found


def one_round(servers: Mapping[str, Process], lasts_s: float, seed: int) -> Round:
    order = list(servers)
    random.Random(seed).shuffle(order)
    at_full_speed = {name: full_speed(name, servers[name], lasts_s) for name in order}
    arrivals_per_s = LOAD_RATIO * at_full_speed[PASS_THROUGH].requests_per_s
    # Above what LiteLLM can do at all its latency would be that of its queue.
    order = [name for name in order if name != LITELLM]
    random.Random(-seed - 1).shuffle(order)
    slices = {name: at_a_load(servers[name], arrivals_per_s, lasts_s, seed) for name in order}
    return Round(
        arrivals_per_s=arrivals_per_s,
        full_speed={name: at_full_speed[name] for name in servers},
        slices={name: slices[name] for name in servers if name in slices},
    )


def full_speed(name: str, server: Process, lasts_s: float) -> FullSpeed:
    before_s = server.cpu_s()
    load = requests_per_s(server.port, REQUEST, connections=CONNECTIONS, lasts_s=lasts_s)
    answered, rate_per_s = asyncio.run(load)
    if not answered:
        raise RuntimeError(f"{name} answered nothing in {lasts_s:.0f} s")
    return FullSpeed(requests_per_s=rate_per_s, cpu_ms_per_request=1000 * (server.cpu_s() - before_s) / answered)


def at_a_load(server: Process, arrivals_per_s: float, lasts_s: float, seed: int) -> Slice:
    """The same arrivals for every server."""
    load = latencies_s(
        server.port, REQUEST, connections=CONNECTIONS, arrivals_per_s=arrivals_per_s, lasts_s=lasts_s, seed=seed
    )
    before = (time.perf_counter(), server.cpu_s(), server.waited_s(), _stolen_s())
    with asyncio.Runner(loop_factory=_punctual_loop) as runner:
        taken = runner.run(load)
    after = (time.perf_counter(), server.cpu_s(), server.waited_s(), _stolen_s())
    took_s, *parts_s = (later - earlier for earlier, later in zip(before, after, strict=True))
    busy, waited, stolen = (part_s / took_s for part_s in parts_s)
    return Slice(latencies_s=taken, busy_ratio=busy, waited_ratio=waited, stolen_ratio=stolen)


def _punctual_loop() -> asyncio.AbstractEventLoop:
    """One that wakes within a tenth of a millisecond. The usual one counts in whole ones, and sends in bursts."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def _stolen_s() -> float:
    """Of the tested core, by whatever runs this machine beside others."""
    lines = Path("/proc/stat").read_text().splitlines()
    core = next(line.split() for line in lines if line.startswith(f"cpu{TESTED_CORE} "))
    return int(core[_STOLEN]) / os.sysconf("SC_CLK_TCK")
