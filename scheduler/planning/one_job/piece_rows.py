"""The search itself: the least cost for each amount of work done, kept only at the places where an optimum can be.

Such a row of costs is kept once for the job paused, and once for it running in each region, where it is shifted and
offset instead of being extended slot by slot. Every choice whose pieces all begin and end at the places is covered.
Knows slots, regions, one price for work and the places; how these were found, the caller knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.planning.one_job.piece_kernels import (
    END,
    FINISH,
    RIPEN_FIRST,
    RIPEN_MIDDLE,
    SAVE,
    Ints,
    Rows,
    Rule,
    Steps,
)
from scheduler.planning.one_job.piece_loops import Loops
from scheduler.planning.one_job.region_price import RegionSpan
from scheduler.planning.one_job.row_fill import fill_rows
from scheduler.planning.one_job.work_price import INFINITE, Span

Bools = NDArray[np.bool_]

# An instant in a region: the instant times the number of regions, plus the region's index.
Key = int


class TooWideError(Exception):
    """The search would keep more than it may; `kept` says how many costs."""

    def __init__(self, kept: int) -> None:
        self.kept = kept
        super().__init__(f"{kept} costs")


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceRule:
    """What the pieces must be. Counts slots; `shortest` is work, the overheads are not."""

    work: int
    shortest: int
    checkpoint: int
    restore: int
    first_restore: int
    pause_cost: float

    @property
    def first(self) -> int:
        """Least length of the first piece; `middle` and `last` likewise."""
        return self.first_restore + self.shortest + self.checkpoint

    @property
    def middle(self) -> int:
        return self.restore + self.shortest + self.checkpoint

    @property
    def last(self) -> int:
        return self.restore + self.shortest

    @property
    def overhead(self) -> int:
        return self.checkpoint + self.restore

    @property
    def held(self) -> int:
        """Slots of all pieces together, without what each pause adds."""
        return self.work + self.first_restore


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Places:
    """Where pieces may begin and end below a limit: keys that grow.

    Where known, a window for each start and for each end, shape (places, 2), says which amounts of work may have been
    done by then: the least, and one more than the most.
    """

    first_starts: Ints
    starts: Ints
    last_starts: Ints
    ends: Ints
    last_ends: Ints | None = None
    start_windows: Ints | None = None
    end_windows: Ints | None = None

    @property
    def count(self) -> int:
        return len(self.first_starts) + len(self.starts) + len(self.ends)

    @property
    def instants(self) -> Ints:
        """All of them but the last starts, which are starts; several times where they are several things."""
        assert self.last_ends is not None, "one region tells them"
        return np.concatenate((self.first_starts, self.starts, self.ends, self.last_ends))

    @property
    def every(self) -> int:
        """How many there are with those of last pieces."""
        return self.count + len(self.last_starts) + (0 if self.last_ends is None else len(self.last_ends))


@dataclass(slots=True)
class RowSearch:
    """Least costs at one price for each amount of work done, and what tells how the best came about.

    `sums_cost` has shape (regions, slots + 1): running sums of cost less price. Rows are kept from the least work done
    on, as far as the places say they matter. Raises TooWideError.
    """

    rule: PieceRule
    stretches: tuple[tuple[Span, ...], ...]  # by region
    price_cost: float
    sums_cost: Floats
    places: Places
    max_kept: int
    loops: Loops | None = None
    fee_cost: float = field(init=False)
    best_cost: float = field(init=False)
    best: tuple[int, int] = field(init=False)  # row of the start of the last piece, work done before
    start_rows: Rows = field(init=False)  # costs before each start, and with each end
    end_rows: Rows = field(init=False)
    begun: Ints = field(init=False)  # rows of starts and ends in their turn
    ended: Ints = field(init=False)

    def __post_init__(self) -> None:
        rule, wide = self.rule, self.rule.work - self.rule.shortest + 1
        start_windows, end_windows = (
            np.tile(np.array((0, wide), dtype=np.int64), (len(places), 1)) if windows is None else windows
            for places, windows in (
                (self.places.starts, self.places.start_windows),
                (self.places.ends, self.places.end_windows),
            )
        )
        turns, is_begin = self._turns(_is_some(start_windows), _is_some(end_windows))
        self.begun, self.ended = turns.row[is_begin], turns.row[turns.kind == END]
        group = (turns.kind == END).cumsum()[is_begin]
        saved, self.start_rows = _shared_rows(start_windows, self.begun, group)
        self.end_rows = _rows(end_windows)
        if (kept := len(saved.cost) + len(self.end_rows.cost)) > self.max_kept:
            raise TooWideError(kept)
        self.fee_cost = rule.pause_cost + self.price_cost * rule.overhead
        self.best_cost, row, done = (fill_rows if self.loops is None else self.loops.fill_rows)(
            Rule(rule.work, rule.shortest, rule.restore, self.slots, self.fee_cost),
            self._steps(turns, is_begin, group),
            saved,
            self.start_rows,
            self.end_rows,
            np.ascontiguousarray(self.sums_cost),
            np.full(wide, INFINITE),
            np.full((self.regions, wide + self.slots), INFINITE),
        )
        self.best = row, done

    @property
    def regions(self) -> int:
        return len(self.sums_cost)

    @property
    def slots(self) -> int:
        return len(self.sums_cost[0]) - 1

    def _turns(self, is_start: Bools, is_end: Bools) -> tuple[Steps, Bools]:
        """At each instant pieces ripen and end, by region, before others begin; and which steps are a begin."""
        rule, regions = self.rule, self.regions
        line = _Line(regions=regions, slots=self.slots, stretches=self.stretches)
        first_starts, starts, ends = self.places.first_starts, self.places.starts, self.places.ends
        begun, ended = is_start.nonzero()[0], is_end.nonzero()[0]  # a row of no costs changes nothing
        row = np.concatenate((np.arange(len(first_starts)), begun, ended, begun))
        origin = np.concatenate((first_starts, starts[begun], ends[ended], starts[begun]))
        kind = np.repeat(
            (RIPEN_FIRST, RIPEN_MIDDLE, END, SAVE), (len(first_starts), len(begun), len(ended), len(begun))
        )
        keys = origin + regions * np.array((rule.first, rule.middle, 0, 0))[kind]
        stretch, reach = line.stretch_of(keys)
        since, _ = line.stretch_of(origin)
        at, region = np.divmod(keys, regions)
        order = np.lexsort((kind, region, kind == SAVE, at))
        order = order[(stretch[order] >= 0) & (since[order] == stretch[order])]
        origin, kind = origin[order], kind[order]
        earned_cost = self.sums_cost[origin % regions, origin // regions]
        turns = Steps(kind, region[order], at[order], stretch[order], reach[order], row[order], earned_cost)
        return turns, kind == SAVE

    def _steps(self, turns: Steps, is_begin: Bools, group: Ints) -> Steps:
        """What is to be done. Of starts with no end between them, what they go on from is saved once."""
        is_new = is_begin.copy()
        is_new[is_begin] = np.diff(group, prepend=-1) > 0
        row = turns.row.copy()
        row[is_new] = np.arange(int(is_new.sum()))
        is_last = is_begin.copy()
        is_last[is_begin] = _is_among(self.places.starts[self.begun], self.places.last_starts)
        chosen = np.concatenate(((~is_begin | is_new).nonzero()[0], is_last.nonzero()[0]))
        kind = turns.kind[chosen]
        kind[len(kind) - int(is_last.sum()) :] = FINISH
        row = row[chosen]
        row[len(kind) - int(is_last.sum()) :] = turns.row[is_last]
        order = np.lexsort((kind, chosen))
        chosen, kind, row = chosen[order], kind[order], row[order]
        return _taken(turns, chosen)._replace(kind=kind, row=row)

    def pieces(self) -> list[RegionSpan]:
        """The best choice, walked back by which sums its costs are equal to."""
        row, done = self.best
        start, region = divmod(int(self.places.starts[row]), self.regions)
        found = [(region, start, start + self.rule.restore + self.rule.work - done)]
        while True:
            cost = float(self.start_rows.cost[self.start_rows.offset[row] + done - self.start_rows.least[row]])
            end_row = int(self.ended[_where(self.end_rows, self.ended, done, cost)[0]])
            end, region = divmod(int(self.places.ends[end_row]), self.regions)
            if (first_start := self._begun_first(end, region, done, cost)) is not None:
                found.insert(0, (region, first_start, end))
                return found
            row, before = self._begun(end, region, done, cost)
            found.insert(0, (region, int(self.places.starts[row]) // self.regions, end))
            done = before

    def _begun_first(self, end: int, region: int, done: int, cost: float) -> int | None:
        """Where the piece that ends there with so much done began, if it is the first."""
        start = end - (done + self.rule.first_restore + self.rule.checkpoint)
        key = np.array((start * self.regions + region,))
        if start < self._since(end, region) or not _is_among(key, self.places.first_starts)[0]:
            return None
        sums_cost = self.sums_cost[region]
        return start if -sums_cost[start] + sums_cost[end] == cost else None

    def _begun(self, end: int, region: int, done: int, cost: float) -> tuple[int, int]:
        """The start of the piece that ends there with so much done, and the work done before it."""
        begun = self.begun
        start, of_region = np.divmod(self.places.starts[begun], self.regions)
        fits = (of_region == region) & (start >= self._since(end, region)) & (start <= end - self.rule.middle)
        begun, start = begun[fits], start[fits]
        before = done - (end - start - self.rule.overhead)
        rows, sums_cost = self.start_rows, self.sums_cost[region]
        place = before - rows.least[begun]
        held = ((place >= 0) & (place < rows.wide[begun])).nonzero()[0]
        costs = (
            rows.cost[rows.offset[begun[held]] + place[held]]
            + (self.fee_cost - sums_cost[start[held]])
            + sums_cost[end]
        )
        index = int(held[(costs == cost).argmax()])
        return int(begun[index]), int(before[index])

    def _since(self, end: int, region: int) -> int:
        return max(since for since, _ in self.stretches[region] if since <= end)


def _where(rows: Rows, chosen: Ints, done: int, cost: float) -> Ints:
    """Which of the chosen rows have that cost for so much work done."""
    place = done - rows.least[chosen]
    held = ((place >= 0) & (place < rows.wide[chosen])).nonzero()[0]
    found: Ints = held[rows.cost[rows.offset[chosen[held]] + place[held]] == cost]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    regions: int
    slots: int
    stretches: tuple[tuple[Span, ...], ...]

    def stretch_of(self, keys: Ints) -> tuple[Ints, Ints]:
        """The stretch in which each key lies, counted over all regions, -1 where it lies in none; and its end."""
        wide = self.slots + 1
        every = [
            (region * wide + since, region * wide + to)
            for region, row in enumerate(self.stretches)
            for since, to in row
        ]
        borders = np.array(every, dtype=np.int64).reshape(-1, 2)
        at, region = np.divmod(keys, self.regions)
        place = region * wide + at
        index = borders[:, 0].searchsorted(place, side="right") - 1
        inside = (index >= 0) & (at <= self.slots)
        inside[inside] = place[inside] <= borders[index[inside], 1]
        return np.where(inside, index, -1), borders[index, 1] - region * wide


def _is_among(keys: Ints, others: Ints) -> NDArray[np.bool_]:
    """Which of the keys are among others that grow."""
    place = others.searchsorted(keys)
    is_one: NDArray[np.bool_] = np.append(others, -1)[place] == keys
    return is_one


def _taken(steps: Steps, chosen: Ints) -> Steps:
    return Steps(
        steps.kind[chosen],
        steps.region[chosen],
        steps.at[chosen],
        steps.stretch[chosen],
        steps.reach[chosen],
        steps.row[chosen],
        steps.earned_cost[chosen],
    )


def _is_some(windows: Ints) -> Bools:
    is_some: Bools = windows[:, 1] > windows[:, 0]
    return is_some


def _rows(windows: Ints) -> Rows:
    """A row for each window."""
    least, wide = windows[:, 0].copy(), windows[:, 1] - windows[:, 0]
    upto = np.cumsum(wide)
    return Rows(least, wide, upto - wide, np.empty(int(upto[-1]) if len(upto) else 0))


def _shared_rows(windows: Ints, begun: Ints, group: Ints) -> tuple[Rows, Rows]:
    """A row for each group of starts that begin in turn, as wide as all their windows, and the starts' parts of it."""
    is_new = np.diff(group, prepend=-1) > 0
    first, number = is_new.nonzero()[0], is_new.cumsum() - 1
    least, upto = windows[begun].T
    widest = [least[:0], upto[:0]]
    if len(first):
        widest = [np.minimum.reduceat(least, first), np.maximum.reduceat(upto, first)]
    saved = _rows(np.stack(widest, axis=1))
    offset = np.zeros(len(windows), dtype=np.int64)
    offset[begun] = saved.offset[number] + least - saved.least[number]
    return saved, Rows(windows[:, 0].copy(), windows[:, 1] - windows[:, 0], offset, saved.cost)
