"""The cheapest set of pieces for a job that may be interrupted.

Every pause costs a checkpoint at the end of the piece and a restore at the begin of the next, in time that counts
against the deadline and in energy at the job's own power, and an extra cost that is no energy. A piece works at least
the shortest run; a job shorter than two of these runs in one piece, and that is always among the choices.

Which discretisation is exact. With no cost of a pause and no shortest run, the cheapest steps are filled in order of
their rate and the last one partly: the optimum at any resolution. Otherwise the cost is linear in every border between
two edges, so some optimum is a vertex: each border lies on an edge (or a border of the free time), or is tied to such a
one by shortest runs and overheads, except one that is fixed by the amount of work. Hence when edges, limits, work and
overheads are multiples of one unit, an optimum lies on that grid. In one region piece_search.py finds it; in several,
and where rates below zero can make a pause pay for itself, region_search.py does. When there is no common
unit, or the search would be too big, times are rounded to the safe side onto the finest grid that fits, what is run too
long is cut off where it is dearest, and `is_exact` is False.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Interruption
from scheduler.planning.curve import ROUNDING_S, Curve, Intervals, overlap
from scheduler.planning.one_job.piece_bound import TICK_S, pieces_bound_g_s_per_kwh
from scheduler.planning.one_job.piece_loops import Loops
from scheduler.planning.one_job.piece_rows import PieceRule, TooWideError
from scheduler.planning.one_job.piece_search import cheapest_spans
from scheduler.planning.one_job.piece_task import PieceTask
from scheduler.planning.one_job.region_price import RegionSpan, spans_within
from scheduler.planning.one_job.region_search import RegionTask, cheapest_region_spans
from scheduler.planning.one_job.window import TIE_RATIO, cheapest_window
from scheduler.planning.plan import Segment

# (regions x slots x slots of work) of a table of all costs. The search keeps costs only where pieces may begin or end:
# a slot stands for so many cells of that table, and of the costs it keeps there may be so many more than cells, up to
# about 80 MB. More slots would take seconds.
MAX_CELLS = 20_000_000
_CELLS_PER_SLOT, _KEPT_PER_CELL = 20, 100
_MAX_SLOTS, _MAX_KEPT = 200_000, 10_000_000

# More than any rate is, for sums over time that is partly closed.
_DEAREST = 1e12

# Grids to fall back to, aligned to the epoch as the grids of all feeds are.
COARSE_UNITS_S = (60.0, 300.0, 900.0, 1800.0, 3600.0, 3 * 3600.0, 6 * 3600.0, 12 * 3600.0, 86400.0, 7 * 86400.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be run: `work_s` of progress between two instants, and what pausing costs.

    `interruption_g_s_per_kwh` is the cost of each pause beyond energy, in the unit of the curves' integrals: grams per
    kW of the job's power, times 3600. `restores_first` is true for a job that was paused before.
    """

    work_s: float
    earliest_s: float
    deadline_s: float
    interruption: Interruption = Interruption()
    interruption_g_s_per_kwh: float = 0.0
    restores_first: bool = False

    @property
    def first_restore_s(self) -> float:
        return self.interruption.restore_s if self.restores_first else 0.0

    @property
    def is_free_to_pause(self) -> bool:
        pause = self.interruption
        return pause.overhead_s == 0 and pause.min_run_s == 0 and self.interruption_g_s_per_kwh == 0

    def held_s(self, pieces: int) -> float:
        """Time on the GPUs in so many pieces, overheads included."""
        return self.work_s + self.first_restore_s + (pieces - 1) * self.interruption.overhead_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """When and where to run, and what each kW of it emits. `is_exact` tells whether no choice at all is cheaper."""

    segments: tuple[Segment, ...]
    integral_g_s_per_kwh: float
    is_exact: bool = True

    @property
    def pauses(self) -> int:
        return len(self.segments) - 1


