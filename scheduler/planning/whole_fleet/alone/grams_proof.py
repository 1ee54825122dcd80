"""A better bound for a small fleet, by going through where its jobs may start.

Prices let half of a job run here and half there, which whole jobs cannot. So the starts that are left to one job are
cut in two, again and again, always where the bound is lowest, and in each half the prices climb on from what they were;
the lowest bound of all halves is one for every plan. A start that pays so much that no plan with it would be below
`enough_gco2e` is ruled out. Cut next is the job that pays most for room and chose most differently from round to round.
Effort is counted in starts looked at; wherever it ends, what is proved by then holds.

First room is weighed (weighed_room.py), which is quick. Where that does not prove enough it is sold to sets of jobs
(sold_sets.py), from the same prices on.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.whole_fleet.alone.ascent import LAST_STEP_RATIO, Slopes
from scheduler.planning.whole_fleet.alone.sold_sets import SoldSets
from scheduler.planning.whole_fleet.alone.weighed_room import Answer, Bools, Indexes, WeighedRoom
from scheduler.planning.whole_fleet.rates import Rates

# What a round takes beside looking at starts, in starts.
_LOOKS_PER_ROUND = 8000
# With fewer rounds prices of sets prove no more than those of ways.
_LEAST_ROUNDS = 100
# Beyond this share of the result rounding is given away.
_ROUNDING_RATIO = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Climbs:
    """How prices climb: at first, and in each half, where those of the whole are nearly the best."""

    first_rounds: int
    first_step_ratio: float
    rounds: int
    step_ratio: float
    most_halves: int | None = None


_OF_WAYS = Climbs(first_rounds=150, first_step_ratio=1.5, rounds=25, step_ratio=0.2)
# These begin at good prices, and longer steps lose them. Their halves prove little beside the first climb.
_OF_SETS = Climbs(first_rounds=1000, first_step_ratio=0.02, rounds=40, step_ratio=0.002, most_halves=24)


class Room(Protocol):
    """What answers to prices: WeighedRoom or SoldSets."""

    jobs: Sequence[Job]
    lengths_s: Floats
    lasts_s: Floats
    job: Indexes
    row: Indexes
    start_at_s: Floats
    own_gco2e: Floats

    @property
    def looked_beside(self) -> int:
        """What an answer looks at beside starts."""
        ...

    def answer(self, kept: Indexes, prices_per_s: Floats) -> Answer: ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Node:
    """Starts that are left, the best prices found there, and which job is cut next at which of the starts left."""

    kept: Indexes
    prices_per_s: Floats
    job: int
    middle: int


def least_gco2e_by_windows(
    jobs: Sequence[Job], rates: Rates, enough_gco2e: float, most_looked: int, most_looked_for_sets: int
) -> float | None:
    """What every plan of these jobs emits at least, or `enough_gco2e`; None for fleets of other kinds of jobs."""
    case = rates.case
    if not case.is_plain or case.pools or any(region.held for region in case.regions) or not jobs:
        return None
    room = WeighedRoom(jobs, rates)
    price_gco2e_per_s = room.mean_price_gco2e_per_s
    by_ways = GramsProof(room, price_gco2e_per_s, most_looked, _OF_WAYS)
    least_gco2e = by_ways.least_gco2e(enough_gco2e, np.zeros((room.ways, len(room.lengths_s))))
    sets = SoldSets(room, rates)
    by_sets = GramsProof(sets, price_gco2e_per_s, most_looked_for_sets, _OF_SETS)
    if least_gco2e >= enough_gco2e * (1 - 2 * _ROUNDING_RATIO) or by_sets.most_rounds < _LEAST_ROUNDS:
        return least_gco2e
    return max(least_gco2e, by_sets.least_gco2e(enough_gco2e, sets.prices_from(by_ways.first_prices_per_s)))


class GramsProof:
    """Of one fleet. `looked` counts starts looked at, and ends at `most_looked`."""

    def __init__(self, room: Room, first_price_gco2e_per_s: float, most_looked: int, climbs: Climbs) -> None:
        self.room, self._price_per_s, self._most_looked = room, first_price_gco2e_per_s, most_looked
        self._climbs = climbs
        self.looked, self._halves_made = 0, 0
        self.first_prices_per_s: Floats = np.zeros(0)
        self._span_s = float(room.lengths_s.sum()) + float(room.lasts_s.max())
        self._at_s = room.start_at_s + 2.0 * self._span_s * room.row

    @property
    def most_rounds(self) -> int:
        """That can be paid for."""
        return self._most_looked // self._looked_in(len(self.room.job))

    @property
    def _is_spent(self) -> bool:
        most_halves = self._climbs.most_halves
        return self.looked >= self._most_looked or (most_halves is not None and self._halves_made >= most_halves)

    def least_gco2e(self, enough_gco2e: float, prices_per_s: Floats) -> float:
        """What every plan emits at least, or `enough_gco2e` where that is less."""
        room, climbs, tie = self.room, self._climbs, count()
        everything = np.arange(len(room.job))
        proved = enough_gco2e
        open_nodes: list[tuple[float, int, _Node]] = []
        first_rounds = min(climbs.first_rounds, self.most_rounds)
        halves = [(everything, prices_per_s, first_rounds, climbs.first_step_ratio)]
        lowest_gco2e = -np.inf
        while True:
            for kept, its_prices_per_s, rounds, step_ratio in halves:
                bound_gco2e, node = self._node(kept, its_prices_per_s, rounds, step_ratio, proved)
                bound_gco2e = max(bound_gco2e, lowest_gco2e)
                if node is None:
                    proved = min(proved, bound_gco2e)
                elif bound_gco2e < proved:
                    heapq.heappush(open_nodes, (bound_gco2e, next(tie), node))
            if not open_nodes or open_nodes[0][0] >= proved or self._is_spent:
                break
            self._halves_made += 2
            lowest_gco2e, _, lowest = heapq.heappop(open_nodes)
            halves = [(half, lowest.prices_per_s, climbs.rounds, climbs.step_ratio) for half in self._halves(lowest)]
        least_gco2e = min([proved, *(bound_gco2e for bound_gco2e, _, _ in open_nodes[:1])])
        return least_gco2e - _ROUNDING_RATIO * abs(least_gco2e)

    def _node(
        self, kept: Indexes, prices_per_s: Floats, rounds: int, step_ratio: float, enough_gco2e: float
    ) -> tuple[float, _Node | None]:
        """The bound of these starts, and how to go on; nothing where no job can be cut."""
        room = self.room
        prices_per_s, answer, chosen = self._climbed(kept, prices_per_s, rounds, step_ratio, enough_gco2e)
        if not len(self.first_prices_per_s):
            self.first_prices_per_s = prices_per_s
        if answer.least_gco2e >= enough_gco2e:
            return enough_gco2e, None
        may_add = enough_gco2e - answer.least_gco2e
        is_good = answer.start_paid_gco2e - answer.paid_gco2e[room.job[kept]] <= may_add
        left = kept[_with_neighbours(room.job[kept], is_good)]
        cut = self._cut(left, chosen, answer)
        if cut is None:
            return answer.least_gco2e, None
        return answer.least_gco2e, _Node(kept=left, prices_per_s=prices_per_s, job=cut[0], middle=cut[1])

    def _climbed(
        self, kept: Indexes, prices_per_s: Floats, rounds: int, step_ratio: float, enough_gco2e: float
    ) -> tuple[Floats, Answer, Indexes]:
        """The best prices, what they answer, and how often each start was chosen, late rounds counting more."""
        room, steps = self.room, Slopes((1,))
        answer = best = self._answer(kept, prices_per_s)
        best_prices, chosen = prices_per_s, np.zeros(len(room.job), dtype=np.intp)
        for number in range(1, rounds + 1):
            if best.least_gco2e >= enough_gco2e:
                break
            step = step_ratio * self._price_per_s * LAST_STEP_RATIO ** (number / rounds)
            prices_per_s = np.maximum(prices_per_s + step * steps.aimed(answer.over_ratio), 0.0)
            answer = self._answer(kept, prices_per_s)
            chosen[answer.chosen] += number
            if answer.least_gco2e > best.least_gco2e:
                best, best_prices = answer, prices_per_s
        return best_prices, best, chosen

    def _answer(self, kept: Indexes, prices_per_s: Floats) -> Answer:
        self.looked += self._looked_in(len(kept))
        return self.room.answer(kept, prices_per_s)

    def _looked_in(self, starts: int) -> int:
        """In a round."""
        return starts + self.room.looked_beside + _LOOKS_PER_ROUND

    def _cut(self, left: Indexes, chosen: Indexes, answer: Answer) -> tuple[int, int] | None:
        """The job that is cut, and at which of its starts; None where no job has more than two beside each other."""
        room, jobs = self.room, len(self.room.jobs)
        job, at_s, times = room.job[left], self._at_s[left], chosen[left] + 1e-9
        total = np.maximum(np.bincount(job, times, jobs), 1e-12)
        mean_s = np.bincount(job, times * at_s, jobs) / total
        spread_s = np.sqrt(np.bincount(job, times * (at_s - mean_s[job]) ** 2, jobs) / total)
        own_gco2e = np.full(jobs, np.inf)
        np.minimum.at(own_gco2e, job, room.own_gco2e[left])
        room_gco2e = np.where(np.isfinite(own_gco2e), np.maximum(answer.paid_gco2e - own_gco2e, 0.0), 0.0)
        room_gco2e += 1e-3 * np.abs(answer.paid_gco2e)
        may_be_cut = np.bincount(job, minlength=jobs) > 2
        counts = np.where(may_be_cut, room_gco2e * np.minimum(spread_s / room.lasts_s, 1.0), 0.0)
        picked = int(counts.argmax())
        if counts[picked] <= 0:
            return None
        own = left[job == picked]
        middle = int(self._at_s[own].searchsorted(mean_s[picked]))
        return picked, int(own[min(max(middle, 1), len(own) - 2)])

    def _halves(self, node: _Node) -> Iterator[Indexes]:
        """The job's starts up to the middle, and from it on; all others as they are."""
        mine = self.room.job[node.kept] == node.job
        yield node.kept[~mine | (node.kept <= node.middle)]
        yield node.kept[~mine | (node.kept >= node.middle)]


def _with_neighbours(job: Indexes, is_good: Bools) -> Bools:
    """And those beside them: between two starts a job may begin as long as one of them is left."""
    is_same = np.diff(job) == 0
    found = is_good.copy()
    found[1:] |= is_good[:-1] & is_same
    found[:-1] |= is_good[1:] & is_same
    return found
