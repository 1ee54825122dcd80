"""Pieces that do exactly the work, made of choices that do too much or too little of it: seldom the best, soon found.

At about the best price, one choice of pieces does too much and another too little. Begun as one and gone on with as the
other, they do something between, and cost no more at that price than both; what is still wrong is made up for at the
borders, where it is cheapest. What this costs is a limit for the search, which would else have to feel its way up from
the bound. Keeps every rule; proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.one_job.piece_task import PieceTask
from scheduler.planning.one_job.work_price import INFINITE, Ints, Span

# What a slot more costs, or a slot less saves; the piece, and at which end of it.
Move = tuple[float, int, bool]

# Of choices spliced together so many are mended.
_SPLICES = 2
# What a slot of wrong work is taken to cost beside its price, as a share of it, when splices are compared.
_WRONG_RATIO = 0.05


def mended(task: PieceTask, choices: Sequence[list[Span]], price_cost: float) -> tuple[float, list[Span]] | None:
    """The cheapest found and its cost; the choices keep every rule but the amount of work."""
    short, long = _nearest(task, choices)
    found = [_Mending.of(task, pieces).mended() for pieces in _spliced(task, short, long, price_cost)]
    priced = [(cost_of(task, pieces), pieces) for pieces in found if pieces is not None and task.is_kept_by(pieces)]
    return min(priced, key=lambda one: one[0], default=None)


def cost_of(task: PieceTask, pieces: Sequence[Span]) -> float:
    run_cost = sum(float(task.sums_cost[end] - task.sums_cost[start]) for start, end in pieces)
    return run_cost + (len(pieces) - 1) * task.rule.pause_cost


def _nearest(task: PieceTask, choices: Sequence[list[Span]]) -> tuple[list[Span] | None, list[Span] | None]:
    """The choice that lacks the least work, and the one that does the least too much."""
    lacking = [(task.lacking(pieces), pieces) for pieces in choices]
    short = min((one for one in lacking if one[0] >= 0), key=lambda one: one[0], default=(0, None))
    long = max((one for one in lacking if one[0] < 0), key=lambda one: one[0], default=(0, None))
    return short[1], long[1]


def _spliced(
    task: PieceTask, short: list[Span] | None, long: list[Span] | None, price_cost: float
) -> Iterator[list[Span]]:
    """The two, and the best that begin as one of them and go on as the other."""
    yield from (one for one in (short, long) if one is not None)
    if short is None or long is None:
        return
    splices = [_Splices(task=task, before=before, after=after) for before, after in ((short, long), (long, short))]
    costs = [cost for one in splices for cost in one.costs(price_cost)]
    sizes = np.cumsum([cost.size for cost in costs])
    every = np.concatenate([cost.ravel() for cost in costs])
    for place in every.argsort(kind="stable")[:_SPLICES].tolist():
        if every[place] == INFINITE:
            return
        which = int(sizes.searchsorted(place, side="right"))
        inside = place - int(sizes[which]) + costs[which].size
        yield splices[which // 2].pieces(*divmod(inside, costs[which].shape[1]), is_joined=which % 2 == 1)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Splices:
    """Some first pieces of one choice, then some last ones of another, apart or with a piece that both share."""

    task: PieceTask
    before: list[Span]
    after: list[Span]

    def costs(self, price_cost: float) -> tuple[Floats, Floats]:
        """At the price, and a little more for wrong work: by the pieces kept of the one and left out of the other."""
        task, (start, end), (begun, ended) = self.task, np.array(self.before).T, np.array(self.after).T
        kept, rest = np.arange(1, len(start) + 1), len(begun) - np.arange(len(begun))
        done = np.cumsum(end - start), np.cumsum((ended - begun)[::-1])[::-1]
        cost = self._sums(start, end).cumsum(), self._sums(begun, ended)[::-1].cumsum()[::-1]
        apart = self._weighed(kept[:, None] + rest, done[0][:, None] + done[1], cost[0][:, None] + cost[1], price_cost)
        apart[end[:, None] >= begun] = INFINITE
        # A piece from one begin to the other end takes the place of the last kept and of the first that follows.
        length, since = ended - start[:, None], task.stretch_of(start)
        joined = self._weighed(
            kept[:, None] + rest - 1,
            (done[0] - (end - start))[:, None] + length + (done[1] - (ended - begun)),
            task.sums_cost[ended]
            - task.sums_cost[start][:, None]
            + (cost[0] - self._sums(start, end))[:, None]
            + (cost[1] - self._sums(begun, ended)),
            price_cost,
        )
        longest = max(task.rule.first, task.rule.middle, task.rule.last)
        joined[(length < longest) | (since[:, None] != task.stretch_of(ended - 1))] = INFINITE
        joined[0, -1] = INFINITE  # one piece is no choice
        return apart, joined

    def pieces(self, kept: int, left_out: int, *, is_joined: bool) -> list[Span]:
        if not is_joined:
            return [*self.before[: kept + 1], *self.after[left_out:]]
        both = self.before[kept][0], self.after[left_out][1]
        return [*self.before[:kept], both, *self.after[left_out + 1 :]]

    def _sums(self, start: Ints, end: Ints) -> Floats:
        sums: Floats = self.task.sums_cost[end] - self.task.sums_cost[start]
        return sums

    def _weighed(self, count: Ints, held: Ints, cost: Floats, price_cost: float) -> Floats:
        rule = self.task.rule
        lacking = rule.held + (count - 1) * rule.overhead - held
        weighed: Floats = cost + (count - 1) * rule.pause_cost + price_cost * lacking
        weighed += _WRONG_RATIO * abs(price_cost) * np.abs(lacking)
        return weighed


@dataclass(slots=True, kw_only=True)
class _Mending:
    """One choice whose borders are moved, the cheapest first, until it does exactly the work."""

    task: PieceTask
    starts: list[int]
    ends: list[int]
    lacking: int

    @classmethod
    def of(cls, task: PieceTask, pieces: Sequence[Span]) -> _Mending:
        return cls(
            task=task,
            starts=[start for start, _ in pieces],
            ends=[end for _, end in pieces],
            lacking=task.lacking(pieces),
        )

    def mended(self) -> list[Span] | None:
        """None where no border may be moved so far."""
        moves = self._first_moves()
        heapify(moves)
        while self.lacking != 0 and moves:
            _, index, is_end = heappop(moves)
            if (step := min(abs(self.lacking), self._room(index, is_end), self._cell_left(index, is_end))) <= 0:
                continue
            outward = step if self.lacking > 0 else -step
            self.lacking -= outward
            if is_end:
                self.ends[index] += outward
            else:
                self.starts[index] -= outward
            for move in self._next(index, is_end):
                heappush(moves, move)
        return None if self.lacking != 0 else list(zip(self.starts, self.ends, strict=True))

    def _first_moves(self) -> list[Move]:
        moves: list[Move] = []
        for is_end, borders in ((False, self.starts), (True, self.ends)):
            slots = np.array(borders) - (not self._goes_later(is_end))
            index = ((slots >= 0) & (slots < self.task.slots)).nonzero()[0]
            rates_cost = self.task.slot_cost[slots[index]]
            rates_cost = rates_cost if self.lacking > 0 else -rates_cost
            moves += zip(rates_cost.tolist(), index.tolist(), [is_end] * len(index), strict=True)
        return moves

    def _next(self, index: int, is_end: bool) -> Iterator[Move]:
        """What a slot costs there, or saves when work is too much; nothing at the end of the line."""
        border = (self.ends if is_end else self.starts)[index]
        slot = border if self._goes_later(is_end) else border - 1
        if 0 <= slot < self.task.slots:
            rate_cost = float(self.task.slot_cost[slot])
            yield (rate_cost if self.lacking > 0 else -rate_cost), index, is_end

    def _goes_later(self, is_end: bool) -> bool:
        return is_end == (self.lacking > 0)

    def _room(self, index: int, is_end: bool) -> int:
        """How many slots the border may move: to the next piece or the end of its stretch, or the least length."""
        start, end = self.starts[index], self.ends[index]
        if self.lacking < 0:
            return end - start - self._least(index)
        since, to = self.task.stretches[int(self.task.stretch_of(np.array((start,)))[0])]
        if is_end:
            return (min(to, self.starts[index + 1] - 1) if index + 1 < len(self.starts) else to) - end
        return start - (max(since, self.ends[index - 1] + 1) if index > 0 else since)

    def _least(self, index: int) -> int:
        rule = self.task.rule
        return rule.first if index == 0 else rule.last if index == len(self.starts) - 1 else rule.middle

    def _cell_left(self, index: int, is_end: bool) -> int:
        """Slots up to the border of the cell, within which all cost the same."""
        into = ((self.ends if is_end else self.starts)[index] + self.task.early) % self.task.cell
        return self.task.cell - into if self._goes_later(is_end) else into or self.task.cell