def cheapest_pieces(
    curves: Sequence[Curve],
    work: Work,
    free: Mapping[str, Intervals] | None = None,
    max_cells: int = MAX_CELLS,
    loops: Loops | None = None,
) -> Pieces | None:
    """The cheapest choice of pieces in known and free time, or None; among equals the one in one piece.

    With compiled `loops` sooner, and the same to the last bit.
    """
    whole = _in_one_piece(curves, work, free)
    if work.is_free_to_pause:
        cut, is_exact = _filled(curves, work, free), True
    else:
        most_cost = np.inf if whole is None else whole.integral_g_s_per_kwh
        cut, is_exact = _on_a_grid(curves, work, free, max_cells, most_cost, loops)
    if whole is None or cut is None:
        found = whole or cut
    else:
        found = cut if _cost(work, whole) - _cost(work, cut) > TIE_RATIO * abs(_cost(work, whole)) else whole
    return found and replace(found, is_exact=is_exact)


def gap_ratio(
    pieces: Pieces, curves: Sequence[Curve], work: Work, free: Mapping[str, Intervals] | None = None
) -> float | None:
    """How far the pieces are above any other choice at most, as a share of it; None where that is not known.

    Takes as long as the search itself where they are not exact.
    """
    if pieces.is_exact:
        return 0.0
    bound_g_s_per_kwh = lower_bound_g_s_per_kwh(curves, work, free)
    if bound_g_s_per_kwh is None or not bound_g_s_per_kwh > 0:
        return None
    return max(0.0, _cost(work, pieces) / bound_g_s_per_kwh - 1.0)


def lower_bound_g_s_per_kwh(
    curves: Sequence[Curve], work: Work, free: Mapping[str, Intervals] | None = None
) -> float | None:
    """What no choice undercuts, pauses charged: the lesser of the best single piece and a bound on several."""
    whole = _in_one_piece(curves, work, free)
    pause = work.interruption
    several_g_s_per_kwh = pieces_bound_g_s_per_kwh(
        *_worth_a_look(curves, [_allowed(one, work, free) for one in curves]),
        held_s=work.held_s(1),
        overhead_s=pause.overhead_s,
        least_s=(
            work.first_restore_s + pause.min_run_s + pause.checkpoint_s,
            pause.min_run_s + pause.overhead_s,
            pause.restore_s + pause.min_run_s,
        ),
        pause_g_s_per_kwh=work.interruption_g_s_per_kwh,
    )
    if several_g_s_per_kwh is None or whole is None:
        return several_g_s_per_kwh
    return min(several_g_s_per_kwh, _cost(work, whole))


def _worth_a_look(curves: Sequence[Curve], allowed: Sequence[Intervals]) -> tuple[list[Curve], list[Intervals]]:
    """Without the regions beside which another one is never dearer and never closed when they are open."""
    edges = _cell_edges_at_s(curves, allowed) if len(curves) > 1 else np.empty(0)
    if len(edges) < 2:
        return list(curves), list(allowed)
    rates = [_cell_rates(one, stretches, edges) for one, stretches in zip(curves, allowed, strict=True)]
    kept: list[int] = []
    # The cheapest on the whole first: of two that are equal the one named first stays.
    for index in sorted(range(len(curves)), key=lambda one: float(np.minimum(rates[one], _DEAREST).sum())):
        if not any((rates[other] <= rates[index]).all() for other in kept):
            kept.append(index)
    kept.sort()
    return [curves[index] for index in kept], [allowed[index] for index in kept]


def _is_lone(curves: Sequence[Curve], work: Work) -> bool:
    """One region in which no pause can pay for itself."""
    return len(curves) == 1 and (work.interruption.overhead_s == 0 or not (curves[0].gco2e_per_kwh < 0).any())


def _cost(work: Work, pieces: Pieces) -> float:
    return pieces.integral_g_s_per_kwh + pieces.pauses * work.interruption_g_s_per_kwh


def _in_one_piece(curves: Sequence[Curve], work: Work, free: Mapping[str, Intervals] | None) -> Pieces | None:
    window = cheapest_window(curves, work.held_s(1), work.earliest_s, work.deadline_s, free)
    if window is None:
        return None
    only = Segment(start_at_s=window.start_at_s, end_at_s=window.end_at_s, region=window.region)
    return Pieces(segments=(only,), integral_g_s_per_kwh=window.integral_g_s_per_kwh)


def _allowed(one: Curve, work: Work, free: Mapping[str, Intervals] | None) -> Intervals:
    known = overlap(((work.earliest_s, work.deadline_s),), one.known)
    return known if free is None else overlap(known, free.get(one.region, ()))


