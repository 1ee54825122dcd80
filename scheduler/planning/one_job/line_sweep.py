"""The sweep of work_price.py in plain Python: the same as `piece_kernels.sweep`, to the last bit, in less time.

What a piece may begin at is known from the pieces before it. So all instants of a stretch are taken at once, first with
one piece before each, then with two, and so on: each round is a few calls over what the round before has changed. That
is less work than an instant at a time while a choice has few pieces; where it has many, and where pauses cost nothing,
instants are taken one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats

Ints = NDArray[np.int64]
INFINITE = float("inf")

# A round takes about as long as so many instants one at a time. How many rounds there are shows only at the end: so a
# stretch gets as many as take no longer than all of its instants, and a short one none.
_INSTANTS_PER_ROUND = 60
_ROUNDS_FROM = 600


def sweep(
    earned_cost: Floats,
    stretches: Ints,
    first_ripe: Ints,
    middle_ripe: Ints,
    fee_cost: float,
    touching: int,
    paused_cost: Floats,
    running_cost: Floats,
) -> None:
    """Fills `paused_cost` (n + 1,), one ahead, and `running_cost` (n,); stretches have shape (stretches, 2)."""
    least_cost, done = INFINITE, 0
    running_cost.fill(INFINITE)
    for since, to in stretches.tolist():
        paused_cost[done : since + 1] = least_cost
        here, done = slice(since, to + 1), to + 1
        _sweep_stretch(
            earned_cost[here],
            first_ripe[here] - since,
            middle_ripe[here] - since,
            fee_cost,
            touching,
            paused_cost[since : to + 2],
            running_cost[here],
        )
        least_cost = float(paused_cost[done])
    paused_cost[done:] = least_cost


def _sweep_stretch(
    earned_cost: Floats,
    first_ripe: Ints,
    ripe: Ints,
    fee_cost: float,
    touching: int,
    paused_cost: Floats,
    running_cost: Floats,
) -> None:
    """Arrays begin with the stretch; `paused_cost` holds what is least before it, and is filled from the next on."""
    # What a first piece costs that may end by then, less what is earned up to then.
    ripe_from = int(first_ripe.searchsorted(1))
    begun_cost = np.full(len(earned_cost), INFINITE)
    begun_cost[ripe_from:] = np.minimum.accumulate(-earned_cost)[first_ripe[ripe_from:] - 1]
    running_cost[:] = begun_cost
    np.add(begun_cost, earned_cost, out=paused_cost[1:])
    np.minimum.accumulate(paused_cost, out=paused_cost)
    upto, changed_from = int(ripe[-1]), 0
    later = np.empty(max(upto, 0))  # the least of what may have begun by then, after a pause
    rounds = len(earned_cost) // _INSTANTS_PER_ROUND if len(earned_cost) >= _ROUNDS_FROM and fee_cost > 0 else 0
    while changed_from < upto:
        if rounds == 0 or len(earned_cost) - changed_from < 2 * _INSTANTS_PER_ROUND:
            _one_by_one(earned_cost, begun_cost, ripe, fee_cost, touching, paused_cost, running_cost, changed_from)
            return
        rounds -= 1
        now = later[changed_from:]
        np.subtract(paused_cost[changed_from + touching : upto + touching], earned_cost[changed_from:upto], out=now)
        now += fee_cost
        if changed_from > 0 and later[changed_from - 1] < now[0]:
            now[0] = later[changed_from - 1]
        np.minimum.accumulate(now, out=now)
        ends_from = int(ripe.searchsorted(changed_from, side="right"))
        np.minimum(begun_cost[ends_from:], later[ripe[ends_from:] - 1], out=running_cost[ends_from:])
        ended = running_cost[ends_from:] + earned_cost[ends_from:]
        if paused_cost[ends_from] < ended[0]:
            ended[0] = paused_cost[ends_from]
        np.minimum.accumulate(ended, out=ended)
        is_new = ended != paused_cost[ends_from + 1 :]
        first_new = int(is_new.argmax())
        if not is_new[first_new]:
            return
        paused_cost[ends_from + 1 :] = ended
        changed_from = ends_from + first_new + 1 - touching


def _one_by_one(
    earned_cost: Floats,
    begun_cost: Floats,
    ripe: Ints,
    fee_cost: float,
    touching: int,
    paused_cost: Floats,
    running_cost: Floats,
    changed_from: int,
) -> None:
    """An instant at a time, where pieces may end that begin from some instant on; all before is final."""
    ends_from = int(ripe.searchsorted(changed_from, side="right"))
    gone, paused_costs = earned_cost.tolist(), paused_cost[: ends_from + 1].tolist()
    best = float(
        (paused_cost[touching : changed_from + touching] - earned_cost[:changed_from] + fee_cost).min(initial=INFINITE)
    )
    least, position, running_costs = paused_costs[-1], changed_from, []
    for one, now, upto in zip(
        begun_cost[ends_from:].tolist(), gone[ends_from:], ripe[ends_from:].tolist(), strict=True
    ):
        while position < upto:
            cost = paused_costs[position + touching] - gone[position] + fee_cost
            position += 1
            if cost < best:
                best = cost
        if one < best:
            running_costs.append(one)
            cost = one + now
        else:
            running_costs.append(best)
            cost = best + now
        if cost < least:
            least = cost
        paused_costs.append(least)
    running_cost[ends_from:] = running_costs
    paused_cost[ends_from + 1 :] = paused_costs[ends_from + 1 :]
