"""Stretches of a plan cleared and filled anew, in fleets of few jobs: a wide gang, and those beside and under it.

Moves of search.py put one job where it would rather be, and only those who hold its room give way. Where gangs share
a region that is hardly wider than they are, they have to trade places with all that runs under them. So here a handful
of jobs that run near one place are taken out together and put back one after another, in one of several orders and by
one of several views. A plan that is hardly worse is kept as well, less and less so, and the best plan seen is what
remains. A filling that cannot end well any more is broken off. Effort is counted in slots looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.slots.grid import Ask, Indexes
from scheduler.planning.whole_fleet.slots.looks import Looks
from scheduler.planning.whole_fleet.slots.plan import NOWHERE, Place, SlotPlan
from scheduler.planning.whole_fleet.slots.search import LOOK_CELLS

# How many jobs one move takes out.
_FEWEST, _MOST = 2, 10
# How often a move begins with a refused job while there is one, and with any job at all; else by what jobs pay beyond
# their cleanest places.
_REFUSED_RATIO, _ANY_RATIO = 0.5, 0.5
# How often jobs near the first one's place are taken out, instead of those near a place where it could be, how often
# each refused job is tried as well, and how often the first one goes back first.
_HERE_RATIO, _TRIED_RATIO, _FIRST_RATIO = 0.4, 0.3, 0.3
# Shares of the prices by which jobs go back, beside carbon alone.
_DAMPED_RATIOS = (0.5, 0.8, 0.95)
# Orders in which they do: by size, by slack, by width, each blurred, or by chance.
_ORDERS = (0.4, 0.2, 0.15, 0.25)
# Jobs filled in by prices are worth another look each at carbon as long as they emit only so much more than before.
_HOPE_RATIO = 0.1
# By how much of a mean job's grams a move may make the plan worse at first; this falls to nothing.
_WARMTH_RATIO = 0.1
# A plan that no move has made better in this share of the effort is left as it is; first finds come as late as half.
_IDLE_RATIO = 0.6
# How many slots chance moves jobs nearer or farther.
_BLURRED_SLOTS = 60


class Clearing:
    """Moves on one plan. Leaves the best plan it has seen."""

    def __init__(self, plan: SlotPlan, guide: Rates, generator: np.random.Generator) -> None:
        self.plan, self._generator = plan, generator
        self._looks = Looks(plan, [plan.view(guide.damped(ratio)) for ratio in _DAMPED_RATIOS])
        self.looked_cells = 0
        asks = plan.asks
        self._first = np.array([ask.first for ask in asks])
        self._stop = np.array([ask.stop for ask in asks])
        self._size = np.array([ask.size_gpu_s for ask in asks])
        self._slack = np.array([max(ask.stop - ask.first - ask.length, 0) + 1.0 for ask in asks])
        self._gpus = np.array([float(ask.gpus) for ask in asks])
        alone = [plan.ideal(ask, plan.carbon) for ask in asks]
        self._least_gco2e = np.array([place.gco2e if place is not None else 0.0 for place in alone])
        self._begin, self._end = np.zeros(len(asks)), np.zeros(len(asks))
        self._region = np.full(len(asks), NOWHERE)
        self._note(asks)

    def run(self, cells: int, enough: tuple[int, float]) -> None:
        """Look at so many slots, or fewer when the plan is good enough, as for search.py, or long found no better."""
        plan = self.plan
        best, places = plan.rank, list(plan.places)
        stop, mean_gco2e = self.looked_cells + cells, abs(best[1]) / len(places)
        found = self.looked_cells
        while self.looked_cells < min(stop, found + _IDLE_RATIO * cells) and best > enough:
            left_ratio = (stop - self.looked_cells) / cells
            self._move(_WARMTH_RATIO * left_ratio**2 * mean_gco2e * self._generator.exponential())
            if plan.rank < best:
                best, places, found = plan.rank, list(plan.places), self.looked_cells
        self._note(plan.restore(places))

    # -- one move ----------------------------------------------------------------------------------------------------

    def _move(self, worse_gco2e: float) -> None:
        plan = self.plan
        refused, most_gco2e = plan.refused, plan.rank[1] + worse_gco2e
        first = self._first_ask()
        asks = self._handful(first)
        self.looked_cells += LOOK_CELLS
        taken = {ask.number: plan.take(ask) for ask in asks if plan.places[ask.number] is not None}
        if self._is_filled(self._in_some_order(first, asks), refused, most_gco2e):
            self._note(asks)
            return
        for ask in asks:
            if plan.places[ask.number] is not None:
                plan.take(ask)
        for number, place in taken.items():
            plan.put(plan.asks[number], place)

    def _first_ask(self) -> Ask:
        draw, plan = self._generator, self.plan
        refused = self._refused()
        if refused and draw.random() < _REFUSED_RATIO:
            return refused[int(draw.integers(len(refused)))]
        paid_gco2e = np.maximum(plan.gco2e - self._least_gco2e, 0.0).cumsum()
        if draw.random() < _ANY_RATIO or paid_gco2e[-1] <= 0:
            return plan.asks[int(draw.integers(len(plan.asks)))]
        index = int(paid_gco2e.searchsorted(draw.random() * paid_gco2e[-1], side="right"))
        return plan.asks[min(index, len(plan.asks) - 1)]

    def _refused(self) -> list[Ask]:
        return (
            [self.plan.asks[number] for number in (self._region == NOWHERE).nonzero()[0].tolist()]
            if self.plan.refused
            else []
        )

    def _handful(self, first: Ask) -> list[Ask]:
        """The first, and those nearest to some place of it that may run when it does."""
        draw, plan = self._generator, self.plan
        count = min(int(draw.integers(_FEWEST, _MOST + 1)), len(plan.asks))
        begin, end, region = self._somewhere(first)
        away = np.maximum(np.maximum(self._begin - end, begin - self._end), 0.0)
        away += np.where(self._region == region, 0.0, first.length * draw.random())
        away += _BLURRED_SLOTS * draw.random(len(away))
        meets = (self._first < max(first.stop, end)) & (self._stop > min(first.first, begin))
        away[~meets | (self._region == NOWHERE)] = np.inf
        away[first.number] = -1.0
        nearest = np.argpartition(away, count - 1)[:count]
        found = [plan.asks[number] for number in nearest.tolist() if np.isfinite(away[number])]
        others = (ask for ask in self._refused() if ask is not first)
        return found + [ask for ask in others if draw.random() < _TRIED_RATIO]

    def _somewhere(self, ask: Ask) -> tuple[float, float, int]:
        """Where it is, or where it could be."""
        draw, number = self._generator, ask.number
        if draw.random() < _HERE_RATIO and self.plan.places[number] is not None:
            return float(self._begin[number]), float(self._end[number]), int(self._region[number])
        begin = ask.first + int(draw.integers(max(ask.stop - ask.first - ask.length, 0) + 1))
        region = int(ask.rows[draw.integers(len(ask.rows))]) if len(ask.rows) else NOWHERE
        return float(begin), float(begin + ask.length), region

    def _is_filled(self, asks: Sequence[Ask], most_refused: int, most_gco2e: float) -> bool:
        """Whether all go back, in this order, with no more refused than before and within so many grams."""
        plan = self.plan
        view = int(self._generator.integers(self._looks.views))
        may_fail = most_refused - (plan.refused - len(asks))
        for ask in asks:
            if place := self._look(ask, view):
                plan.put(ask, place)
            elif (may_fail := may_fail - 1) < 0:
                return False
        if view and plan.refused == most_refused:
            its_gco2e = float(plan.gco2e[[ask.number for ask in asks]].sum())
            if plan.rank[1] >= most_gco2e + _HOPE_RATIO * abs(its_gco2e):
                return False
        if view:
            self._clean(asks)
        return plan.refused < most_refused or plan.rank[1] < most_gco2e

    def _clean(self, asks: Sequence[Ask]) -> None:
        """Each to its cleanest place while the others stay."""
        plan = self.plan
        for ask in asks:
            if plan.places[ask.number] is not None:
                before = plan.take(ask)
                found = self._look(ask, 0)
                plan.put(ask, found if found is not None and found.gco2e < before.gco2e else before)

    def _in_some_order(self, first: Ask, asks: Sequence[Ask]) -> list[Ask]:
        draw = self._generator
        numbers = np.array([ask.number for ask in asks])
        blur = draw.uniform(0.5, 1.5, len(asks))
        keys = (-self._size[numbers], self._slack[numbers], -self._gpus[numbers], np.ones(len(asks)))
        which = int(np.cumsum(_ORDERS).searchsorted(draw.random(), side="right"))
        order: Indexes = np.argsort(keys[min(which, len(keys) - 1)] * blur, kind="stable")
        found = [asks[index] for index in order.tolist()]
        if draw.random() < _FIRST_RATIO:
            found.remove(first)
            found.insert(0, first)
        return found

    def _look(self, ask: Ask, view: int) -> Place | None:
        self.looked_cells += LOOK_CELLS + ask.cells
        return self._looks.cheapest(ask, view)

    def _note(self, asks: Sequence[Ask]) -> None:
        """Where each runs now; one that pauses counts as there from its first slot to its last."""
        for ask in asks:
            place, number = self.plan.places[ask.number], ask.number
            self._begin[number] = place.begin if place is not None else np.inf
            self._end[number] = place.end if place is not None else -np.inf
            self._region[number] = place.region if place is not None else NOWHERE
