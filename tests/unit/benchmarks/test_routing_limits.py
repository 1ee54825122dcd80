"""How a ranking is scored beside subjects that it never saw."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.routing_limits import Questions, Rows, aucs_ratio, least_share_ratio, left_out, recovered_ratio
from shaping.router_model import Vector

# Two questions of each of two subjects: only the strong model answers the first of each.
QUESTIONS = Questions(
    text=np.array(["a", "b", "c", "d"]),
    subject=np.array(["art", "art", "law", "law"]),
    features=np.zeros((4, 1)),
    weak=np.array([False, True, False, True]),
    strong=np.array([True, True, True, True]),
    rows_of={"art": np.array([0, 1]), "law": np.array([2, 3])},
)


def test_the_oracle_recovers_the_whole_gap_with_half_the_calls() -> None:
    assert recovered_ratio(QUESTIONS.gain, np.array([1.0, 0.0, 1.0, 0.0])) == 1.0
    assert recovered_ratio(QUESTIONS.gain, np.array([0.0, 1.0, 0.0, 1.0])) == 0.0
    assert least_share_ratio(QUESTIONS.gain, np.array([1.0, 0.0, 1.0, 0.0])) == pytest.approx(0.38)  # two of four calls


def test_a_ranking_that_knows_only_the_subject_is_chance_within_it() -> None:
    assert aucs_ratio(QUESTIONS, np.array([1.0, 1.0, 0.0, 0.0])) == {"art": 0.5, "law": 0.5}
    assert aucs_ratio(QUESTIONS, np.array([1.0, 0.5, 0.2, 0.4])) == {"art": 1.0, "law": 0.0}


def test_a_subject_is_never_ranked_by_what_saw_it() -> None:
    def estimate(questions: Questions, seen: Rows, unseen: Rows) -> Vector:
        assert not set(questions.subject[seen]) & set(questions.subject[unseen])
        return np.asarray(unseen, dtype=np.float64)

    assert left_out(QUESTIONS, estimate).tolist() == [0.0, 1.0, 2.0, 3.0]
