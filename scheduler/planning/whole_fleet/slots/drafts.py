"""Whole plans on slots, made in several ways; the best of them is what a search begins with.

By carbon alone, the largest or the most urgent first; and by prices of capacity that are found anew on the way. Where
jobs find no place, others give way. Decides how much effort goes where, in units that grow with the fleet; knows no
search for carbon.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scheduler.planning.whole_fleet.alone.bound import Bound
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.slots import search as slot_search
from scheduler.planning.whole_fleet.slots.ejection import Ejection
from scheduler.planning.whole_fleet.slots.plan import SlotPlan
from scheduler.planning.whole_fleet.slots.price_dive import Way, dive
from scheduler.planning.whole_fleet.slots.search import fill, reinsert

# Measured in docs/decisions/0016: no one of them is best for every fleet.
_WAYS = (
    Way(slack_ratio=0.5, damped_ratio=0.9),
    Way(slack_ratio=1.0, damped_ratio=0.9),
    Way(slack_ratio=0.5, damped_ratio=0.97),
    Way(slack_ratio=0.5, damped_ratio=0.8),
)
_STAGES, _MOST_ROUNDS, _LEAST_ROUNDS = 12, 25, 5
_LARGE_STAGES = 6
# A dive looks at each pair of job and region in every round of every stage: about a second for each million.
_DIVED_PAIRS = 4_000_000
# By these prices go those that give way.
_EJECTED_DAMPED_RATIO = 0.9
# How many slots are looked at to find room for refused jobs: at most so many for each draft.
_CELLS_PER_JOB, _LEAST_CELLS, _MOST_CELLS = 150_000, 5_000_000, 150_000_000
# And for the best of them, while it refuses more than is proved: 300 jobs of which all but one were placed find room
# for the last after 50 to 300 million.
_INSISTED_CELLS_PER_JOB, _MOST_INSISTED_CELLS = 1_500_000, 500_000_000


def best_draft(case: FleetCase, carbon: Rates, guide: Bound, generator: np.random.Generator) -> SlotPlan:
    """The one that refuses the fewest jobs, and of these emits least; `guide` holds prices for all jobs."""
    best: SlotPlan | None = None
    for plan in _drafts(case, carbon, guide):
        if plan.refused:
            make_room(plan, guide, generator)
        if best is None or plan.rank < best.rank:
            best = plan
    assert best is not None, "there is a way"
    return best


def _drafts(case: FleetCase, carbon: Rates, guide: Bound) -> Iterator[SlotPlan]:
    pairs = len(case.jobs) * len(case.regions)
    rounds = _DIVED_PAIRS // pairs
    stages = _STAGES if rounds >= _STAGES * _LEAST_ROUNDS else _LARGE_STAGES
    for way in _WAYS[: max(rounds // (_STAGES * _LEAST_ROUNDS), 1)]:
        plan = SlotPlan(case, carbon)
        dive(plan, guide.rates, way, stages, min(max(rounds // stages, _LEAST_ROUNDS), _MOST_ROUNDS))
        yield plan
    if stages == _LARGE_STAGES:
        return
    for order in (slot_search.by_size, slot_search.by_latest_start):
        plan = SlotPlan(case, carbon)
        fill(plan, sorted(plan.asks, key=order), plan.carbon)
        yield plan


def make_room(plan: SlotPlan, guide: Bound, generator: np.random.Generator) -> None:
    """For the jobs that found none."""
    cells = min(max(_CELLS_PER_JOB * len(plan.asks), _LEAST_CELLS), _MOST_CELLS)
    _eject(plan, guide, generator, cells, 0)


def insist(plan: SlotPlan, guide: Bound, generator: np.random.Generator, fewest_refused: int) -> None:
    """On room for jobs that nothing proves to have none, longer than every draft is worth."""
    _eject(plan, guide, generator, min(_INSISTED_CELLS_PER_JOB * len(plan.asks), _MOST_INSISTED_CELLS), fewest_refused)


def _eject(plan: SlotPlan, guide: Bound, generator: np.random.Generator, cells: int, fewest_refused: int) -> None:
    Ejection(plan, plan.view(guide.rates.damped(_EJECTED_DAMPED_RATIO)), generator).run(cells, fewest_refused)
    reinsert(plan, sorted(plan.asks, key=slot_search.by_size))
