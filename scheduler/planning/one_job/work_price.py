"""A price for work: what each moment of it earns, so that a job in pieces falls apart into choices made one by one.

Running is charged its cost and paid the price, pausing is charged the price of its overheads, and the amount of work
is left open. One sweep over the instants then finds the cheapest pieces, and whatever the price, no choice of pieces
that does the asked work costs less than that plus the price of the work: a bound. The best price makes it the highest.

At one price, two sweeps (one of them over the mirrored line) give for every instant the least cost of all choices that
begin, or end, a piece there. Where this exceeds what is known to be reachable, no optimum does, and a search may leave
the instant out without losing exactness. Knows instants and costs; one region, at least two pieces.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.planning.one_job import line_sweep
from scheduler.planning.one_job.piece_loops import Loops
from scheduler.planning.one_job.price_climb import climb

Ints = NDArray[np.int64]
INFINITE = float("inf")

# On a longer line prices are sought on one of some instants first.
_ROUGH_INSTANTS = 3000
# The first step of a price changes the work by so much if pauses are free, or is so much of all rates there are.
_WIDTH_RATIO, _LEAST_WIDTH_RATIO = 0.2, 1 / 128

Span = tuple[int, int]  # first, and the one after the last


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PieceLine:
    """Two or more pieces between instants. `instants` and `sums_cost`, what running up to them costs: shape (n,).

    Instants and lengths count slots. A piece begins and ends within one of `stretches`, (first, last) positions among
    the instants, which grow and lie apart, and is at least as long as its place among the pieces asks. All pieces
    together hold `held_steps` slots and `overhead_steps` for each pause; both need not be whole. Each pause costs
    `pause_cost` besides. Pieces that touch are one piece and no choice, unless they `may_touch`.
    `is_all` when no border may lie between two instants.
    """

    instants: Ints
    sums_cost: Floats
    stretches: tuple[Span, ...]
    first: int
    middle: int
    last: int
    held_steps: float
    overhead_steps: float
    pause_cost: float
    cell: int = 1
    may_touch: bool = False
    is_all: bool = False
    loops: Loops | None = None
    # How many of the instants are early enough for a piece to begin at, so that it may end at each of them.
    first_ripe: Ints = field(init=False)
    middle_ripe: Ints = field(init=False)
    last_ripe: Ints = field(init=False)  # at which of them a last piece may end that begins at each

    def __post_init__(self) -> None:
        for name, length in (("first_ripe", self.first), ("middle_ripe", self.middle)):
            object.__setattr__(self, name, self.instants.searchsorted(self.instants - length, side="right"))
        # A middle piece of no length only costs its fee.
        object.__setattr__(self, "middle_ripe", np.minimum(self.middle_ripe, np.arange(len(self.instants))))
        object.__setattr__(self, "last_ripe", self.instants.searchsorted(self.instants + self.last))

    @property
    def borders(self) -> Ints:
        """The stretches, shape (stretches, 2)."""
        return np.array(self.stretches, dtype=np.int64).reshape(-1, 2)

    def mirrored(self) -> PieceLine:
        """The same line with time reversed: the last piece becomes the first."""
        latest = len(self.instants) - 1
        return replace(
            self,
            instants=self.instants[-1] - self.instants[::-1],
            sums_cost=self.sums_cost[-1] - self.sums_cost[::-1],
            stretches=tuple((latest - to, latest - since) for since, to in reversed(self.stretches)),
            first=self.last,
            last=self.first,
        )

    def thinned(self, times: int) -> PieceLine:
        """With one of so many instants: good for a guess, for no answer."""
        kept = ((-(-since // times), to // times) for since, to in self.stretches)
        return replace(
            self,
            instants=self.instants[::times],
            sums_cost=self.sums_cost[::times],
            stretches=tuple((since, to) for since, to in kept if to > since),
        )

    def swept(self, price_cost: float) -> Sweep:
        return sweep(self, price_cost)

    def least_price_cost(self) -> float:
        """On a loose line pieces may be of no length; below this price they would pay."""
        if self.cell == 1 or self.overhead_steps == 0:
            return -INFINITE
        return -self.pause_cost / self.overhead_steps

    def lacking_steps(self, pieces: list[Span]) -> float:
        """How much more these would have to hold to do the work; below zero when they do too much."""
        return self.held_steps + (len(pieces) - 1) * self.overhead_steps - sum(end - start for start, end in pieces)

    def least_ahead(self, array: Floats, ripe: Ints) -> Floats:
        """For each instant the least value in its stretch from another one on; infinite where there is none."""
        least = np.full(len(array), INFINITE)
        for since, to in self.stretches:
            upto = int(ripe[since : to + 1].searchsorted(to, side="right")) + since
            ahead = np.minimum.accumulate(array[to : since - 1 if since else None : -1])
            least[since:upto] = ahead[to - ripe[since:upto]]
        return least


@dataclass(frozen=True, eq=False, kw_only=True)
class Sweep:
    """The cheapest choices at one price, up to each instant. Arrays have shape (n,).

    `paused_cost` is the least of one or more pieces that end by then; `running_cost` the least with a piece under way
    that may end now, less `earned_cost` up to now. `earned_cost` is the running sum of cost less price.
    """

    line: PieceLine
    price_cost: float
    earned_cost: Floats
    paused_cost: Floats
    running_cost: Floats

    @cached_property
    def finished_cost(self) -> Floats:
        """The least of a whole choice by where its last piece begins."""
        begun = self.paused_before_cost() + self.fee_cost - self.earned_cost
        return begun + self.line.least_ahead(self.earned_cost, self.line.last_ripe)

    @property
    def fee_cost(self) -> float:
        """What a pause is charged at this price."""
        return self.line.pause_cost + self.price_cost * self.line.overhead_steps

    @property
    def offset_cost(self) -> float:
        """What turns a cost at this price into a cost, for a choice that does all the work."""
        return self.price_cost * self.line.held_steps

    def paused_before_cost(self) -> Floats:
        """The least of one or more pieces after which another one may begin at each instant."""
        if self.line.may_touch:
            return self.paused_cost
        return np.concatenate(([INFINITE], self.paused_cost[:-1]))

    def least_cost(self) -> float:
        """The bound: no choice that does all the work costs less. Infinite when there is no choice."""
        return float(self.finished_cost.min()) + self.offset_cost

    def pieces(self) -> list[Span]:
        """(from, to) of a choice that attains the bound, whatever work it does."""
        if self.line.loops is not None:
            return self._pieces_compiled(self.line.loops)
        line, earned = self.line, self.earned_cost
        begun_cost = self.paused_before_cost() - earned + self.fee_cost
        # All of these only ever rise within a stretch, so the instant at which they reached a value is quickly found.
        paused, running = -self.paused_cost, -self.running_cost
        start = int(self.finished_cost.argmin())
        _, to = self._stretch_of(start)
        ripe = int(line.last_ripe[start])
        found = [(start, ripe + int(earned[ripe : to + 1].argmin()))]
        while True:
            latest = found[-1][0] - (0 if line.may_touch else 1)
            end = int(paused.searchsorted(paused[latest]))
            since, _ = self._stretch_of(end)
            ripe = since + int(running[since : end + 1].searchsorted(running[end]))
            cost = running[ripe]
            first = since + int(earned[since : max(since + 1, int(line.first_ripe[ripe]))].argmax())
            if earned[first] == cost and first < line.first_ripe[ripe]:
                found.append((first, end))
                return [_instants_of(line, piece) for piece in found[::-1]]
            found.append((since + int(begun_cost[since : int(line.middle_ripe[ripe])].argmin()), end))

    def _pieces_compiled(self, loops: Loops) -> list[Span]:
        line = self.line
        found = np.empty((len(line.instants), 2), dtype=np.int64)
        count = loops.walk_back(
            self.earned_cost,
            self.paused_cost,
            self.running_cost,
            self.finished_cost,
            line.borders,
            line.first_ripe,
            line.middle_ripe,
            line.last_ripe,
            self.fee_cost,
            int(line.may_touch),
            found,
        )
        return [(since, to) for since, to in line.instants[found[:count][::-1]].tolist()]

    def _stretch_of(self, position: int) -> Span:
        return next(one for one in self.line.stretches if one[0] <= position <= one[1])


def _instants_of(line: PieceLine, piece: Span) -> Span:
    return int(line.instants[piece[0]]), int(line.instants[piece[1]])


def sweep(line: PieceLine, price_cost: float) -> Sweep:
    count = len(line.instants)
    earned = line.sums_cost - price_cost * line.instants
    fee_cost = line.pause_cost + price_cost * line.overhead_steps
    paused, running = np.empty(count + 1), np.empty(count)
    loop = line_sweep.sweep if line.loops is None else line.loops.sweep
    loop(earned, line.borders, line.first_ripe, line.middle_ripe, fee_cost, int(line.may_touch), paused, running)
    return Sweep(line=line, price_cost=price_cost, earned_cost=earned, paused_cost=paused[1:], running_cost=running)


def best_price(line: PieceLine, most_cost: float) -> Sweep | None:
    """A sweep at a price whose bound is about the highest; None when the bound shows that nothing costs less."""
    if not line.stretches:
        return None
    price_cost, width_cost = _guess(line)
    times = -(-len(line.instants) // _ROUGH_INSTANTS)
    if times > 1:
        thin = line.thinned(times)
        rough = climb(thin, price_cost, width_cost, most_cost) if thin.stretches else None
        if rough is not None:
            price_cost, width_cost = rough.price_cost, width_cost / 16
    return climb(line, price_cost, width_cost, most_cost)


def _guess(line: PieceLine) -> tuple[float, float]:
    """Price and step of a first try: at this price free pauses would do the asked work, and that much more with it."""
    steps = np.concatenate([np.arange(since, to) for since, to in line.stretches])
    length = (line.instants[steps + 1] - line.instants[steps]).astype(np.float64)
    rates_cost = (line.sums_cost[steps + 1] - line.sums_cost[steps]) / length
    order = rates_cost.argsort()
    done = np.cumsum(length[order])
    asked = line.held_steps * np.array((1.0, 1.0 - _WIDTH_RATIO, 1.0 + _WIDTH_RATIO))
    price_cost, less_cost, more_cost = rates_cost[order[np.minimum(done.searchsorted(asked), len(order) - 1)]].tolist()
    least_cost = float(rates_cost[order[-1]] - rates_cost[order[0]]) * _LEAST_WIDTH_RATIO
    return price_cost, max(more_cost - price_cost, price_cost - less_cost, least_cost) or 1.0
