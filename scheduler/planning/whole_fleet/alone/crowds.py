"""Jobs that crowd at different times, told apart by when room has a price.

Decides which stretches of time are crowded and which crowd each job belongs to. Proves nothing: whatever the parts are,
no job is in two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.whole_fleet.rates import cumulated

# Stretches are apart where room costs less than this beside its dearest cell.
_QUIET_RATIO = 1e-3
_MOST_CROWDS = 32


def crowds(jobs: Sequence[Job], edges_at_s: Floats, price_ratio: Floats) -> list[list[Job]]:
    """The jobs of each crowd, the earliest first; those that touch none are left away. `price_ratio` is (cells,)."""
    stretches = _stretches(price_ratio)
    if not stretches:
        return []
    paid = cumulated(price_ratio * np.diff(edges_at_s))
    found: list[list[Job]] = [[] for _ in stretches]
    borders = np.array([[edges_at_s[first], edges_at_s[after]] for first, after in stretches])
    for job in jobs:
        from_s = np.maximum(borders[:, 0], job.earliest_start_at_s)
        to_s = np.maximum(np.minimum(borders[:, 1], job.deadline_at_s), from_s)
        touched = np.interp(to_s, edges_at_s, paid) - np.interp(from_s, edges_at_s, paid)
        if touched.max() > 0:
            found[int(touched.argmax())].append(job)
    return [some for some in found if some]


def _stretches(price_ratio: Floats) -> list[tuple[int, int]]:
    """First and after-last cell of each crowded stretch, those that cost most where there are too many."""
    is_crowded = price_ratio > _QUIET_RATIO * price_ratio.max(initial=0.0)
    turns = np.flatnonzero(np.diff(is_crowded.astype(np.int8), prepend=0, append=0)).tolist()
    every = list(zip(turns[::2], turns[1::2], strict=True))
    costly = sorted(every, key=lambda one: -float(price_ratio[one[0] : one[1]].sum()))
    return sorted(costly[:_MOST_CROWDS])
