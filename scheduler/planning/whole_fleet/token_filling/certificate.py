"""What a plan with pools proves: that jobs and pools together keep every limit at every instant, and what pools emit.

Recomputed from the case and the segments alone, and shares nothing with the pouring. Decides nothing about the plan.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping

from scheduler.planning.plan import Region
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.token_pools import Pool, PoolRun, PoolSegment

# Instants closer than this are one; powers this close to a cap are within it, and tokens this close are all.
_SAME_S, _SAME_W, _SAME_RATIO = 1e-3, 1e-3, 1e-5


def pool_gco2e(case: FleetCase, pool: Pool, one: PoolSegment) -> float:
    """What a segment emits, step by step; NaN where it touches unknown time."""
    region = next(region for region in case.regions if region.name == one.region)
    if region.zone not in case.forecasts:
        return float("nan")
    series, grams, covered_s = case.forecasts[region.zone], 0.0, 0.0
    edges, values = series.edges_at_s.tolist(), series.gco2e_per_kwh.tolist()
    kw = one.gpus * pool.densities[one.region].power_w / 1000.0 * region.pue
    first, last = max(0, bisect_right(edges, one.start_at_s) - 1), bisect_left(edges, one.end_at_s)
    for step in range(first, min(last, len(values))):
        inside_s = min(edges[step + 1], one.end_at_s) - max(edges[step], one.start_at_s)
        grams += kw * values[step] * inside_s / 3600.0
        covered_s += inside_s
    return grams if abs(covered_s - one.duration_s) <= _SAME_S else float("nan")


def pool_flaws(case: FleetCase, jobs: Assignment, runs: Mapping[str, PoolRun]) -> tuple[str, ...]:
    """What is wrong with pools beside jobs, in words; empty when nothing is. The jobs alone are judged elsewhere."""
    found: list[str] = []
    for pool in case.pools:
        found += [f"{pool.name} {what}" for what in _flaws_of_pool(pool, runs[pool.name])]
    for region in case.regions:
        found += [f"{region.name} {what}" for what in _flaws_of_region(case, region, jobs, runs)]
    return tuple(found)


def _flaws_of_pool(pool: Pool, run: PoolRun) -> Iterator[str]:
    made_tokens = 0.0
    for one in run.segments:
        if pool.density_in(one.region) is None:
            yield f"runs in {one.region}, where it may not"
            continue
        made_tokens += pool.tokens_of(one)
        if one.start_at_s < pool.earliest_start_at_s - _SAME_S:
            yield "starts before its earliest start"
        if one.end_at_s > pool.deadline_at_s + _SAME_S:
            yield "ends after its deadline"
        if one.gpus < 1 or one.duration_s <= 0:
            yield "has a segment without work"
    if abs(made_tokens + run.short_tokens - pool.tokens) > _SAME_RATIO * pool.tokens:
        yield f"makes {made_tokens:.0f} and lacks {run.short_tokens:.0f} of {pool.tokens:.0f} tokens"


def _flaws_of_region(case: FleetCase, region: Region, jobs: Assignment, runs: Mapping[str, PoolRun]) -> Iterator[str]:
    """Sweep over begins and ends; at one instant what ends is given back before what begins is counted."""
    changes = [(one.start_at_s, one.end_at_s, one.gpus, 0.0) for one in region.held]
    for job in case.jobs:
        mine = (one for one in jobs.get(job.id, ()) if one.region == region.name)
        for one in mine:
            power_w = (job.power_w if one.power_w is None else one.power_w) * region.power_ratio * region.pue
            changes.append((one.start_at_s, one.end_at_s, job.gpus if one.gpus is None else one.gpus, power_w))
    for pool in case.pools:
        for one in runs[pool.name].segments:
            if one.region == region.name and (density := pool.density_in(region.name)):
                power_w = one.gpus * density.power_w * region.pue
                changes.append((one.start_at_s, one.end_at_s, one.gpus, power_w))
    turns = [(from_s + _SAME_S, gpus, power_w) for from_s, _, gpus, power_w in changes]
    turns += [(to_s, -gpus, -power_w) for _, to_s, gpus, power_w in changes]
    gpus, drawn_w, cap_w = 0, 0.0, case.power_caps_w.get(region.name, float("inf"))
    for instant_s, more_gpus, more_w in sorted(turns):
        gpus, drawn_w = gpus + more_gpus, drawn_w + more_w
        if gpus > region.gpus:
            yield f"holds {gpus} of {region.gpus} GPUs at {instant_s:.0f}"
        if drawn_w > cap_w + _SAME_W:
            yield f"draws {drawn_w:.0f} of {cap_w:.0f} W at {instant_s:.0f}"
