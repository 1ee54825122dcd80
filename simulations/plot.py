"""The headline of a comparison as a bitmap, for a README or a slide. Needs matplotlib (extra: plots); a shell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from intensity_feeds.series import Floats
from simulations.results import Results
from simulations.summary import mass
from simulations.timeline import Timeline, timeline_of

_PALETTE = ("#2f6f8f", "#6aa7c2", "#e0a458", "#b65c45", "#7d6aa5", "#5f9e6e", "#c98bb0", "#9a9a5a")
INK, _SOFT, _LINE, CLEAN = "#1c2523", "#5d6a66", "#dde3e0", "#0f7a5f"


def save_headline_plot(results: Results, path: Path) -> None:
    """Intensity above, power at once and under the policy below, with the sentence that matters as title."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    timeline = timeline_of(results)
    figure, panels = pyplot.subplots(
        3, 1, figsize=(10, 6.4), sharex=True, height_ratios=(1, 1.4, 1.4), layout="constrained"
    )
    draw_intensity(panels[0], timeline)
    highest_kw = max(_total(side).max() for side in (timeline.baseline_by_class_kw, timeline.policy_by_class_kw))
    names = list({**timeline.policy_by_class_kw, **timeline.baseline_by_class_kw})
    draw_power(panels[1], timeline, timeline.baseline_by_class_kw, names, "run at once, kW")
    draw_power(panels[2], timeline, timeline.policy_by_class_kw, names, "policy, kW")
    for panel in panels[1:]:
        panel.set_ylim(0, float(highest_kw) * 1.05)
    figure.suptitle(_title(results), x=0.01, ha="left", color=INK, fontsize=14, fontweight="bold")
    handles, labels = panels[2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=9, labelcolor=INK)
    figure.savefig(path, dpi=150, facecolor="white", metadata={"Software": None})
    pyplot.close(figure)


def _title(results: Results) -> str:
    ratio = results.savings_ratio or 0.0
    verb = "saved" if ratio >= 0 else "added"
    met = results.deadline_misses_baseline_met
    late = f"{met:,} deadline{'' if met == 1 else 's'} missed that running at once would have met"
    return f"{abs(ratio):.1%} of emissions {verb} ({mass(abs(results.avoided_gco2e))}),\n{late}"


def draw_intensity(panel: Any, timeline: Timeline) -> None:
    """What each zone's grid emitted, on matplotlib axes."""
    instants = _instants(timeline)
    for index, (zone, values) in enumerate(timeline.intensity_gco2e_per_kwh.items()):
        colour = CLEAN if index == 0 else _PALETTE[index]
        panel.step(instants[:-1], values, where="post", color=colour, linewidth=1.4, label=zone)
        if len(timeline.intensity_gco2e_per_kwh) == 1:
            panel.fill_between(instants[:-1], values, step="post", color=colour, alpha=0.15, linewidth=0)
    panel.set_ylim(bottom=0)
    if len(timeline.intensity_gco2e_per_kwh) > 1:
        panel.legend(frameon=False, fontsize=9, ncols=4, labelcolor=INK)
    dress(panel, f"{', '.join(timeline.intensity_gco2e_per_kwh)}: gCO2e/kWh")


def draw_power(panel: Any, timeline: Timeline, side_kw: Mapping[str, Floats], names: list[str], label: str) -> None:
    """The power of each class of `names`, stacked, on matplotlib axes."""
    nothing = np.zeros(len(timeline.edges_at_s) - 1)
    rows = [side_kw.get(name, nothing) for name in names]
    panel.stackplot(
        _instants(timeline)[:-1], rows, step="post", labels=names, colors=_PALETTE, linewidth=0, antialiased=True
    )
    dress(panel, label)


def dress(panel: Any, label: str) -> None:
    """A plain frame with a title of its own."""
    panel.set_title(label, loc="left", fontsize=10, color=_SOFT)
    panel.grid(color=_LINE, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.margins(x=0)
    panel.tick_params(colors=_SOFT, labelsize=9, length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)


def _instants(timeline: Timeline) -> list[datetime]:
    return [datetime.fromtimestamp(float(edge), UTC) for edge in timeline.edges_at_s]


def _total(side_kw: Mapping[str, Floats]) -> Floats:
    return np.asarray(sum(side_kw.values()), dtype=np.float64)
