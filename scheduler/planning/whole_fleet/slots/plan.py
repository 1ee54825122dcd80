"""A plan in the making on slots: what is free in every region, and the cheapest place for one more job.

One look at a job's whole window in all regions is a dozen operations on arrays. A place keeps what it emits, so that to
undo a move costs nothing but the room. Knows no order and no search; search.py has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.bound import Capacity
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.holds import free_gpus
from scheduler.planning.whole_fleet.levels import Filling, Levels, cheapest_filling, piece_at
from scheduler.planning.whole_fleet.rates import Rates, cumulated
from scheduler.planning.whole_fleet.slots.grid import Ask, Bools, Grid, Indexes, View

_MILLI, _ROUNDING_MW = 1000, 1e-3
_NO_CAP_MW = 2**60
# Rates this close are those of one step of the forecast.
_EQUAL_RATIO = 1e-9
NOWHERE = -1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Place:
    """Slots of one job: from `begin` to `end` in one region, or `cells` (regions, slots) of a job that pauses.

    Of a job with levels `level` and `used_s` say how each of its cells is used.
    """

    region: int
    begin: int
    end: int
    gco2e: float
    cells: tuple[Indexes, Indexes] | None = None
    level: Indexes | None = None
    used_s: Floats | None = None


class SlotPlan:
    """Places by the job's number in the case. `put` and `take` are its only verbs."""

    def __init__(self, case: FleetCase, carbon: Rates) -> None:
        self.grid = grid = Grid.of(carbon)
        self.carbon = self.view(carbon)
        gpus = free_gpus(case.regions, grid.edges_at_s).astype(np.int64)
        self.most_free = np.where(grid.is_known, gpus, 0)
        self.free = self.most_free.copy()
        self._free_mw = _capped_mw(case, grid) if case.power_caps_w else None
        self._facility_ratio = np.array([region.facility_ratio for region in case.regions])
        self.asks = [grid.ask(number, job, self._milliwatts(case, job)) for number, job in enumerate(case.jobs)]
        count = len(self.asks)
        self.places: list[Place | None] = [None] * count
        self.gco2e = np.zeros(count)
        self.refused = count
        # Of windows; a job that pauses is found slot by slot instead.
        self.begin, self.end = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self.region = np.full(count, NOWHERE, dtype=np.int64)
        self._pausing = np.array([ask.number for ask in self.asks if ask.pauses], dtype=np.intp)
        self._column = {number: column for column, number in enumerate(self._pausing.tolist())}
        self._where = np.full((grid.slots, len(self._pausing)), NOWHERE, dtype=np.int16)

    def view(self, rates: Rates) -> View:
        return View.of(rates, self.grid.edges_at_s)

    @property
    def rank(self) -> tuple[int, float]:
        """Fewer refused jobs first, then fewer grams."""
        return self.refused, float(self.gco2e.sum())

    # -- where a job could go ----------------------------------------------------------------------------------------

    def cheapest(self, ask: Ask, view: View) -> Place | None:
        """The cheapest place in what is free."""
        if ask.levels is not None:
            return self._filling(ask, ask.levels, view, self.free)
        if ask.variants:
            return self._cheaper(view, [(one, self.cheapest(one, view)) for one in ask.variants])
        return self._cheapest(ask, view, self.has_room(ask))

    def ideal(self, ask: Ask, view: View) -> Place | None:
        """The cheapest place if nobody else were there."""
        if ask.levels is not None:
            return self._filling(ask, ask.levels, view, self.most_free)
        if ask.variants:
            return self._cheaper(view, [(one, self.ideal(one, view)) for one in ask.variants])
        return self._cheapest(ask, view, self.most_free[self.rows_of(ask), ask.first : ask.stop] >= ask.gpus)

    def cheapest_start_within(self, ask: Ask, view: View, row: int, first: int, count: int) -> Place | None:
        """As `ideal`, in one region and only `count` starts from one slot on."""
        ask = ask.at(row)
        stop = min(first + count - 1 + ask.length, ask.stop)
        is_open = self.most_free[row : row + 1, first:stop] >= ask.gpus
        return self._window(ask, view, is_open, slice(row, row + 1), first, stop)

    def cost_gco2e(self, ask: Ask, place: Place, view: View) -> float:
        """What a place pays in some view."""
        ask = ask.at(place.region)
        if ask.levels is not None and place.level is not None and place.used_s is not None and place.cells is not None:
            gpus, power_w = ask.levels.gpus[place.level], ask.levels.power_w[place.level]
            return float((view.costs(gpus, power_w, *place.cells) * place.used_s).sum() / self.grid.slot_s)
        if place.cells is not None:
            rows, slots = place.cells
            rates = view.costs(ask.gpus, ask.power_w, rows, slots)
            return float(rates.sum() - (1.0 - ask.used_ratio) * rates.max())
        row, first, last = slice(place.region, place.region + 1), place.begin, place.end
        return float(self.window_costs(ask, view, row, first, last)[0, 0])

    def _cheaper(self, view: View, found: Sequence[tuple[Ask, Place | None]]) -> Place | None:
        """The cheapest of a job's places in regions where it runs longer and shorter."""
        places = [(self.cost_gco2e(ask, place, view), place) for ask, place in found if place is not None]
        return min(places, key=lambda pair: pair[0])[1] if places else None

    def _filling(self, ask: Ask, levels: Levels, view: View, free: NDArray[np.int64]) -> Place | None:
        """The cheapest slots at the cheapest levels; the last of them is used in part."""
        assert ask.open_s is not None
        slots = np.arange(ask.first, ask.stop)
        costs = view.costs(levels.gpus[:, None], levels.power_w[:, None], levels.row[:, None], slots)
        costs[free[levels.row, ask.first : ask.stop] < levels.gpus[:, None]] = np.inf
        if self._free_mw is not None and free is self.free:
            needed_mw = self._level_milliwatts(levels)[:, None]
            costs[self._free_mw[levels.row, ask.first : ask.stop] < needed_mw] = np.inf
        found = cheapest_filling(levels, costs / self.grid.slot_s, ask.open_s)
        if found is None:
            return None
        found = _at_one_level_each(found, levels)
        cells = (levels.row[found.level], ask.first + found.stretch)
        place = Place(
            region=int(cells[0][0]),
            begin=int(cells[1][0]),
            end=int(cells[1][-1]) + 1,
            gco2e=0.0,
            cells=cells,
            level=found.level,
            used_s=found.duration_s,
        )
        return self._emitting(ask, place)

    def window_at(self, ask: Ask, region: int, begin: int) -> Place:
        """The run that begins in this slot, whoever is there."""
        return self._emitting(ask, Place(region=region, begin=begin, end=begin + ask.length, gco2e=0.0))

    def pieces_in(self, ask: Ask, rows: Indexes, slots: Indexes) -> Place:
        """The run in these slots, in order of time, whoever is there."""
        place = Place(region=int(rows[0]), begin=int(slots[0]), end=int(slots[-1]) + 1, gco2e=0.0, cells=(rows, slots))
        return self._emitting(ask, place)

    def rows_of(self, ask: Ask) -> Indexes | slice:
        return slice(None) if ask.is_anywhere else ask.rows

    def has_room(self, ask: Ask) -> Bools:
        rows, slots = self.rows_of(ask), slice(ask.first, ask.stop)
        room: Bools = self.free[rows, slots] >= ask.gpus
        if self._free_mw is not None and ask.milliwatts is not None:
            room &= self._free_mw[rows, slots] >= ask.milliwatts[ask.rows, None]
        return room

    def _cheapest(self, ask: Ask, view: View, is_open: Bools) -> Place | None:
        if len(ask.rows) == 0 or ask.stop - ask.first < ask.length:
            return None
        if ask.pauses:
            return self._pieces(ask, view, is_open)
        return self._window(ask, view, is_open, self.rows_of(ask), ask.first, ask.stop)

    def _window(
        self, ask: Ask, view: View, is_open: Bools, rows: Indexes | slice, first: int, stop: int
    ) -> Place | None:
        count = stop - first - ask.length + 1
        if count < 1:
            return None
        costs = self._open_costs(ask, view, is_open, rows, first, stop)
        row, start = divmod(int(costs.argmin()), count)
        cost = float(costs[row, start])
        if math.isinf(cost):
            return None
        region = int(ask.rows[row]) if not isinstance(rows, slice) else row + (rows.start or 0)
        place = Place(region=region, begin=first + start, end=first + start + ask.length, gco2e=cost)
        return place if view is self.carbon else self._emitting(ask, place)

    def start_costs(self, ask: Ask) -> Floats:
        """What a plain job in one piece emits from each of its starts on, (its regions, starts); infinite where there
        is no room."""
        rows = self.rows_of(ask)
        return self._open_costs(ask, self.carbon, self.has_room(ask), rows, ask.first, ask.stop)

    def _open_costs(self, ask: Ask, view: View, is_open: Bools, rows: Indexes | slice, first: int, stop: int) -> Floats:
        costs = self.window_costs(ask, view, rows, first, stop)
        if not is_open.all():
            closed = np.zeros((len(is_open), stop - first + 1), dtype=np.int32)
            np.cumsum(~is_open, axis=1, out=closed[:, 1:])
            costs[closed[:, ask.length :] != closed[:, : costs.shape[1]]] = np.inf
        return costs

    def window_costs(self, ask: Ask, view: View, rows: Indexes | slice, first: int, stop: int) -> Floats:
        """Of every start: everything up to the last slot's used part, less everything before the start."""
        count = stop - first - ask.length + 1
        if ask.border_steps:
            return _phase_costs(ask, view, rows, first, count)
        sums_gco2e = view.sums(ask, rows, first, stop)
        before_last = sums_gco2e[:, ask.length - 1 : ask.length - 1 + count]
        costs = before_last - sums_gco2e[:, :count]
        costs += ask.used_ratio * (sums_gco2e[:, ask.length : ask.length + count] - before_last)
        if ask.offset_s:
            costs -= ask.offset_s / self.grid.slot_s * (sums_gco2e[:, 1 : 1 + count] - sums_gco2e[:, :count])
        return costs

    def _pieces(self, ask: Ask, view: View, is_open: Bools) -> Place | None:
        """The cheapest slots, in the cheapest region at each; the earliest among equals."""
        rates = np.diff(view.sums(ask, self.rows_of(ask), ask.first, ask.stop), axis=1)
        rates[~is_open] = np.inf
        row = rates.argmin(axis=0)
        least = rates[row, np.arange(len(row))]
        dearest = float(np.partition(least, ask.length - 1)[ask.length - 1])
        if math.isinf(dearest):
            return None
        equal = _EQUAL_RATIO * abs(dearest)
        is_taken = least < dearest - equal
        ties = (np.abs(least - dearest) <= equal).nonzero()[0]
        is_taken[ties[: ask.length - int(is_taken.sum())]] = True
        slots = is_taken.nonzero()[0]
        return self.pieces_in(ask, ask.rows[row[slots]], ask.first + slots)

    def _emitting(self, ask: Ask, place: Place) -> Place:
        return replace(place, gco2e=self.cost_gco2e(ask, place, self.carbon))

    def _milliwatts(self, case: FleetCase, job: Job) -> NDArray[np.int64] | None:
        """What the job draws in each region, rounded up so that no sum can exceed a cap."""
        if self._free_mw is None:
            return None
        drawn = [math.ceil(case.most_w(job) * region.facility_ratio * _MILLI - _ROUNDING_MW) for region in case.regions]
        return np.array(drawn, dtype=np.int64)

    def _level_milliwatts(self, levels: Levels) -> NDArray[np.int64]:
        """The same for each level in its region."""
        drawn_mw = levels.power_w * self._facility_ratio[levels.row] * _MILLI
        found: NDArray[np.int64] = np.ceil(drawn_mw - _ROUNDING_MW).astype(np.int64)
        return found

    # -- who is where ------------------------------------------------------------------------------------------------

    def put(self, ask: Ask, place: Place) -> None:
        self._hold(ask, place, 1)
        number = ask.number
        if place.cells is None:
            self.begin[number], self.end[number], self.region[number] = place.begin, place.end, place.region
        else:
            self._where[place.cells[1], self._column[number]] = place.cells[0]
        self.places[number], self.gco2e[number] = place, place.gco2e
        self.refused -= 1

    def take(self, ask: Ask) -> Place:
        number = ask.number
        place = self.places[number]
        assert place is not None, "only a job that is placed can be taken out"
        self._hold(ask, place, -1)
        if place.cells is None:
            self.region[number] = NOWHERE
        else:
            self._where[place.cells[1], self._column[number]] = NOWHERE
        self.places[number], self.gco2e[number] = None, 0.0
        self.refused += 1
        return place

    def _hold(self, ask: Ask, place: Place, times: int) -> None:
        where = (place.region, slice(place.begin, place.end)) if place.cells is None else place.cells
        gpus, milliwatts = self._held(ask, place)
        self.free[where] -= times * gpus
        if self._free_mw is not None and milliwatts is not None:
            self._free_mw[where] -= times * milliwatts

    def short_of_room(self, ask: Ask, place: Place) -> Indexes:
        """Which of the place's slots are too full, counted from its first one."""
        where = (place.region, slice(place.begin, place.end)) if place.cells is None else place.cells
        gpus, milliwatts = self._held(ask, place)
        short = self.free[where] < gpus
        if self._free_mw is not None and milliwatts is not None:
            short |= self._free_mw[where] < milliwatts
        found: Indexes = short.nonzero()[0]
        return found

    def _held(self, ask: Ask, place: Place) -> tuple[NDArray[np.int64] | int, NDArray[np.int64] | None]:
        """GPUs and thousandths of a watt in the place's slots; None where no cap limits them."""
        if ask.levels is not None and place.level is not None:
            milliwatts = None if self._free_mw is None else self._level_milliwatts(ask.levels)[place.level]
            return ask.levels.gpus[place.level], milliwatts
        region = place.region if place.cells is None else place.cells[0]
        return ask.gpus, None if ask.milliwatts is None else ask.milliwatts[region]

    def occupants(self, region: int, slot: int) -> Indexes:
        """The jobs that hold GPUs of a region in a slot."""
        windows = ((self.region == region) & (self.begin <= slot) & (self.end > slot)).nonzero()[0]
        pausing = self._pausing[(self._where[slot] == region).nonzero()[0]]
        return np.concatenate((windows, pausing))

    def restore(self, places: Sequence[Place | None]) -> list[Ask]:
        """Every job where it was; those that are moved."""
        moved = [ask for ask in self.asks if self.places[ask.number] is not places[ask.number]]
        for ask in moved:
            if self.places[ask.number] is not None:
                self.take(ask)
        for ask in moved:
            if (place := places[ask.number]) is not None:
                self.put(ask, place)
        return moved

    def room_left(self, rates: Rates) -> Capacity:
        """What the placed jobs leave, in the mean of each cell."""
        caps_w = Capacity.of(rates).caps_w
        if self._free_mw is not None:
            caps_w = np.where(np.isfinite(caps_w), self._mean(self._free_mw, rates) / _MILLI, np.inf)
        return Capacity(gpus=self._mean(self.free, rates), caps_w=caps_w)

    def _mean(self, free: NDArray[np.int64], rates: Rates) -> Floats:
        sums, edges_at_s = cumulated(free.astype(np.float64) * self.grid.slot_s), self.grid.edges_at_s
        up_to = np.array([np.interp(rates.edges_at_s, edges_at_s, row) for row in sums])
        mean: Floats = np.diff(up_to, axis=1) / rates.lengths_s
        return mean

    def assignment(self) -> Assignment:
        placed = ((ask, self.places[ask.number]) for ask in self.asks)
        return {ask.job.id: self._segments(ask, place) for ask, place in placed if place is not None}

    def _segments(self, ask: Ask, place: Place) -> tuple[Segment, ...]:
        grid, ask = self.grid, ask.at(place.region)
        if ask.levels is not None and place.level is not None:
            return _pieces_of_levels(ask, ask.levels, place, grid)
        if place.cells is None:
            start_at_s = float(grid.edges_at_s[place.begin]) + ask.offset_s
            run = grid.case.run(ask.job, grid.case.regions[place.region], start_at_s)
            return (*run[:-1], replace(run[-1], end_at_s=min(run[-1].end_at_s, ask.job.deadline_at_s)))
        return _pieces_of_slots(ask, place.cells, self.carbon, grid)


