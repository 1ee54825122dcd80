"""The picture of an exhibit: one pair of bars for each row of its table. Draws what it is given and runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from benchmarks.gallery_exhibits import EXTRAS, Exhibit, Variation
from simulations.plot import CLEAN, INK, dress
from simulations.results import Results

_AT_ONCE = "#b9c4bf"
_BAR_HEIGHT = 0.36
_KG_PER_G = 1e-3


def save_picture(exhibit: Exhibit, found: Sequence[tuple[Variation, Results]], path: Path) -> None:
    """Emissions at once and under the policy, with the signed change beside them, or what the exhibit wants there."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(9, 0.9 + 0.52 * len(found)), layout="constrained")
    at_once_kg = [results.baseline.emissions_gco2e * _KG_PER_G for _, results in found]
    policy_kg = [results.policy.emissions_gco2e * _KG_PER_G for _, results in found]
    places = list(range(len(found)))
    shift = _BAR_HEIGHT / 2
    panel.barh([place - shift for place in places], at_once_kg, _BAR_HEIGHT, color=_AT_ONCE, label="run at once")
    panel.barh([place + shift for place in places], policy_kg, _BAR_HEIGHT, color=CLEAN, label="policy")
    dress(panel, f"{exhibit.name}: kg CO2e")
    panel.grid(visible=False, axis="y")
    for place, (_, results), widest_kg in zip(places, found, map(max, at_once_kg, policy_kg), strict=True):
        panel.annotate(
            _beside(exhibit, results),
            (widest_kg, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=INK,
        )
    panel.set_yticks(places, [variation.words for variation, _ in found], color=INK, fontsize=10)
    panel.set_xlim(0, (1.25 if exhibit.beside else 1.1) * max(*at_once_kg, *policy_kg))
    panel.invert_yaxis()
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=2, frameon=False, fontsize=9, labelcolor=INK)
    figure.savefig(path, dpi=110, facecolor="white", metadata={"Software": None})
    pyplot.close(figure)


def _beside(exhibit: Exhibit, results: Results) -> str:
    if exhibit.beside:
        return f"{EXTRAS[exhibit.beside](results)} {exhibit.beside}"
    return "" if results.savings_ratio is None else _change(results.savings_ratio)


def _change(savings_ratio: float) -> str:
    shown = f"{-savings_ratio:+.1%}"
    return "0.0%" if shown in ("-0.0%", "+0.0%") else shown
