from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from shaping.query_features import FEATURE_NAMES, features
from shaping.router_model import RouterModelError, from_document, to_document
from shaping.router_training import Judged, TrainingError, folds_of, logistic, train
from tests.unit.shaping.judged_queries import judged

LONG = "Suppose that, after 1950, the court held for him. It did not. He left. What is the value of 12 + 30?"
QUERY = f"{LONG}\nA. 42\nB. 7\nC. 12\nD. Both A and C\nAnswer:"


def test_each_feature_says_what_its_name_says() -> None:
    found = dict(zip(FEATURE_NAMES, features(QUERY), strict=True))

    assert found["log_chars"] == pytest.approx(math.log1p(len(QUERY)))
    assert found["log_stem_chars"] == pytest.approx(math.log1p(len(LONG)))
    assert found["log_longest_option_chars"] == pytest.approx(math.log1p(len("Both A and C")))
    assert found["lines"] == 5
    assert (found["has_year"], found["has_money"], found["asks_negated"]) == (1, 0, 1)
    assert (found["asks_computed"], found["has_combined_option"], found["asks_with_mark"]) == (1, 1, 1)
    assert found["option_digit_share"] == pytest.approx(5 / 17)


@pytest.mark.parametrize("text", ["", "\n", "é" * 50, "A. \nB. ", "x" * 1_000_000])
def test_any_text_has_finite_features(text: str) -> None:
    assert all(map(math.isfinite, features(text)))


def test_a_trained_router_sends_the_long_query_to_the_strong_model() -> None:
    model = train(judged())
    short, long = model.need_of([judged().queries[0], judged().queries[1]])

    assert long > 0.6 > 0.3 > short
    assert model.chances(judged().queries[0])["weak"] == pytest.approx(0.9, abs=0.08)


def test_training_twice_gives_the_same_file() -> None:
    assert json.dumps(to_document(train(judged()))) == json.dumps(to_document(train(judged())))


def test_a_model_read_back_says_the_same() -> None:
    model = train(judged())
    again = from_document(json.loads(json.dumps(to_document(model))))

    assert again.chances(QUERY) == pytest.approx(model.chances(QUERY), rel=1e-12)
    assert again.subjects == model.subjects


def test_folds_keep_a_subject_whole_for_any_order_of_rows() -> None:
    subjects = ["law"] * 7 + ["art"] * 2 + ["sums"] * 3
    folds = dict(zip(subjects, folds_of(subjects).tolist(), strict=True))

    assert sorted(folds.values()) == [0, 1, 2]
    assert dict(zip(reversed(subjects), folds_of(subjects[::-1]).tolist(), strict=True)) == folds


def test_the_bias_of_a_featureless_regression_is_the_log_odds() -> None:
    right = np.array([True] * 3 + [False])

    assert logistic(np.zeros((4, 2)), right, 1.0).bias_logit_ratio == pytest.approx(math.log(3), rel=1e-6)


def test_answers_all_alike_give_a_finite_estimate() -> None:
    rows = Judged(queries=["a", "b"], subjects=["x", "y"], is_right={"weak": np.array([True, True])})

    assert 0.5 < train(rows).chances("a")["weak"] < 1


def test_nothing_is_learned_from_nothing() -> None:
    with pytest.raises(TrainingError):
        train(Judged(queries=[], subjects=[], is_right={}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "no router model"),
        ({"version": 2}, "train it anew"),
        ({"features": ["log_chars"]}, "features"),
        ({"heads": {}}, "at least one head"),
        ({"scales": [0.0] * len(FEATURE_NAMES)}, "above zero"),
        ({"means": [float("nan")] * len(FEATURE_NAMES)}, "finite"),
        ({"heads": {"weak": {"bias": 1, "weights": [1]}}}, "heads.weak.weights"),
    ],
)
def test_another_file_is_refused_with_the_place(change: dict[str, Any], said: str) -> None:
    with pytest.raises(RouterModelError, match=said):
        from_document(to_document(train(judged())) | change)
