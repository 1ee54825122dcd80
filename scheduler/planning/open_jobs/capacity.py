"""How many GPUs of each region are taken when, how much power where it is capped, and where there is room.

A step function per region, exact to the instant. Knows GPUs, watts and time, no job and no carbon. A plan of a
thousand jobs asks about as often as it takes, each time over all steps ahead: so the steps are arrays, searched as a
whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.planning.curve import ROUNDING_S, Intervals
from scheduler.planning.open_jobs.board_kernels import Taken
from scheduler.planning.plan import Region, Segment

Whole = NDArray[np.int64]

# Power is counted in whole thousandths of a watt, what is drawn rounded up, so that no sum of it can exceed a cap.
_PER_WATT = 1000
_ROUNDING_W = 1e-6

# Steps that fit before the arrays of the regions grow for the first time; then they double.
FIRST_ROOM = 64
_WIDER = 2
_STEPS_OF_A_PIECE = 2


class Occupancy:
    """GPUs taken by what is placed so far, and by what regions hold; `take` and `give_back` are its only verbs.

    Power is IT power, as jobs state it; it is counted only in regions that have a cap, with their PUE.
    """

    def __init__(self, regions: Iterable[Region]) -> None:
        every = list(regions)
        self._regions, self._gpus = regions, {region.name: region.gpus for region in every}
        self._lay_out({region.name: _Steps.of(_held_pieces(region)) for region in every})
        self._held = {region.name: _Steps.of(_held_pieces(region)) for region in every if region.held}
        self._power = {region.name: _Power.of(region) for region in every if region.power_cap_w is not None}

    @classmethod
    def of(
        cls,
        regions: Iterable[Region],
        held: Iterable[tuple[Sequence[Segment], int]],
        drawn: Iterable[tuple[Sequence[Segment], float]] = (),
    ) -> Occupancy:
        """With all of this taken at once, sooner than by `take`: segments with their GPUs, and with their power."""
        every = list(regions)
        occupancy = cls(())
        occupancy._regions, occupancy._gpus = regions, {region.name: region.gpus for region in every}
        occupancy._held = {region.name: _Steps.of(_held_pieces(region)) for region in every if region.held}
        occupancy._power = {region.name: _Power.of(region) for region in every if region.power_cap_w is not None}
        pieces = {region.name: _held_pieces(region) for region in every}
        for segments, gpus in held:
            for one in segments:
                if one.region in pieces and one.end_at_s > one.start_at_s:
                    pieces[one.region].append((one.start_at_s, one.end_at_s, gpus))
        occupancy._lay_out({name: _Steps.of(taken) for name, taken in pieces.items()})
        for segments, power_w in drawn if occupancy._power else ():
            for one in segments:
                occupancy._draw(one, power_w, times=1)
        return occupancy

    def _lay_out(self, steps: dict[str, _Steps]) -> None:
        self._steps, self._table = steps, _Table(list(steps.values()))
        self._rows: Taken | None = None  # of the table, once asked for, until it is laid out anew
        self._row_gpus = np.array(list(self._gpus.values()), dtype=np.int64)

    def table_of(self, regions: Iterable[Region]) -> Taken | None:
        """As rows, to be read until the next change; None where made for others, or where more than GPUs counts."""
        if regions is not self._regions or self._held or self._power:
            return None
        if self._rows is None:
            self._rows = Taken(times_s=self._table.times_s, taken=self._table.taken, gpus=self._row_gpus)
        return self._rows

    @property
    def counts_power(self) -> bool:
        """Whether any region has a cap."""
        return bool(self._power)

    def copy(self) -> Occupancy:
        other = Occupancy(())
        other._regions, other._gpus, other._held = self._regions, self._gpus, self._held
        other._table, other._row_gpus, other._rows = self._table.copy(), self._row_gpus, None
        other._steps = dict(zip(self._steps, other._table.every, strict=True))
        other._power = {name: power.copy() for name, power in self._power.items()}
        return other

    def take(self, segments: Sequence[Segment], gpus: int, power_w: float = 0.0) -> None:
        """Count the segments in; a region that is gone, or a piece without length, takes nothing."""
        for one in segments:
            steps = self._steps.get(one.region)
            if steps is None or not one.end_at_s > one.start_at_s:
                continue
            if steps.count + _STEPS_OF_A_PIECE > len(steps.times_s):
                self._table.widen()
                self._rows = None
            steps.add(one.start_at_s, one.end_at_s, gpus)
            if self._power:
                self._draw(one, power_w, times=1)

    def give_back(self, segments: Sequence[Segment], gpus: int, power_w: float = 0.0) -> None:
        self.take(segments, -gpus)
        for one in segments if self._power else ():
            self._draw(one, power_w, times=-1)

    def _draw(self, one: Segment, power_w: float, times: int) -> None:
        power = self._power.get(one.region)
        if power is not None and power_w > 0 and one.end_at_s > one.start_at_s:
            power.steps.add(one.start_at_s, one.end_at_s, times * power.milliwatts(power_w))

    def taken(self, region: str, instant_s: float) -> int:
        steps = self._steps[region]
        return int(steps.taken[steps.index_at(instant_s)])

    def fits(self, region: str, start_at_s: float, end_at_s: float, gpus: int, kept_free: int = 0) -> bool:
        """Whether so many more GPUs fit all the time, with `kept_free` as in `free`."""
        capacity = self._gpus[region]
        most_taken = max(capacity - gpus - kept_free, 0)
        return gpus <= capacity and self._steps[region].has_room(start_at_s, end_at_s, most_taken)

    def has_power(
        self, region: str, start_at_s: float, end_at_s: float, power_w: float, reserve_ratio: float = 0.0
    ) -> bool:
        """Whether so much more power may be drawn all the time, with the reserve as in `powered`."""
        power = self._power.get(region)
        if power is None:
            return True
        most = power.most_taken(power_w, reserve_ratio)
        return most is not None and power.steps.has_room(start_at_s, end_at_s, most)

    def earliest_start_at_s(
        self, region: str, from_s: float, duration_s: float, gpus: int, power_w: float = 0.0
    ) -> float:
        """The first instant with room for so long; infinite when the region has too little of something at all."""
        if gpus > self._gpus[region]:
            return math.inf
        steps, most_taken = self._steps[region], self._gpus[region] - gpus
        start_at_s = steps.first_stretch_at_s(from_s, duration_s, most_taken)
        power = self._power.get(region)
        if power is None or power_w == 0:
            return start_at_s
        most_mw = power.most_taken(power_w, 0.0)
        while most_mw is not None and not math.isinf(start_at_s):
            powered_at_s = power.steps.first_stretch_at_s(start_at_s, duration_s, most_mw)
            start_at_s = steps.first_stretch_at_s(powered_at_s, duration_s, most_taken)
            if start_at_s == powered_at_s:
                return start_at_s
        return math.inf

    def has_room_from(self, region: str, from_s: float, duration_s: float, gpus: int) -> bool:
        """Whether the first instant with room for so long is this one; sooner told than which else it is."""
        capacity = self._gpus[region]
        return gpus <= capacity and self._steps[region].has_stretch_at(from_s, duration_s, capacity - gpus)

    def free(
        self, region: str, from_s: float, to_s: float, gpus: int, kept_free: int = 0, at_least_s: float = 0.0
    ) -> Intervals:
        """The stretches, none shorter than `at_least_s`, in which so many more GPUs fit.

        With `kept_free` so many GPUs stay free beside them; a job that would be alone may always run, since keeping
        a region free of its only job serves nobody.
        """
        capacity = self._gpus[region]
        if gpus > capacity:
            return ()
        return self._steps[region].stretches(from_s, to_s, max(capacity - gpus - kept_free, 0), at_least_s)

    def powered(
        self,
        region: str,
        from_s: float,
        to_s: float,
        power_w: float,
        reserve_ratio: float = 0.0,
        at_least_s: float = 0.0,
    ) -> Intervals | None:
        """The stretches in which so much more power may be drawn; None where power is not capped.

        That share of the cap stays free beside it, as GPUs do; a job that would draw alone may always run.
        """
        power = self._power.get(region)
        if power is None or power_w == 0:
            return None
        most = power.most_taken(power_w, reserve_ratio)
        return () if most is None else power.steps.stretches(from_s, to_s, most, at_least_s)

    def steps_from(self, region: str, from_s: float) -> tuple[list[float], list[int]]:
        """When each step begins, the first of them at `from_s` and the last without end, and what is taken in it."""
        steps = self._steps[region]
        first = steps.index_at(from_s)
        times_s: list[float] = steps.times_s[first : steps.count].tolist()
        times_s[0] = from_s
        return times_s, steps.taken[first : steps.count].tolist()

    def held_at(self, region: str, instants_s: Floats) -> Whole:
        """What the region itself holds at each instant, shape as `instants_s`."""
        steps = self._held[region]
        return steps.taken[steps.times_s[: steps.count].searchsorted(instants_s, side="right") - 1]

    def free_by_step(
        self, region: str, from_s: float, to_s: float, most_taken: Callable[[Floats], Whole], at_least_s: float = 0.0
    ) -> Intervals:
        """The same where `most_taken` tells, for the begin of each step, how many GPUs may be taken during it."""
        return self._steps[region].stretches(from_s, to_s, most_taken, at_least_s)


def _held_pieces(region: Region) -> list[tuple[float, float, int]]:
    return [(one.start_at_s, one.end_at_s, one.gpus) for one in region.held]


@dataclass(slots=True, kw_only=True)
class _Power:
    """What is drawn in a region with a cap, in thousandths of a watt of the facility."""

    steps: _Steps
    cap_mw: int
    facility_ratio: float

    @classmethod
    def of(cls, region: Region) -> _Power:
        assert region.power_cap_w is not None, "only a region with a cap counts its power"
        cap_mw = math.floor((region.power_cap_w + _ROUNDING_W) * _PER_WATT)
        return cls(steps=_Steps(), cap_mw=cap_mw, facility_ratio=region.facility_ratio)

    def copy(self) -> _Power:
        return replace(self, steps=self.steps.copy())

    def milliwatts(self, power_w: float) -> int:
        return math.ceil((power_w * self.facility_ratio - _ROUNDING_W) * _PER_WATT)

    def most_taken(self, power_w: float, reserve_ratio: float) -> int | None:
        """How much others may draw beside so much more; None where the cap is below that alone."""
        left_mw = self.cap_mw - self.milliwatts(power_w)
        return None if left_mw < 0 else max(left_mw - math.floor(self.cap_mw * reserve_ratio), 0)


class _Table:
    """The steps of all regions as rows of two arrays, for loops that look at every region at once."""

    __slots__ = ("every", "taken", "times_s")

    def __init__(self, every: Sequence[_Steps]) -> None:
        self.every = every
        self._lay_out(max((FIRST_ROOM, *(_WIDER * one.count for one in every))))

    def copy(self) -> _Table:
        other = _Table(())
        other.times_s, other.taken = self.times_s.copy(), self.taken.copy()
        other.every = [_Steps(*row) for row in zip(other.times_s, other.taken, strict=True)]
        for mine, theirs in zip(self.every, other.every, strict=True):
            theirs.count = mine.count
        return other

    def widen(self) -> None:
        self._lay_out(_WIDER * self.times_s.shape[1])

    def _lay_out(self, room: int) -> None:
        self.times_s = np.full((len(self.every), room), np.inf)
        self.taken = np.zeros((len(self.every), room), dtype=np.int64)
        for one, times_s, taken in zip(self.every, self.times_s, self.taken, strict=True):
            times_s[: one.count], taken[: one.count] = one.times_s[: one.count], one.taken[: one.count]
            one.times_s, one.taken = times_s, taken


class _Steps:
    """What is taken of one thing: `taken[i]` from `times_s[i]` to the next; the first `count` of each are in use.

    After the last step `times_s` is infinite. Both arrays may be a row of a `_Table`, which then is to grow in time.
    """

    __slots__ = ("count", "taken", "times_s")

    def __init__(self, times_s: Floats | None = None, taken: Whole | None = None) -> None:
        self.count = 1 if times_s is None else len(times_s)
        self.times_s = np.array([-np.inf]) if times_s is None else times_s
        self.taken = np.zeros(1, dtype=np.int64) if taken is None else taken

    @classmethod
    def of(cls, pieces: Sequence[tuple[float, float, int]]) -> _Steps:
        """From the start, the end and the GPUs of each piece."""
        if not pieces:
            return cls()
        changes: dict[float, int] = {-math.inf: 0}
        for start_at_s, end_at_s, gpus in pieces:
            changes[start_at_s] = changes.get(start_at_s, 0) + gpus
            changes[end_at_s] = changes.get(end_at_s, 0) - gpus
        times_s = sorted(changes)  # a region has a handful: so few are sooner sorted here than by an array's means
        taken = accumulate(changes[time_s] for time_s in times_s)
        return cls(np.array(times_s), np.fromiter(taken, np.int64, len(times_s)))

    def copy(self) -> _Steps:
        other = _Steps(self.times_s.copy(), self.taken.copy())
        other.count = self.count
        return other

    def index_at(self, instant_s: float) -> int:
        """The step in which the instant lies."""
        return int(self.times_s.searchsorted(instant_s, side="right")) - 1

    def add(self, start_at_s: float, end_at_s: float, gpus: int) -> None:
        first = self._step_from(start_at_s)
        last = self._step_from(end_at_s)
        between = self.taken[first:last]
        between += gpus  # written in place only once, as it is not by `self.taken[first:last] += gpus`

    def has_room(self, start_at_s: float, end_at_s: float, most_taken: int) -> bool:
        """Whether no more than `most_taken` GPUs are taken at any instant of the interval, but for rounding."""
        first, last = self.times_s.searchsorted((start_at_s, end_at_s - ROUNDING_S), side="right").tolist()
        if self.taken[first - 1] > most_taken:
            return False
        return not last > first or bool(self.taken[first:last].max() <= most_taken)

    def has_stretch_at(self, from_s: float, duration_s: float, most_taken: int) -> bool:
        """Whether `first_stretch_at_s` is `from_s`."""
        first = self.index_at(from_s)
        if self.taken[first] > most_taken:
            return False
        is_blocked = self.taken[first : self.count] > most_taken
        next_blocked = int(is_blocked.argmax())
        lasts_s = self.times_s[first + next_blocked] - from_s
        return bool(not is_blocked[next_blocked] or lasts_s >= duration_s - ROUNDING_S)

    def first_stretch_at_s(self, from_s: float, duration_s: float, most_taken: int) -> float:
        """The first instant from which no more than `most_taken` GPUs are taken for so long; never is after never."""
        if math.isinf(from_s):
            return from_s
        first = self.index_at(from_s)
        is_blocked = self.taken[first : self.count] > most_taken
        next_blocked = int(is_blocked.argmax())
        if not is_blocked[next_blocked]:
            return from_s
        times_s, enough_s = self.times_s[first : self.count], duration_s - ROUNDING_S
        if next_blocked > 0 and times_s[next_blocked] - from_s >= enough_s:
            return from_s
        blocked = is_blocked.nonzero()[0]
        begins_s = times_s[blocked[:-1] + 1]
        lasts_s = times_s[blocked[1:]] - begins_s
        fitting = ((lasts_s >= enough_s) & (lasts_s > 0)).nonzero()[0]
        if len(fitting):
            return float(begins_s[fitting[0]])
        return float(times_s[blocked[-1] + 1]) if blocked[-1] + 1 < len(times_s) else math.inf

    def stretches(
        self, from_s: float, to_s: float, most_taken: int | Callable[[Floats], Whole], at_least_s: float
    ) -> Intervals:
        """Where no more than `most_taken` GPUs are taken, in growing order; it may depend on the begin of a step."""
        if from_s >= to_s:
            return ()
        first, last = self.index_at(from_s), int(self.times_s.searchsorted(to_s))
        is_free = np.zeros(last - first + 2, dtype=np.int8)
        limit = most_taken(self.times_s[first:last]) if callable(most_taken) else most_taken
        is_free[1:-1] = self.taken[first:last] <= limit
        turns = (is_free[1:] != is_free[:-1]).nonzero()[0]
        if len(turns) == 0:
            return ()
        borders_s = (
            self.times_s[first : last + 1].copy() if last < self.count else np.append(self.times_s[first:last], to_s)
        )
        borders_s[0], borders_s[last - first] = from_s, to_s
        begins_s, ends_s = borders_s[turns[::2]], borders_s[turns[1::2]]
        enough = ends_s - begins_s >= at_least_s - ROUNDING_S
        return tuple(zip(begins_s[enough].tolist(), ends_s[enough].tolist(), strict=True))

    def _step_from(self, instant_s: float) -> int:
        """The index of the step that begins at the instant, made where there is none."""
        count = self.count
        index = int(self.times_s.searchsorted(instant_s))
        if index < count and self.times_s.item(index) == instant_s:
            return index
        if count == len(self.times_s):
            self._grow()
        times_s, taken = self.times_s, self.taken
        if index < count:
            times_s[index + 1 : count + 1] = times_s[index:count]
            taken[index + 1 : count + 1] = taken[index:count]
        times_s[index], taken[index] = instant_s, taken[index - 1]
        self.count = count + 1
        return index

    def _grow(self) -> None:
        room = np.full(len(self.times_s), np.inf)
        self.times_s = np.concatenate((self.times_s, room))
        self.taken = np.concatenate((self.taken, np.zeros_like(self.taken)))
