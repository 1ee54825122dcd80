"""The search itself: the least cost for each amount of work done, kept only at the places where an optimum can be.

Such a row of costs is kept once for the job paused, and once for it running in each region, where it is shifted and
offset instead of being extended slot by slot. Every choice whose pieces all begin and end at the places is covered.
Knows slots, regions, one price for work and the places; how these were found, the caller knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Self

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.one_job.piece_kernels import BEGIN, END, RIPEN_FIRST, RIPEN_MIDDLE, Ints, Rows, Rule, Steps
from scheduler.planning.one_job.piece_loops import Loops
from scheduler.planning.one_job.region_price import RegionSpan
from scheduler.planning.one_job.work_price import INFINITE, Span

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where pieces may begin and end below a limit.

    Where known, a window says which amounts of work may have been done by then: (least, one more than the most).
    """

    first_starts: frozenset[Key]
    starts: frozenset[Key]
    last_starts: frozenset[Key]
    ends: frozenset[Key]
    last_ends: frozenset[Key] = frozenset()
    start_windows: Mapping[Key, Span] = field(default_factory=dict)
    end_windows: Mapping[Key, Span] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.first_starts) + len(self.starts) + len(self.ends)

    def start_window(self, key: Key, wide: int) -> Span:
        return self.start_windows.get(key, (0, wide))

    def end_window(self, key: Key, wide: int) -> Span:
        return self.end_windows.get(key, (0, wide))

    def kept(self, wide: int) -> int:
        """How many costs a search keeps."""
        if not self.end_windows and not self.start_windows:
            return wide * (len(self.starts) + len(self.ends))
        windows = [self.end_window(at, wide) for at in self.ends] + [self.start_window(at, wide) for at in self.starts]
        return sum(upto - least for least, upto in windows)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Kept:
    """Rows as arrays, and the steps that filled them."""

    steps: Steps
    starts: Ints
    start_rows: Rows
    ends: Ints
    end_rows: Rows

    def before_cost(self) -> dict[Key, tuple[int, Floats]]:
        begun = self.steps.row[self.steps.kind == BEGIN].tolist()
        return {int(self.starts[row]): _row(self.start_rows, row) for row in begun}

    def ended_at(self) -> list[tuple[Key, int, Floats]]:
        ended = self.steps.row[self.steps.kind == END].tolist()
        return [(int(self.ends[row]), *_row(self.end_rows, row)) for row in ended]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Begun:
    """The starts that have a row, and the amounts of work that it is kept for: shape (starts,)."""

    key: Ints
    least: Ints
    upto: Ints

    @classmethod
    def of(cls, before_cost: Mapping[Key, tuple[int, Floats]]) -> Self:
        spans = [(key, least, least + len(row)) for key, (least, row) in before_cost.items()]
        key, least, upto = np.array(spans, dtype=np.int64).reshape(-1, 3).T
        return cls(key=key, least=least, upto=upto)


