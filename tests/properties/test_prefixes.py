"""The index of prefixes against naive oracles, and what grouping by prefix may never do to a request's place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shaping.prefixes import RUN_REQUESTS, PrefixIndex, Runs, named_blocks
from shaping.request import LatencyClass
from tests.unit.shaping.requests import a_request, a_shaper

TEXTS = st.text(alphabet="ab", max_size=8).map(str.encode)
USES = st.lists(TEXTS, max_size=30)


def prefixes_of(text: bytes) -> list[bytes]:
    return [text[: end + 1] for end in range(len(text))]


def kept_by_replay(uses: list[bytes], max_blocks: int) -> set[bytes]:
    """The prefixes that were used last, a longer one just before the shorter ones that it contains."""
    used = [prefix for text in uses for prefix in reversed(prefixes_of(text[:max_blocks]))]
    kept: dict[bytes, None] = {}
    for prefix in reversed(used):
        if len(kept) < max_blocks:
            kept.setdefault(prefix)
    return set(kept)


@given(USES, TEXTS)
def test_without_a_bound_it_knows_the_longest_common_prefix(uses: list[bytes], asked: bytes) -> None:
    index = PrefixIndex(10_000)
    for text in uses:
        index.touch(named_blocks(text, 1))
    held = {prefix for text in uses for prefix in prefixes_of(text)}
    assert index.known(named_blocks(asked, 1)) == sum(prefix in held for prefix in prefixes_of(asked))


@given(USES, TEXTS, st.integers(0, 9))
def test_with_a_bound_it_knows_what_was_used_last(uses: list[bytes], asked: bytes, max_blocks: int) -> None:
    index = PrefixIndex(max_blocks)
    for text in uses:
        index.touch(named_blocks(text, 1))
        assert len(index) <= max_blocks
    held = kept_by_replay(uses, max_blocks)
    assert len(index) == len(held)
    assert index.known(named_blocks(asked, 1)) == sum(prefix in held for prefix in prefixes_of(asked))


@given(USES, st.lists(st.integers(0, 9), min_size=1))
def test_nothing_is_ever_held_without_what_it_begins_with(uses: list[bytes], limits: list[int]) -> None:
    index = PrefixIndex(9)
    for number, text in enumerate(uses):
        index.limit(limits[number % len(limits)])
        index.touch(named_blocks(text, 1))
        for one in uses:
            names = named_blocks(one, 1)
            assert index.known(names) == sum(name in index._blocks for name in names)


@given(st.lists(TEXTS, max_size=40))
def test_a_run_only_ever_moves_a_request_behind_one_that_begins_like_it(texts: list[bytes]) -> None:
    runs = Runs()
    places = [runs.place(named_blocks(text, 1), sequence) for sequence, text in enumerate(texts)]
    for sequence, (text, place) in enumerate(zip(texts, places, strict=True)):
        assert place <= sequence
        members = [texts[other] for other, placed in enumerate(places) if placed == place and other < sequence]
        assert len(members) < RUN_REQUESTS
        if place < sequence:
            assert any(shared(text, member) >= len(text) / 2 for member in members)


def shared(one: bytes, other: bytes) -> int:
    return sum(prefix in prefixes_of(other) for prefix in prefixes_of(one))


CLASSES = st.sampled_from([LatencyClass.INTERACTIVE, LatencyClass.FLEX, LatencyClass.BATCH])


@given(st.lists(st.tuples(CLASSES, TEXTS, st.integers(0, 1)), max_size=30), st.integers(1, 4))
def test_first_in_first_out_within_class_priority_and_bucket_and_interactive_is_never_overtaken(
    offers: list[tuple[LatencyClass, bytes, int]], sequences: int
) -> None:
    shaper = a_shaper(sequences=sequences)
    requests = [
        a_request(f"r{n}", latency_class=kind, priority=priority, prefix=named_blocks(text, 1))
        for n, (kind, text, priority) in enumerate(offers)
    ]
    for request in requests:
        shaper.offer(request, 0.0)
    order: list[int] = []
    while shaper.held:
        for group in shaper.release(0.0):
            order += [int(request.id[1:]) for request in group.requests]
        for id_ in list(shaper.running):
            shaper.finish(id_, 0.0)
    assert sorted(order) == list(range(len(requests)))
    for kind in LatencyClass:
        for bucket in {(one.priority, one.prefix if kind is not LatencyClass.INTERACTIVE else ()) for one in requests}:
            alike = [
                n
                for n in order
                if requests[n].latency_class is kind
                and requests[n].priority == bucket[0]
                and (kind is LatencyClass.INTERACTIVE or requests[n].prefix == bucket[1])
            ]
            assert alike == sorted(alike)
