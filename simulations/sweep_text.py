"""The points of a sweep as rows of text. Computes nothing new."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.quantities import format_duration
from simulations.summary import NOTHING, percent
from simulations.sweep import Measure, PointResult, trades_of


def table_rows(points: Sequence[PointResult]) -> list[tuple[str, ...]]:
    """Labels, savings, their interval where there is one, and each cost with a star where it is on the front."""
    trades = trades_of(points)
    return [
        (
            *point.labels,
            percent(point.savings.mean_ratio),
            *(() if point.runs == 1 else (percent(point.savings.low_ratio), percent(point.savings.high_ratio))),
            *(_cost(name, point.means[name], name in point.fronts) for name in trades),
        )
        for point in points
    ]


def _cost(name: str, mean: Measure, is_on_front: bool) -> str:
    star = " *" if is_on_front else "  "
    if mean is None:
        return NOTHING + star
    if name.endswith("_ratio"):
        return f"{mean:.1%}{star}"
    return (format_duration(mean) if name.endswith("_s") else f"{mean:,.3g}") + star
