"""A bound on every choice of two or more pieces in one region, whatever its times are multiples of.

Taken on the cells of the forecast with the priced line of work_price.py: stretches reach to the borders of their cells,
and pieces may be shorter by part of a cell and may touch. What is left out only ever makes the bound lower. It
certifies pieces that were found on a rounded grid.
"""

from __future__ import annotations

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.curve import ROUNDING_S, Curve, Intervals
from scheduler.planning.one_job.work_price import INFINITE, PieceLine, Span, best_price

# Times are compared in thousandths of a second when a common unit is sought.
TICK_S = 1e-3
_MAX_CELLS = 50_000


def pieces_bound_g_s_per_kwh(
    one: Curve,
    allowed: Intervals,
    held_s: float,
    overhead_s: float,
    least_s: tuple[float, float, float],
    pause_g_s_per_kwh: float,
) -> float | None:
    """No two or more pieces cost less; None where no bound was found. Rates must not be below zero.

    `held_s` is the time of all pieces without pauses, `least_s` the least of the first, a middle and the last piece.
    """
    cell_s = _cell_s(one, min(least_s))
    if cell_s is None or not allowed:
        return None
    begin_s = _border_before_s(one, cell_s, allowed[0][0])
    cells = int(np.ceil((allowed[-1][1] - begin_s) / cell_s - ROUNDING_S))
    if cells > _MAX_CELLS:
        return None
    middle = begin_s + cell_s * (np.arange(cells) + 0.5)
    step = np.clip(np.searchsorted(one.edges_at_s, middle, side="right") - 1, 0, len(one.gco2e_per_kwh) - 1)
    rates = np.nan_to_num(one.rate_gco2e_per_kwh(step))
    first, inner, last = (int(length_s / cell_s + ROUNDING_S) for length_s in least_s)
    line = PieceLine(
        instants=np.arange(cells + 1),
        sums_cost=np.concatenate(([0.0], np.cumsum(rates * cell_s))),
        stretches=_in_cells(allowed, begin_s, cell_s),
        first=first,
        middle=inner,
        last=last,
        held_steps=held_s / cell_s,
        overhead_steps=overhead_s / cell_s,
        pause_cost=pause_g_s_per_kwh,
        may_touch=True,
    )
    found = best_price(line, INFINITE)
    return None if found is None else found.least_cost()


def _cell_s(one: Curve, least_s: float) -> float | None:
    """The common unit of the edges, cut so that no piece is shorter than a cell."""
    ticks = np.rint(np.diff(_inner_edges_at_s(one)) / TICK_S).astype(np.int64)
    unit_s = float(np.gcd.reduce(ticks)) * TICK_S
    if not (unit_s > 0 and least_s > 0):
        return None
    return unit_s / max(1.0, float(np.ceil(unit_s / least_s - ROUNDING_S)))


def _inner_edges_at_s(one: Curve) -> Floats:
    """Without the first and the last, at which a series may have been cut."""
    return one.edges_at_s[1:-1] if len(one.edges_at_s) > 3 else one.edges_at_s


def _border_before_s(one: Curve, cell_s: float, instant_s: float) -> float:
    first_s = float(_inner_edges_at_s(one)[0])
    return first_s + float(np.floor((instant_s - first_s) / cell_s + ROUNDING_S)) * cell_s


def _in_cells(allowed: Intervals, begin_s: float, cell_s: float) -> tuple[Span, ...]:
    stretches: list[Span] = []
    for from_s, to_s in allowed:
        since = int(np.floor((from_s - begin_s) / cell_s + ROUNDING_S))
        to = int(np.ceil((to_s - begin_s) / cell_s - ROUNDING_S))
        if stretches and since <= stretches[-1][1]:
            since = stretches.pop()[0]
        stretches.append((since, to))
    return tuple(stretches)
