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
    steps: Steps = field(init=False)
    start_rows: Rows = field(init=False)  # costs before each start, and with each end
    end_rows: Rows = field(init=False)
    best: tuple[int, int] = field(init=False)  # row of the start of the last piece, work done before

    def __post_init__(self) -> None:
        places, wide = self.places, self.rule.work - self.rule.shortest + 1
        self.start_rows = _rows(len(places.starts), places.start_windows, wide, self.max_kept)
        self.end_rows = _rows(len(places.ends), places.end_windows, wide, self.max_kept - self.start_rows.offset[-1])
        self.fee_cost = self.rule.pause_cost + self.price_cost * self.rule.overhead
        self.steps = self._steps_in_turn()
        kernel_rule = Rule(self.rule.work, self.rule.shortest, self.rule.restore, self.slots, self.fee_cost)
        self.best_cost, row, done = (fill_rows if self.loops is None else self.loops.fill_rows)(
            kernel_rule,
            self.steps,
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

    def _steps_in_turn(self) -> Steps:
        """At each instant pieces ripen and end, by region, before others begin."""
        rule, regions = self.rule, self.regions
        line = _Line(regions=regions, slots=self.slots, stretches=self.stretches)
        first_starts, starts, ends = self.places.first_starts, self.places.starts, self.places.ends
        origins = (first_starts, starts, ends, starts)  # where it begins, or ends
        numbers = [np.arange(len(one), dtype=np.int64) for one in origins]
        # A row of no costs changes nothing.
        kept = [numbers[0]] + [
            one[np.diff(rows.offset) > 0]
            for one, rows in zip(numbers[1:], (self.start_rows, self.end_rows, self.start_rows), strict=True)
        ]
        row, origin = np.concatenate(kept), np.concatenate([one[at] for one, at in zip(origins, kept, strict=True)])
        kind = np.repeat((RIPEN_FIRST, RIPEN_MIDDLE, END, BEGIN), [len(one) for one in kept])
        keys = origin + regions * np.array((rule.first, rule.middle, 0, 0))[kind]
        stretch, reach = line.stretch_of(keys)
        begun, _ = line.stretch_of(origin)
        at, region = np.divmod(keys, regions)
        order = np.lexsort((kind, region, kind == BEGIN, at))
        order = order[(stretch[order] >= 0) & (begun[order] == stretch[order])]
        origin, is_last = origin[order], np.zeros(len(keys), dtype=np.bool_)
        is_last[kind == BEGIN] = _is_among(starts[kept[3]], self.places.last_starts)
        earned_cost = self.sums_cost[origin % regions, origin // regions]
        return Steps(
            kind[order], region[order], at[order], stretch[order], reach[order], row[order], earned_cost, is_last[order]
        )

    def pieces(self) -> list[RegionSpan]:
        """The best choice, walked back by which sums its costs are equal to."""
        row, done = self.best
        start, region = divmod(int(self.places.starts[row]), self.regions)
        found = [(region, start, start + self.rule.restore + self.rule.work - done)]
        ended = self.steps.row[self.steps.kind == END]
        while True:
            cost = float(self.start_rows.cost[self.start_rows.offset[row] + done - self.start_rows.least[row]])
            end_row = int(ended[_where(self.end_rows, ended, done, cost)[0]])
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
        begun = self.steps.row[self.steps.kind == BEGIN]
        start, of_region = np.divmod(self.places.starts[begun], self.regions)
        fits = (of_region == region) & (start >= self._since(end, region)) & (start <= end - self.rule.middle)
        begun, start = begun[fits], start[fits]
        before = done - (end - start - self.rule.overhead)
        rows, sums_cost = self.start_rows, self.sums_cost[region]
        place = rows.offset[begun] + before - rows.least[begun]
        held = ((before >= rows.least[begun]) & (place < rows.offset[begun + 1])).nonzero()[0]
        costs = rows.cost[place[held]] + (self.fee_cost - sums_cost[start[held]]) + sums_cost[end]
        index = int(held[(costs == cost).argmax()])
        return int(begun[index]), int(before[index])

    def _since(self, end: int, region: int) -> int:
        return max(since for since, _ in self.stretches[region] if since <= end)


def fill_rows(
    rule: Rule, steps: Steps, starts: Rows, ends: Rows, sums_cost: Floats, paused_cost: Floats, running_cost: Floats
) -> tuple[float, int, int]:
    """As the kernel of that name, a row at a time.

    `paused_cost` is by work done, now; `running_cost` by region and work done less the instant plus all slots, less
    what was earned.
    """
    best_cost, best_row, best_done = INFINITE, -1, 0
    shift, current = rule.slots + rule.shortest, [-1] * len(running_cost)
    least, offset, cost = starts.least.tolist(), starts.offset.tolist(), starts.cost
    end_least, end_offset, end_cost = ends.least.tolist(), ends.offset.tolist(), ends.cost
    for kind, region, at, stretch, reach, row, earned, is_last in zip(*(one.tolist() for one in steps), strict=True):
        running = running_cost[region]
        if current[region] != stretch:
            current[region] = stretch
            running.fill(INFINITE)
        if kind == RIPEN_MIDDLE:
            before = cost[offset[row] : offset[row + 1]]
            place = shift - at + least[row]
            now = running[place : place + len(before)]
            np.minimum(now, before + (rule.fee_cost - earned), out=now)
        elif kind == END:
            low, upto = end_offset[row], end_offset[row + 1]
            first, ended = end_least[row], end_cost[low:upto]
            place = rule.slots - at + first
            np.add(running[place : place + upto - low], earned, out=ended)
            paused = paused_cost[first : first + upto - low]
            np.minimum(paused, ended, out=paused)
        elif kind == RIPEN_FIRST:
            running[shift - at] = min(running[shift - at], -earned)
        else:
            before = cost[offset[row] : offset[row + 1]]
            before[:] = paused_cost[least[row] : least[row] + len(before)]
            most_end = at + rule.restore + rule.work - least[row]  # of a last piece with the least done before it
            first_end, last_end = most_end - len(before) + 1, min(reach, most_end)
            if not is_last or last_end < first_end:
                continue
            finished = before[most_end - last_end :][::-1] + sums_cost[region, first_end : last_end + 1]
            end = int(finished.argmin())  # among equals the earliest
            total_cost = float(finished[end]) + rule.fee_cost - earned
            if total_cost < best_cost:
                best_cost, best_row, best_done = total_cost, row, least[row] + most_end - first_end - end
    return best_cost, best_row, best_done


def _where(rows: Rows, chosen: Ints, done: int, cost: float) -> Ints:
    """Which of the chosen rows have that cost for so much work done."""
    place = rows.offset[chosen] + done - rows.least[chosen]
    held = ((done >= rows.least[chosen]) & (place < rows.offset[chosen + 1])).nonzero()[0]
    found: Ints = held[rows.cost[place[held]] == cost]
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


def _rows(count: int, windows: Ints | None, wide: int, max_kept: int) -> Rows:
    """Room for so many rows, as far as their windows say that they matter. Raises TooWideError."""
    if windows is None:
        windows = np.tile(np.array((0, wide), dtype=np.int64), (count, 1))
    least, upto = np.ascontiguousarray(windows.T)
    offset = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(upto - least)))
    if (kept := int(offset[-1])) > max_kept:
        raise TooWideError(kept)
    return Rows(least, offset, np.empty(kept))
