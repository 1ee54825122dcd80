"""Looks at a plan on slots that cost less than its own, for searches that ask about the same few jobs again and again.

What a job would pay is worked out once for each view; what is free is gone through stretch by stretch, not slot by
slot. The places found are as cheap as those of plan.py; among equally cheap slots of a job that pauses it may name
others. Knows no order and no search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.whole_fleet.slots.grid import Ask, Bools, Indexes, View
from scheduler.planning.whole_fleet.slots.plan import Place, SlotPlan

# Costs that are kept: 160 MB. Beyond them they are worked out at every look.
_MOST_KEPT = 20_000_000
# Rates this close are those of one step of the forecast.
_EQUAL_RATIO = 1e-9


class Looks:
    """At one plan, by any of its views; the first of them is of carbon."""

    def __init__(self, plan: SlotPlan, views: Sequence[View]) -> None:
        self._plan, self._views = plan, (plan.carbon, *views)
        self._kept: dict[tuple[int, int], Floats] = {}
        self._kept_count = 0
        self._steps: dict[int, Bools] = {}

    @property
    def views(self) -> int:
        return len(self._views)

    def cheapest(self, ask: Ask, view: int) -> Place | None:
        """The cheapest place in what is free, by the view of this number."""
        if not ask.is_plain:
            return self._plan.cheapest(ask, self._views[view])
        if len(ask.rows) == 0 or ask.stop - ask.first < ask.length:
            return None
        return self._pieces(ask, view) if ask.pauses else self._window(ask, view)

    def _window(self, ask: Ask, view: int) -> Place | None:
        costs = self._costs(ask, view)
        least_gco2e, row, start = math.inf, 0, 0
        for its_row, first, after in self._stretches(ask):
            some = costs[its_row, first : after - ask.length + 1]
            index = int(some.argmin())
            if some[index] < least_gco2e:
                least_gco2e, row, start = float(some[index]), its_row, first + index
        if math.isinf(least_gco2e):
            return None
        gco2e = float(self._costs(ask, 0)[row, start]) if view else least_gco2e
        begin = ask.first + start
        return Place(region=int(ask.rows[row]), begin=begin, end=begin + ask.length, gco2e=gco2e)

    def _stretches(self, ask: Ask) -> list[tuple[int, int, int]]:
        """Where there is room for the whole run: the row, and slots from and up to, counted in its window."""
        room = self._plan.has_room(ask)
        # Closed at both ends, so that all rows can be gone through as one.
        width = room.shape[1] + 2
        closed_in = np.zeros((len(room), width), dtype=np.bool_)
        closed_in[:, 1:-1] = room
        flat = closed_in.ravel()
        borders = (flat[1:] != flat[:-1]).nonzero()[0].tolist()
        pairs = zip(borders[::2], borders[1::2], strict=True)
        return [
            (first // width, first % width, first % width + after - first)
            for first, after in pairs
            if after - first >= ask.length
        ]

    def _pieces(self, ask: Ask, view: int) -> Place | None:
        """The cheapest stretches in which neither rates nor room change, the last of them in part."""
        room, rates = self._plan.has_room(ask), self._costs(ask, view)
        changes = self._rate_steps(ask).copy()
        changes[1:] |= (room[:, 1:] != room[:, :-1]).any(axis=0)
        begins = changes.nonzero()[0]
        lengths = np.diff(begins, append=room.shape[1])
        open_rates = np.where(room[:, begins], rates[:, begins], np.inf)
        row = open_rates.argmin(axis=0)
        least = open_rates[row, np.arange(len(begins))]
        order = least.argsort(kind="stable")
        upto = lengths[order].cumsum()
        last = int(upto.searchsorted(ask.length))
        if last == len(order) or math.isinf(float(least[order[last]])):
            return None
        taken = np.zeros(len(begins), dtype=np.intp)
        taken[order[: last + 1]] = lengths[order[: last + 1]]
        taken[order[last]] -= upto[last] - ask.length
        used = taken.nonzero()[0]
        return self._place(ask, row[used], begins[used], taken[used])

    def _place(self, ask: Ask, rows: Indexes, begins: Indexes, lengths: Indexes) -> Place:
        """Of pieces that begin in these slots of the window, in order of time."""
        slots = ask.first + np.arange(ask.length) + np.repeat(begins - (lengths.cumsum() - lengths), lengths)
        rates = self._costs(ask, 0)[rows, begins]
        regions = ask.rows[rows]
        return Place(
            region=int(regions[0]),
            begin=int(slots[0]),
            end=int(slots[-1]) + 1,
            gco2e=float((rates * lengths).sum() - (1.0 - ask.used_ratio) * rates.max()),
            cells=(np.repeat(regions, lengths), slots),
        )

    def _rate_steps(self, ask: Ask) -> Bools:
        """Slots of the window in which some rate of some view is another than just before; the first is one."""
        if ask.number not in self._steps:
            steps = np.ones(ask.stop - ask.first, dtype=np.bool_)
            steps[1:] = False
            for view in range(len(self._views)):
                rates = self._costs(ask, view)
                steps[1:] |= (np.abs(np.diff(rates, axis=1)) > _EQUAL_RATIO * np.abs(rates).max()).any(axis=0)
            self._steps[ask.number] = steps
        return self._steps[ask.number]

    def _costs(self, ask: Ask, view: int) -> Floats:
        """Of each start of a run in one piece, of each slot of one that pauses; (its regions, starts or slots)."""
        if (kept := self._kept.get((ask.number, view))) is not None:
            return kept
        plan, rows = self._plan, self._plan.rows_of(ask)
        costs: Floats
        if ask.pauses:
            costs = np.diff(self._views[view].sums(ask, rows, ask.first, ask.stop), axis=1)
        else:
            costs = plan.window_costs(ask, self._views[view], rows, ask.first, ask.stop)
        if self._kept_count + costs.size <= _MOST_KEPT:
            self._kept[ask.number, view] = costs
            self._kept_count += costs.size
        return costs
