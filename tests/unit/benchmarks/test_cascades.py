"""What a signal of a given AUC brings, beside shares worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cascades import Shares, best_within, by_scores, cascade, least_energy_ratio, perfect, worth_auc_ratio
from benchmarks.routing import Energies
from tests.unit.benchmarks.test_routing_limits import QUESTIONS

# Of ten questions both answer five, only the weak one 1, only the strong one 3, neither 1.
SHARES = Shares(weak_ratio=0.6, only_weak_ratio=0.1, only_strong_ratio=0.3)
JOULES = Energies(weak_j=20.0, strong_j=100.0)


def test_a_signal_that_says_nothing_is_random_mixing_that_pays_the_weak_model_as_well() -> None:
    for point in cascade(SHARES, JOULES, 0.5)[::100]:
        assert point.accuracy_ratio == pytest.approx(0.6 + 0.2 * point.strong_share_ratio)
        assert point.energy_ratio == pytest.approx(0.2 + point.strong_share_ratio)


def test_a_perfect_signal_sends_on_the_wrong_answers_alone() -> None:
    # Six stand, four go on, three of which the strong model answers: 0.2 + 0.4 of its energy.
    found = perfect(SHARES, JOULES)
    assert found.strong_share_ratio == pytest.approx(0.4)
    assert found.accuracy_ratio == pytest.approx(0.9)
    assert found.energy_ratio == pytest.approx(0.6)


def test_everything_sent_on_is_always_strong_and_the_weak_model_on_top() -> None:
    last = cascade(SHARES, JOULES, 0.8)[-1]
    assert last.accuracy_ratio == pytest.approx(SHARES.strong_ratio, abs=1e-6)
    assert last.energy_ratio == pytest.approx(1.2, abs=1e-6)


def test_a_better_signal_is_never_worth_less() -> None:
    best = [best_within(cascade(SHARES, JOULES, auc), 0.82) for auc in (0.5, 0.6, 0.7, 0.8, 0.9, 0.99)]
    assert best == sorted(best)
    assert worth_auc_ratio(SHARES, JOULES, best[2]) == 0.7


def test_the_auc_is_that_of_the_signal() -> None:
    # Wrong answers that go on, over right ones that do: the area below is the AUC.
    parts = np.array([_parts(one.strong_share_ratio, one.accuracy_ratio) for one in cascade(SHARES, JOULES, 0.8)])
    steps = np.diff(parts[:, 0]) * (parts[1:, 1] + parts[:-1, 1]) / 2
    assert float(steps.sum()) == pytest.approx(0.8, abs=1e-3)


def _parts(share_ratio: float, accuracy_ratio: float) -> tuple[float, float]:
    """What parts of the right and of the wrong answers go on, from share and accuracy: two equations."""
    right, wrong = np.linalg.solve(np.array([[0.6, 0.4], [-0.1, 0.3]]), [share_ratio, accuracy_ratio - 0.6])
    return float(right), float(wrong)


def test_scores_cost_the_weak_model_only_where_it_is_asked() -> None:
    # The strong model alone answers the first of each two: half the calls bring everything.
    scores = np.array([1.0, 0.0, 1.0, 0.0])
    before = by_scores(QUESTIONS, JOULES, scores, asks_weak_first=False)
    after = by_scores(QUESTIONS, JOULES, scores, asks_weak_first=True)
    assert least_energy_ratio(before, 1.0) == pytest.approx(0.38 * 0.8 + 0.2)  # 0.38 rounds to two of four calls
    assert least_energy_ratio(after, 1.0) == pytest.approx(0.38 + 0.2)
    assert least_energy_ratio(after, 1.1) is None
