"""The items of one side, in the order that all sides share: jobs, then for each pool its requests and its idling.

Which of them came to their end, which were late, which of them count, and of which class they are. Sums nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulations.accounts import Accounts, Floats, Items
from simulations.callers import by_callers, items_in_one_order, named_by_callers
from simulations.runs import PoolRun, Side

Booleans = NDArray[np.bool_]

# Instants are floats of about 1e9 seconds; a finish this close to its deadline is in time, as in the engine.
IN_TIME_S = 1e-3

_HOUR_S = 3600.0
# Upper bound of the run time -> how the class is called.
JOB_BANDS = ((_HOUR_S, "under 1 h"), (12 * _HOUR_S, "1 to 12 h"), (float("inf"), "over 12 h"))
INTERACTIVE, FLEX, IDLE = "interactive", "flex", "idle workers"


def flat_items(side: Side, accounts: Accounts) -> Items:
    """In the order that all sides share."""
    order = items_in_one_order(side)
    parts = [accounts.jobs, *(part for pool in accounts.pools for part in (pool.requests, pool.idle))]
    return Items(
        energy_kwh=np.concatenate([part.energy_kwh for part in parts])[order],
        facility_kwh=np.concatenate([part.facility_kwh for part in parts])[order],
        emissions_gco2e=np.concatenate([part.emissions_gco2e for part in parts])[order],
    )


def _done(side: Side) -> Booleans:
    """Which items of the side came to their end; idling always does."""
    jobs = np.array([work.job.id in side.finished_at_s for work in side.works], dtype=np.bool_)
    pools = [part for run in side.pools for part in (~run.record.is_dropped, np.ones(1, dtype=np.bool_))]
    return np.concatenate([jobs, *pools])[items_in_one_order(side)]


def counted_items(sides: Sequence[Side], accounts: Sequence[Accounts]) -> Booleans:
    """Items that every side did and whose emissions are known on each."""
    known = [~np.isnan(flat_items(*one).emissions_gco2e) for one in zip(sides, accounts, strict=True)]
    return np.asarray(np.logical_and.reduce([*known, *(_done(side) for side in sides)]), dtype=np.bool_)


def late_items(side: Side) -> Booleans:
    finishes = finished_at_s(side)
    deadlines = np.array([work.job.deadline_at_s for work in side.works])
    # Written so that NaN, never finished, is late.
    jobs = ~(finishes <= deadlines + IN_TIME_S)
    pools = [part for run in side.pools for part in (_late_requests(run), np.zeros(1, dtype=np.bool_))]
    return np.concatenate([jobs, *pools])[items_in_one_order(side)]


def _late_requests(run: PoolRun) -> Booleans:
    deadlines = run.traffic.deadline_at_s
    return np.isfinite(deadlines) & ~(run.record.finished_at_s <= deadlines + IN_TIME_S)


def finished_at_s(side: Side) -> Floats:
    """Of each job, shape (n,); NaN for one that never ran."""
    return np.array([side.finished_at_s.get(work.job.id, np.nan) for work in side.works], dtype=np.float64)


def classes(side: Side) -> list[str]:
    """The class of each item, in the order that all sides share."""
    names = [f"{work.workload}, {_job_band(work.true_duration_s)}" for work in side.works]
    is_flex = by_callers(side, [run.traffic.is_flex for run in side.pools])
    for run, named, which in zip(side.pools, named_by_callers(side), is_flex, strict=True):
        kinds = np.where(which, f"{named}, {FLEX}", f"{named}, {INTERACTIVE}")
        names += [*kinds.tolist(), f"{run.spec.name}, {IDLE}"]
    return names


def _job_band(duration_s: float) -> str:
    return next(name for below_s, name in JOB_BANDS if duration_s < below_s)
