"""Why a pool of tokens is short, and the nearest changes that would help: later, elsewhere, or fewer tokens.

Each is tried beside the jobs as they are planned, with every other pool getting as many of its tokens as it does now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from scheduler.planning.reasons.nearest_change import MOST_MOVED_S, STEP_S
from scheduler.planning.whole_fleet.joint import FleetPlan
from scheduler.planning.whole_fleet.token_filling.pouring import SHORT_RATIO, poured
from scheduler.planning.whole_fleet.token_pools import Pool
from scheduler.quantities import format_instant

# Told are whole tokens, so many fewer than there is room for that rounding cannot make one short again.
_TOLD_RATIO = 1.0 - 3 * SHORT_RATIO


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChange:
    """One key of the pool as it is and as it would have to be, and the same in words."""

    field: str
    value: Any
    instead_of: Any
    text: str


def why_short(found: FleetPlan, pool: Pool) -> str:
    """What stands in the way, and how many tokens can be had by when; empty when none is short."""
    run = found.pools[pool.name]
    if not run.short_tokens:
        return ""
    alone = poured(replace(found.case, jobs=[], pools=[pool]), {}).short_ratio[pool.name]
    limit = "deadline" if alone > SHORT_RATIO else "capacity"
    by = format_instant(pool.deadline_at_s)
    most = "the whole fleet makes" if limit == "deadline" else "what jobs and other pools leave makes"
    made_tokens = (1.0 - alone) * pool.tokens if limit == "deadline" else pool.tokens - run.short_tokens
    return f"{limit}: {most} {made_tokens:,.0f} of {pool.tokens:,.0f} tokens by {by}, {run.short_tokens:,.0f} are short"


def pool_changes(found: FleetPlan, pool: Pool) -> list[PoolChange]:
    """Changes that help, each alone; empty when none is short, or none helps."""
    if not found.pools[pool.name].short_tokens:
        return []
    return [*_later(found, pool), *_elsewhere(found, pool), *_fewer(found, pool)]


def _helps(found: FleetPlan, pool: Pool) -> bool:
    served = [
        replace(other, tokens=tokens)
        for other in found.case.pools
        if other.name != pool.name and (tokens := other.tokens - found.pools[other.name].short_tokens) > 0
    ]
    ratios = poured(replace(found.case, pools=[*served, pool]), found.segments).short_ratio
    return max(ratios.values()) <= 2 * SHORT_RATIO


def _later(found: FleetPlan, pool: Pool) -> Iterator[PoolChange]:
    """The first whole minute; nothing within the forecast helps where the last of it does not."""
    known_s = max(series.end_at_s for series in found.case.forecasts.values())
    most = int((min(known_s, pool.deadline_at_s + MOST_MOVED_S) - pool.deadline_at_s) // STEP_S)
    if most < 1 or not _helps(found, _until(pool, most)):
        return
    too_few, enough = 0, most
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if _helps(found, _until(pool, middle)) else (middle, enough)
    value, before = (format_instant(_until(pool, one).deadline_at_s) for one in (enough, 0))
    yield PoolChange(field="finish_by", value=value, instead_of=before, text=f"finish by {value} instead of {before}")


def _until(pool: Pool, minutes: int) -> Pool:
    return replace(pool, deadline_at_s=pool.deadline_at_s + minutes * STEP_S)


def _elsewhere(found: FleetPlan, pool: Pool) -> Iterator[PoolChange]:
    for region in pool.densities if pool.regions else ():
        if region in pool.regions:
            continue
        regions = (*pool.regions, region)
        if _helps(found, replace(pool, regions=regions)):
            yield PoolChange(field="zones", value=list(regions), instead_of=list(pool.regions), text=f"allow {region}")


def _fewer(found: FleetPlan, pool: Pool) -> Iterator[PoolChange]:
    tokens = int((pool.tokens - found.pools[pool.name].short_tokens) * _TOLD_RATIO)
    if tokens > 0:
        text = f"ask for {tokens:,} tokens instead of {pool.tokens:,.0f}"
        yield PoolChange(field="tokens", value=tokens, instead_of=pool.tokens, text=text)
