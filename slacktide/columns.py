"""Text for a terminal or a pipe: aligned columns, and a line of bars. Knows no colour and no width."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
UNKNOWN = "-"


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows of equal length as lines, columns two spaces apart; the columns numbered in `right` end flush."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def bars(array: Sequence[float | None]) -> str:
    """One bar for each value between the smallest and the largest; a blank where there is none."""
    known = [value for value in array if value is not None]
    if not known:
        return " " * len(array)
    low, high = min(known), max(known)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if value is None else BARS[round((value - low) * scale)] for value in array)
