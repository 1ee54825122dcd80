"""A price for work: what each slot of it earns, so that a job in pieces falls apart into choices made one by one.

Running is charged its cost and paid the price, pausing is charged the price of its overheads, and the amount of work
is left open. One sweep over the slots then finds the cheapest pieces, and whatever the price, no choice of pieces that
does the asked work costs less than that plus the price of the work: a bound. The best price makes it the highest.

At one price, two sweeps (one of them over the mirrored task) give for every slot the least cost of all choices that
begin, or end, a piece there. Where this exceeds what is known to be reachable, no optimum does, and a search may leave
the slot out without losing exactness. Knows slots and costs; one region, at least two pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intensity_feeds.series import Floats

INFINITE = float("inf")

# Prices are sought on about so many merged slots first; a sweep takes a fifth of a microsecond a slot.
_ROUGH_SLOTS = (500, 2100)
_ROUGH_SWEEPS, _FINE_SWEEPS = 30, 3
# A bound this near to the best one, as a share of a slot's price, leaves hardly more slots to search.
_NEAR_RATIO = 0.01


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PieceTask:
    """Two or more pieces on a line of slots. `slot_cost` has shape (slots,), not below zero; the rest counts slots.

    A piece stays within one of `stretches` (from, to), which grow and lie apart. Each pause costs its overheads at the
    slots' own cost, and `pause_cost` besides.
    """

    slot_cost: Floats
    stretches: tuple[tuple[int, int], ...]
    work: int
    shortest: int
    checkpoint: int
    restore: int
    first_restore: int
    pause_cost: float

    @property
    def slots(self) -> int:
        return len(self.slot_cost)

    @property
    def first(self) -> int:
        """Least length of the first piece; `middle` and `last` likewise."""
        return self.first_restore + self.shortest + self.checkpoint

    @property
    def middle(self) -> int:
        return self.restore + self.shortest + self.checkpoint

    @property
    def last(self) -> int:
        return self.restore + self.shortest

    @property
    def overhead(self) -> int:
        return self.checkpoint + self.restore

    def mirrored(self) -> PieceTask:
        """The same task with time reversed: the last piece becomes the first."""
        return PieceTask(
            slot_cost=self.slot_cost[::-1],
            stretches=tuple((self.slots - to, self.slots - since) for since, to in reversed(self.stretches)),
            work=self.work,
            shortest=self.shortest,
            checkpoint=self.restore,
            restore=self.checkpoint,
            first_restore=0,
            pause_cost=self.pause_cost,
        )

    def rougher(self, times: int) -> PieceTask:
        """About the same task with so many slots merged into one: good for a guess, for no answer."""
        whole = self.slots // times * times
        return PieceTask(
            slot_cost=self.slot_cost[:whole].reshape(-1, times).sum(axis=1),
            stretches=tuple(
                (-(-since // times), to // times) for since, to in self.stretches if to // times > -(-since // times)
            ),
            work=max(2, round(self.work / times)),
            shortest=max(1, round(self.shortest / times)),
            checkpoint=round(self.checkpoint / times),
            restore=round(self.restore / times),
            first_restore=round(self.first_restore / times),
            pause_cost=self.pause_cost,
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sweep:
    """The cheapest choices at one price, up to each instant. Arrays have shape (slots + 1,).

    `paused_cost` is the least of one or more pieces that end by then; `running_cost` the least with a piece under way
    that may end now, less `earned_cost` up to now. `earned_cost` is the running sum of cost less price.
    """

    task: PieceTask
    price_cost: float
    earned_cost: Floats
    paused_cost: Floats
    running_cost: Floats

    @property
    def fee_cost(self) -> float:
        """What a pause is charged at this price."""
        return self.task.pause_cost + self.price_cost * self.task.overhead

    @property
    def offset_cost(self) -> float:
        """What turns a cost at this price into a cost, for a choice that does all the work."""
        return self.price_cost * (self.task.work + self.task.first_restore)

    def paused_before_cost(self) -> Floats:
        """`paused_cost` one slot earlier: a piece that begins where another ended would be the same piece."""
        return np.concatenate(([INFINITE], self.paused_cost[:-1]))

    def finished_cost(self) -> Floats:
        """The least cost of a whole choice by where its last piece begins, shape (slots + 1,)."""
        least_end = least_ahead(self.earned_cost, self.task.stretches, self.task.last)
        return self.paused_before_cost() + self.fee_cost - self.earned_cost + least_end

    def least_cost(self) -> float:
        """The bound: no choice that does all the work costs less. Infinite when there is no choice."""
        return float(self.finished_cost().min()) + self.offset_cost

    def pieces(self) -> list[tuple[int, int]]:
        """(from, to) of a choice that attains the bound, whatever work it does."""
        start = int(self.finished_cost().argmin())
        since, to = self._stretch_of(start)
        found = [(start, start + self.task.last + int(self.earned_cost[start + self.task.last : to + 1].argmin()))]
        while True:
            # Both only ever fall within a stretch, so the instant at which they fell to their value is quickly found.
            end = _first_at_most(self.paused_cost, 0, found[0][0] - 1, self.paused_cost[found[0][0] - 1])
            since, _ = self._stretch_of(end)
            ripe = _first_at_most(self.running_cost, since, end, self.running_cost[end])
            start = ripe - self.task.first
            if start >= since and -self.earned_cost[start] == self.running_cost[ripe]:
                return [(start, end), *found]
            found.insert(0, (ripe - self.task.middle, end))

    def _stretch_of(self, instant: int) -> tuple[int, int]:
        return next(one for one in self.task.stretches if one[0] <= instant <= one[1])


def _first_at_most(array: Floats, since: int, to: int, value: float) -> int:
    """The first index of a falling stretch of an array at which it is no more than a value it reaches."""
    return since + int(np.searchsorted(-array[since : to + 1], -value))


def least_ahead(array: Floats, stretches: tuple[tuple[int, int], ...], distance: int) -> Floats:
    """For each instant the least value in its stretch from so many slots later on; infinite where there is none."""
    least = np.full(len(array), INFINITE)
    for since, to in stretches:
        if to - distance >= since:
            ahead = np.minimum.accumulate(array[since + distance : to + 1][::-1])
            least[since : to + 1 - distance] = ahead[::-1]
    return least


def sweep(task: PieceTask, price_cost: float) -> Sweep:
    slots, first, middle = task.slots, task.first, task.middle
    earned = np.zeros(slots + 1)
    np.cumsum(task.slot_cost - price_cost, out=earned[1:])
    fee_cost = task.pause_cost + price_cost * task.overhead
    paused: list[float] = [INFINITE]  # one ahead: paused[t] is the cost before t
    running: list[float] = []
    least = INFINITE
    for since, to in task.stretches:
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
        least = lows[-1]
        best = INFINITE
        at = since  # where a piece begins that may end now
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
        task=task,
        price_cost=price_cost,
        earned_cost=earned,
        paused_cost=np.array(paused[1:]),
        running_cost=np.array(running),
    )


def best_price(task: PieceTask, most_cost: float) -> Sweep | None:
    """A sweep at a price whose bound is about the highest; None when the bound shows that nothing costs less."""
    guess_cost, width_cost = _guess(task)
    for most_slots in _ROUGH_SLOTS:
        times = -(-task.slots // most_slots)
        if times > 1:
            rough = _climb(task.rougher(times), guess_cost * times, width_cost * times, INFINITE, _ROUGH_SWEEPS)
            if rough is not None:
                guess_cost, width_cost = rough.price_cost / times, width_cost / 16
    sweeps = _FINE_SWEEPS if task.slots > _ROUGH_SLOTS[-1] else _ROUGH_SWEEPS
    return _climb(task, guess_cost, width_cost, most_cost, sweeps)


def _guess(task: PieceTask) -> tuple[float, float]:
    """Price and step of a first try: at this price free pauses would do the asked work."""
    open_cost = np.concatenate([task.slot_cost[since:to] for since, to in task.stretches])
    rank = min(task.work, len(open_cost)) - 1
    width_cost = float(open_cost.max() - open_cost.min()) / 16
    return float(np.partition(open_cost, rank)[rank]), width_cost or 1.0


def _climb(task: PieceTask, price_cost: float, width_cost: float, most_cost: float, sweeps: int) -> Sweep | None:
    """Follow the bound upwards: over the price it is the least of straight lines, their slopes the work that lacks."""
    best: Sweep | None = None
    best_cost = -INFINITE
    lines: dict[bool, tuple[float, float, int]] = {}  # by whether work lacks: price, bound, slope
    for _ in range(sweeps):
        tried = sweep(task, price_cost)
        bound_cost = tried.least_cost()
        if bound_cost >= most_cost or bound_cost == INFINITE:
            return None
        lacks = task.work - work_of(task, tried.pieces())
        if bound_cost > best_cost:
            best, best_cost = tried, bound_cost
        if lacks == 0:
            break
        lines[lacks > 0] = (price_cost, bound_cost, lacks)
        if len(lines) == 1:
            price_cost += width_cost if lacks > 0 else -width_cost
            width_cost *= 2
            continue
        (low_cost, low_bound_cost, low), (high_cost, high_bound_cost, high) = lines[True], lines[False]
        price_cost = (high_bound_cost - low_bound_cost + low * low_cost - high * high_cost) / (low - high)
        if low_bound_cost + low * (price_cost - low_cost) <= best_cost + _NEAR_RATIO * abs(price_cost):
            break
    return best


def work_of(task: PieceTask, pieces: list[tuple[int, int]]) -> int:
    """The work that pieces do."""
    held = sum(end - start for start, end in pieces)
    return held - task.first_restore - (len(pieces) - 1) * task.overhead
