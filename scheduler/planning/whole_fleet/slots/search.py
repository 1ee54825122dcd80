"""Better plans on slots: a job is put where the prices would have it, those in its way go elsewhere.

A job that pays much more than it would alone is put at a place it would rather have; the jobs that hold the room there
are taken out and put back one by one. The whole move is undone unless the plan gets better, or, early in the search,
hardly worse: so the search leaves valleys that no single move leaves, and the best plan seen is what remains. Effort is
counted in slots looked at, never in time, so equal generators give equal plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from scheduler.planning.whole_fleet.slots.grid import Ask, View
from scheduler.planning.whole_fleet.slots.plan import Place, SlotPlan

# What a look costs beside the slots it touches, in slots.
LOOK_CELLS = 6_000
# How often a move begins with a refused job while there is one, with any job at all, and aims at the very best place.
_REFUSED_RATIO, _ANY_RATIO, _IDEAL_RATIO = 0.5, 0.2, 0.3
# How often jobs go back by carbon plus prices instead of carbon alone, and by size instead of by slack.
_PRICED_RATIO, _BY_SIZE_RATIO = 0.5, 0.7
# A move that pushes more jobs than this out is given up.
_MOST_PUSHED = 150
# By how much of a mean job's grams a move may make the plan worse at first; this falls to nothing.
_WARMTH_RATIO = 0.2
_LEAST_GAIN_RATIO = 1e-9


def by_latest_start(ask: Ask) -> tuple[float, float]:
    return -ask.job.priority, ask.job.latest_start_at_s


def by_size(ask: Ask) -> tuple[float, float]:
    return -ask.job.priority, -ask.size_gpu_s


def fill(plan: SlotPlan, asks: Iterable[Ask], view: View) -> None:
    """Each job in turn at its cheapest place in what is left; one that finds none stays out."""
    for ask in asks:
        if place := plan.cheapest(ask, view):
            plan.put(ask, place)


def reinsert(plan: SlotPlan, asks: Iterable[Ask]) -> None:
    """Each placed job in turn to its cleanest place while the others stay."""
    for ask in asks:
        if plan.places[ask.number] is not None:
            before = plan.take(ask)
            found = plan.cheapest(ask, plan.carbon)
            is_cleaner = found is not None and found.gco2e < before.gco2e
            plan.put(ask, found if found is not None and is_cleaner else before)


class Search:
    """Moves on one plan. Leaves the best plan it has seen.

    Wishes are under the full prices, which keep them apart; a job pushed out goes by carbon or by `damped` prices.
    """

    def __init__(self, plan: SlotPlan, priced: View, damped: View, generator: np.random.Generator) -> None:
        self.plan, self._priced, self._damped, self._generator = plan, priced, damped, generator
        self.looked_cells = 0
        asks = plan.asks
        self._length = np.array([ask.length for ask in asks])
        self._pauses = np.array([ask.pauses for ask in asks])
        self._wishes = [plan.ideal(ask, priced) for ask in asks]
        self._wish_gco2e = np.array(
            [self._priced_gco2e(ask, wish) for ask, wish in zip(asks, self._wishes, strict=True)]
        )
        self._regret_gco2e = np.zeros(len(asks))
        self._note(asks)

    def run_each(self, efforts: Sequence[int], enough: tuple[int, float]) -> None:
        """Once for each effort, always from the plan as it is now; the best of all is left."""
        plan = self.plan
        first = places = list(plan.places)
        best = plan.rank
        for cells in efforts:
            if best <= enough:
                break
            self._note(plan.restore(first))
            self.run(cells, enough)
            if plan.rank < best:
                best, places = plan.rank, list(plan.places)
        self._note(plan.restore(places))

    def run(self, cells: int, enough: tuple[int, float]) -> None:
        """Look at so many slots, or fewer when no more jobs are refused, and no more grams emitted, than is enough."""
        plan = self.plan
        best, places = plan.rank, list(plan.places)
        stop, mean_gco2e = self.looked_cells + cells, abs(best[1]) / len(places)
        while self.looked_cells < stop and best > enough:
            left_ratio = (stop - self.looked_cells) / cells
            self._move(_WARMTH_RATIO * left_ratio**2 * mean_gco2e * self._generator.exponential())
            if plan.rank < best:
                best, places = plan.rank, list(plan.places)
        self._note(plan.restore(places))

    # -- one move ----------------------------------------------------------------------------------------------------

    def _move(self, worse_gco2e: float) -> None:
        plan = self.plan
        refused, most_gco2e = plan.refused, plan.rank[1] + worse_gco2e
        ask = plan.asks[self._first()]
        aim = self._aim(ask)
        self.looked_cells += LOOK_CELLS
        if aim is None:
            return
        taken: dict[int, Place] = {}
        if plan.places[ask.number] is not None:
            taken[ask.number] = plan.take(ask)
        if self._push_out(ask, aim, taken):
            plan.put(ask, aim)
            pushed = [plan.asks[number] for number in taken if number != ask.number]
            is_better = self._put_back(pushed, refused, most_gco2e)
        else:
            is_better = False
        changed = [plan.asks[number] for number in {ask.number, *taken}]
        if is_better:
            self._note(changed)
        else:
            self._undo(changed, taken)

    def _first(self) -> int:
        """A refused job often while there are any; else by what it pays beyond its wish."""
        draw, plan = self._generator, self.plan
        if plan.refused and draw.random() < _REFUSED_RATIO:
            refused = [number for number, place in enumerate(plan.places) if place is None]
            return refused[int(draw.integers(len(refused)))]
        paid_gco2e = self._regret_gco2e.cumsum()
        if paid_gco2e[-1] <= 0 or draw.random() < _ANY_RATIO:
            return int(draw.integers(len(plan.asks)))
        return min(int(paid_gco2e.searchsorted(draw.random() * paid_gco2e[-1], side="right")), len(plan.asks) - 1)

    def _aim(self, ask: Ask) -> Place | None:
        """Where it would best be under the prices, or the best of some stretch of time in some region."""
        draw = self._generator
        starts = ask.stop - ask.first - ask.length + 1
        if ask.pauses or starts < 1 or len(ask.rows) == 0 or draw.random() < _IDEAL_RATIO:
            return self._wishes[ask.number]
        row = int(ask.rows[draw.integers(len(ask.rows))])
        first = int(draw.integers(starts))
        count = max(1, int(starts * draw.uniform(0.05, 0.5)))
        return self.plan.cheapest_start_within(ask, self._priced, row, ask.first + first, min(count, starts - first))

    def _push_out(self, ask: Ask, aim: Place, taken: dict[int, Place]) -> bool:
        """Take out who is in the way, those first that hold little beside it; False when it would be too many."""
        plan, draw = self.plan, self._generator
        while len(short := plan.short_of_room(ask, aim)):
            at = int(short[draw.integers(len(short))])
            region, slot = (aim.region, aim.begin + at) if aim.cells is None else (aim.cells[0][at], aim.cells[1][at])
            here = plan.occupants(int(region), int(slot))
            if len(here) == 0 or len(taken) > _MOST_PUSHED:
                return False
            inside = np.minimum(plan.end[here], aim.end) - np.maximum(plan.begin[here], aim.begin)
            inside = np.where(self._pauses[here], self._length[here], np.maximum(inside, 1))
            beside = self._length[here] / inside
            out = plan.asks[int(here[(beside * draw.random(len(here))).argmin()])]
            taken[out.number] = plan.take(out)
        return True

    def _put_back(self, pushed: Sequence[Ask], most_refused: int, most_gco2e: float) -> bool:
        """Whether all go back with no more refused than before, and within so many grams unless fewer are."""
        plan, draw = self.plan, self._generator
        view = self._damped if draw.random() < _PRICED_RATIO else plan.carbon
        for ask in self._in_some_order(pushed):
            if place := self._look(ask, view):
                plan.put(ask, place)
        if view is self._damped:
            self.looked_cells += sum(LOOK_CELLS + ask.cells for ask in pushed)
            reinsert(plan, pushed)
        return plan.refused < most_refused or (plan.refused == most_refused and plan.rank[1] < most_gco2e)

    def _in_some_order(self, asks: Sequence[Ask]) -> list[Ask]:
        draw = self._generator
        blur = draw.uniform(0.5, 1.5, len(asks)).tolist()
        if draw.random() < _BY_SIZE_RATIO:
            keys = [-ask.size_gpu_s * one for ask, one in zip(asks, blur, strict=True)]
        else:
            keys = [(ask.stop - ask.length - ask.first) * one for ask, one in zip(asks, blur, strict=True)]
        return [asks[index] for index in np.argsort(keys, kind="stable")]

    def _look(self, ask: Ask, view: View) -> Place | None:
        self.looked_cells += LOOK_CELLS + ask.cells
        return self.plan.cheapest(ask, view)

    def _undo(self, changed: Sequence[Ask], taken: dict[int, Place]) -> None:
        for ask in changed:
            if self.plan.places[ask.number] is not None:
                self.plan.take(ask)
        for number, place in taken.items():
            self.plan.put(self.plan.asks[number], place)

    def _note(self, asks: Iterable[Ask]) -> None:
        """What each pays beyond its wish; one that is refused pays nothing."""
        for ask in asks:
            place = self.plan.places[ask.number]
            paid = self._priced_gco2e(ask, place) - self._wish_gco2e[ask.number] if place is not None else 0.0
            self._regret_gco2e[ask.number] = max(paid, 0.0)

    def _priced_gco2e(self, ask: Ask, place: Place | None) -> float:
        return self.plan.cost_gco2e(ask, place, self._priced) if place is not None else 0.0
