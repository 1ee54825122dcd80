"""Scalable pictures from numbers: scales, axes, areas, lines. Knows nothing of what the numbers mean.

Colours are names of CSS variables, so that one picture serves light, dark and paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

import numpy as np

from intensity_feeds.series import Floats

WIDTH_PX = 960.0
LEFT_PX, RIGHT_PX = 56.0, 16.0

Place = Callable[[float], float]
# Smallest and largest value of an axis.
Extent = tuple[float, float]
# Where on an axis, and what is written there.
Tick = tuple[float, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A rectangle to draw in, inside the picture's margins."""

    top_px: float
    height_px: float
    left_px: float = LEFT_PX
    width_px: float = WIDTH_PX - LEFT_PX - RIGHT_PX

    @property
    def bottom_px(self) -> float:
        return self.top_px + self.height_px

    @property
    def right_px(self) -> float:
        return self.left_px + self.width_px


def linear(extent: Extent, from_px: float, to_px: float) -> Place:
    """A linear scale; everything in the middle where there is no extent."""
    low, high = extent
    span = high - low
    if span <= 0:
        return lambda value: (from_px + to_px) / 2
    return lambda value: from_px + (value - low) / span * (to_px - from_px)


def logarithmic(extent: Extent, from_px: float, to_px: float) -> Place:
    """A logarithmic scale; what lies below the extent is drawn at its lower end."""
    low, high = extent
    inner = linear((math.log10(low), math.log10(high)), from_px, to_px)
    return lambda value: inner(math.log10(max(value, low)))


def document(height_px: float, title: str, description: str, body: Sequence[str], role: str = "img") -> str:
    """A picture that fits its column, with words for those who cannot see it; `group` where it has links inside."""
    return (
        f'<svg viewBox="0 0 {WIDTH_PX:.0f} {height_px:.0f}" role="{role}" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(body)}</svg>"
    )


def text(x_px: float, y_px: float, words: str, kind: str = "tick", anchor: str = "start") -> str:
    return f'<text x="{x_px:.1f}" y="{y_px:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def rectangle(x_px: float, y_px: float, width_px: float, height_px: float, style: str, hint: str = "") -> str:
    inner = f"<title>{escape(hint)}</title>" if hint else ""
    return (
        f'<rect x="{x_px:.2f}" y="{y_px:.2f}" width="{max(width_px, 0.0):.2f}" height="{max(height_px, 0.0):.2f}" '
        f'style="{style}">{inner}</rect>'
    )


def line(x1_px: float, y1_px: float, x2_px: float, y2_px: float, kind: str) -> str:
    return f'<line x1="{x1_px:.1f}" y1="{y1_px:.1f}" x2="{x2_px:.1f}" y2="{y2_px:.1f}" class="{kind}"/>'


def steps_area(xs_px: Floats, lower_px: Floats, upper_px: Floats, colour: str) -> str:
    """A filled band between two step functions; `xs_px` (n + 1,), the others (n,)."""
    forth = _steps(xs_px, upper_px)
    back = _steps(xs_px, lower_px)[::-1]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*forth, *back])
    return f'<polygon points="{points}" style="fill:var({colour})"/>'


def polyline(xs_px: Floats, ys_px: Floats, kind: str, colour: str) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs_px, ys_px, strict=True))
    return f'<polyline points="{points}" class="{kind}" style="stroke:var({colour})"/>'


def _steps(xs_px: Floats, ys_px: Floats) -> list[tuple[float, float]]:
    doubled = np.repeat(xs_px, 2)[1:-1]
    return list(zip(doubled.tolist(), np.repeat(ys_px, 2).tolist(), strict=True))


def horizontal_grid(panel: Panel, place: Place, ticks: Sequence[Tick], unit: str = "") -> list[str]:
    """Lines and labels of the vertical axis; the unit stands above it."""
    parts = []
    for value, label in ticks:
        y_px = place(value)
        parts += [
            line(panel.left_px, y_px, panel.right_px, y_px, "grid"),
            text(panel.left_px - 6, y_px + 4, label, "tick", "end"),
        ]
    if unit:
        parts.append(text(panel.left_px, panel.top_px - 8, unit, "unit"))
    return parts


def vertical_grid(panel: Panel, place: Place, ticks: Sequence[Tick], *, labelled: bool) -> list[str]:
    """Lines of the horizontal axis, and their labels where `labelled`."""
    parts = []
    for value, label in ticks:
        x_px = place(value)
        parts.append(line(x_px, panel.top_px, x_px, panel.bottom_px, "grid"))
        if labelled:
            is_at_the_edge = x_px > panel.right_px - RIGHT_PX
            parts.append(text(x_px, panel.bottom_px + 16, label, "tick", "end" if is_at_the_edge else "middle"))
    return parts


# -- ticks -----------------------------------------------------------------------------------------------------------


def nice_ticks(extent: Extent, about: int = 3) -> list[Tick]:
    """Round numbers from 0 to at least the upper end, roughly `about` of them besides 0."""
    high = extent[1]
    if not high > 0:
        return [(0.0, "0"), (1.0, "1")]
    raw = high / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw)
    return [(step * index, f"{step * index:,g}") for index in range(math.ceil(high / step) + 1)]


_TIME_STEPS_H = (1 / 60, 1 / 12, 1 / 6, 1 / 2, 1, 3, 6, 12, 24, 48, 168, 336, 720, 2160, 8760)


def time_ticks(start_at_s: float, end_at_s: float, about: int = 9) -> list[Tick]:
    """Whole minutes, hours or days in UTC, at most about `about` of them."""
    step_s = 3600.0 * next((step for step in _TIME_STEPS_H if (end_at_s - start_at_s) / 3600 / step <= about), 8760)
    first = math.ceil(start_at_s / step_s)
    form = "%d %b" if step_s >= 86400 else "%H:%M"
    instants = [step_s * index for index in range(first, math.floor(end_at_s / step_s) + 1)]
    return [(instant_s, _calendar(instant_s, form)) for instant_s in instants]


def _calendar(instant_s: float, form: str) -> str:
    moment = datetime.fromtimestamp(instant_s, UTC)
    if form == "%d %b" or (moment.hour == 0 and moment.minute == 0):
        return moment.strftime("%d %b").lstrip("0")  # midnight says which day begins
    return moment.strftime(form)


def calendar_day(instant_s: float) -> str:
    """The day in UTC, as in `2 Jun 2025`."""
    return datetime.fromtimestamp(instant_s, UTC).strftime("%d %b %Y").lstrip("0")


_TIMES = ((0.001, "1 ms"), (0.01, "10 ms"), (0.1, "0.1 s"), (1.0, "1 s"), (10.0, "10 s"), (60.0, "1 min"))
_LONGER_TIMES = ((600.0, "10 min"), (3600.0, "1 h"), (10 * 3600.0, "10 h"), (100 * 3600.0, "4 d"), (1e6, "12 d"))


def duration_ticks(low_s: float, high_s: float) -> list[Tick]:
    """Readable durations for a logarithmic axis."""
    return [(value_s, label) for value_s, label in (*_TIMES, *_LONGER_TIMES) if low_s <= value_s <= high_s]
