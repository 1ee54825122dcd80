"""Builders of requests and shapers with defaults, for the tests of this folder and the properties."""

from __future__ import annotations

from shaping.policy import Group, ReleaseReason, ShapingPolicy
from shaping.request import LatencyClass, PoolCapacity, Request
from shaping.shaper import Shaper

MODEL = "llama-3.1-8b"


def a_request(
    id_: str = "r1",
    *,
    arrived_at_s: float = 0.0,
    release_by_s: float = 100.0,
    prompt_tokens: int = 10,
    output_tokens: int = 10,
    latency_class: LatencyClass = LatencyClass.INTERACTIVE,
    not_before_s: float = 0.0,
    is_streaming: bool = False,
    priority: int = 0,
    model: str = MODEL,
    prefix: tuple[int, ...] = (),
    adapter: str = "",
) -> Request:
    return Request(
        id=id_,
        model=model,
        arrived_at_s=arrived_at_s,
        release_by_s=release_by_s,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        latency_class=latency_class,
        not_before_s=not_before_s,
        is_streaming=is_streaming,
        priority=priority,
        prefix=prefix,
        adapter=adapter,
    )


def a_flex_request(id_: str = "f1", *, not_before_s: float = 50.0, release_by_s: float = 100.0) -> Request:
    return a_request(id_, latency_class=LatencyClass.FLEX, not_before_s=not_before_s, release_by_s=release_by_s)


def a_shaper(
    *,
    sequences: int = 8,
    kv_tokens: int | None = None,
    hold_s: float = 0.0,
    min_group: int = 4,
    max_group: int | None = None,
    streaming_hold_s: float | None = None,
    reserved_sequences: int = 0,
    first_token_budget_s: float | None = None,
    reading_tokens_per_s: float | None = None,
    adapters: int | None = None,
) -> Shaper:
    policy = ShapingPolicy(
        interactive_hold_s=hold_s,
        min_group=min_group,
        max_group=max_group,
        streaming_hold_s=streaming_hold_s,
        reserved_sequences=reserved_sequences,
        first_token_budget_s=first_token_budget_s,
    )
    capacity = PoolCapacity(sequences=sequences, kv_tokens=kv_tokens, adapters=adapters)
    return Shaper(MODEL, capacity, policy, reading_tokens_per_s=reading_tokens_per_s)


def offer_all(shaper: Shaper, *requests: Request) -> None:
    for request in requests:
        shaper.offer(request, request.arrived_at_s)


def ids(groups: list[Group]) -> list[list[str]]:
    return [[request.id for request in group.requests] for group in groups]


def reasons(groups: list[Group]) -> list[ReleaseReason]:
    return [group.reason for group in groups]
