"""A bound on every choice of two or more pieces, whatever its times are multiples of.

Taken on the cells of the forecasts with the priced line of region_price.py: stretches reach to the borders of their
cells, and pieces may be shorter by part of a cell and may touch. What is left out only ever makes the bound lower. It
certifies pieces that were found on a rounded grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.curve import ROUNDING_S, Curve, Intervals
from scheduler.planning.one_job.region_price import Bools, RegionLine
from scheduler.planning.one_job.region_search import best_region_price

# Times are compared in thousandths of a second when a common unit is sought.
TICK_S = 1e-3
_MAX_CELLS = 50_000


def pieces_bound_g_s_per_kwh(
    curves: Sequence[Curve],
    allowed: Sequence[Intervals],
    held_s: float,
    overhead_s: float,
    least_s: tuple[float, float, float],
    pause_g_s_per_kwh: float,
) -> float | None:
    """No two or more pieces cost less; None where no bound was found. One of `allowed` for each curve.

    `held_s` is the time of all pieces without pauses, `least_s` the least of the first, a middle and the last piece.
    """
    cell_s = _cell_s(curves, min(least_s))
    borders_s = [border_s for stretches in allowed for stretch in stretches for border_s in stretch]
    if cell_s is None or not borders_s:
        return None
    begin_s = _border_before_s(curves[0], cell_s, min(borders_s))
    cells = int(np.ceil((max(borders_s) - begin_s) / cell_s - ROUNDING_S))
    if cells * len(curves) > _MAX_CELLS:
        return None
    first, middle, last = (int(length_s / cell_s + ROUNDING_S) for length_s in least_s)
    middles_s: Floats = begin_s + cell_s * (np.arange(cells, dtype=np.float64) + 0.5)
    line = RegionLine(
        slot_cost=np.array([_rates(one, middles_s) * cell_s for one in curves]),
        is_open=np.array([_in_cells(stretches, begin_s, cell_s, cells) for stretches in allowed]),
        first=first,
        middle=middle,
        last=last,
        held_steps=held_s / cell_s,
        overhead_steps=overhead_s / cell_s,
        pause_cost=pause_g_s_per_kwh,
    )
    found = best_region_price(line, np.inf)
    return None if found is None else found.least_cost()


def _rates(one: Curve, instants_s: Floats) -> Floats:
    step = np.clip(np.searchsorted(one.edges_at_s, instants_s, side="right") - 1, 0, len(one.gco2e_per_kwh) - 1)
    return np.nan_to_num(one.rate_gco2e_per_kwh(step))


def _cell_s(curves: Sequence[Curve], least_s: float) -> float | None:
    """The common unit of all edges, cut so that no piece is shorter than a cell."""
    edges = np.unique(np.concatenate([_inner_edges_at_s(one) for one in curves]))
    ticks = np.rint(np.diff(edges) / TICK_S).astype(np.int64)
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


def _in_cells(allowed: Intervals, begin_s: float, cell_s: float, cells: int) -> Bools:
    """The cells that are at least partly allowed."""
    is_open = np.zeros(cells, dtype=np.bool_)
    for from_s, to_s in allowed:
        since = int(np.floor((from_s - begin_s) / cell_s + ROUNDING_S))
        is_open[since : int(np.ceil((to_s - begin_s) / cell_s - ROUNDING_S))] = True
    return is_open
