"""How each side of a comparison behaves: the policy under test, the same work run at once, and what others published.

All sides run through the same engine, queue, capacity and workers; only what is listed in `Conduct` differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intensity_feeds.prices import PriceSeries
from intensity_feeds.series import IntensitySeries
from scheduler.deferral import Release, release_at_s
from scheduler.objective_settings import sites_of, weighed
from scheduler.planning.open_jobs.board_loops import BoardLoops
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.planner import Planner
from shaping.policy import Holding, ShapingPolicy
from simulations.policies.planner import PublishedPlanner, StaticRegionPlanner
from simulations.policies.published import (
    Published,
    below_the_gate,
    carbon_time,
    cleanest_steps,
    gated,
    lowest_half_hours,
    lowest_slot,
    lowest_window,
)
from simulations.scenario import PolicyKind, Scenario

AT_ONCE = ShapingPolicy(interactive_hold_s=0.0, min_group=1, holding=Holding.PASS_THROUGH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """What a side decides with.

    `release` is None where a flex request counts as interactive. A side that `knows_the_grid` is shown what the grid
    will really emit, as far ahead and as often as the scenario's forecast. A side that `routes` has a router in front
    of pools of models; the others send everything to one model.
    """

    planner: Planner
    shaping: ShapingPolicy
    release: Release | None
    lets_workers_sleep: bool
    knows_the_grid: bool = False
    keeps_budgets: bool = False
    routes: bool = False


def run_now(loops: BoardLoops | None = None) -> Conduct:
    """The baseline: every job as early as there is room, every request straight to a worker of one model."""
    return _shifting(RunNowPlanner(loops=loops), None)


def carbon_aware(
    scenario: Scenario,
    prices: Mapping[str, PriceSeries] | None = None,
    *,
    knows_the_grid: bool = False,
    loops: BoardLoops | None = None,
) -> Conduct:
    """The daemon's own policy with the scenario's settings; `prices` by zone."""
    sites = sites_of(scenario.region, prices or {})
    return Conduct(
        planner=weighed(FleetPlanner(loops=loops), scenario.objective.weights, sites),
        shaping=scenario.policy.hold_policy,
        release=release_at_s,
        lets_workers_sleep=True,
        knows_the_grid=knows_the_grid,
        keeps_budgets=True,
        routes=True,
    )


def published(policy: Published) -> Conduct:
    """Jobs and requests that may wait do so by the policy; nothing is held for company, and no worker sleeps."""
    return _shifting(PublishedPlanner(policy=policy), policy.release_at_s)


def static_region(scenario: Scenario, realised: Mapping[str, IntensitySeries]) -> Conduct:
    """Every job at once, where the grid's record, PUE included, is cleanest on average."""
    ranked = sorted(scenario.region, key=lambda one: _mean_gco2e_per_kwh(realised.get(one.zone)) * one.pue)
    return _shifting(StaticRegionPlanner(ranking=tuple(one.name for one in ranked)), None)


def conduct_of(
    kind: PolicyKind,
    scenario: Scenario,
    prices: Mapping[str, PriceSeries] | None = None,
    realised: Mapping[str, IntensitySeries] | None = None,
    loops: BoardLoops | None = None,
) -> Conduct:
    """The policy of that name; `realised` by zone is only asked for regions' averages."""
    clean_ratio = scenario.policy.gate_ratio
    match kind:
        case PolicyKind.CARBON_AWARE:
            return carbon_aware(scenario, prices, loops=loops)
        case PolicyKind.ORACLE:
            return carbon_aware(scenario, prices, knows_the_grid=True, loops=loops)
        case PolicyKind.RUN_NOW:
            return run_now(loops)
        case PolicyKind.STATIC_REGION:
            return static_region(scenario, realised or {})
        case PolicyKind.THRESHOLD:
            return published(Published(start=gated(clean_ratio)))
        case PolicyKind.SUSPEND_RESUME:
            return published(Published(start=gated(clean_ratio), pieces=below_the_gate(clean_ratio)))
        case PolicyKind.LOWEST_SLOT:
            return published(Published(start=lowest_slot))
        case PolicyKind.LOWEST_WINDOW:
            return published(Published(start=lowest_window))
        case PolicyKind.CARBON_TIME:
            return published(Published(start=carbon_time))
        case PolicyKind.WAIT_AWHILE:
            return published(Published(start=lowest_half_hours, pieces=cleanest_steps))


def _shifting(planner: Planner, release: Release | None) -> Conduct:
    return Conduct(planner=planner, shaping=AT_ONCE, release=release, lets_workers_sleep=False)


def _mean_gco2e_per_kwh(series: IntensitySeries | None) -> float:
    """Over what is known of the whole record; infinite where nothing is."""
    if series is None:
        return float("inf")
    lengths_s = series.edges_at_s[1:] - series.edges_at_s[:-1]
    known = series.gco2e_per_kwh == series.gco2e_per_kwh
    known_s = float(lengths_s[known].sum())
    return float((series.gco2e_per_kwh[known] * lengths_s[known]).sum()) / known_s if known_s else float("inf")
