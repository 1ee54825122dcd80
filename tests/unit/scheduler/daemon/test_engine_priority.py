"""Deferred requests stand behind others at the engine, in the engine's own order."""

from __future__ import annotations

import json

from scheduler.daemon.engine_priority import with_priority
from scheduler.engine_settings import PriorityOrder
from shaping.request import LatencyClass

BODY = b' {"model":"m","messages":[]}'


def priority(order: PriorityOrder, latency_class: LatencyClass, body: bytes = BODY) -> int | None:
    found = json.loads(with_priority(body, order, latency_class))
    assert found["model"] == "m"
    value: int | None = found.get("priority")
    return value


def test_an_interactive_request_and_an_engine_without_priorities_get_the_bytes_as_they_came() -> None:
    assert with_priority(BODY, PriorityOrder.LOWER_FIRST, LatencyClass.INTERACTIVE) is BODY
    assert with_priority(BODY, PriorityOrder.NONE, LatencyClass.BATCH) is BODY


def test_where_the_lower_number_goes_first_a_batch_has_the_highest() -> None:
    flex, batch = (priority(PriorityOrder.LOWER_FIRST, one) for one in (LatencyClass.FLEX, LatencyClass.BATCH))
    assert (flex, batch) == (10, 20)


def test_where_the_higher_number_goes_first_a_batch_has_the_lowest() -> None:
    flex, batch = (priority(PriorityOrder.HIGHER_FIRST, one) for one in (LatencyClass.FLEX, LatencyClass.BATCH))
    assert (flex, batch) == (-10, -20)


def test_the_callers_own_priority_prevails() -> None:
    own = b'{"model":"m","priority":3}'
    assert priority(PriorityOrder.LOWER_FIRST, LatencyClass.BATCH, own) == 3
