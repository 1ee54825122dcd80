"""Requests by what their callers named: a pool, or a pool of models, whose requests are the same on every side.

Which model answers a request may differ from side to side, so the requests of a pool of models stand together, in order
of arrival, where those of its first candidate would. Prices nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from simulations.model_choice import Chosen
from simulations.runs import Side

Integers = NDArray[np.int64]
_Scalar = TypeVar("_Scalar", bound=np.generic)


def named_by_callers(side: Side) -> list[str]:
    """What the requests of each pool were sent to: its own name, or that of its pool of models."""
    groups = {model: one.pool for one in side.chosen for model in one.models}
    return [groups.get(run.spec.name, run.spec.name) for run in side.pools]


def by_callers(side: Side, by_pool: Sequence[NDArray[_Scalar]]) -> list[NDArray[_Scalar]]:
    """One value for each request of each pool, in the order that all sides share; other candidates are left empty."""
    found = list(by_pool)
    for one in side.chosen:
        places = _places(side, one)
        whole = np.empty(len(one.place), dtype=np.result_type(*(by_pool[place] for place in places)))
        for number, place in enumerate(places):
            whole[one.place == number] = by_pool[place]
            found[place] = by_pool[place][:0]
        found[places[0]] = whole
    return found


def items_in_one_order(side: Side) -> Integers:
    """Where each item that all sides share lies among the side's own: jobs, then of each pool requests and idling."""
    counts = [len(run.traffic.trace) for run in side.pools]
    begins = list(accumulate((count + 1 for count in counts), initial=len(side.works)))
    own = [np.arange(begin, begin + count) for begin, count in zip(begins, counts, strict=False)]
    idle = [np.array([begin + count]) for begin, count in zip(begins, counts, strict=False)]
    pools = zip(by_callers(side, own), idle, strict=True)
    return np.concatenate([np.arange(len(side.works)), *(part for pool in pools for part in pool)])


def _places(side: Side, chosen: Chosen) -> list[int]:
    names = [run.spec.name for run in side.pools]
    return [names.index(model) for model in chosen.models]
