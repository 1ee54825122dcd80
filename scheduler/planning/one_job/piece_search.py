"""The cheapest two or more pieces on a line of slots: exact, by searching only where an optimum can be.

The bound of work_price.py is taken on a looser line, of whole cells of constant cost instead of slots, on which pieces
may be shorter. It leaves out every instant at which no choice below a limit begins or ends a piece; between two borders
of a cell such costs are concave, so a straight line between them is below them. Over the few instants that remain, the
least cost is kept for each amount of work done: once for the job paused, once for it running, where a row is shifted
and offset instead of being extended slot by slot. The limit is what a first choice costs, the best with its borders on
a few instants of the looser line; where there is none, it starts just above the bound and is raised until a choice is
found below it. The cheapest choice below a limit is the optimum, since none below it was left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.one_job.piece_rows import Places, RowSearch
from scheduler.planning.one_job.piece_task import PieceTask
from scheduler.planning.one_job.work_price import (
    INFINITE,
    Ints,
    PieceLine,
    Span,
    Sweep,
    best_price,
    sweep,
)

# A line of no more instants is searched in less time than a first choice takes, from a limit that leaves few places.
_FEW_INSTANTS, _FEW_PLACES = 700, 60
# A first choice has its borders on so many instants of a longer line, or so many times more.
_GUESS_PLACES, _GUESS_FACTOR = 300, 2
# How many places the first limit leaves without a first choice, and with one; then so many times more.
_FIRST_PLACES, _MOST_PLACES, _FACTOR = 600, 3000, 3
# Where more places lie below a first choice, they are searched first below so much of the way to it from the bound.
_MANY_PLACES, _NEAR_RATIO = 1500, 0.6
# Windows on the work done are worth their sweeps above so many costs to be kept, places times amounts of work. The
# other price is above the best by such a share of it; or, where the limit lies far from the bound, by as much as makes
# about so many steps too much reach the limit.
_MANY_COSTS = 300_000
_APART_RATIO, _FAR_STEPS = 0.01, 150
_SLOT_ROUNDING = 1e-6
# A choice that is walked back only when it is the last.
Found = Callable[[], list[Span]]

# What sums of some thousand slots lose, as a share of them.
_ROUNDING_RATIO = 1e-12


def cheapest_spans(task: PieceTask, most_cost: float, max_kept: int) -> list[Span] | None:
    """The cheapest pieces, at least two, in order of time; None when none cost less than `most_cost`.

    Raises TooWideError.
    """
    if task.rule.work < 2 * task.rule.shortest or not task.stretches:
        return None
    most_cost = min(most_cost, _dearest_cost(task))
    priced = best_price(task.line(), most_cost)
    if priced is None:
        return None
    pieces = priced.pieces()
    if task.is_kept_by(pieces):
        return pieces
    found = _raised(task, priced, most_cost, max_kept)
    return None if found is None else found()


def _dearest_cost(task: PieceTask) -> float:
    """More than any choice costs."""
    pauses = task.rule.work // task.rule.shortest
    slots_cost = sum(float(np.abs(task.slot_cost[since:to]).sum()) for since, to in task.stretches)
    return 1.0 + 2.0 * (slots_cost + pauses * task.rule.pause_cost)


def _raised(task: PieceTask, onward: Sweep, most_cost: float, max_kept: int) -> Found | None:
    """The search below one limit after another; None when the pieces known before are the best."""
    through = _Through.of(onward)
    known: Found | None = None
    most_places, near_cost, searched = _FEW_PLACES, INFINITE, -1
    if not onward.line.is_all and _is_long(task, through):
        most_cost, known = _guessed(task, through, most_cost, max_kept)
        most_places = _FIRST_PLACES if known is None else _MOST_PLACES
        near_cost = _near_cost(task, through, most_cost)
    while True:
        limit_cost, near_cost = min(most_cost, near_cost, through.reach_cost(most_places)), INFINITE
        places = through.places(task, limit_cost, between=not onward.line.is_all)
        is_plain = onward.line.is_all and not _is_wide(task, places)
        if is_plain and places.every == searched and limit_cost >= most_cost:
            return known  # found among these very places
        cost, found = _below(task, through, places, limit_cost, max_kept)
        # Dearer than the limit, it is a choice all the same: nothing above it is of interest.
        if found is not None and cost <= most_cost + through.slip_cost:
            most_cost, known = min(cost, most_cost), found
        if limit_cost >= most_cost:
            return known
        most_places, searched = most_places * _FACTOR, places.every


def _is_long(task: PieceTask, through: _Through) -> bool:
    """Whether a first choice is worth its time: the line is long, or flat where it matters."""
    if len(through.onward.line.instants) > _FEW_INSTANTS:
        return True
    return through.places(task, through.reach_cost(_FEW_PLACES), between=True).count > _MANY_PLACES


def _near_cost(task: PieceTask, through: _Through, most_cost: float) -> float:
    """A limit below that of a first choice, where that leaves much to search.

    Its borders are those of whole cells, so it may be far from the best where others lie a shortest piece off them.
    """
    is_off_cells = task.rule.middle % through.onward.line.cell > 0
    if not is_off_cells or through.count_below(most_cost) * through.onward.line.cell <= _MANY_PLACES:
        return INFINITE
    least_cost = through.onward.least_cost()
    return least_cost + _NEAR_RATIO * (most_cost - least_cost)


def _guessed(task: PieceTask, through: _Through, most_cost: float, max_kept: int) -> tuple[float, Found | None]:
    """A good choice below a cost, with all borders but the last on a few instants of a looser line."""
    known: Found | None = None
    every, most_places = 3 * len(through.onward.line.instants), _GUESS_PLACES
    while most_places < _GUESS_FACTOR * every:
        limit_cost = min(most_cost, through.reach_cost(most_places))
        places = through.places(task, limit_cost, between=False)
        cost, found = _among(task, places.instants, through.price_cost, limit_cost, max_kept)
        if found is not None and cost < most_cost:
            most_cost, known = cost, found
        if limit_cost >= most_cost:
            break
        if not through.onward.line.is_all:  # its bound may be far below what keeps the rules on these instants
            line = task.among(through.onward.line.instants, is_all=True)
            if not line.stretches:
                break
            through = _Through.of(sweep(line, through.price_cost))
            continue
        most_places *= _GUESS_FACTOR
    return most_cost, known


def _below(
    task: PieceTask, through: _Through, places: Places, limit_cost: float, max_kept: int
) -> tuple[float, Found | None]:
    """The cheapest choice if it costs less than a limit; else any choice or none."""
    line = through.onward.line
    if line.is_all and (not _is_wide(task, places) or places.count >= len(line.instants)):
        return _searched(task, through, places, limit_cost, max_kept)
    return _among(task, places.instants, through.price_cost, limit_cost, max_kept)


def _among(
    task: PieceTask, instants: Ints, price_cost: float, limit_cost: float, max_kept: int
) -> tuple[float, Found | None]:
    """The same with borders only at some instants, on a tight line of these."""
    line = task.among(instants, is_all=True)
    onward = sweep(line, price_cost) if line.stretches else None
    if onward is None or onward.least_cost() >= limit_cost:
        return INFINITE, None
    through = _Through.of(onward)
    return _searched(task, through, through.places(task, limit_cost, between=False), limit_cost, max_kept)


def _is_wide(task: PieceTask, places: Places) -> bool:
    return places.count * task.rule.work > _MANY_COSTS


def _searched(
    task: PieceTask, through: _Through, places: Places, limit_cost: float, max_kept: int
) -> tuple[float, Found | None]:
    if _is_wide(task, places):
        places = _windowed(task, through, places, limit_cost)
    price_cost = through.price_cost
    sums_cost = (task.sums_cost - price_cost * np.arange(task.slots + 1))[None]
    search = RowSearch(task.rule, (task.stretches,), price_cost, sums_cost, places, max_kept, task.loops)
    if search.best_cost == INFINITE:
        return INFINITE, None
    return search.best_cost + through.offset_cost, lambda: [(start, end) for _, start, end in search.pieces()]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Through:
    """For each instant of a line the least cost of all choices that begin or end a piece there."""

    onward: Sweep
    back: Sweep  # of the mirrored line
    first_start_cost: Floats
    start_cost: Floats
    last_start_cost: Floats
    end_cost: Floats
    last_end_cost: Floats

    @property
    def price_cost(self) -> float:
        return self.onward.price_cost

    @property
    def offset_cost(self) -> float:
        return self.onward.offset_cost

    @property
    def slip_cost(self) -> float:
        """What rounding may take from a cost."""
        return _ROUNDING_RATIO * (float(np.abs(self.onward.earned_cost).max()) + abs(self.offset_cost))

    @classmethod
    def of(cls, onward: Sweep) -> _Through:
        line, earned, back = onward.line, onward.earned_cost, sweep(onward.line.mirrored(), onward.price_cost)
        end_cost = _ended(onward) + _to_come(back)
        last_begun = onward.paused_before_cost() + onward.fee_cost - earned
        return cls(
            onward=onward,
            back=back,
            first_start_cost=line.least_ahead(earned + _to_come(back), _first_ends(line)) - earned,
            start_cost=onward.paused_before_cost() + _begun(back),
            last_start_cost=onward.finished_cost,
            end_cost=end_cost,
            last_end_cost=back.line.least_ahead(last_begun[::-1], _first_ends(back.line))[::-1] + earned,
        )

    def reach_cost(self, places: int) -> float:
        """The limit below which so many are left."""
        costs = np.concatenate((self.first_start_cost, self.start_cost, self.end_cost))
        costs = costs[np.isfinite(costs)]
        return float(np.partition(costs, places)[places]) + self.offset_cost if places < len(costs) else INFINITE

    def count_below(self, limit_cost: float) -> int:
        """How many instants of the line are left below a limit, those between them not counted."""
        costs, limit_cost = (self.first_start_cost, self.start_cost, self.end_cost), self.inner_limit(limit_cost)
        return sum(int((cost <= limit_cost).sum()) for cost in costs)

    def inner_limit(self, limit_cost: float) -> float:
        """The same limit for sums of cost less price."""
        return limit_cost + self.slip_cost - self.offset_cost

    def places(self, task: PieceTask, limit_cost: float, *, between: bool) -> Places:
        line, limit_cost = self.onward.line, self.inner_limit(limit_cost)
        costs = (self.first_start_cost, self.start_cost, self.last_start_cost, self.end_cost, self.last_end_cost)
        first_starts, starts, last_starts, ends, last_ends = (
            _at_most(cost, line, task, limit_cost, between=between) for cost in costs
        )
        return Places(first_starts=first_starts, starts=starts, last_starts=last_starts, ends=ends, last_ends=last_ends)


def _first_ends(line: PieceLine) -> Ints:
    """At which instant a first piece may end that begins at each."""
    ends: Ints = line.instants.searchsorted(line.instants + line.first)
    return ends


def _ended(onward: Sweep) -> Floats:
    """The least cost of the pieces up to the one that ends at each instant."""
    return onward.running_cost + onward.earned_cost


def _to_come(back: Sweep) -> Floats:
    """The least cost of the pause at each instant and the pieces that begin after it, from the mirrored line."""
    return back.paused_before_cost()[::-1] + back.fee_cost


def _begun(back: Sweep) -> Floats:
    """The least cost of the pause before each instant, the piece that begins there and all that follow."""
    return (back.running_cost + back.earned_cost)[::-1] + back.fee_cost


def _windowed(task: PieceTask, through: _Through, places: Places, limit_cost: float) -> Places:
    """The same places with windows: at a higher price, what does too much work before or after a place is dear."""
    onward, back, limit_cost = through.onward, through.back, through.inner_limit(limit_cost)
    before, ended = onward.paused_before_cost(), _ended(onward)
    begun, to_come = _begun(back), _to_come(back)
    far_cost = (limit_cost - float(onward.finished_cost.min())) / _FAR_STEPS
    apart_cost = max(_APART_RATIO * (abs(onward.price_cost) or 1.0), far_cost)
    on, to = (sweep(one.line, onward.price_cost + apart_cost) for one in (onward, back))
    # What is done is paid the other price and what is to come this one, or the other way round.
    done = np.array((on.paused_before_cost() + begun, _ended(on) + to_come))
    rest = np.array((before + _begun(to), ended + _to_come(to)))
    paid, still = task.rule.first_restore + task.rule.checkpoint, task.rule.work - task.rule.checkpoint
    most = np.fmin((limit_cost - done) / apart_cost - paid, float(task.rule.work - task.rule.shortest))
    least = np.fmax(still - (limit_cost - rest) / apart_cost, 0.0)
    spans = np.stack((np.ceil(least - _SLOT_ROUNDING), np.floor(most + _SLOT_ROUNDING) + 1), axis=2)
    spans[:, :, 1] = np.fmax(spans[:, :, 0], spans[:, :, 1])
    start_windows, end_windows = (
        span[onward.line.instants.searchsorted(chosen)].astype(np.int64)
        for chosen, span in zip((places.starts, places.ends), spans, strict=True)
    )
    return replace(places, start_windows=start_windows, end_windows=end_windows)


def _at_most(cost: Floats, line: PieceLine, task: PieceTask, limit_cost: float, *, between: bool) -> Ints:
    """The slots below a limit, on straight lines between the instants of a line that leaves some out.

    Where an instant is impossible, so is what lies next to it.
    """
    if line.is_all or not between:
        chosen = line.instants[cost <= limit_cost]
        return chosen[(chosen >= 0) & (chosen <= task.slots)]
    # Between two instants above the limit, or next to an impossible one, nothing is below it.
    is_low = cost <= limit_cost
    cells = (np.isfinite(cost[:-1]) & np.isfinite(cost[1:]) & (is_low[:-1] | is_low[1:])).nonzero()[0]
    lengths = line.instants[cells + 1] - line.instants[cells]
    before = np.repeat(cells, lengths)
    into = np.arange(len(before)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    ratio = into / np.repeat(lengths, lengths)
    lines: Floats = cost[before] * (1 - ratio) + cost[before + 1] * ratio
    slots = np.concatenate(((line.instants[before] + into)[lines <= limit_cost], line.instants[is_low]))
    is_chosen = np.zeros(task.slots + 1, dtype=np.bool_)
    is_chosen[slots[(slots >= 0) & (slots <= task.slots)]] = True
    return np.flatnonzero(is_chosen)
