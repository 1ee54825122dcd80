"""What a policy sees of one piece of work: the time it has, when there is room, what is known of the grid meanwhile.

Knows seconds and one region's forecast; of jobs, requests and rules nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats, IntensitySeries
from scheduler.planning.curve import ROUNDING_S, Intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """`duration_s` of running between `earliest_s` and `deadline_s`, in the stretches of `room`, of which there is one.

    `room` may end a run's length before the deadline, or a run may not fit into it: whoever asks for starts has
    stretches that each hold the whole run.
    """

    series: IntensitySeries
    earliest_s: float
    deadline_s: float
    duration_s: float
    room: Intervals

    @property
    def first_start_s(self) -> float:
        return self.room[0][0]

    @property
    def last_start_s(self) -> float:
        return self.room[-1][1] - self.duration_s

    def starts_every(self, step_s: float) -> Floats:
        """The first start and those whole steps after it, and the begin of each stretch; of known runs only."""
        until_s = min(self.last_start_s, self.series.end_at_s - self.duration_s)
        if until_s < self.first_start_s or self.first_start_s < self.series.start_at_s:
            return np.empty(0)
        starts = self.first_start_s + step_s * np.arange(int((until_s - self.first_start_s) // step_s) + 1)
        starts = self._with_room(np.union1d(starts, self._begins_s))
        starts = starts[starts <= until_s]
        return starts[~np.isnan(self.sums_g_s_per_kwh(starts))] if self.series.has_gap else starts

    def starts_at_changes(self) -> Floats:
        """The first start, the begin of each stretch, and wherever the known intensity changes."""
        edges = self.series.edges_at_s
        starts = self._with_room(np.union1d(edges, self._begins_s))
        known = starts[(starts >= max(edges[0], self.first_start_s)) & (starts < edges[-1])]
        return np.asarray(known[~np.isnan(self.at(known))])

    def sums_g_s_per_kwh(self, starts_at_s: Floats) -> Floats:
        return self.series.window_integrals_g_s_per_kwh(starts_at_s, self.duration_s)

    def at(self, instants_s: Floats) -> Floats:
        """Intensity at each instant inside the series, shape as `instants_s`."""
        places = np.searchsorted(self.series.edges_at_s, instants_s, side="right") - 1
        return np.asarray(self.series.gco2e_per_kwh[places], dtype=np.float64)

    def ahead(self, span_s: float, step_s: float) -> tuple[Floats, NDArray[np.int64]]:
        """Each intensity that is known of the next so many seconds, and how many equal steps begin in it."""
        until_s = min(self.earliest_s + span_s, self.series.end_at_s)
        if not self.series.start_at_s <= self.earliest_s < until_s:
            return np.empty(0), np.empty(0, dtype=np.int64)
        edges, values = self.series.steps_between(self.earliest_s, until_s)
        begun = np.ceil((edges - self.earliest_s) / step_s).astype(np.int64)
        steps = begun[1:] - begun[:-1]
        counts = ~np.isnan(values) & (steps > 0)
        return values[counts], steps[counts]

    def cells(self) -> tuple[Floats, Floats]:
        """All the time there is, cut wherever intensity or room changes; infinite where either is not there."""
        borders = np.array(self.room).ravel()
        cuts = np.concatenate((self.series.edges_at_s, borders))
        inside = cuts[(cuts > self.earliest_s) & (cuts < self.deadline_s)]
        edges = np.unique(np.concatenate(([self.earliest_s], inside, [self.deadline_s])))
        middles = (edges[:-1] + edges[1:]) / 2
        known = (middles >= self.series.start_at_s) & (middles < self.series.end_at_s)
        values = np.full(len(middles), np.inf)
        values[known] = self.at(middles[known])
        values[np.isnan(values) | ~self.has_room(middles, middles)] = np.inf
        return edges, values

    def has_room(self, begins_s: Floats, ends_s: Floats) -> NDArray[np.bool_]:
        """Whether each interval lies in one stretch."""
        found = np.zeros(len(begins_s), dtype=np.bool_)
        for from_s, to_s in self.room:
            found |= (begins_s >= from_s - ROUNDING_S) & (ends_s <= to_s + ROUNDING_S)
        return found

    @property
    def _begins_s(self) -> Floats:
        return np.array([from_s for from_s, _ in self.room])

    def _with_room(self, starts_at_s: Floats) -> Floats:
        return starts_at_s[self.has_room(starts_at_s, starts_at_s + self.duration_s)]
