"""How each side of a comparison behaves: the policy under test, and the same work run at once.

Both sides run through the same engine, queue, capacity and workers; only what is listed in `Conduct` differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intensity_feeds.prices import PriceSeries
from scheduler.objective_settings import sites_of, weighed
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.planner import Planner
from shaping.policy import Holding, ShapingPolicy
from simulations.scenario import PolicyKind, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """What a side decides with. `lets_requests_wait` is False where a flex request counts as interactive."""

    planner: Planner
    shaping: ShapingPolicy
    lets_requests_wait: bool
    lets_workers_sleep: bool


def run_now() -> Conduct:
    """The baseline: every job as early as there is room, every request straight to a worker."""
    shaping = ShapingPolicy(interactive_hold_s=0.0, min_group=1, holding=Holding.PASS_THROUGH)
    return Conduct(planner=RunNowPlanner(), shaping=shaping, lets_requests_wait=False, lets_workers_sleep=False)


def carbon_aware(scenario: Scenario, prices: Mapping[str, PriceSeries] | None = None) -> Conduct:
    """The daemon's own policy with the scenario's settings; `prices` by zone."""
    sites = sites_of(scenario.region, prices or {})
    return Conduct(
        planner=weighed(FleetPlanner(), scenario.objective.weights, sites),
        shaping=scenario.policy.hold_policy,
        lets_requests_wait=True,
        lets_workers_sleep=True,
    )


def conduct_of(scenario: Scenario, prices: Mapping[str, PriceSeries] | None = None) -> Conduct:
    """What the scenario's policy table names."""
    match scenario.policy.kind:
        case PolicyKind.CARBON_AWARE:
            return carbon_aware(scenario, prices)
        case PolicyKind.RUN_NOW:
            return run_now()