def _priced(curves: Sequence[Curve], segments: Sequence[Segment], is_exact: bool) -> Pieces:
    by_region = {one.region: one for one in curves}
    integrals = [by_region[one.region].integral_g_s_per_kwh(one.start_at_s, one.end_at_s) for one in segments]
    return Pieces(segments=tuple(segments), integral_g_s_per_kwh=sum(integrals), is_exact=is_exact)


# -- pauses cost nothing: fill the cheapest steps --------------------------------------------------------------------


def _filled(curves: Sequence[Curve], work: Work, free: Mapping[str, Intervals] | None) -> Pieces | None:
    allowed = [_allowed(one, work, free) for one in curves]
    edges = _cell_edges_at_s(curves, allowed)
    if len(edges) < 2:
        return None
    rates = np.array([_cell_rates(one, stretches, edges) for one, stretches in zip(curves, allowed, strict=True)])
    cheapest = rates.argmin(axis=0)
    lowest, length_s = rates.min(axis=0), np.diff(edges)
    taken_s = _taken_s(lowest, length_s, work.held_s(1))
    if taken_s is None:
        return None
    segments = _joined(edges, taken_s, [curves[index].region for index in cheapest])
    return _priced(curves, segments, is_exact=True)


def _cell_edges_at_s(curves: Sequence[Curve], allowed: Sequence[Intervals]) -> Floats:
    borders = np.array([border for stretches in allowed for stretch in stretches for border in stretch])
    if len(borders) == 0:
        return borders
    inside = [one.edges_at_s[(one.edges_at_s > borders.min()) & (one.edges_at_s < borders.max())] for one in curves]
    return np.unique(np.concatenate((borders, *inside)))


def _cell_rates(one: Curve, stretches: Intervals, edges_at_s: Floats) -> Floats:
    """The rate in each cell; infinite where the cell is not known or not free."""
    middle = (edges_at_s[:-1] + edges_at_s[1:]) / 2
    step = np.clip(np.searchsorted(one.edges_at_s, middle, side="right") - 1, 0, len(one.gco2e_per_kwh) - 1)
    return np.where(_is_within(stretches, middle, middle), one.rate_gco2e_per_kwh(step), np.inf)


