from __future__ import annotations

import numpy as np
import pytest

from simulations.reproductions.routing import Answered
from simulations.router_curve import curve, to_strong

# Ten questions: the weak model knows the first five, the strong one all but the last.
WEAK = np.array([True] * 5 + [False] * 5)
STRONG = np.array([True] * 9 + [False])
BOTH = Answered(weak=WEAK, strong=STRONG)


def test_a_ranking_that_knows_reaches_the_oracle() -> None:
    found = curve(BOTH, (STRONG & ~WEAK).astype(float))
    at = {round(point.strong_share_ratio * 10): point for point in found.points}

    assert at[2].accuracy.ratio == pytest.approx(0.7)
    assert at[4].accuracy.ratio == pytest.approx(0.9)
    assert at[2].random_accuracy_ratio == pytest.approx(0.5 + 0.2 * 0.4)
    assert (found.weak_ratio, found.strong_ratio, found.oracle_ratio) == pytest.approx((0.5, 0.9, 0.9))
    gap = at[2].recovered_gap
    assert gap is not None
    assert gap.ratio == pytest.approx(0.5)


@pytest.mark.slow
def test_an_interval_holds_its_value_and_is_the_same_in_every_run() -> None:
    rng = np.random.default_rng(3)
    both = Answered(weak=rng.random(400) < 0.7, strong=rng.random(400) < 0.8)
    scores = rng.random(400)
    first, again = curve(both, scores), curve(both, scores)

    assert first == again
    for point in first.points:
        assert point.accuracy.low < point.accuracy.ratio < point.accuracy.high
        # The interval of a proportion near 0.75 of 400 is about 0.042 to either side.
        assert point.accuracy.high - point.accuracy.low == pytest.approx(0.085, abs=0.02)


def test_of_equal_scores_the_earlier_row_goes_first() -> None:
    assert to_strong(np.array([1.0, 2.0, 1.0, 1.0]), 0.5).tolist() == [True, True, False, False]


def test_two_equally_good_models_leave_no_gap_to_recover() -> None:
    found = curve(Answered(weak=WEAK, strong=WEAK), np.zeros(10))

    assert found.apgr_ratio is None
    assert all(point.recovered_gap is None for point in found.points)
