"""Several engines behind one door: data parallel replicas, each with its own queue and KV memory.

A request goes to the replica with the least to do, as vLLM weighs it; of equals to the first. Where the experts of a
model are spread over the replicas, all of them step together, the idle ones too. Decides nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from simulations.reproductions.iterations import Engine, LoggedRequest
from simulations.reproductions.kernel_times import Batch

# A waiting request counts as much as so many running ones: vLLM's balancer between data parallel engines.
_WAITING_WEIGHT = 4


def run_apart(engines: Sequence[Engine], requests: Sequence[LoggedRequest]) -> None:
    """Replicas that know nothing of each other; requests in order of their arrival."""
    _empty(engines, requests)
    for request in requests:
        for engine in engines:
            engine.run_until(request.queued_at_s)
        _least_loaded(engines).queue(request)
    for engine in engines:
        engine.run_until(math.inf)


def run_together(
    engines: Sequence[Engine], requests: Sequence[LoggedRequest], step_s: Callable[[Sequence[Batch]], float]
) -> None:
    """Replicas whose iterations begin and end at the same instants, which `step_s` sets by all their batches."""
    _empty(engines, requests)
    now_s = 0.0
    for request in (*requests, None):
        at_s = math.inf if request is None else request.queued_at_s
        while now_s < at_s and any(engine.has_work for engine in engines):
            chosen = [engine.choose() for engine in engines]
            now_s += step_s([engine.batch(one) for engine, one in zip(engines, chosen, strict=True)])
            for engine, one in zip(engines, chosen, strict=True):
                engine.now_s = now_s
                engine.absorb(one)
        if request is not None:
            if not any(engine.has_work for engine in engines):
                now_s = max(now_s, request.queued_at_s)
            _least_loaded(engines).queue(request)


def _empty(engines: Sequence[Engine], requests: Sequence[LoggedRequest]) -> None:
    for engine in engines:
        engine.empty(requests)


def _least_loaded(engines: Sequence[Engine]) -> Engine:
    return min(engines, key=lambda engine: _WAITING_WEIGHT * len(engine.waiting) + len(engine.running))