def _phase_costs(ask: Ask, view: View, rows: Indexes | slice, first: int, count: int) -> Floats:
    """Of every start of a job in phases: each phase at its own power, the GPUs from the first to the last border."""
    stop = first + count - 1 + ask.length
    paid = view.unit_sums(rows, first, stop)
    upto = [_up_to(paid, border, count) for border in ask.border_steps]
    costs = np.zeros_like(upto[0])
    for power_w, (before, after) in zip(ask.powers_w, pairwise(upto), strict=True):
        costs += power_w * (after - before)
    if view.held_gco2e is not None:
        held = view.held_gco2e[rows, first : stop + 1]
        costs += ask.gpus * (_up_to(held, ask.border_steps[-1], count) - _up_to(held, ask.border_steps[0], count))
    return costs


def _up_to(array: Floats, border_steps: float, count: int) -> Floats:
    """The sums up to an instant of the run, for each start on a slot's edge."""
    whole = min(math.floor(border_steps), array.shape[1] - count - 1)
    part = border_steps - whole
    found: Floats = (1.0 - part) * array[:, whole : whole + count] + part * array[:, whole + 1 : whole + 1 + count]
    return found


def _at_one_level_each(found: Filling, levels: Levels) -> Filling:
    """A slot that two levels share is run at the faster one alone, for as long as its work takes."""
    twice = (np.diff(found.stretch) == 0).nonzero()[0]
    if len(twice) == 0:
        return found
    slower, faster = int(twice[0]), int(twice[0]) + 1
    speed_ratio = levels.speed[found.level[slower]] / levels.speed[found.level[faster]]
    durations_s = found.duration_s.copy()
    durations_s[faster] += speed_ratio * durations_s[slower]
    kept = np.arange(len(durations_s)) != slower
    return Filling(stretch=found.stretch[kept], level=found.level[kept], duration_s=durations_s[kept], cost=found.cost)


