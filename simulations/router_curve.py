"""How good a ranking of queries is: accuracy against the share of strong calls, with confidence intervals.

Decides how a curve is measured: the queries with the highest score go to the strong model, nothing else is known of
them. Knows no router: a score is a column of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shaping.router_model import Vector
from simulations.reproductions.routing import (
    Answered,
    oracle_accuracy_ratio,
    random_accuracy_ratio,
    recovered_gap_ratio,
    routed_accuracy_ratio,
)

SHARES_RATIO = tuple(tenth / 10 for tenth in range(1, 10))
_BOOTSTRAPS, _AT_ONCE = 2000, 200
_SEED = 20240618  # any number; fixed, so that an interval is the same in every run
_LOW_PERCENT, _HIGH_PERCENT = 2.5, 97.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its 95% interval: queries drawn again from those scored."""

    ratio: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """What a ranking reaches at one share of strong calls."""

    strong_share_ratio: float
    accuracy: Interval
    random_accuracy_ratio: float
    recovered_gap: Interval | None  # None where both models are equally good: there is no gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A whole evaluation, with the lines that any router lies between."""

    points: tuple[CurvePoint, ...]
    weak_ratio: float
    strong_ratio: float
    oracle_ratio: float
    queries: int

    @property
    def apgr_ratio(self) -> float | None:
        """Mean recovered gap over the shares; random reaches 0.5."""
        gaps = [point.recovered_gap.ratio for point in self.points if point.recovered_gap is not None]
        return sum(gaps) / len(gaps) if gaps else None


def to_strong(scores: Vector, share_ratio: float) -> NDArray[np.bool_]:
    """The share of queries with the highest scores, shape (n,); of equals the earlier row."""
    order = np.argsort(-scores, kind="stable")
    chosen = np.zeros(len(scores), dtype=bool)
    chosen[order[: round(share_ratio * len(scores))]] = True
    return chosen


def curve(answered: Answered, scores: Vector, shares_ratio: Sequence[float] = SHARES_RATIO) -> Curve:
    """The accuracy at each share of strong calls."""
    routes = [to_strong(scores, share) for share in shares_ratio]
    draws = _drawn_means(answered, routes)
    points = [
        _point(answered, share, route, draws, index)
        for index, (share, route) in enumerate(zip(shares_ratio, routes, strict=True))
    ]
    return Curve(
        points=tuple(points),
        weak_ratio=answered.weak_ratio,
        strong_ratio=answered.strong_ratio,
        oracle_ratio=oracle_accuracy_ratio(answered),
        queries=len(answered.weak),
    )


def _point(answered: Answered, share_ratio: float, route: NDArray[np.bool_], draws: Vector, index: int) -> CurvePoint:
    accuracy = routed_accuracy_ratio(answered, route)
    weak, strong, routed = draws[:, 0], draws[:, 1], draws[:, 2 + index]
    gap = None
    if answered.strong_ratio != answered.weak_ratio:
        apart = strong - weak
        recovered = (routed - weak)[apart != 0] / apart[apart != 0]
        gap = _interval(recovered_gap_ratio(answered, accuracy), recovered)
    return CurvePoint(
        strong_share_ratio=share_ratio,
        accuracy=_interval(accuracy, routed),
        random_accuracy_ratio=random_accuracy_ratio(answered, share_ratio),
        recovered_gap=gap,
    )


def _interval(ratio: float, drawn: Vector) -> Interval:
    low, high = np.percentile(drawn, [_LOW_PERCENT, _HIGH_PERCENT])
    return Interval(ratio=ratio, low=float(low), high=float(high))


def _drawn_means(answered: Answered, routes: Sequence[NDArray[np.bool_]]) -> Vector:
    """Mean correctness of weak, strong and every route over queries drawn again, shape (draws, 2 + routes)."""
    routed = [np.where(route, answered.strong, answered.weak) for route in routes]
    columns = np.stack([answered.weak, answered.strong, *routed], axis=1).astype(np.float64)
    rng, count = np.random.default_rng(_SEED), len(columns)
    even = np.full(count, 1 / count)
    parts = [rng.multinomial(count, even, size=_AT_ONCE) @ columns / count for _ in range(_BOOTSTRAPS // _AT_ONCE)]
    return np.concatenate(parts)
