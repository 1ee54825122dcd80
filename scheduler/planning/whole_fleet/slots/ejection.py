"""Room for jobs that found none: each is put where it hinders least, and those in its way look for another place.

A job that finds no room again and again counts more each time, so in the end it stays and easier ones give way: a
chain of such moves leaves plans that no single exchange leaves. What it costs in carbon is left to the search that
comes after; only the places of those pushed out are chosen by a view. The plan with the fewest refused jobs that was
seen is what remains, of these the one with the fewest grams; moves that stray far from it are taken back. Effort is
counted in slots looked at, never in time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.whole_fleet.rates import cumulated
from scheduler.planning.whole_fleet.slots.grid import Ask, Bools, View
from scheduler.planning.whole_fleet.slots.plan import Place, SlotPlan
from scheduler.planning.whole_fleet.slots.search import LOOK_CELLS

# How far chance bends what a place or a job in the way counts. Places bend alike for so many slots on end.
_BENT_RATIO, _BENT_SLOTS = 0.6, 60
# A plan that refuses so much more than the best is left for it: chains of moves stray, and in a large fleet never come
# back (docs/decisions/0027). Small fleets need to stray to find their way, so each return gives more leash.
_LEASH_RATIO, _LEASH_JOBS, _LONGER_JOBS = 1.25, 5.0, 0.3
# What a step costs beside its looks, in looks.
_LOOKS_PER_STEP = 3


class Ejection:
    """Moves on one plan. Leaves the best plan it has seen."""

    def __init__(self, plan: SlotPlan, view: View, generator: np.random.Generator) -> None:
        self.plan, self._view, self._generator = plan, view, generator
        self.looked_cells = 0
        asks = plan.asks
        self._length = np.array([ask.length for ask in asks])
        self._gpus = np.array([ask.gpus for ask in asks])
        self._pauses = np.array([ask.pauses for ask in asks])
        self._priority = np.array([ask.job.priority for ask in asks])
        slack = np.array([max(ask.stop - ask.first - ask.length, 1) for ask in asks])
        # What is long and wide and has little slack is hard to place anew.
        self._weight = self._gpus * self._length / np.sqrt(slack)
        self._harder = self._weight.copy()
        self._weight_per_slot = np.zeros(plan.free.shape)

    def run(self, cells: int, enough: int = 0) -> None:
        """Look at so many slots, or fewer once no more than `enough` jobs have no place."""
        plan = self.plan
        best, places = plan.rank, list(plan.places)
        leash_jobs = _LEASH_JOBS
        self._weight_per_slot[:] = 0.0
        for ask in plan.asks:
            if (place := plan.places[ask.number]) is not None:
                self._weigh(ask, place, 1)
        while plan.refused > enough and self.looked_cells < cells:
            self._step()
            if plan.refused <= best[0] and plan.rank < best:
                leash_jobs = leash_jobs if plan.refused == best[0] else _LEASH_JOBS
                best, places = plan.rank, list(plan.places)
            elif plan.refused > _LEASH_RATIO * best[0] + leash_jobs:
                self._go_back(places)
                leash_jobs += _LONGER_JOBS
        plan.restore(places)

    def _go_back(self, places: Sequence[Place | None]) -> None:
        """To the best plan so far; what has turned out to be hard stays so."""
        plan = self.plan
        moved = [ask for ask in plan.asks if plan.places[ask.number] is not places[ask.number]]
        self.looked_cells += LOOK_CELLS * (1 + len(moved))
        for ask in moved:
            if plan.places[ask.number] is not None:
                self._take(ask)
        for ask in moved:
            if (place := places[ask.number]) is not None:
                self._put(ask, place)

    def _step(self) -> None:
        plan = self.plan
        refused = [number for number, place in enumerate(plan.places) if place is None]
        ask = plan.asks[refused[int(self._generator.integers(len(refused)))]]
        self.looked_cells += _LOOKS_PER_STEP * LOOK_CELLS
        if self._is_placed(ask):
            return
        self._weight[ask.number] += self._harder[ask.number]
        aim = self._aim(ask)
        if aim is not None and (pushed := self._pushed_out(ask, aim)) is not None:
            self._put(ask, aim)
            for one in sorted(pushed, key=lambda one: -self._weight[one.number]):
                self._is_placed(one)

    def _is_placed(self, ask: Ask) -> bool:
        self.looked_cells += LOOK_CELLS + ask.cells
        place = self.plan.cheapest(ask, self._view)
        if place is not None:
            self._put(ask, place)
        return place is not None

    # -- where it hinders least --------------------------------------------------------------------------------------

    def _aim(self, ask: Ask) -> Place | None:
        if not ask.is_plain or len(ask.rows) == 0 or ask.stop - ask.first < ask.length:
            return None
        hindered, is_closed = self._hindered(ask)
        if ask.pauses:
            return self._aim_in_pieces(ask, np.where(is_closed, np.inf, hindered))
        sums, closed = cumulated(hindered), cumulated(is_closed.astype(np.float64))
        paid = sums[:, ask.length :] - sums[:, : -ask.length]
        blocks = paid.shape[1] // _BENT_SLOTS + 1
        paid *= np.repeat(self._bent((len(paid), blocks)), _BENT_SLOTS, axis=1)[:, : paid.shape[1]]
        paid[closed[:, ask.length :] != closed[:, : -ask.length]] = np.inf
        row, start = divmod(int(paid.argmin()), paid.shape[1])
        if np.isinf(paid[row, start]):
            return None
        return self.plan.window_at(ask, int(ask.rows[row]), ask.first + start)

    def _aim_in_pieces(self, ask: Ask, hindered_ratio: Floats) -> Place | None:
        least = hindered_ratio.min(axis=0)
        if np.isfinite(least).sum() < ask.length:
            return None
        slots = np.sort(np.argsort(least * self._bent(least.shape), kind="stable")[: ask.length])
        return self.plan.pieces_in(ask, ask.rows[hindered_ratio.argmin(axis=0)[slots]], ask.first + slots)

    def _hindered(self, ask: Ask) -> tuple[Floats, Bools]:
        """About what has to give way in each of its regions and slots, and where nothing could make room."""
        plan, slots = self.plan, slice(ask.first, ask.stop)
        most, free = plan.most_free[ask.rows, slots], plan.free[ask.rows, slots]
        share = np.maximum(ask.gpus - free, 0) / np.maximum(most - free, 1)
        return share * self._weight_per_slot[ask.rows, slots], most < ask.gpus

    def _bent(self, shape: tuple[int, ...]) -> Floats:
        return self._generator.uniform(1.0 - _BENT_RATIO, 1.0 + _BENT_RATIO, shape)

    # -- who gives way -----------------------------------------------------------------------------------------------

    def _pushed_out(self, ask: Ask, aim: Place) -> list[Ask] | None:
        """Those that held the room of the aim; None, and all where they were, when some may not be pushed out."""
        plan = self.plan
        taken: list[tuple[Ask, Place]] = []
        while len(short := plan.short_of_room(ask, aim)):
            at = int(short[0])
            region, slot = (aim.region, aim.begin + at) if aim.cells is None else (aim.cells[0][at], aim.cells[1][at])
            here = plan.occupants(int(region), int(slot))
            here = here[self._priority[here] <= ask.job.priority]
            if len(here) == 0:
                for one, place in taken:
                    self._put(one, place)
                return None
            inside = np.minimum(plan.end[here], aim.end) - np.maximum(plan.begin[here], aim.begin)
            inside = np.where(self._pauses[here], self._length[here], np.maximum(inside, 1))
            gives = np.minimum(self._gpus[here], ask.gpus) * inside
            out = plan.asks[int(here[(self._weight[here] / gives * self._bent(here.shape)).argmin()])]
            taken.append((out, self._take(out)))
        return [one for one, _ in taken]

    def _put(self, ask: Ask, place: Place) -> None:
        self.plan.put(ask, place)
        self._weigh(ask, place, 1)

    def _take(self, ask: Ask) -> Place:
        place = self.plan.take(ask)
        self._weigh(ask, place, -1)
        return place

    def _weigh(self, ask: Ask, place: Place, times: int) -> None:
        where = (place.region, slice(place.begin, place.end)) if place.cells is None else place.cells
        self._weight_per_slot[where] += times * self._weight[ask.number] / ask.length