def _pieces_of_levels(ask: Ask, levels: Levels, place: Place, grid: Grid) -> tuple[Segment, ...]:
    """Adjacent slots at one level joined. A slot used in part is used at its end where the next one goes on from it."""
    assert place.cells is not None and place.level is not None and place.used_s is not None
    slots, level = place.cells[1], place.level
    starts_s = np.maximum(grid.edges_at_s[slots], ask.job.earliest_start_at_s)
    ends_s = np.minimum(grid.edges_at_s[slots + 1], ask.job.deadline_at_s)
    goes_on = np.append((np.diff(slots) == 1) & (np.diff(level) == 0), False)
    goes_on_before = np.append(False, goes_on[:-1])
    is_late = goes_on & ~goes_on_before
    is_whole = place.used_s >= ends_s - starts_s - ROUNDING_S
    begins_s = np.where(is_late & ~is_whole, ends_s - place.used_s, starts_s)
    stops_s = np.where(is_late | is_whole, ends_s, starts_s + place.used_s)
    pieces: list[Segment] = []
    for begin_s, stop_s, one in zip(begins_s.tolist(), stops_s.tolist(), level.tolist(), strict=True):
        piece = piece_at(levels, one, begin_s, stop_s, grid.case)
        last = pieces[-1] if pieces else None
        if last is not None and (last.end_at_s, last.region, last.gpus) == (begin_s, piece.region, piece.gpus):
            pieces[-1] = replace(last, end_at_s=stop_s)
        elif stop_s - begin_s > ROUNDING_S:
            pieces.append(piece)
    return tuple(pieces)


