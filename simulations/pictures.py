"""The pictures of a report as files of their own: heading, picture and legend in one SVG that needs nothing else.

Decides the frame and the names. Light and dark come along, as the page has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from simulations.charts import Figure
from simulations.page import STYLE
from simulations.svg import LEFT_PX, WIDTH_PX, rectangle, text

_HEADING_PX, _LEGEND_PX, _MARGIN_PX = 44.0, 30.0, 16.0
_SWATCH_PX, _GAP_PX, _CHARACTER_PX = 11.0, 34.0, 6.6
_OPENING = re.compile(r'<svg viewBox="0 0 (\d+) (\d+)"([^>]*)>')
_FONT = 'svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;background:var(--card)}'
_MORE = "svg text.title{fill:var(--ink);font-weight:700;font-size:19px}"


def svg_files(figures: Sequence[Figure]) -> Mapping[str, str]:
    """Name and text of each picture, in their order: `01-when-the-work-ran.svg`."""
    return {
        f"{number:02d}-{re.sub(r'[^a-z0-9]+', '-', one.title.lower()).strip('-')}.svg": standalone(one)
        for number, one in enumerate(figures, start=1)
    }


def standalone(one: Figure) -> str:
    """The figure as one document. Raises ValueError for a picture that svg.document did not make."""
    opening = _OPENING.match(one.picture)
    if opening is None:
        raise ValueError(f"{one.title}: no picture with a view box")
    legend, rows = _legend(one.legend, float(opening[2]) + _LEGEND_PX)
    height_px = float(opening[2]) + _HEADING_PX + _LEGEND_PX * rows + _MARGIN_PX
    frame = f'viewBox="0 {-_HEADING_PX:.0f} {WIDTH_PX:.0f} {height_px:.0f}"'
    size = f'width="{WIDTH_PX:.0f}" height="{height_px:.0f}"'
    inner = one.picture[opening.end() : -len("</svg>")]
    # The words for those who cannot see it stay first, as readers of the format expect.
    return (
        f"<svg {frame} {size}{opening[3]}>{_words_first(inner, one.title)}"
        f"<style>{escape(STYLE, quote=False)}{_FONT}{_MORE}</style>"
        f"{text(_MARGIN_PX, -_MARGIN_PX, one.title, 'title')}{_drawn(inner)}{''.join(legend)}</svg>\n"
    ).replace("CO2e", "CO\N{SUBSCRIPT TWO}e")


_WORDS = re.compile(r"<title>.*?</title><desc>.*?</desc>", re.DOTALL)


def _words_first(inner: str, title: str) -> str:
    found = _WORDS.match(inner)
    return f"<title>{escape(title)}</title>" if found is None else found[0]


def _drawn(inner: str) -> str:
    return _WORDS.sub("", inner, count=1)


def _legend(entries: Sequence[tuple[str, str]], first_y_px: float) -> tuple[list[str], int]:
    """Swatches with their words, and how many rows they take; a row is broken before it leaves the picture."""
    parts: list[str] = []
    x_px, row = LEFT_PX, 0
    for name, colour in entries:
        width_px = _GAP_PX + _CHARACTER_PX * len(name)
        if x_px > LEFT_PX and x_px + width_px > WIDTH_PX:
            x_px, row = LEFT_PX, row + 1
        y_px = first_y_px + row * _LEGEND_PX
        parts.append(rectangle(x_px, y_px - 10, _SWATCH_PX, _SWATCH_PX, f"fill:{colour}"))
        parts.append(text(x_px + _SWATCH_PX + 7, y_px, name, "label"))
        x_px += width_px
    return parts, row + 1 if entries else 0
