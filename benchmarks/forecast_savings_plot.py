"""Draws what planning on recorded forecasts saves, zone by zone and slack by slack. Needs matplotlib (extra: plots)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

_INK, _SOFT, _LINE = "#1c2523", "#5d6a66", "#dde3e0"
# The points of a row stand above each other, or equal ones would hide.
_APART = 0.2
_COLOURS = ("#7d8a86", "#e0a458", "#0f7a5f")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One zone at one slack: percent saved by an oracle and by each policy, in the order of their names."""

    zone: str
    slack_h: int
    oracle_percent: float
    savings_percent: tuple[float, ...]


def save_plot(bars: Sequence[Bar], names: Sequence[str], title: str, path: Path) -> None:
    """One panel for each slack, one row for each zone; the grey bar ends where an oracle would."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    slacks_h = sorted({bar.slack_h for bar in bars})
    zones = sorted({bar.zone for bar in bars}, key=_widest_percent(bars).__getitem__)
    figure, panels = pyplot.subplots(
        1, len(slacks_h), figsize=(11, 1.4 + 0.36 * len(zones)), sharex=True, sharey=True, layout="constrained"
    )
    for panel, slack_h in zip(panels, slacks_h, strict=True):
        _draw(panel, [bar for bar in bars if bar.slack_h == slack_h], zones, names)
        panel.set_title(f"slack {slack_h} h: percent saved", loc="left", fontsize=10, color=_SOFT)
    figure.suptitle(title, x=0.01, ha="left", color=_INK, fontsize=13, fontweight="bold")
    panels[0].set_xlim(0, 1.04 * max(bar.oracle_percent for bar in bars))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=9, labelcolor=_INK)
    figure.savefig(path, dpi=130, facecolor="white", metadata={"Software": None})
    pyplot.close(figure)


def _widest_percent(bars: Sequence[Bar]) -> Mapping[str, float]:
    return {bar.zone: max(one.oracle_percent for one in bars if one.zone == bar.zone) for bar in bars}


def _draw(panel: Any, bars: Sequence[Bar], zones: Sequence[str], names: Sequence[str]) -> None:
    rows = [zones.index(bar.zone) for bar in bars]
    panel.barh(rows, [bar.oracle_percent for bar in bars], height=0.62, color=_LINE, label="oracle")
    for place, (name, colour) in enumerate(zip(names, _COLOURS, strict=True)):
        saved = [bar.savings_percent[place] for bar in bars]
        heights = [row + _APART * (1 - place) for row in rows]
        panel.scatter(saved, heights, s=26, color=colour, label=name, zorder=3)
    panel.set_yticks(range(len(zones)), zones)
    panel.grid(axis="x", color=_LINE, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=_SOFT, labelsize=9, length=0)
    for side in panel.spines.values():
        side.set_visible(False)