def _pieces_of_slots(ask: Ask, cells: tuple[Indexes, Indexes], carbon: View, grid: Grid) -> tuple[Segment, ...]:
    """Adjacent slots joined. The dearest slot is run in part: one at the end of a piece where there is one, so that it
    makes no further piece."""
    rows, slots = cells
    rates = carbon.costs(ask.gpus, ask.power_w, rows, slots)
    is_last = np.append((np.diff(slots) != 1) | (np.diff(rows) != 0), True)
    is_dear = rates >= rates.max() - _EQUAL_RATIO * abs(rates.max())
    candidates = (is_dear & is_last).nonzero()[0]
    partly = int(candidates[0]) if len(candidates) else int(is_dear.nonzero()[0][-1])
    is_last[partly] = True
    borders = [0, *(is_last.nonzero()[0] + 1).tolist()]
    segments: list[Segment] = []
    for first, after in pairwise(borders):
        start_at_s, end_at_s = float(grid.edges_at_s[slots[first]]), float(grid.edges_at_s[slots[after - 1] + 1])
        if after - 1 == partly:
            end_at_s -= (1.0 - ask.used_ratio) * grid.slot_s
        segments.append(Segment(start_at_s=start_at_s, end_at_s=end_at_s, region=grid.case.regions[rows[first]].name))
    return tuple(segments)


def _capped_mw(case: FleetCase, grid: Grid) -> NDArray[np.int64]:
    caps = [case.power_caps_w.get(region.name, math.inf) for region in case.regions]
    most = [_NO_CAP_MW if math.isinf(cap_w) else math.floor(cap_w * _MILLI + _ROUNDING_MW) for cap_w in caps]
    return np.repeat(np.array(most, dtype=np.int64)[:, None], grid.slots, axis=1)
