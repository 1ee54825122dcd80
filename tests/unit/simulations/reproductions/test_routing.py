"""RouteLLM's reference lines on ten questions that can be counted."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.reproductions import routing
from simulations.reproductions.tables import CellError, Row
from tests.unit.simulations.reproductions.packs import a_pack, a_row, answers

# Ten questions: four both right, one weak only, three strong only, two neither.
WEAK, STRONG = "1111100000", "1111011100"
QUESTIONS: list[dict[str, object]] = [
    {
        "subject": "a" if i < 5 else "b",
        "weak_correct": weak,
        "strong_correct": strong,
        "excluded_by_authors": int(i == 9),
    }
    for i, (weak, strong) in enumerate(zip(WEAK, STRONG, strict=True))
]
ANSWERED = routing.Answered(weak=np.array([c == "1" for c in WEAK]), strong=np.array([c == "1" for c in STRONG]))


def ask(set_name: str, quantity: str) -> Row:
    return a_row(set=set_name, quantity=quantity)


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        ("queries", 10),
        ("weak_accuracy", 0.5),
        ("strong_accuracy", 0.7),
        ("both_correct", 0.4),
        ("weak_only_correct", 0.1),
        ("strong_only_correct", 0.3),
        ("random_mix_50pct_accuracy", 0.6),
        ("random_mix_25pct_accuracy", 0.55),
        ("oracle_accuracy", 0.8),
        ("oracle_accuracy_at_10_pct_strong_calls", 0.6),
        ("oracle_accuracy_at_35_pct_strong_calls", 0.8),
        ("oracle_strong_call_share_for_50_pct_of_gap", 0.1),
        ("oracle_apgr", 1.5 * 0.85),  # best 0.3 / 0.2, reached at a share of 0.3
        ("random_apgr", 0.5),
    ],
)
def test_a_quantity_by_hand(quantity: str, value: float) -> None:
    (found,) = answers("routing", "expected", a_pack(tables={"quiz": QUESTIONS}), ask("quiz_all", quantity))
    assert found["value"] == pytest.approx(value)


def test_the_set_without_excluded_leaves_those_out() -> None:
    pack = a_pack(tables={"quiz": QUESTIONS})
    (found,) = answers("routing", "expected", pack, ask("quiz_without_excluded", "queries"))
    assert found["value"] == 9


def test_subjects_are_counted_apart() -> None:
    (found,) = answers("routing", "expected_subjects", a_pack(tables={"quiz": QUESTIONS}), a_row(subject="b"))
    assert found == {"queries": 5, "weak_accuracy": 0.0, "strong_accuracy": pytest.approx(0.6)}


def test_the_oracle_is_what_the_best_routing_reaches() -> None:
    best = routing.routed_accuracy_ratio(ANSWERED, ANSWERED.strong & ~ANSWERED.weak)
    assert best == pytest.approx(routing.oracle_accuracy_ratio(ANSWERED))


@pytest.mark.parametrize(("set_name", "quantity"), [("quiz_all", "beauty"), ("exam_all", "queries")])
def test_what_is_not_known_is_an_error(set_name: str, quantity: str) -> None:
    with pytest.raises(CellError):
        answers("routing", "expected", a_pack(tables={"quiz": QUESTIONS}), ask(set_name, quantity))
