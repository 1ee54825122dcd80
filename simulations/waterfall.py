"""The picture of where a saving comes from: each part a bar that begins where the one before it ended."""

from __future__ import annotations

from collections.abc import Sequence

from simulations.charts import Figure
from simulations.savings_parts import Part, SavingsParts
from simulations.summary import mass, percent
from simulations.svg import RIGHT_PX, WIDTH_PX, Place, document, line, linear, rectangle, text

# What a part is, for those who meet the word for the first time.
MEANINGS = {
    Part.TIME: "the same work at cleaner hours",
    Part.REGION: "the same hours in cleaner regions",
    Part.BATCHING: "less energy for the same tokens",
    Part.CONSOLIDATION: "workers without work asleep",
    Part.ROUTING: "smaller models where they suffice",
    Part.PAUSES: "writing state and loading it again",
    Part.IDLE: "more warm time without work",
    Part.FORECAST: "the grid was not what was foretold",
    Part.UNDIVIDED: "a grid unknown at some hours",
}

# Parts below this share of what running at once emits are left out of the picture, though not out of the sum.
SHOWN_FROM_RATIO = 5e-4

_ROW_PX, _BAR_PX, _TOP_PX = 44.0, 22.0, 14.0
# Numbers stand before the bars, where a narrow screen shows them as well.
_VALUES_PX, _LEFT_PX = 250.0, 400.0


def waterfall_figure(parts: SavingsParts) -> Figure:
    """Bars to the right save, bars to the left lose; the last is what is left of all of them."""
    shown = [(part, grams) for part, grams in parts.by_part_gco2e.items() if _is_shown(parts, grams)]
    edges = [0.0]
    for _, grams in shown:
        edges.append(edges[-1] + grams)
    place = _scale([*edges, parts.avoided_gco2e])
    bottom_px = _TOP_PX + _ROW_PX * (len(shown) + 1)
    body = [line(place(0.0), _TOP_PX - 6, place(0.0), bottom_px + 2, "grid")]
    for row, (part, grams) in enumerate(shown):
        top_px = _TOP_PX + row * _ROW_PX
        colour = "--policy" if grams >= 0 else "--warn"
        body += _row(parts, top_px, part.value, MEANINGS[part], (edges[row], edges[row + 1]), place, colour)
        x_px = place(edges[row + 1])
        body.append(line(x_px, top_px + _BAR_PX, x_px, top_px + _ROW_PX, "slack"))
    words = "saved in all" if parts.avoided_gco2e >= 0 else "added in all"
    total_px = _TOP_PX + _ROW_PX * len(shown)
    body.append(line(_LEFT_PX, total_px - 11, WIDTH_PX - RIGHT_PX, total_px - 11, "grid"))
    body += _row(parts, total_px, words, "beside running at once", (0.0, parts.avoided_gco2e), place, "--ink")
    return Figure(
        title="Where the saving comes from",
        caption=_caption(parts),
        picture=document(bottom_px + 8, "Parts of the saving", _in_words(parts, shown), body),
        legend=[("saves", "var(--policy)"), ("loses", "var(--warn)")],
    )


def _caption(parts: SavingsParts) -> str:
    words = "Each bar begins where the one before it ended; shares are of what running at once emits."
    if Part.FORECAST in parts.by_part_gco2e:
        words += " First what each lever does under a perfect forecast, then what the real forecast changes."
    if (well := parts.answered_well) is not None:
        words += f" Expected to be answered well: {well.baseline_ratio:.1%} at once, {well.policy_ratio:.1%} now."
    return words


def _is_shown(parts: SavingsParts, grams_gco2e: float) -> bool:
    return abs(grams_gco2e) >= SHOWN_FROM_RATIO * abs(parts.baseline_gco2e)


def _scale(ends_gco2e: Sequence[float]) -> Place:
    """From the least to the most, zero among them."""
    low, high = min(0.0, *ends_gco2e), max(0.0, *ends_gco2e)
    return linear((low, high if high > low else low + 1.0), _LEFT_PX, WIDTH_PX - RIGHT_PX)


def _row(
    parts: SavingsParts,
    top_px: float,
    name: str,
    meaning: str,
    between_gco2e: tuple[float, float],
    place: Place,
    colour: str,
) -> list[str]:
    grams = between_gco2e[1] - between_gco2e[0]
    from_px, to_px = sorted(place(one) for one in between_gco2e)
    share = percent(grams / parts.baseline_gco2e if parts.baseline_gco2e else None)
    hint = f"{name}: {mass(abs(grams))} {'less' if grams >= 0 else 'more'}"
    return [
        text(_VALUES_PX - 14, top_px + 10, name, "label", "end"),
        text(_VALUES_PX - 14, top_px + 25, meaning, "tick", "end"),
        rectangle(from_px, top_px, max(to_px - from_px, 2.0), _BAR_PX, f"fill:var({colour})", hint),
        text(_VALUES_PX + 6, top_px + 10, share, "strong"),
        text(_VALUES_PX + 6, top_px + 25, f"{mass(abs(grams))} {'less' if grams >= 0 else 'more'}", "tick"),
    ]


def _in_words(parts: SavingsParts, shown: Sequence[tuple[Part, float]]) -> str:
    every = [*((part.value, grams) for part, grams in shown), ("in all", parts.avoided_gco2e)]
    return "; ".join(f"{name} {percent(grams / parts.baseline_gco2e)}" for name, grams in every)
