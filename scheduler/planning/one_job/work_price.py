"""A price for work: what each slot of it earns, so that a job in pieces falls apart into choices made one by one.

Running is charged its cost and paid the price, pausing is charged the price of its overheads, and the amount of work
is left open. One sweep over the slots then finds the cheapest pieces, and whatever the price, no choice of pieces that
does the asked work costs less than that plus the price of the work: a bound. The best price makes it the highest.

At one price, two sweeps (one of them over the mirrored line) give for every slot the least cost of all choices that
begin, or end, a piece there. Where this exceeds what is known to be reachable, no optimum does, and a search may leave
the slot out without losing exactness. Knows slots and costs; one region, at least two pieces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from intensity_feeds.series import Floats

INFINITE = float("inf")

# Prices are sought on so many merged slots first; a sweep takes a fifth of a microsecond a slot.
_ROUGH_SLOTS = 500
_SWEEPS = 30
# A bound this near to the best one, as a share of a slot's price, leaves hardly more slots to search.
_NEAR_RATIO = 0.01

Span = tuple[int, int]  # first slot, slot after the last


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PieceLine:
    """Two or more pieces on a line of slots. `slot_cost` has shape (slots,), not below zero; the rest counts slots.

    A piece stays within one of `stretches`, which grow and lie apart, and is as long as its place among the pieces
    asks. All pieces together hold `held_steps` slots and `overhead_steps` for each pause; both need not be whole. Each
    pause costs `pause_cost` besides. Pieces that touch are one piece and no choice, unless they `may_touch`.
    """

    slot_cost: Floats
    stretches: tuple[Span, ...]
    first: int
    middle: int
    last: int
    held_steps: float
    overhead_steps: float
    pause_cost: float
    may_touch: bool = False

    @property
    def slots(self) -> int:
        return len(self.slot_cost)

    def mirrored(self) -> PieceLine:
        """The same line with time reversed: the last piece becomes the first."""
        return replace(
            self,
            slot_cost=self.slot_cost[::-1],
            stretches=tuple((self.slots - to, self.slots - since) for since, to in reversed(self.stretches)),
            first=self.last,
            last=self.first,
        )

    def rougher(self, times: int) -> PieceLine:
        """About the same line with so many slots merged into one: good for a guess, for no answer."""
        whole = self.slots // times * times
        return replace(
            self,
            slot_cost=self.slot_cost[:whole].reshape(-1, times).sum(axis=1),
            stretches=tuple(
                (-(-since // times), to // times) for since, to in self.stretches if to // times > -(-since // times)
            ),
            first=max(1, round(self.first / times)),
            middle=max(1, round(self.middle / times)),
            last=max(1, round(self.last / times)),
            held_steps=self.held_steps / times,
            overhead_steps=self.overhead_steps / times,
        )

    def lacking_steps(self, pieces: list[Span]) -> float:
        """How much more these would have to hold to do the work; below zero when they do too much."""
        return self.held_steps + (len(pieces) - 1) * self.overhead_steps - sum(end - start for start, end in pieces)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sweep:
    """The cheapest choices at one price, up to each instant. Arrays have shape (slots + 1,).

    `paused_cost` is the least of one or more pieces that end by then; `running_cost` the least with a piece under way
    that may end now, less `earned_cost` up to now. `earned_cost` is the running sum of cost less price.
    """

    line: PieceLine
    price_cost: float
    earned_cost: Floats
    paused_cost: Floats
    running_cost: Floats

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

    def finished_cost(self) -> Floats:
        """The least cost of a whole choice by where its last piece begins, shape (slots + 1,)."""
        least_end = least_ahead(self.earned_cost, self.line.stretches, self.line.last)
        return self.paused_before_cost() + self.fee_cost - self.earned_cost + least_end

    def least_cost(self) -> float:
        """The bound: no choice that does all the work costs less. Infinite when there is no choice."""
        return float(self.finished_cost().min()) + self.offset_cost

    def pieces(self) -> list[Span]:
        """(from, to) of a choice that attains the bound, whatever work it does."""
        start = int(self.finished_cost().argmin())
        since, to = self._stretch_of(start)
        found = [(start, start + self.line.last + int(self.earned_cost[start + self.line.last : to + 1].argmin()))]
        while True:
            # Both only ever fall within a stretch, so the instant at which they fell to their value is quickly found.
            latest = found[0][0] - (0 if self.line.may_touch else 1)
            end = _first_at_most(self.paused_cost, 0, latest, self.paused_cost[latest])
            since, _ = self._stretch_of(end)
            ripe = _first_at_most(self.running_cost, since, end, self.running_cost[end])
            start = ripe - self.line.first
            if start >= since and -self.earned_cost[start] == self.running_cost[ripe]:
                return [(start, end), *found]
            found.insert(0, (ripe - self.line.middle, end))

    def _stretch_of(self, instant: int) -> Span:
        return next(one for one in self.line.stretches if one[0] <= instant <= one[1])


def _first_at_most(array: Floats, since: int, to: int, value: float) -> int:
    """The first index of a falling stretch of an array at which it is no more than a value it reaches."""
    return since + int(np.searchsorted(-array[since : to + 1], -value))


def least_ahead(array: Floats, stretches: tuple[Span, ...], distance: int) -> Floats:
    """For each instant the least value in its stretch from so many slots later on; infinite where there is none."""
    least = np.full(len(array), INFINITE)
    for since, to in stretches:
        if to - distance >= since:
            ahead = np.minimum.accumulate(array[since + distance : to + 1][::-1])
            least[since : to + 1 - distance] = ahead[::-1]
    return least


def sweep(line: PieceLine, price_cost: float) -> Sweep:
    slots, first, middle = line.slots, line.first, line.middle
    earned = np.zeros(slots + 1)
    np.cumsum(line.slot_cost - price_cost, out=earned[1:])
    fee_cost = line.pause_cost + price_cost * line.overhead_steps
    paused: list[float] = [INFINITE]  # one ahead: paused[t] is the cost before t
    running: list[float] = []
    least = INFINITE
    for since, to in line.stretches:
        fill = since - len(running)
        running += [INFINITE] * fill
        paused += [least] * fill
        begun = np.full(to + 1 - since, INFINITE)
        if to - first >= since:
            begun[first:] = np.minimum.accumulate(-earned[since : to + 1 - first])
        gone = earned[since : to + 1].tolist()
        head = min(middle, to + 1 - since)
        running += begun[:head].tolist()
        lows = np.minimum.accumulate(np.minimum(begun[:head] + earned[since : since + head], least)).tolist()
        paused += lows
        least = lows[-1] if lows else least
        best = INFINITE
        at = since + line.may_touch  # one ahead of where a piece begins that may end now
        for began, now, then in zip(begun[head:].tolist(), gone[head:], gone, strict=False):
            cost = paused[at] - then + fee_cost
            at += 1
            if cost < best:
                best = cost
            if began < best:
                running.append(began)
                cost = began + now
            else:
                running.append(best)
                cost = best + now
            if cost < least:
                least = cost
            paused.append(least)
    fill = slots + 1 - len(running)
    running += [INFINITE] * fill
    paused += [least] * fill
    return Sweep(
        line=line,
        price_cost=price_cost,
        earned_cost=earned,
        paused_cost=np.array(paused[1:]),
        running_cost=np.array(running),
    )


def best_price(line: PieceLine, most_cost: float) -> Sweep | None:
    """A sweep at a price whose bound is about the highest; None when the bound shows that nothing costs less."""
    guess_cost, width_cost = _guess(line)
    times = -(-line.slots // _ROUGH_SLOTS)
    if times > 1:
        rough = _climb(line.rougher(times), guess_cost * times, width_cost * times, INFINITE)
        if rough is not None:
            guess_cost, width_cost = rough.price_cost / times, width_cost / 16
    return _climb(line, guess_cost, width_cost, most_cost)


def _guess(line: PieceLine) -> tuple[float, float]:
    """Price and step of a first try: at this price free pauses would do the asked work."""
    open_cost = np.concatenate([line.slot_cost[since:to] for since, to in line.stretches])
    rank = min(max(1, round(line.held_steps)), len(open_cost)) - 1
    width_cost = float(open_cost.max() - open_cost.min()) / 16
    return float(np.partition(open_cost, rank)[rank]), width_cost or 1.0


def _climb(line: PieceLine, price_cost: float, width_cost: float, most_cost: float) -> Sweep | None:
    """Follow the bound upwards: over the price it is the least of straight lines, their slopes the work that lacks."""
    if not line.stretches:
        return None
    best: Sweep | None = None
    best_cost = -INFINITE
    sides: dict[bool, tuple[float, float, float]] = {}  # by whether work lacks: price, bound, slope
    for _ in range(_SWEEPS):
        tried = sweep(line, price_cost)
        bound_cost = tried.least_cost()
        if bound_cost >= most_cost or bound_cost == INFINITE:
            return None
        lacking = line.lacking_steps(tried.pieces())
        if bound_cost > best_cost:
            best, best_cost = tried, bound_cost
        if lacking == 0:
            break
        sides[lacking > 0] = (price_cost, bound_cost, lacking)
        if len(sides) == 1:
            price_cost += width_cost if lacking > 0 else -width_cost
            width_cost *= 2
            continue
        (low_cost, low_bound_cost, low), (high_cost, high_bound_cost, high) = sides[True], sides[False]
        price_cost = (high_bound_cost - low_bound_cost + low * low_cost - high * high_cost) / (low - high)
        if low_bound_cost + low * (price_cost - low_cost) <= best_cost + _NEAR_RATIO * abs(price_cost):
            break
    return best
