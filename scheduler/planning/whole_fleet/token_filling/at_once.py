"""Pools run at once beside jobs run at once: each, by earliest start, on every GPU that is free, until it is done.

What a plan with pools is compared with. Decides nothing of the plan.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import RunNow
from scheduler.planning.whole_fleet.token_filling.certificate import pool_gco2e
from scheduler.planning.whole_fleet.token_filling.room import Openings, Wholes, windows_s
from scheduler.planning.whole_fleet.token_pools import Pool, PoolSegment

_ROUNDING_RATIO = 1e-9


def with_pools_at_once(case: FleetCase, jobs: RunNow) -> RunNow:
    """The jobs as they run at once, and the pools in what they leave; emissions None where they are not known."""
    from_s, to_s = windows_s(case)
    ends = [to_s, *(series.end_at_s for series in case.forecasts.values())]
    openings = Openings.beside(case, jobs.segments, from_s, max(ends))
    late, emissions_gco2e = jobs.late, jobs.emissions_gco2e
    for pool in sorted(case.pools, key=lambda one: one.earliest_start_at_s):
        segments, done_at_s, openings = _at_once(case, pool, openings)
        late += done_at_s > pool.deadline_at_s + 1e-3
        grams = sum(pool_gco2e(case, pool, one) for one in segments) if math.isfinite(done_at_s) else math.nan
        is_known = emissions_gco2e is not None and not math.isnan(grams)
        emissions_gco2e = emissions_gco2e + grams if emissions_gco2e is not None and is_known else None
    return replace(jobs, emissions_gco2e=emissions_gco2e, late=late)


def _at_once(case: FleetCase, pool: Pool, openings: Openings) -> tuple[list[PoolSegment], float, Openings]:
    """Where it runs, when it is done, and what it leaves; never done when what is free never makes all its tokens."""
    gpus, tokens_per_s = _offers(case, pool, openings)
    useful = gpus > 0
    starts_s, ends_s = openings.start_at_s[useful], openings.end_at_s[useful]
    done_at_s = _done_at_s(starts_s, ends_s, (gpus * tokens_per_s)[useful], pool.tokens)
    segments = [
        PoolSegment(
            start_at_s=float(openings.start_at_s[cell]),
            end_at_s=min(float(openings.end_at_s[cell]), done_at_s),
            region=case.regions[openings.region[cell]].name,
            gpus=int(gpus[cell]),
        )
        for cell in np.flatnonzero(useful).tolist()
        if openings.start_at_s[cell] < done_at_s
    ]
    return segments, done_at_s, _without(openings, useful, done_at_s)


def _offers(case: FleetCase, pool: Pool, openings: Openings) -> tuple[Wholes, Floats]:
    """GPUs that the pool can have in each stretch, and the tokens that one of them makes there."""
    gpus, tokens_per_s = np.zeros(len(openings.region), dtype=np.int64), np.zeros(len(openings.region))
    for index, region in enumerate(case.regions):
        if (density := pool.density_in(region.name)) is not None:
            here = (openings.region == index) & (openings.start_at_s >= pool.earliest_start_at_s)
            gpus[here] = openings.gpus_for(density.power_w, region)[here]
            tokens_per_s[here] = density.tokens_per_s
    return gpus, tokens_per_s


def _done_at_s(starts_s: Floats, ends_s: Floats, tokens_per_s: Floats, tokens: float) -> float:
    """When so many tokens are made where each stretch makes so many a second; infinite when they never are."""
    instants = np.concatenate((starts_s, ends_s))
    order = instants.argsort(kind="stable")
    instants, speed = instants[order], np.cumsum(np.concatenate((tokens_per_s, -tokens_per_s))[order])
    made = np.concatenate(([0.0], np.cumsum(speed[:-1] * np.diff(instants)))) if len(instants) else np.zeros(1)
    after = int(made.searchsorted(tokens * (1 - _ROUNDING_RATIO)))
    if after >= len(made):
        return math.inf
    return float(instants[after] - (made[after] - tokens) / speed[after - 1]) if after else float(instants[0])


def _without(openings: Openings, taken: NDArray[np.bool_], done_at_s: float) -> Openings:
    """What is left when somebody holds some stretches until an instant."""
    start_at_s = np.where(taken, np.maximum(openings.start_at_s, done_at_s), openings.start_at_s)
    left = start_at_s < openings.end_at_s
    kept = {one.name: getattr(openings, one.name)[left] for one in fields(Openings)}
    return Openings(**{**kept, "start_at_s": start_at_s[left]})
