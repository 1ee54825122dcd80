"""Published against ours as a bitmap, one panel for each quantity. Needs matplotlib (extra: plots); a shell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from simulations.reproductions.tables import Comparison

_DOT, _INK, _SOFT, _LINE = "#0f7a5f", "#1c2523", "#5d6a66", "#dde3e0"
_COLUMNS = 4
# Values that differ by less are one: a rounded number and its own digits.
_ONE_VALUE_RATIO = 1e-6


def save_figure(study: str, found: Sequence[Comparison], path: Path) -> None:
    """Every value as a dot on the line where ours equals the published one."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = _panels(found)
    rows = -(-len(panels) // _COLUMNS)
    columns = min(_COLUMNS, len(panels))
    size = (3.2 * columns, 3.3 * rows + 0.6)
    figure, grid = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axes, (title, points) in zip(grid.flat, panels.items(), strict=False):
        _draw(axes, title, points)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    figure.suptitle(study, x=0.01, ha="left", color=_INK, fontsize=12, fontweight="bold", wrap=True)
    figure.savefig(path, dpi=150, facecolor="white", metadata={"Software": None})
    pyplot.close(figure)


def _panels(found: Sequence[Comparison]) -> dict[str, list[tuple[float, float]]]:
    panels: dict[str, list[tuple[float, float]]] = {}
    for one in found:
        if isinstance(one.published, int | float) and isinstance(one.ours, int | float):
            panels.setdefault(f"{one.table}\n{one.column}", []).append((one.published, one.ours))
    return panels


def margin_of(low: float, high: float) -> float:
    """Beyond the values on either side, in their own unit; where all are one value, enough to see the line."""
    apart = high - low
    return 0.05 * apart if apart > _ONE_VALUE_RATIO * max(abs(low), abs(high)) else 1.0


def _draw(axes: Any, title: str, points: Sequence[tuple[float, float]]) -> None:
    published, ours = zip(*points, strict=True)
    low, high = min(*published, *ours), max(*published, *ours)
    margin = margin_of(low, high)
    axes.plot((low - margin, high + margin), (low - margin, high + margin), color=_SOFT, linewidth=0.8)
    axes.scatter(published, ours, s=14, color=_DOT, alpha=0.7, linewidth=0)
    widest = max(abs(one - other) for one, other in points)
    axes.set_title(f"{title}\nworst difference {widest:.2g}", loc="left", fontsize=8, color=_INK)
    axes.set_xlabel("published", fontsize=8, color=_SOFT)
    axes.set_ylabel("ours", fontsize=8, color=_SOFT)
    axes.ticklabel_format(useOffset=False, style="plain")
    axes.locator_params(nbins=5)
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(color=_LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_SOFT, labelsize=7, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
