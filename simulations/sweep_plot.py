"""A sweep as small multiples: savings against what they cost, a row for each cost. Needs matplotlib; a shell.

Along a line the first parameter varies; each panel holds one combination of the others. Points of the Pareto front of
the whole sweep are filled, the rest are hollow; bars are the intervals over seeds.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke

from simulations.sweep import CONFIDENCE, TRADES, PointResult, trades_of

_DOT, _FRONT, _INK, _SOFT, _LINE = "#6aa7c2", "#0f7a5f", "#1c2523", "#5d6a66", "#dde3e0"
_COLUMNS = 4
_HOUR_S = 3600.0


def save_sweep_plot(title: str, names: Sequence[str], points: Sequence[PointResult], path: Path) -> None:
    """One figure. A cost that is the same at every point has no row, but a word in the subtitle."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    trades = trades_of(points) or _only_known(points)
    panels = _panels(points)
    columns = min(_COLUMNS, len(panels))
    rows_each = -(-len(panels) // columns)
    rows = rows_each * max(1, len(trades))
    # In inches; a lone panel needs the width of its title.
    words = textwrap.wrap(_subtitle(names, points), width=int(14 * max(6.0, 3.1 * columns + 0.6)))
    head_in = 0.55 + 0.17 * len(words)
    size = (max(6.0, 3.1 * columns + 0.6), 2.9 * rows + head_in)
    figure, grid = pyplot.subplots(rows, columns, figsize=size, squeeze=False, sharey=True)
    for axes in grid.flat:
        axes.set_visible(False)
    for row, (trade, cost) in enumerate(trades.items()):
        block = grid[row * rows_each : (row + 1) * rows_each].flat
        _draw_trade(list(block)[: len(panels)], panels, names, trade, cost, columns)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - head_in / size[1])))
    figure.text(0.012, 1 - 0.12 / size[1], title, color=_INK, fontsize=13, fontweight="bold", va="top")
    figure.text(0.012, 1 - 0.42 / size[1], "\n".join(words), color=_SOFT, fontsize=8.5, va="top", linespacing=1.4)
    figure.savefig(path, dpi=150, facecolor="white", metadata={"Software": None})
    pyplot.close(figure)


def _only_known(points: Sequence[PointResult]) -> dict[str, str]:
    """Where no cost varies, the first that is known, so that the savings are still shown."""
    known = [name for name in TRADES if all(point.means[name] is not None for point in points)]
    return {known[0]: TRADES[known[0]]} if known else {}


def _panels(points: Sequence[PointResult]) -> dict[tuple[str, ...], list[PointResult]]:
    """Points by the labels of all parameters but the first."""
    panels: dict[tuple[str, ...], list[PointResult]] = {}
    for point in points:
        panels.setdefault(point.labels[1:], []).append(point)
    return panels


def _subtitle(names: Sequence[str], points: Sequence[PointResult]) -> str:
    bars = f"bars: {CONFIDENCE}, {points[0].runs} runs a point" if points[0].runs > 1 else "one seed, so no interval"
    constant = [title for name, title in TRADES.items() if name not in trades_of(points) and _is_known(points, name)]
    alike = f"; the same everywhere: {', '.join(constant)}" if constant else ""
    return f"along a line: {names[0]}; filled and dashed: Pareto front of the whole sweep; {bars}{alike}"


def _is_known(points: Sequence[PointResult], trade: str) -> bool:
    return points[0].means[trade] is not None


def _draw_trade(
    block: Sequence[Any],
    panels: dict[tuple[str, ...], list[PointResult]],
    names: Sequence[str],
    trade: str,
    cost: str,
    columns: int,
) -> None:
    flat = [point for points in panels.values() for point in points]
    everywhere = [_cost(point, trade) for point in flat]
    margin = 0.08 * (max(everywhere) - min(everywhere)) or 1.0
    edge = sorted((_cost(point, trade), _percent(point.savings.mean_ratio)) for point in flat if trade in point.fronts)
    edge += [(max(everywhere) + 2 * margin, up) for _, up in edge[-1:]]
    for place, (axes, (labels, points)) in enumerate(zip(block, panels.items(), strict=True)):
        axes.set_visible(True)
        # The same axis in all panels of a row, or they could not be compared.
        axes.set_xlim(min(everywhere) - margin, max(everywhere) + 2 * margin)
        if edge:
            axes.step(
                *zip(*edge, strict=True), where="post", color=_FRONT, linewidth=1.0, linestyle=(0, (3, 2)), alpha=0.6
            )
        _draw_points(axes, points, trade)
        panel = ", ".join(f"{name} = {label}" for name, label in zip(names[1:], labels, strict=True))
        _dress(axes, panel, _axis_title(trade, cost), "saved, %" if place % columns == 0 else "")


def _draw_points(axes: Any, points: Sequence[PointResult], trade: str) -> None:
    known = [point for point in points if point.savings.mean_ratio is not None]
    across, up = [_cost(point, trade) for point in known], [_percent(point.savings.mean_ratio) for point in known]
    axes.axhline(0, color=_SOFT, linewidth=0.8, zorder=1)
    axes.plot(across, up, color=_DOT, linewidth=1.2, zorder=2)
    for point, x, y in zip(known, across, up, strict=True):
        colour = _FRONT if trade in point.fronts else _DOT
        if point.savings.low_ratio is not None and point.savings.high_ratio is not None:
            ends = (_percent(point.savings.low_ratio), _percent(point.savings.high_ratio))
            axes.plot((x, x), ends, color=colour, linewidth=1.2, alpha=0.6, zorder=2)
        face = _FRONT if trade in point.fronts else "white"
        axes.scatter((x,), (y,), s=36, facecolor=face, edgecolor=colour, linewidth=1.4, zorder=3)
        label = axes.annotate(
            point.labels[0], (x, y), xytext=(6, 5), textcoords="offset points", fontsize=7.5, color=_INK, zorder=2.5
        )
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def _dress(axes: Any, title: str, across: str, up: str) -> None:
    axes.set_title(title, loc="left", fontsize=8.5, color=_INK)
    axes.set_xlabel(across, fontsize=8.5, color=_SOFT)
    axes.set_ylabel(up, fontsize=8.5, color=_SOFT)
    axes.grid(color=_LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_SOFT, labelsize=8, length=0, labelleft=True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _axis_title(trade: str, cost: str) -> str:
    if trade.endswith("_ratio"):
        return f"{cost}, %"
    return f"{cost}, {'h' if trade == 'jobs_wait_p99_s' else 's'}" if trade.endswith("_s") else cost


def _cost(point: PointResult, trade: str) -> float:
    mean = point.means[trade]
    if mean is None:
        return float("nan")
    if trade.endswith("_ratio"):
        return 100.0 * mean
    return mean / _HOUR_S if trade == "jobs_wait_p99_s" else mean


def _percent(ratio: float | None) -> float:
    return float("nan") if ratio is None else 100 * ratio
