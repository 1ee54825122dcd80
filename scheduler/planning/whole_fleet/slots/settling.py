"""A handful of jobs at a time placed anew as well as they can be while all others stay, in fleets of few jobs.

Moves of search.py put jobs back one after another, each at its own cheapest place; so they miss plans in which an early
one leaves a clean hour to a later one. Here the places of the handful are chosen together, by branch and bound: each
job's cheapest place in what is free, whoever else of the handful is there, sums up to a bound; where these places get
along they are the best ones, else the largest run among them is tried at each of its starts that could still be better.
A start is tried where one end of the run meets an edge of a forecast, of a job that stays, or of another of the
handful that meets one. Jobs that may pause come last, one after another in every order, by carbon or by prices of
capacity. Handfuls with a refused job count as well: any plan of all of them is better. Effort is counted in slots
looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations, product

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.slots.grid import Ask, Indexes, View
from scheduler.planning.whole_fleet.slots.plan import Place, SlotPlan
from scheduler.planning.whole_fleet.slots.search import LOOK_CELLS, reinsert

# All pairs, then all threes that meet, then larger handfuls by chance.
_LARGEST_HANDFUL = 6
_LEAST_GAIN_RATIO = 1e-9
_DAMPED_RATIOS = (0.5, 0.95)
# So many draws in a row that were settled since the plan last changed: few jobs make few handfuls.
_MOST_REPEATS = 50
# One handful takes no more than this share of the effort.
_ONE_SHARE = 0.05


class Settling:
    """Handfuls of one plan, which only gets better."""

    def __init__(self, plan: SlotPlan, guide: Rates, generator: np.random.Generator) -> None:
        self.plan, self._generator = plan, generator
        self.looked_cells = 0
        # By carbon alone jobs that pause take each other's hours; by a part of the prices they share them.
        self.views = (plan.carbon, *(plan.view(guide.damped(ratio)) for ratio in _DAMPED_RATIOS))
        grid = plan.grid
        edges = np.rint((guide.edges_at_s - grid.start_at_s) / grid.slot_s).astype(np.intp)
        self._edges = np.unique(np.clip(edges, 0, grid.slots))
        self._asks = [ask for ask in plan.asks if ask.is_plain and len(ask.rows)]

    def run(self, cells: int, enough: tuple[int, float]) -> None:
        """Look at so many slots, or fewer when the plan is good enough, as for search.py, or nothing is left to try."""
        tried: set[frozenset[int]] = set()
        rank, repeats = self.plan.rank, 0
        for asks in self._handfuls():
            if self.looked_cells >= cells or self.plan.rank <= enough or repeats > _MOST_REPEATS:
                return
            if self.plan.rank != rank:
                tried, rank = set(), self.plan.rank
            handful = frozenset(ask.number for ask in asks)
            repeats = repeats + 1 if handful in tried else 0
            if handful in tried:
                continue
            tried.add(handful)
            self.looked_cells += LOOK_CELLS
            _Handful(self, asks, min(cells, self.looked_cells + int(_ONE_SHARE * cells))).settle()

    def candidates(self, asks: Sequence[Ask]) -> Indexes:
        """Slots whose edges a run of these might begin or end at."""
        held = np.flatnonzero(np.diff(self.plan.free, axis=1, prepend=self.plan.free[:, :1]).any(axis=0))
        slots = self.plan.grid.slots
        # Slots that a run can reach from an edge lie up to the whole grid beside it.
        found = np.zeros(3 * slots + 2, dtype=np.bool_)
        edges = np.zeros(slots + 1, dtype=np.bool_)
        edges[self._edges] = edges[held] = True
        edges[[end for ask in asks for end in (ask.first, ask.stop)]] = True
        for shift in {0, *(sign * ask.length for ask in asks if not ask.pauses for sign in (-1, 1))}:
            found[slots + shift : 2 * slots + 1 + shift] |= edges
        return found.nonzero()[0] - slots

    def _handfuls(self) -> Iterator[Sequence[Ask]]:
        meeting = [[_meet(one, other) for other in self._asks] for one in self._asks]
        count = len(self._asks)
        for one, other in combinations(range(count), 2):
            if meeting[one][other]:
                yield self._asks[one], self._asks[other]
        for some in combinations(range(count), 3):
            if sum(meeting[one][other] for one, other in combinations(some, 2)) > 1:
                yield [self._asks[number] for number in some]
        largest = min(_LARGEST_HANDFUL, count)
        while largest > 3:
            first = int(self._generator.integers(count))
            others = [number for number in range(count) if number != first and meeting[first][number]]
            picked = self._generator.permutation(others)[: int(self._generator.integers(3, largest))]
            yield [self._asks[first], *(self._asks[number] for number in picked)]


def _meet(one: Ask, other: Ask) -> bool:
    return one.first < other.stop and other.first < one.stop


class _Handful:
    """The best places of some jobs found so far, and what they emit: infinite as long as one is refused."""

    def __init__(self, settling: Settling, asks: Sequence[Ask], stop_cells: int) -> None:
        self._settling, self._plan, self._asks, self._stop_cells = settling, settling.plan, asks, stop_cells
        self._best = [self._plan.places[ask.number] for ask in asks]
        known = [place.gco2e for place in self._best if place is not None]
        self._best_gco2e = sum(known) if len(known) == len(asks) else np.inf
        self._candidates: Indexes = np.zeros(0, dtype=np.intp)

    def settle(self) -> None:
        for ask in self._asks:
            if self._plan.places[ask.number] is not None:
                self._plan.take(ask)
        self._candidates = self._settling.candidates(self._asks)
        self._branch(list(self._asks), 0.0)
        for ask, place in zip(self._asks, self._best, strict=True):
            if place is not None:
                self._plan.put(ask, place)

    def _branch(self, asks: Sequence[Ask], paid_gco2e: float) -> None:
        """Every way to place these beside those of the handful that are placed already."""
        places = [self._cheapest(ask, self._plan.carbon) for ask in asks]
        known = [place for place in places if place is not None]
        if len(known) < len(asks) or not self._is_better(paid_gco2e + sum(place.gco2e for place in known)):
            return
        least_gco2e = paid_gco2e + sum(place.gco2e for place in known)
        if self._get_along(asks, known):
            self._remember(asks, known, least_gco2e)
            return
        if all(ask.pauses for ask in asks):
            for order, view in product(permutations(asks), self._settling.views):
                if self._settling.looked_cells < self._stop_cells:
                    self._one_by_one(order, view, paid_gco2e)
            return
        ask = max((one for one in asks if not one.pauses), key=lambda one: one.size_gpu_s)
        rest = [one for one in asks if one is not ask]
        others_gco2e = least_gco2e - known[asks.index(ask)].gco2e
        for place in self._starts(ask):
            if self._settling.looked_cells >= self._stop_cells or not self._is_better(others_gco2e + place.gco2e):
                return
            self._plan.put(ask, place)
            self._branch(rest, paid_gco2e + place.gco2e)
            self._plan.take(ask)

    def _starts(self, ask: Ask) -> Iterator[Place]:
        """The cheapest first."""
        costs = self._plan.start_costs(ask)
        starts = ask.first + np.arange(costs.shape[1])
        is_met = np.isin(starts, self._candidates) | np.isin(starts + ask.length, self._candidates)
        costs[:, ~is_met] = np.inf
        flat: Floats = costs.ravel()
        for index in flat.argsort(kind="stable").tolist():
            if np.isinf(flat[index]):
                return
            row, start = divmod(index, costs.shape[1])
            yield Place(
                region=int(ask.rows[row]),
                begin=ask.first + start,
                end=ask.first + start + ask.length,
                gco2e=float(flat[index]),
            )

    def _cheapest(self, ask: Ask, view: View) -> Place | None:
        self._settling.looked_cells += LOOK_CELLS + ask.cells
        return self._plan.cheapest(ask, view)

    def _get_along(self, asks: Sequence[Ask], places: Sequence[Place]) -> bool:
        put: list[Ask] = []
        for ask, place in zip(asks, places, strict=True):
            if len(self._plan.short_of_room(ask, place)):
                break
            self._plan.put(ask, place)
            put.append(ask)
        for ask in put:
            self._plan.take(ask)
        return len(put) == len(asks)

    def _one_by_one(self, asks: Sequence[Ask], view: View, paid_gco2e: float) -> None:
        """In this order by the view, then each once more to its cleanest place while the others stay."""
        plan = self._plan
        for ask in asks:
            if place := self._cheapest(ask, view):
                plan.put(ask, place)
        if view is not plan.carbon:
            self._settling.looked_cells += sum(LOOK_CELLS + ask.cells for ask in asks)
            reinsert(plan, asks)
        found = [plan.take(ask) for ask in asks if plan.places[ask.number] is not None]
        total_gco2e = paid_gco2e + sum(place.gco2e for place in found)
        if len(found) == len(asks) and self._is_better(total_gco2e):
            self._remember(asks, found, total_gco2e)

    def _is_better(self, gco2e: float) -> bool:
        return np.isinf(self._best_gco2e) or gco2e < self._best_gco2e - _LEAST_GAIN_RATIO * abs(self._best_gco2e)

    def _remember(self, asks: Sequence[Ask], places: Sequence[Place], gco2e: float) -> None:
        """These, and where the others of the handful are now."""
        of = {ask.number: place for ask, place in zip(asks, places, strict=True)}
        self._best = [of.get(ask.number, self._plan.places[ask.number]) for ask in self._asks]
        self._best_gco2e = gco2e