@dataclass(slots=True)
class RowSearch:
    """Least costs at one price for each amount of work done, and what tells how the best came about.

    `sums_cost` has shape (regions, slots + 1): running sums of cost less price. Rows are kept as (least work done,
    costs from there on), as far as the places say they matter. Raises TooWideError.
    """

    rule: PieceRule
    stretches: tuple[tuple[Span, ...], ...]  # by region
    price_cost: float
    sums_cost: Floats
    places: Places
    max_kept: int
    loops: Loops | None = None
    earned_cost: dict[Key, float] = field(init=False)  # the sums where a piece may begin or end
    fee_cost: float = field(init=False)
    paused_cost: Floats = field(init=False)  # by work done, now
    running_cost: Floats = field(init=False)  # by region and work done less the instant plus all slots, less `earned`
    stretch: list[Span] = field(init=False)  # of each region, now or next
    rest: list[list[Span]] = field(init=False)  # the later ones, the next one last
    before_cost: dict[Key, tuple[int, Floats]] = field(init=False, default_factory=dict)  # by start: the row before it
    ended_at: list[tuple[Key, int, Floats]] = field(init=False, default_factory=list)  # end, and its row
    best_cost: float = field(init=False, default=INFINITE)
    best: tuple[Key, int] = field(init=False, default=(0, 0))  # start of the last piece, work done before
    kept: _Kept | None = field(init=False, default=None)  # rows that compiled loops have filled
    begun: _Begun = field(init=False)  # of `before_cost`, for the walk back

    def __post_init__(self) -> None:
        wide = self.rule.work - self.rule.shortest + 1
        if (kept := self.places.kept(wide)) > self.max_kept:
            raise TooWideError(kept)
        self.fee_cost = self.rule.pause_cost + self.price_cost * self.rule.overhead
        self.paused_cost = np.full(wide, INFINITE)
        self.running_cost = np.full((self.regions, wide + self.slots), INFINITE)
        self.rest = [list(reversed(stretches)) for stretches in self.stretches]
        self.stretch = [rest.pop() if rest else (0, -1) for rest in self.rest]
        places = np.array(sorted(self.places.first_starts | self.places.starts | self.places.ends), dtype=np.int64)
        sums_cost = self.sums_cost[places % self.regions, places // self.regions]
        self.earned_cost = dict(zip(places.tolist(), sums_cost.tolist(), strict=True))
        if self.loops is None:
            self._run_through()
        else:
            self._run_compiled(self.loops)

    @property
    def regions(self) -> int:
        return len(self.sums_cost)

    @property
    def slots(self) -> int:
        return len(self.sums_cost[0]) - 1

    def _run_through(self) -> None:
        """At each instant pieces end before others begin: those may be in another region."""
        regions, places = self.regions, self.places
        ripe = {start + self.rule.first * regions for start in places.first_starts}
        ripe |= {start + self.rule.middle * regions for start in places.starts}
        for _, together in groupby(sorted(ripe | places.starts | places.ends), lambda key: key // regions):
            keys = list(together)
            for key in keys:
                if self._is_open(key):
                    self._ripen(key)
                    if key in places.ends:
                        self._end(key)
            for key in keys:
                # A bound on whole cells may leave places where nothing is open.
                if key in places.starts and self._is_open(key):
                    self._begin(key)

    def _run_compiled(self, loops: Loops) -> None:
        """The same in one call: first everything that happens in turn, then what comes of it."""
        rule, places, wide = self.rule, self.places, len(self.paused_cost)
        line = _Line(regions=self.regions, slots=self.slots, stretches=self.stretches)
        starts, ends, first_starts = (_sorted(one) for one in (places.starts, places.ends, places.first_starts))
        start_rows, end_rows = _rows(starts, places.start_windows, wide), _rows(ends, places.end_windows, wide)
        steps = _steps(self.rule, line, self.sums_cost, first_starts, starts, ends, _sorted(places.last_starts))
        kernel_rule = Rule(rule.work, rule.shortest, rule.restore, self.slots, self.fee_cost)
        sums_cost = np.ascontiguousarray(self.sums_cost)
        self.best_cost, row, done = loops.fill_rows(
            kernel_rule, steps, start_rows, end_rows, sums_cost, self.paused_cost, self.running_cost
        )
        if row < 0:
            return
        self.best = (int(starts[row]), done)
        self.kept = _Kept(steps=steps, starts=starts, start_rows=start_rows, ends=ends, end_rows=end_rows)

    def _is_open(self, key: Key) -> bool:
        """Whether a piece may be under way there; moves on to the stretch of that instant."""
        at, region = divmod(key, self.regions)
        while at > self.stretch[region][1] and self.rest[region]:
            self.stretch[region] = self.rest[region].pop()
            self.running_cost[region].fill(INFINITE)
        since, to = self.stretch[region]
        return since <= at <= to

    def _ripen(self, key: Key) -> None:
        """Pieces that have now run long enough to end."""
        rule, (at, region) = self.rule, divmod(key, self.regions)
        since, running_cost = self.stretch[region][0] * self.regions, self.running_cost[region]
        done = rule.shortest - at + self.slots
        if (start := key - rule.first * self.regions) >= since and start in self.places.first_starts:
            running_cost[done] = min(running_cost[done], -self.earned_cost[start])
        if (start := key - rule.middle * self.regions) >= since and start in self.places.starts:
            least, before = self.before_cost[start]
            now = running_cost[done + least : done + least + len(before)]
            np.minimum(now, before[: len(now)] + (self.fee_cost - self.earned_cost[start]), out=now)

    def _begin(self, key: Key) -> None:
        """A further piece; as the last one it runs until all the work is done."""
        least, upto = self.places.start_window(key, len(self.paused_cost))
        before = self.paused_cost[least:upto].copy()
        self.before_cost[key] = least, before
        if key not in self.places.last_starts:
            return
        at, region = divmod(key, self.regions)
        most_end = at + self.rule.restore + self.rule.work - least  # of a last piece with the least done before it
        first_end, last_end = most_end - len(before) + 1, min(self.stretch[region][1], most_end)
        if last_end < first_end:
            return
        cost = before[most_end - last_end :][::-1] + self.sums_cost[region, first_end : last_end + 1]
        end = int(cost.argmin())  # among equals the earliest
        total_cost = float(cost[end]) + self.fee_cost - self.earned_cost[key]
        if total_cost < self.best_cost:
            self.best_cost, self.best = total_cost, (key, least + most_end - first_end - end)

    def _end(self, key: Key) -> None:
        least, upto = self.places.end_window(key, len(self.paused_cost))
        at, region = divmod(key, self.regions)
        running = self.slots - at
        now = self.running_cost[region, running + least : running + upto] + self.earned_cost[key]
        paused = self.paused_cost[least:upto]
        np.minimum(paused, now, out=paused)
        self.ended_at.append((key, least, now))

    def pieces(self) -> list[RegionSpan]:
        """The best choice, walked back by which sums its costs are equal to."""
        if self.kept is not None:
            self.before_cost, self.ended_at = self.kept.before_cost(), self.kept.ended_at()
        self.begun = _Begun.of(self.before_cost)
        key, done = self.best
        start, region = divmod(key, self.regions)
        found = [(region, start, start + self.rule.restore + self.rule.work - done)]
        while True:
            least, row = self.before_cost[key]
            cost = row[done - least]
            end = next(
                at for at, first, now in self.ended_at if 0 <= done - first < len(now) and now[done - first] == cost
            )
            key, before = self._begun(end, done, cost)
            found.insert(0, (end % self.regions, key // self.regions, end // self.regions))
            if before == 0:
                return found
            done = before

    def _begun(self, end: Key, done: int, cost: float) -> tuple[Key, int]:
        """Where the piece that ends there with so much done began, and the work done before it."""
        rule, earned, regions = self.rule, self.earned_cost, self.regions
        region = end % regions
        since = max(since for since, _ in self.stretches[region] if since <= end // regions) * regions
        start = end - (done + rule.first_restore + rule.checkpoint) * regions
        if start >= since and start in self.places.first_starts and -earned[start] + earned[end] == cost:
            return start, 0
        before = done - ((end - self.begun.key) // regions - rule.overhead)
        fits = (self.begun.key % regions == region) & (self.begun.key >= since)
        fits &= self.begun.key <= end - rule.middle * regions
        fits &= (before >= self.begun.least) & (before < self.begun.upto)
        for index in fits.nonzero()[0].tolist():
            start, done_before = int(self.begun.key[index]), int(before[index])
            least, paused = self.before_cost[start]
            if paused[done_before - least] + (self.fee_cost - earned[start]) + earned[end] == cost:
                return start, done_before
        raise AssertionError("every cost kept is one of these sums")


# -- the same as arrays ----------------------------------------------------------------------------------------------


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


def _sorted(keys: frozenset[Key]) -> Ints:
    return np.sort(np.fromiter(keys, dtype=np.int64, count=len(keys)))


def _rows(keys: Ints, windows: Mapping[Key, Span], wide: int) -> Rows:
    """Room for a row for each key, as far as its window says that it matters."""
    if not windows:
        return Rows(np.zeros_like(keys), wide * np.arange(len(keys) + 1), np.empty(wide * len(keys)))
    spans = np.array([windows.get(key, (0, wide)) for key in keys.tolist()], dtype=np.int64).reshape(-1, 2)
    offset = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(spans[:, 1] - spans[:, 0])))
    return Rows(np.ascontiguousarray(spans[:, 0]), offset, np.empty(int(offset[-1])))


def _row(rows: Rows, row: int) -> tuple[int, Floats]:
    return int(rows.least[row]), rows.cost[rows.offset[row] : rows.offset[row + 1]]


def _steps(
    rule: PieceRule, line: _Line, sums_cost: Floats, first_starts: Ints, starts: Ints, ends: Ints, last_starts: Ints
) -> Steps:
    """At each instant pieces ripen and end, by region, before others begin."""
    regions = line.regions
    numbers = [np.arange(len(one), dtype=np.int64) for one in (first_starts, starts, ends, starts)]
    keys = np.concatenate((first_starts + rule.first * regions, starts + rule.middle * regions, ends, starts))
    origin = np.concatenate((first_starts, starts, ends, starts))  # where it begins, or ends
    kind = np.repeat((RIPEN_FIRST, RIPEN_MIDDLE, END, BEGIN), [len(one) for one in numbers])
    stretch, reach = line.stretch_of(keys)
    begun, _ = line.stretch_of(origin)
    at, region = np.divmod(keys, regions)
    order = np.lexsort((kind, region, kind == BEGIN, at))
    order = order[(stretch[order] >= 0) & (begun[order] == stretch[order])]
    row, origin = np.concatenate(numbers)[order], origin[order]
    is_last = np.isin(origin, last_starts) & (kind[order] == BEGIN)
    earned_cost = sums_cost[origin % regions, origin // regions]
    return Steps(kind[order], region[order], at[order], stretch[order], reach[order], row, earned_cost, is_last)
