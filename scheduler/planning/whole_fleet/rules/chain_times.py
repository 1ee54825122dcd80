"""When jobs that wait for each other would run if nobody else did: cheapest in sum, in order, each in one piece.

A table for each job of what it and those before it cost at least when it has ended by an instant; read backwards it
gives the starts. Exact for chains and trees on the instants that are looked at; a job that several others wait for is
counted once for each of them, and then it is a good guess. Knows no capacity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.whole_fleet.rates import Rates

_MOST_INSTANTS = 2000


def starts_in_order(
    jobs: Mapping[str, Job], order: Sequence[str], after: Mapping[str, Sequence[str]], rates: Rates
) -> dict[str, float]:
    """The start of each job in `order`, which names every job behind those it waits for."""
    instants_s = _instants_s([jobs[name] for name in order], rates)
    paid: dict[str, Floats] = {}
    ended: dict[str, Floats] = {}
    for name in order:
        own = _costs(jobs[name], instants_s, rates)
        paid[name] = own + sum((ended[before] for before in after.get(name, ())), np.zeros(len(instants_s)))
        ended[name] = _ended_by(jobs[name], paid[name], instants_s)
    starts_s: dict[str, float] = {}
    until_s = {name: jobs[name].deadline_at_s for name in order}
    for name in reversed(order):
        starts_s[name] = _best_start_s(jobs[name], paid[name], instants_s, until_s[name])
        for before in after.get(name, ()):
            until_s[before] = min(until_s[before], starts_s[name])
    return starts_s


def _instants_s(jobs: Sequence[Job], rates: Rates) -> Floats:
    """Where some run of the jobs has an end on an edge, and the ends of their windows; thinned when they are many."""
    inner = [part for job in jobs for part in (rates.edges_at_s - job.duration_s, rates.edges_at_s + job.duration_s)]
    ends = [one for job in jobs for one in (job.earliest_start_at_s, job.latest_start_at_s)]
    found = np.unique(np.concatenate((rates.edges_at_s, *inner)))
    low_s, high_s = min(job.earliest_start_at_s for job in jobs), max(job.deadline_at_s for job in jobs)
    found = found[(found >= low_s) & (found <= high_s)]
    return np.unique(np.concatenate((found[:: 1 + len(found) // _MOST_INSTANTS], ends)))


def _costs(job: Job, instants_s: Floats, rates: Rates) -> Floats:
    """What a run in one piece from each instant costs in its cheapest region; infinite where it may not run."""
    costs = np.full(len(instants_s), np.inf)
    inside = (instants_s >= job.earliest_start_at_s) & (instants_s <= job.latest_start_at_s + ROUNDING_S)
    for one in rates.curves(job):
        for from_s, to_s in one.known:
            fits = inside & (instants_s >= from_s) & (instants_s + job.duration_s <= to_s + ROUNDING_S)
            starts_s = instants_s[fits]
            paid = one.pue * (one.cumulative(starts_s + job.duration_s) - one.cumulative(starts_s))
            costs[fits] = np.minimum(costs[fits], paid)
    return costs


def _ended_by(job: Job, costs: Floats, instants_s: Floats) -> Floats:
    """The least of what is paid by a run that has ended by each instant."""
    least = np.concatenate(([np.inf], np.minimum.accumulate(costs)))
    return least[instants_s.searchsorted(instants_s - job.duration_s + ROUNDING_S, side="right")]


def _best_start_s(job: Job, costs: Floats, instants_s: Floats, until_s: float) -> float:
    """The cheapest start that ends in time; the earliest where none is known."""
    in_time = instants_s + job.duration_s <= until_s + ROUNDING_S
    costs = np.where(in_time, costs, np.inf)
    best = int(costs.argmin())
    return float(instants_s[best]) if np.isfinite(costs[best]) else job.earliest_start_at_s
