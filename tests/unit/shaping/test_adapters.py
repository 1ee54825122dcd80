"""Adapters of one model before a pool that runs one or two of them at once."""

from __future__ import annotations

from shaping.adapters import TURN_REQUESTS, AdapterHeap, AdapterPlaces
from shaping.request import LatencyClass, PoolCapacity
from tests.unit.shaping.requests import a_request, a_shaper, ids, offer_all


def test_the_base_model_needs_no_place_and_without_a_limit_nobody_does() -> None:
    places = AdapterPlaces(1)
    places.started("sql")
    assert places.takes("")
    assert not places.takes("chat")
    assert AdapterPlaces(None).takes("chat")


def test_a_place_is_free_once_the_last_request_of_its_adapter_has_ended() -> None:
    places = AdapterPlaces(1)
    places.started("sql")
    places.started("sql")
    places.ended("sql")
    assert not places.takes("chat")
    places.ended("sql")
    assert places.running == 0
    assert places.takes("chat")


def test_an_adapter_keeps_its_place_while_nobody_waits_and_has_its_turn_while_somebody_does() -> None:
    places = AdapterPlaces(1)
    for _ in range(2 * TURN_REQUESTS):
        assert places.takes("sql")
        places.started("sql")
    assert not places.takes("chat")
    for _ in range(TURN_REQUESTS):
        assert places.takes("sql")
        places.started("sql")
    assert not places.takes("sql")


def test_a_heap_answers_with_the_smallest_of_those_that_are_taken() -> None:
    heap = AdapterHeap()
    heap.put("a", (1.0, 1), "sql")
    heap.put("b", (2.0, 2), "chat")
    heap.put("c", (3.0, 3), "")
    assert heap.first() == ((1.0, 1), "a")
    assert heap.first(lambda adapter: adapter != "sql") == ((2.0, 2), "b")
    assert heap.discard("b")
    assert not heap.discard("b")
    assert heap.first(lambda adapter: adapter != "sql") == ((3.0, 3), "c")
    assert len(heap) == 2


# -- in the shaper -----------------------------------------------------------------------------------------------------


def test_requests_of_an_adapter_go_together_and_pass_over_those_without_a_place() -> None:
    shaper = a_shaper(adapters=1)
    offer_all(
        shaper,
        a_request("sql1", adapter="sql"),
        a_request("chat1", adapter="chat"),
        a_request("base"),
        a_request("sql2", adapter="sql"),
        a_request("chat2", adapter="chat"),
    )
    assert ids(shaper.release(0.0)) == [["sql1", "base", "sql2"]]
    assert shaper.next_wakeup_at_s() is None  # only an end helps
    shaper.finish("sql1", 1.0)
    assert shaper.release(1.0) == []
    shaper.finish("sql2", 2.0)
    assert ids(shaper.release(2.0)) == [["chat1", "chat2"]]


def test_one_that_is_overdue_without_a_place_does_not_hold_up_the_others() -> None:
    shaper = a_shaper(adapters=1)
    offer_all(shaper, a_request("sql", adapter="sql"))
    shaper.release(0.0)
    late = a_request("late", adapter="chat", latency_class=LatencyClass.FLEX, release_by_s=5.0)
    offer_all(shaper, late, a_request("base", arrived_at_s=1.0))
    assert ids(shaper.release(6.0)) == [["base"]]
    shaper.finish("sql", 7.0)
    assert ids(shaper.release(7.0)) == [["late"]]


def test_a_steady_stream_of_one_adapter_gives_way_to_another_at_last() -> None:
    shaper = a_shaper(sequences=4, adapters=1)
    offer_all(shaper, a_request("sql0", adapter="sql"))
    shaper.release(0.0)
    shaper.offer(a_request("chat", adapter="chat"), 0.0)
    count = 0
    while "chat" in shaper.held:
        count += 1
        shaper.offer(a_request(f"sql{count}", adapter="sql"), float(count))
        shaper.release(float(count))
        if len(shaper.running) > 1 or f"sql{count}" in shaper.held:
            shaper.finish(next(iter(shaper.running)), float(count))
        shaper.release(float(count))
        assert count < 2 * TURN_REQUESTS
    assert count > TURN_REQUESTS / 2


def test_a_larger_pool_runs_more_of_them() -> None:
    shaper = a_shaper(adapters=1)
    offer_all(shaper, a_request("sql", adapter="sql"), a_request("chat", adapter="chat"))
    assert ids(shaper.release(0.0)) == [["sql"]]
    shaper.resize(PoolCapacity(sequences=8, adapters=2))
    assert ids(shaper.release(0.0)) == [["chat"]]
