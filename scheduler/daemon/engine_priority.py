"""How an engine is told that a request may stand behind others: each has its own sign.

Pure; decides nothing about when a request goes. Source: vLLM serves the lower number first, SGLang the higher one.
"""

from __future__ import annotations

from scheduler.engine_settings import PriorityOrder
from shaping.request import LatencyClass

# Far enough apart for callers that set small priorities of their own on interactive requests, which have 0.
_RANKS = {LatencyClass.INTERACTIVE: 0, LatencyClass.FLEX: 10, LatencyClass.BATCH: 20}


def with_priority(body: bytes, order: PriorityOrder, latency_class: LatencyClass) -> bytes:
    """A JSON object with a priority in front; one that the caller set stands later in it and so prevails.

    Unchanged for an interactive request, and where the engine keeps no priorities.
    """
    rank = _RANKS[latency_class]
    if order is PriorityOrder.NONE or not rank:
        return body
    signed = rank if order is PriorityOrder.LOWER_FIRST else -rank
    return b'{"priority":%d,' % signed + body.lstrip()[1:]
