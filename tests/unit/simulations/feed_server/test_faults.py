from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from simulations.feed_server.faults import (
    ALWAYS,
    FAULT_TEXTS,
    FaultCounter,
    Faults,
    Span,
    UnknownFaultError,
    faults_from,
)

DOCUMENT = Path(__file__).parents[4] / "docs" / "emulators.md"


def hits(faults: Faults, requests: int, *, path: str = "/v3/forecast", now_s: float = 0.0) -> list[bool]:
    counter = FaultCounter(faults)
    return ["server_error" in counter.holding(path, now_s) for _ in range(requests)]


def test_no_fault_holds_unless_asked_for() -> None:
    assert FaultCounter(Faults()).holding("/intensity", 0.0) == frozenset()


def test_a_span_spares_some_requests_and_hits_the_next() -> None:
    assert hits(Faults(server_error=Span(skip=1, requests=2)), 5) == [False, True, True, False, False]


def test_only_requests_to_the_path_are_counted() -> None:
    counter = FaultCounter(Faults(server_error=Span(requests=1, path="/forecast")))
    assert not counter.holding("/v3/historical", 0.0)
    assert counter.holding("/v3/forecast", 0.0) == {"server_error"}
    assert not counter.holding("/v3/forecast", 0.0)


def test_a_span_of_time_is_half_open() -> None:
    faults = Faults(server_error=Span(from_at_s=100.0, until_at_s=200.0))
    assert [hits(faults, 1, now_s=at_s)[0] for at_s in (99.0, 100.0, 199.0, 200.0)] == [False, True, True, False]


def test_the_instant_of_the_first_hit_is_remembered() -> None:
    counter = FaultCounter(Faults(frozen_latest=ALWAYS))
    counter.holding("/intensity", 50.0)
    counter.holding("/intensity", 90.0)
    assert counter.began_at_s == {"frozen_latest": 50.0}


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("html", Faults(html=ALWAYS)),
        ("server-error@5", Faults(server_error=Span(requests=5))),
        ("server-error=503@10+5", Faults(server_error=Span(skip=10, requests=5), server_status=503)),
        ("slow=0.5", Faults(slow=ALWAYS, delay_s=0.5)),
        ("gaps@1970-01-01T00:01Z/", Faults(gaps=Span(from_at_s=60.0))),
        ("gaps@1970-01-01T00:01Z/1970-01-01T01:00Z", Faults(gaps=Span(from_at_s=60.0, until_at_s=3600.0))),
    ],
)
def test_a_fault_is_read_from_text(text: str, faults: Faults) -> None:
    assert faults_from([text]) == faults


@pytest.mark.parametrize("text", ["fire", "html=3", "slow=soon", "gaps@often", "gaps@noon/midnight", ""])
def test_what_cannot_be_read_names_the_text_and_a_remedy(text: str) -> None:
    with pytest.raises(UnknownFaultError) as caught:
        faults_from([text])
    assert caught.value.text == text
    assert caught.value.hint


def test_the_documentation_has_a_line_for_each_fault_and_no_other() -> None:
    rows = [line.split(" | ") for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    documented = {row[0].strip("| `").replace("-", "_"): row for row in rows}
    assert {name: documented[name][1] for name in FAULT_TEXTS if name in documented} == FAULT_TEXTS
    amounts = {one.name: one.default for one in fields(Faults)}
    for one in fields(Faults):
        if amount := one.metadata.get("amount"):
            assert documented[one.name][2].strip("| ") == f"`{amount}`, {amounts[amount]:g}"
