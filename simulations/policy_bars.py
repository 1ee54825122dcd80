"""The picture of many policies on the same work: what each saves, and how sure that is over seeds."""

from __future__ import annotations

from simulations.charts import Figure
from simulations.comparison import TITLES, PolicyRow, PolicyTable
from simulations.scenario import PolicyKind
from simulations.summary import percent
from simulations.svg import RIGHT_PX, WIDTH_PX, Place, document, line, linear, rectangle, text
from simulations.sweep import CONFIDENCE

_ROW_PX, _BAR_PX, _TOP_PX = 30.0, 16.0, 10.0
# Numbers stand before the bars, where a narrow screen shows them as well.
_VALUES_PX, _LEFT_PX = 160.0, 250.0

COLOURS = {PolicyKind.CARBON_AWARE: "--policy", PolicyKind.ORACLE: "--series-1"}


def policy_figure(table: PolicyTable) -> Figure:
    """Running at once is the line from which bars begin."""
    rows = [row for row in table.rows if row.kind is not PolicyKind.RUN_NOW and row.savings.mean_ratio is not None]
    place = _scale(rows)
    bottom_px = _TOP_PX + _ROW_PX * len(rows)
    body = [line(place(0.0), _TOP_PX - 4, place(0.0), bottom_px, "grid")]
    for index, row in enumerate(rows):
        body += _bar(row, _TOP_PX + index * _ROW_PX, place)
    return Figure(
        title="What other policies save",
        caption=_caption(table),
        picture=document(bottom_px + 8, "Savings by policy", _in_words(rows), body),
    )


def _caption(table: PolicyTable) -> str:
    words = "The same work, machines and forecast; to the right less than at once, to the left more."
    if table.has_models_to_choose:
        words += " Only Slacktide and the oracle have a router, which is paid for in good answers: see the table."
    if table.seeds == 1:
        return words
    return f"{words} Means over {table.seeds} seeds; the thin line, from and to in the table, is {CONFIDENCE}."


def _scale(rows: list[PolicyRow]) -> Place:
    ends = [end for row in rows for end in (row.savings.mean_ratio, row.savings.low_ratio, row.savings.high_ratio)]
    known = [0.0, *(end for end in ends if end is not None)]
    low, high = min(known), max(known)
    return linear((low, high if high > low else low + 1.0), _LEFT_PX, WIDTH_PX - RIGHT_PX)


def _bar(row: PolicyRow, top_px: float, place: Place) -> list[str]:
    saved = row.savings
    mean = saved.mean_ratio or 0.0
    from_px, to_px = sorted((place(0.0), place(mean)))
    colour = COLOURS.get(row.kind, "--baseline")
    parts = [
        text(_VALUES_PX - 14, top_px + 12, TITLES[row.kind], "label", "end"),
        rectangle(from_px, top_px, max(to_px - from_px, 1.5), _BAR_PX, f"fill:var({colour})", percent(mean)),
    ]
    if saved.low_ratio is not None and saved.high_ratio is not None:
        y_px, ends_px = top_px + _BAR_PX / 2, (place(saved.low_ratio), place(saved.high_ratio))
        parts.append(line(ends_px[0], y_px, ends_px[1], y_px, "whisker"))
        parts += [line(x_px, y_px - 4, x_px, y_px + 4, "whisker") for x_px in ends_px]
    return [*parts, text(_VALUES_PX + 6, top_px + 12, percent(mean), "strong")]


def _in_words(rows: list[PolicyRow]) -> str:
    return "; ".join(f"{TITLES[row.kind]} {percent(row.savings.mean_ratio)}" for row in rows)