def _is_within(
    stretches: Intervals, starts_at_s: Floats, ends_at_s: Floats
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each interval lies inside one of the stretches."""
    if not stretches:
        return np.zeros(starts_at_s.shape, dtype=np.bool_)
    borders = np.array(stretches)
    index = np.searchsorted(borders[:, 0], starts_at_s + ROUNDING_S, side="right") - 1
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = (index >= 0) & (ends_at_s <= borders[index, 1] + ROUNDING_S)
    return inside


def _taken_s(gco2e_per_kwh: Floats, length_s: Floats, work_s: float) -> Floats | None:
    """How much of each cell is run when the cheapest are taken first, the earliest among equals."""
    order = np.lexsort((np.arange(len(gco2e_per_kwh)), gco2e_per_kwh))
    order = order[np.isfinite(gco2e_per_kwh[order])]
    before_s = np.cumsum(length_s[order]) - length_s[order]
    if len(order) == 0 or before_s[-1] + length_s[order[-1]] < work_s - ROUNDING_S:
        return None
    taken_s = np.zeros(len(gco2e_per_kwh))
    taken_s[order] = np.clip(work_s - before_s, 0.0, length_s[order])
    return taken_s


def _joined(edges_at_s: Floats, taken_s: Floats, regions: Sequence[str]) -> list[Segment]:
    """Segments of the cells taken; the one taken partly leans on its neighbour, so that it makes no further piece."""
    segments: list[Segment] = []
    for cell in np.flatnonzero(taken_s > ROUNDING_S).tolist():
        start_at_s, end_at_s = float(edges_at_s[cell]), float(edges_at_s[cell + 1])
        if taken_s[cell] < end_at_s - start_at_s:
            follows = cell + 1 < len(taken_s) and taken_s[cell + 1] > 0 and regions[cell + 1] == regions[cell]
            leads = cell > 0 and taken_s[cell - 1] > 0 and regions[cell - 1] == regions[cell]
            if follows and not leads:
                start_at_s = end_at_s - float(taken_s[cell])
            else:
                end_at_s = start_at_s + float(taken_s[cell])
        if segments and segments[-1].end_at_s == start_at_s and segments[-1].region == regions[cell]:
            start_at_s = segments.pop().start_at_s
        segments.append(Segment(start_at_s=start_at_s, end_at_s=end_at_s, region=regions[cell]))
    return segments


# -- pauses cost something: a search on a grid -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    start_at_s: float
    unit_s: float
    slots: int
    is_exact: bool

    def slots_of(self, duration_s: float) -> int:
        """Rounded up: what takes longer than planned would miss the deadline."""
        return int(np.ceil(duration_s / self.unit_s - ROUNDING_S))

    def edges_at_s(self) -> Floats:
        return self.start_at_s + self.unit_s * np.arange(self.slots + 1, dtype=np.float64)


def _on_a_grid(
    curves: Sequence[Curve],
    work: Work,
    free: Mapping[str, Intervals] | None,
    max_cells: int,
    most_cost: float,
    loops: Loops | None,
) -> tuple[Pieces | None, bool]:
    """The cheapest pieces below a cost on the finest grid that can be searched, and whether no others are cheaper."""
    curves, allowed = _worth_a_look(curves, [_allowed(one, work, free) for one in curves])
    is_lone = _is_lone(curves, work)
    for grid in _grids(curves, allowed, work, max_cells):
        task = replace(_grid_task(curves, allowed, work, grid), loops=loops)
        below_cost = most_cost if grid.is_exact else np.inf  # rounded pieces become cheaper when they are trimmed
        try:
            chosen = _searched(task, curves[0] if is_lone else None, grid, below_cost, max_cells)
        except TooWideError:
            continue
        if chosen is None:
            return None, grid.is_exact
        return _pieces_of(chosen, curves, work, grid), grid.is_exact
    return None, False


def _searched(
    task: RegionTask, lone: Curve | None, grid: _Grid, most_cost: float, max_cells: int
) -> list[RegionSpan] | None:
    """The cheapest pieces on the grid; `lone` is the only curve, when no pause can pay for itself."""
    max_kept = min(_MAX_KEPT, _KEPT_PER_CELL * max_cells)
    if lone is None:
        return cheapest_region_spans(task, most_cost, max_kept)
    cell, first_cell = _cells(lone, grid)
    (stretches,) = spans_within(task.is_open)
    alone = PieceTask(
        slot_cost=task.slot_cost[0],
        stretches=stretches,
        rule=task.rule,
        cell=cell,
        first_cell=first_cell,
        loops=task.loops,
    )
    spans = cheapest_spans(alone, most_cost, max_kept)
    return None if spans is None else [(0, start, end) for start, end in spans]


def _cells(one: Curve, grid: _Grid) -> tuple[int, int]:
    """Slots of a cell of constant rate, and how many of them end at the first edge; one each where there is no such."""
    if not grid.is_exact:
        return 1, 1
    edges = np.rint((one.edges_at_s - grid.start_at_s) / grid.unit_s).astype(np.int64)
    inside = edges[(edges > 0) & (edges < grid.slots)]
    if len(inside) == 0:
        return 1, 1
    cell = int(np.gcd.reduce(np.append(np.diff(inside), 0))) or grid.slots
    return cell, int(inside[0] - 1) % cell + 1


def _pieces_of(chosen: Sequence[RegionSpan], curves: Sequence[Curve], work: Work, grid: _Grid) -> Pieces:
    edges = grid.edges_at_s()
    segments = [
        Segment(start_at_s=float(edges[start]), end_at_s=float(edges[end]), region=curves[region].region)
        for region, start, end in chosen
    ]
    if not grid.is_exact:
        segments = _trimmed(segments, curves, work)
    return _priced(curves, segments, grid.is_exact)


def _grids(curves: Sequence[Curve], allowed: Sequence[Intervals], work: Work, max_cells: int) -> Iterator[_Grid]:
    """The grid that holds an optimum, if there is one and it is small enough, then coarser ones."""
    span_s = work.deadline_s - work.earliest_s

    def fits(unit_s: float) -> bool:
        return len(curves) * span_s / unit_s <= min(_MAX_SLOTS, max_cells / _CELLS_PER_SLOT)

    unit_s = _common_unit_s(curves, allowed, work)
    if unit_s is not None and fits(unit_s) and (slots := round(span_s / unit_s)) > 0:
        yield _Grid(start_at_s=work.earliest_s, unit_s=unit_s, slots=slots, is_exact=True)
    for unit_s in COARSE_UNITS_S:
        start_at_s = float(np.ceil(work.earliest_s / unit_s)) * unit_s
        slots = int((work.deadline_s - start_at_s) // unit_s)
        if fits(unit_s) and slots > 0:
            yield _Grid(start_at_s=start_at_s, unit_s=unit_s, slots=slots, is_exact=False)


def _common_unit_s(curves: Sequence[Curve], allowed: Sequence[Intervals], work: Work) -> float | None:
    pause = work.interruption
    lengths_s = np.array((work.work_s, pause.checkpoint_s, pause.restore_s, pause.min_run_s))
    borders = np.concatenate((_cell_edges_at_s(curves, allowed), (work.earliest_s, work.deadline_s)))
    exact = np.concatenate((borders - work.earliest_s, lengths_s)) / TICK_S
    ticks = np.rint(exact)
    if np.abs(exact - ticks).max() > ROUNDING_S / TICK_S:
        return None
    return int(np.gcd.reduce(ticks.astype(np.int64))) * TICK_S


def _grid_task(curves: Sequence[Curve], allowed: Sequence[Intervals], work: Work, grid: _Grid) -> RegionTask:
    edges, pause = grid.edges_at_s(), work.interruption
    restore = grid.slots_of(pause.restore_s)
    return RegionTask(
        slot_cost=np.array([one.pue * np.diff(one.cumulative(edges)) for one in curves]),
        is_open=np.array([_is_within(stretches, edges[:-1], edges[1:]) for stretches in allowed]),
        rule=PieceRule(
            work=grid.slots_of(work.work_s),
            shortest=max(1, grid.slots_of(pause.min_run_s)),
            checkpoint=grid.slots_of(pause.checkpoint_s),
            restore=restore,
            first_restore=restore if work.restores_first else 0,
            pause_cost=work.interruption_g_s_per_kwh,
        ),
    )


def _trimmed(segments: list[Segment], curves: Sequence[Curve], work: Work) -> list[Segment]:
    """Cut off what rounding ran too long, at the dearest ends first, never below the shortest run."""
    by_region = {one.region: one for one in curves}
    excess_s = sum(one.duration_s for one in segments) - work.held_s(len(segments))
    while excess_s > ROUNDING_S:
        cuts = [cut for index in range(len(segments)) for cut in _cuts(segments, index, by_region, work)]
        if not cuts:
            break
        _, index, at_begin, most_s = max(cuts)
        cut_s = min(most_s, excess_s)
        excess_s -= cut_s
        old = segments[index]
        segments[index] = Segment(
            start_at_s=old.start_at_s + (cut_s if at_begin else 0.0),
            end_at_s=old.end_at_s - (0.0 if at_begin else cut_s),
            region=old.region,
        )
    return segments


def _cuts(
    segments: Sequence[Segment], index: int, by_region: Mapping[str, Curve], work: Work
) -> list[tuple[float, int, bool, float]]:
    """(rate, segment, at its begin, most seconds) of the cuts at both ends of one segment, each within one step."""
    one, pause = segments[index], work.interruption
    restore_s = pause.restore_s if index > 0 else work.first_restore_s
    checkpoint_s = pause.checkpoint_s if index < len(segments) - 1 else 0.0
    room_s = one.duration_s - restore_s - checkpoint_s - pause.min_run_s
    if room_s <= ROUNDING_S:
        return []
    edges = by_region[one.region].edges_at_s
    first = int(np.searchsorted(edges, one.start_at_s + ROUNDING_S, side="right")) - 1
    last = int(np.searchsorted(edges, one.end_at_s - ROUNDING_S)) - 1
    rates = by_region[one.region].rate_gco2e_per_kwh(np.array((first, last)))
    return [
        (float(rates[0]), index, True, min(room_s, float(edges[first + 1]) - one.start_at_s)),
        (float(rates[1]), index, False, min(room_s, one.end_at_s - float(edges[last]))),
    ]
