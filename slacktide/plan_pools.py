"""The pools of a plan, for the table and the JSON. Decides no number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scheduler.planning.whole_fleet.joint import FleetPlan
    from scheduler.planning.whole_fleet.token_pools import Pool

_PLANNED = "cleanest hours of what the jobs leave"


def pools_json(found: FleetPlan, instant: Callable[[float], str]) -> list[dict[str, Any]]:
    """One object for each pool, in the order of the file."""
    return [_pool_json(found, pool, instant) for pool in found.case.pools]


def _pool_json(found: FleetPlan, pool: Pool, instant: Callable[[float], str]) -> dict[str, Any]:
    from scheduler.planning.reasons.pool_changes import pool_changes

    run = found.pools[pool.name]
    changes = pool_changes(found, pool)
    return {
        "pool": pool.name,
        "status": status_of(found, pool),
        "reason": reason_of(found, pool),
        "tokens": pool.tokens,
        "short_tokens": run.short_tokens,
        "segments": [
            {
                "start": instant(one.start_at_s),
                "end": instant(one.end_at_s),
                "zone": one.region,
                "gpus": one.gpus,
                "tokens": pool.tokens_of(one),
            }
            for one in run.segments
        ],
        "emissions_gco2e": run.emissions_gco2e,
        "suggestions": [
            {"text": one.text, "changes": [{"field": one.field, "value": one.value, "instead_of": one.instead_of}]}
            for one in changes
        ],
    }


def status_of(found: FleetPlan, pool: Pool) -> str:
    """`planned`, `partly` where tokens are short, `refused` where all are."""
    run = found.pools[pool.name]
    if not run.short_tokens:
        return "planned"
    return "partly" if run.segments else "refused"


def reason_of(found: FleetPlan, pool: Pool) -> str:
    """Where it runs in a word, or what is short and what would help."""
    from scheduler.planning.reasons.pool_changes import pool_changes, why_short

    why = why_short(found, pool)
    if not why:
        return _PLANNED
    helpful = ", or ".join(one.text for one in pool_changes(found, pool))
    return f"{why}; {helpful}" if helpful else why


def gpu_h_of(found: FleetPlan, pool: Pool) -> float:
    return sum(one.gpus * one.duration_s for one in found.pools[pool.name].segments) / 3600.0


def pool_rows(found: FleetPlan) -> Iterator[tuple[str, ...]]:
    """Name, zones, GPU-hours, tokens planned and emissions, as text."""
    for pool in found.case.pools:
        run = found.pools[pool.name]
        zones = ", ".join(dict.fromkeys(one.region for one in run.segments)) or status_of(found, pool)
        made_tokens = pool.tokens - run.short_tokens
        grams = f"{run.emissions_gco2e:,.0f}"
        yield pool.name, zones, f"{gpu_h_of(found, pool):,.1f}", f"{made_tokens:,.0f}", grams


POOL_HEADINGS = ("pool", "zones", "GPU-hours", "tokens", "gCO2e")
