"""The first minutes of a real conversation trace through a shaper and a modelled worker."""

from __future__ import annotations

import csv
import gzip
import heapq
from pathlib import Path

import pytest

from shaping.energy import kv_capacity_tokens
from shaping.policy import ShapingPolicy
from shaping.profiles import deployment
from shaping.request import LatencyClass, PoolCapacity, Request
from shaping.shaper import Shaper
from tests.real_data import real_data

MINUTES_S = 600.0
HOLD_S = 2.0
SERVICE_S_PER_TOKEN = 0.02
CAPACITY = PoolCapacity(sequences=256, kv_tokens=kv_capacity_tokens(deployment(gpu="h100-sxm", model="llama-3.1-8b")))


def _requests(path: Path) -> list[Request]:
    """Every fifth request waits for a planned instant, as if its client had asked for the flex tier."""
    found: list[Request] = []
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines)):
            arrived_at_s = float(row["arrival_s"])
            if arrived_at_s > MINUTES_S:
                return found
            is_flex = number % 5 == 0
            found.append(
                Request(
                    id=f"r{number}",
                    model="llama-3.1-8b",
                    arrived_at_s=arrived_at_s,
                    release_by_s=arrived_at_s + (300.0 if is_flex else 10.0),
                    prompt_tokens=int(row["prompt_tokens"]),
                    output_tokens=int(row["output_tokens"]),
                    latency_class=LatencyClass.FLEX if is_flex else LatencyClass.INTERACTIVE,
                    not_before_s=arrived_at_s + 120.0 if is_flex else 0.0,
                )
            )
    return found


def _released_at_s(requests: list[Request], shaper: Shaper) -> dict[str, float]:
    """Drive a shaper with arrivals, finishes and its own wakeups, in the order of their instants."""
    released: dict[str, float] = {}
    arrivals = iter(requests)
    arrival = next(arrivals, None)
    finishes: list[tuple[float, str]] = []
    while arrival is not None or finishes or shaper.held:
        instants = [arrival.arrived_at_s] if arrival is not None else []
        instants += [finishes[0][0]] if finishes else []
        wakeup_at_s = shaper.next_wakeup_at_s()
        now_s = min([*instants, *([wakeup_at_s] if wakeup_at_s is not None else [])])
        while finishes and finishes[0][0] <= now_s:
            shaper.finish(heapq.heappop(finishes)[1], now_s)
        while arrival is not None and arrival.arrived_at_s <= now_s:
            shaper.offer(arrival, now_s)
            arrival = next(arrivals, None)
        for group in shaper.release(now_s):
            for request in group.requests:
                released[request.id] = now_s
                heapq.heappush(finishes, (now_s + SERVICE_S_PER_TOKEN * request.output_tokens, request.id))
    return released


@pytest.mark.slow
def test_ten_minutes_of_conversation_are_served_within_their_holds() -> None:
    requests = _requests(real_data("llm_requests/azure_2023_conv_1h.csv.gz"))
    shaper = Shaper("llama-3.1-8b", CAPACITY, ShapingPolicy(interactive_hold_s=HOLD_S, min_group=32))
    released = _released_at_s(requests, shaper)
    assert len(requests) > 2000
    assert len(released) == len(requests)
    for request in requests:
        if request.latency_class is LatencyClass.INTERACTIVE:
            assert released[request.id] <= request.arrived_at_s + HOLD_S
        else:
            assert request.not_before_s <= released[request.id] <= request.release_by_s
    stats = shaper.stats
    assert stats.finished == stats.released == len(requests)
    assert stats.groups < len(requests)  # grouped, not one by one


@pytest.mark.slow
def test_passing_through_delays_nobody() -> None:
    requests = _requests(real_data("llm_requests/azure_2023_conv_1h.csv.gz"))
    shaper = Shaper("llama-3.1-8b", CAPACITY, ShapingPolicy(interactive_hold_s=0.0, min_group=1))
    released = _released_at_s(requests, shaper)
    interactive = [request for request in requests if request.latency_class is LatencyClass.INTERACTIVE]
    assert all(released[request.id] == request.arrived_at_s for request in interactive)
