"""A plan made from large jobs to small ones, with prices of capacity that are found anew on the way.

Prices for a whole fleet hold for fractions of jobs. Once the largest jobs have their places, the rest of the capacity
is known, and the prices of that rest lead the jobs that are left around them. So each stage places jobs of an equal
share of the work by the prices at hand, then the prices climb on from there. Knows no search: what is placed stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.slots.grid import Ask
from scheduler.planning.whole_fleet.slots.plan import SlotPlan
from scheduler.planning.whole_fleet.slots.search import by_size, fill, reinsert

# Beside the first step of a whole ascent: prices change only as far as the placed jobs differ from their fractions.
_STEP_RATIO = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """In which order jobs are placed, and by what share of the prices.

    Large jobs with little slack go first: by GPU time over slack to this power. At the full prices so many places cost
    the same that the dirtiest is as good as any; with less of them, fewer jobs find room.
    """

    slack_ratio: float
    damped_ratio: float

    def order(self, ask: Ask, least_slack_s: float) -> tuple[float, float]:
        return -ask.job.priority, -ask.size_gpu_s / max(ask.job.slack_s, least_slack_s) ** self.slack_ratio


def dive(plan: SlotPlan, rates: Rates, way: Way, stages: int, rounds: int) -> None:
    """Fill an empty plan in so many stages, with so many rounds for the prices after each."""
    order = sorted(plan.asks, key=lambda ask: way.order(ask, plan.grid.slot_s))
    for first, after in pairwise(_borders(order, stages)):
        fill(plan, order[first:after], plan.view(rates.damped(way.damped_ratio)))
        if rest := [ask.job for ask in order[after:]]:
            rates = lower_bound(rest, rates, rounds, _STEP_RATIO, plan.room_left(rates)).rates
    reinsert(plan, sorted(plan.asks, key=by_size))


def _borders(order: Sequence[Ask], stages: int) -> list[int]:
    """Where to cut the order so that each stage has about as much work as any other."""
    work_gpu_s = np.cumsum([ask.size_gpu_s for ask in order])
    cuts = work_gpu_s.searchsorted(np.linspace(0.0, work_gpu_s[-1], stages + 1)[1:-1]) + 1
    return sorted({0, *np.minimum(cuts, len(order)).tolist(), len(order)})
