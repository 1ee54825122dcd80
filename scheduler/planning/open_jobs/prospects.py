"""Which waiting jobs could gain by another place at all, and in which regions: a bound for all of them at once.

A new forecast asks of each of a thousand jobs whether a place is cleaner than the one it has, and nearly all cleaner
hours are taken. So before anything is searched, each region is looked at once for all jobs that hold as many GPUs: a
window lies in a free stretch that is long enough, and emits no less than all of the job would in the cleanest step of
that stretch; where this leaves room, than the cheapest window there. No is certain; yes is what a search has to find
out. The room that a job holds itself counts as free.

Room that is taken later makes the bound no less true. Room that a job leaves does: then its region is looked at again
around that room. Moves no job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats, IntensitySeries
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.one_job.window import least_integrals_g_s_per_kwh
from scheduler.planning.open_jobs.grid_rows import SURE_RATIO
from scheduler.planning.open_jobs.head_room import waiting_room
from scheduler.planning.open_jobs.needs import Place, held_rate_gco2e_per_kwh
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.plan import Region, Segment

Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]

# A bound this much above what is asked is above it whatever was rounded, and no tie either: as a share of it, and of
# the sums it is taken from.
_SURE_RATIO, _SURE_SUM_RATIO = 1e-9, 1e-12


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Kept:
    """The places so far as columns, shape (jobs,); `least_s` is the shortest stretch of room that is of use.

    `own_*` are the pieces of all of them, shape (pieces,).
    """

    whole_s: Floats
    least_s: Floats
    earliest_s: Floats
    deadline_s: Floats
    gpus: NDArray[np.int64]
    enough_g_s_per_kwh: Floats
    pauses: Bools
    own_job: Rows
    own_region: NDArray[np.str_]
    own_start_at_s: Floats
    own_end_at_s: Floats

    @classmethod
    def of(cls, kept: Sequence[Place], enough_g_s_per_kwh: Sequence[float]) -> Self:
        needs = [one.need for one in kept]
        whole_s = np.array([one.whole_s for one in needs])
        pauses = np.array([one.job.interruption is not None for one in needs], dtype=np.bool_)
        pieces = [(index, piece) for index, one in enumerate(kept) for piece in one.segments]
        return cls(
            whole_s=whole_s,
            least_s=np.where(pauses, 0.0, whole_s),
            earliest_s=np.array([one.earliest_s for one in needs]),
            deadline_s=np.array([one.job.deadline_at_s for one in needs]),
            gpus=np.array([one.job.gpus for one in needs], dtype=np.int64),
            enough_g_s_per_kwh=np.array(enough_g_s_per_kwh),
            pauses=pauses,
            own_job=np.array([index for index, _ in pieces], dtype=np.intp),
            own_region=np.array([piece.region for _, piece in pieces], dtype=np.str_),
            own_start_at_s=np.array([piece.start_at_s for _, piece in pieces]),
            own_end_at_s=np.array([piece.end_at_s for _, piece in pieces]),
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Room:
    """Free stretches of one region, growing and apart, shape (stretches,)."""

    begins_s: Floats
    ends_s: Floats

    def joined(self, start_at_s: Floats, end_at_s: Floats) -> tuple[Floats, Floats]:
        """The stretches that intervals would make when they were free, together with what lies next to them."""
        if len(self.begins_s) == 0:
            return start_at_s, end_at_s
        before = np.minimum(self.ends_s.searchsorted(start_at_s - ROUNDING_S), len(self.ends_s) - 1)
        after = np.maximum(self.begins_s.searchsorted(end_at_s + ROUNDING_S, side="right") - 1, 0)
        return np.minimum(self.begins_s[before], start_at_s), np.maximum(self.ends_s[after], end_at_s)


@dataclass(slots=True, kw_only=True)
class Prospects:
    """For each kept place, all of them taken on the board, the regions in which another could emit as little as asked.

    They are asked for in turn: who moved and who stayed is settled for all before the one asked for.
    """

    board: Board
    kept: Sequence[Place]
    enough_g_s_per_kwh: Sequence[float]
    _columns: _Kept = field(init=False)
    _may_gain: dict[str, Bools] = field(init=False)
    _is_worth_it: dict[str, Bools] = field(init=False)

    def __post_init__(self) -> None:
        self._columns = _Kept.of(self.kept, self.enough_g_s_per_kwh)
        self._may_gain = {region.name: np.zeros(len(self.kept), dtype=np.bool_) for region in self.board.regions}
        self._is_worth_it = self._worth_looking()
        for gpus in np.unique(self._columns.gpus).tolist():
            alike = (self._columns.gpus == gpus).nonzero()[0]
            for region in self.board.regions:
                self._look(region, gpus, alike, None)

    def regions_of(self, index: int) -> frozenset[str]:
        found = [name for name, may_gain in self._may_gain.items() if may_gain[index]]
        # Pieces of one job may lie in several regions, and gain by one of them.
        return frozenset(self._may_gain if found and self._columns.pauses[index] else found)

    def left(self, index: int, segments: Sequence[Segment]) -> None:
        """The job of that index moved from there; what it took instead is taken."""
        later = np.arange(index + 1, len(self.kept))
        if len(later) == 0:
            return
        # Room for the fewest GPUs is more than any of them has.
        gpus = int(self._columns.gpus[later].min())
        for region in self.board.regions:
            left_s = [(one.start_at_s, one.end_at_s) for one in segments if one.region == region.name]
            if left_s:
                self._look(region, gpus, later, np.array(left_s))

    def _worth_looking(self) -> dict[str, Bools]:
        """By region, whose cleanest time there, whoever holds its GPUs, is not too dear; all where it is not told."""
        is_worth_it = np.ones((len(self.kept), len(self.board.regions)), dtype=np.bool_)
        for index, (place, enough) in enumerate(zip(self.kept, self.enough_g_s_per_kwh, strict=True)):
            if (least := self.board.least(place.need)) is not None:
                bounds = least.ever_g_s_per_kwh
                is_worth_it[index] = bounds <= enough + SURE_RATIO * (abs(enough) + np.abs(bounds))
        return {region.name: is_worth_it[:, place] for place, region in enumerate(self.board.regions)}

    def _look(self, region: Region, gpus: int, alike: Rows, left_s: Floats | None) -> None:
        """Note which of them may gain there; of room that somebody left only what touches it is looked at."""
        alike = alike[self._is_worth_it[region.name][alike]]
        if len(alike) and (series := self.board.forecasts.get(region.zone)) is not None:
            ask = _Ask(
                board=self.board,
                region=region,
                series=series,
                kept=self.kept,
                columns=self._columns,
                gpus=gpus,
                alike=alike,
                left_s=left_s,
            )
            self._may_gain[region.name][alike] |= ask.may_gain()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Ask:
    """Jobs that hold at least so many GPUs, `alike` of all that are `kept`, and one region.

    `left_s` are stretches of room that somebody left, shape (stretches, 2): then only what touches them is looked at.
    """

    board: Board
    region: Region
    series: IntensitySeries
    kept: Sequence[Place]
    columns: _Kept
    gpus: int
    alike: Rows
    left_s: Floats | None

    def may_gain(self) -> Bools:
        """One for each of `alike`."""
        owners, from_s, to_s = self._stretches(self.board.reserve_ratio)
        jobs = self.alike[owners]
        from_s = np.maximum(from_s, self.columns.earliest_s[jobs])
        to_s = np.minimum(to_s, self.columns.deadline_s[jobs])
        long = (to_s - from_s >= self.columns.least_s[jobs] - ROUNDING_S).nonzero()[0]
        may_gain = np.zeros(len(self.alike), dtype=np.bool_)
        may_gain[self._cheap_enough(owners[long], from_s[long], to_s[long])] = True
        return may_gain | self._may_start_now()

    def _cheap_enough(self, owners: Rows, from_s: Floats, to_s: Floats) -> Rows:
        """The owners of the stretches that may hold a window as cheap as asked."""
        whole_s, pauses = self.columns.whole_s[self.alike[owners]], self.columns.pauses[self.alike[owners]]
        least = whole_s * _least_gco2e_per_kwh(self.series, from_s, to_s)
        # Where power is paid for, pauses that take time pay too.
        is_open = ~self._is_above(owners, least) | (pauses & (least < 0))
        owners, from_s, to_s = owners[is_open], from_s[is_open], to_s[is_open]
        whole_s, pauses = whole_s[is_open], pauses[is_open]
        last_s = np.maximum(from_s, to_s - whole_s)
        least = least_integrals_g_s_per_kwh(self.series, whole_s, from_s, last_s)
        return owners[pauses | ~self._is_above(owners, least)]

    def _may_start_now(self) -> Bools:
        """Who could start this instant, for which no head-room is asked, as cheaply as asked."""
        earliest_s, whole_s = self.columns.earliest_s[self.alike], self.columns.whole_s[self.alike]
        is_free = np.zeros(len(self.alike), dtype=np.bool_)
        if self.left_s is not None and self.left_s[:, 0].min() > (earliest_s + whole_s).max():
            return is_free
        integrals = least_integrals_g_s_per_kwh(self.series, whole_s, earliest_s, earliest_s)
        is_cheap = ~self._is_above(np.arange(len(self.alike)), integrals)
        if not is_cheap.any():
            return is_free
        owners, from_s, to_s = self._stretches(reserve_ratio=0.0)
        covers = (from_s <= earliest_s[owners] + ROUNDING_S) & (to_s >= (earliest_s + whole_s)[owners] - ROUNDING_S)
        is_free[owners[covers]] = True
        return is_free & is_cheap

    def _is_above(self, owners: Rows, grid_g_s_per_kwh: Floats) -> Bools:
        """Whether the grid's integrals are certainly above what is asked of their owners."""
        jobs = self.alike[owners]
        least = self.region.pue * grid_g_s_per_kwh + self.columns.whole_s[jobs] * self._held_gco2e_per_kwh()[owners]
        enough = self.columns.enough_g_s_per_kwh[jobs]
        sums = self.region.pue * abs(float(self.series.cumulative_g_s_per_kwh[-1]))
        is_above: Bools = least > enough + _SURE_RATIO * np.abs(enough) + _SURE_SUM_RATIO * sums
        return is_above

    def _held_gco2e_per_kwh(self) -> Floats:
        if self.region.gpu_gco2e_per_s == 0:
            return np.zeros(len(self.alike))
        return np.array([held_rate_gco2e_per_kwh(self.kept[index].need.job, self.region) for index in self.alike])

    def _room(self, reserve_ratio: float) -> _Room:
        from_s = max(float(self.columns.earliest_s[self.alike].min()), self.series.start_at_s)
        to_s = min(float(self.columns.deadline_s[self.alike].max()), self.series.end_at_s)
        free = waiting_room(self.board.occupancy, self.region, from_s, to_s, self.gpus, reserve_ratio)
        begins_s, ends_s = np.array(free).reshape(-1, 2).T
        return _Room(begins_s=begins_s, ends_s=ends_s)

    def _stretches(self, reserve_ratio: float) -> tuple[Rows, Floats, Floats]:
        """Every stretch for every job, and what the job's own room would be a part of, as far as windows touch it."""
        room, jobs, columns = self._room(reserve_ratio), len(self.alike), self.columns
        place = np.full(len(self.kept), -1)
        place[self.alike] = np.arange(jobs)
        here = ((columns.own_region == self.region.name) & (place[columns.own_job] >= 0)).nonzero()[0]
        owners = place[columns.own_job[here]]
        start_at_s, end_at_s = columns.own_start_at_s[here], columns.own_end_at_s[here]
        from_s, to_s = room.joined(start_at_s, end_at_s)
        reach_s = columns.whole_s[self.alike[owners]]
        from_s, to_s = np.maximum(from_s, start_at_s - reach_s), np.minimum(to_s, end_at_s + reach_s)
        begins_s, ends_s = room.begins_s, room.ends_s
        if self.left_s is not None:
            is_near = _touch(self.left_s, from_s, to_s)
            owners, from_s, to_s = owners[is_near], from_s[is_near], to_s[is_near]
            is_near = _touch(self.left_s, begins_s, ends_s)
            begins_s, ends_s = begins_s[is_near], ends_s[is_near]
        return (
            np.concatenate((np.repeat(np.arange(jobs), len(begins_s)), owners)),
            np.concatenate((np.tile(begins_s, jobs), from_s)),
            np.concatenate((np.tile(ends_s, jobs), to_s)),
        )


def _touch(left_s: Floats, begins_s: Floats, ends_s: Floats) -> Bools:
    """Which intervals touch one of the stretches, shape (stretches, 2)."""
    touches = (begins_s <= left_s[:, 1:] + ROUNDING_S) & (ends_s >= left_s[:, :1] - ROUNDING_S)
    is_near: Bools = np.logical_or.reduce(touches, axis=0)
    return is_near


def _least_gco2e_per_kwh(series: IntensitySeries, begins_s: Floats, ends_s: Floats) -> Floats:
    """The cleanest step that each interval touches; a gap is none."""
    if len(begins_s) == 0:
        return np.zeros(0)
    steps = len(series.gco2e_per_kwh)
    first = np.clip(series.edges_at_s.searchsorted(begins_s, side="right") - 1, 0, steps - 1)
    upto = np.clip(series.edges_at_s.searchsorted(ends_s), first + 1, steps)
    known = np.append(np.where(np.isnan(series.gco2e_per_kwh), np.inf, series.gco2e_per_kwh), np.inf)
    least: Floats = np.minimum.reduceat(known, np.stack((first, upto), axis=1).ravel())[::2]
    return least
