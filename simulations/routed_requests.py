"""The requests of a scenario's pools of models, each at the model that the daemon's rule chooses for it.

Beside it what users have without a router: every request at one model. Decides which grid a budget in grams sees: the
newest forecast, as often as the scenario issues one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from intensity_feeds.series import IntensitySeries, SeriesError
from shaping.energy import Deployment
from shaping.routing import Floors
from shaping.shadow_price import PacedBudget
from simulations.grid import Grid
from simulations.model_choice import (
    Candidate,
    Chosen,
    Intensities,
    Routed,
    Rules,
    choose_all,
    drawn_chances,
    merged,
    parted,
    unrouted,
)
from simulations.runs import generator
from simulations.scenario import ModelChoiceSettings, RegionSettings, Scenario
from simulations.workloads import Floats, RequestTrace


class RoutedRequests(NamedTuple):
    """As the router chooses, and as it is without one; None where there is nothing to choose."""

    with_router: Routed
    without: Routed | None


class _Asked(NamedTuple):
    """One pool of models: the places of its candidates, all their requests, and how likely each answers which well."""

    places: Sequence[int]
    trace: RequestTrace
    chances_ratio: Floats


def route_requests(
    scenario: Scenario, requests: Sequence[RequestTrace], deployments: Sequence[Deployment], grid: Grid
) -> RoutedRequests:
    """The requests of each table after the choice, and what was chosen."""
    asked = _asked(scenario, requests)
    chosen = [
        _routed(scenario, settings, one, deployments, grid)
        for settings, one in zip(scenario.model_pool, asked, strict=True)
    ]
    plain = [
        unrouted(settings.name, one.chances_ratio, settings.candidates, settings.without_router)
        for settings, one in zip(scenario.model_pool, asked, strict=True)
    ]
    with_router = _at_models(requests, asked, chosen)
    return RoutedRequests(with_router, _at_models(requests, asked, plain) if asked else None)


def _asked(scenario: Scenario, requests: Sequence[RequestTrace]) -> list[_Asked]:
    names, found = [pool.name for pool in scenario.requests], []
    for number, settings in enumerate(scenario.model_pool):
        places = [names.index(name) for name in settings.candidates]
        trace = merged([requests[place] for place in places])
        drawn = generator(scenario, "chances", number)
        chances_ratio = drawn_chances(drawn, len(trace), settings.accuracy_ratios, settings.hardness_spread_ratio)
        found.append(_Asked(places, trace, chances_ratio))
    return found


def _routed(
    scenario: Scenario, settings: ModelChoiceSettings, asked: _Asked, deployments: Sequence[Deployment], grid: Grid
) -> Chosen:
    tables = [scenario.requests[place] for place in asked.places]
    return choose_all(
        settings.name,
        asked.trace,
        asked.chances_ratio,
        [Candidate(name=scenario.requests[one].name, deployment=deployments[one]) for one in asked.places],
        _rules(settings),
        start_at_s=scenario.start,
        budget=_budget(settings, scenario.start),
        intensities=_intensities(scenario, [scenario.region_of(table) for table in tables], grid),
    )


def _at_models(requests: Sequence[RequestTrace], asked: Sequence[_Asked], chosen: Sequence[Chosen]) -> Routed:
    found = list(requests)
    for one, choice in zip(asked, chosen, strict=True):
        parts = parted(one.trace, choice.place, len(one.places))
        for place, part in zip(one.places, parts, strict=True):
            found[place] = part
    return Routed(requests=tuple(found), chosen=tuple(chosen))


def _rules(settings: ModelChoiceSettings) -> Rules:
    floors = Floors(standard_ratio=settings.floor_ratio, eco_ratio=settings.eco_floor_ratio)
    return Rules(service=settings.service, floors=floors, batch_sequences=settings.batch_sequences)


def _budget(settings: ModelChoiceSettings, began_at_s: float) -> PacedBudget | None:
    if settings.budget_gco2e is None:
        return None
    return PacedBudget(limit_cost=settings.budget_gco2e, window_s=settings.budget_window_s, began_at_s=began_at_s)


def _intensities(scenario: Scenario, homes: Sequence[RegionSettings], grid: Grid) -> Intensities:
    """What each home emits for a kWh of IT energy, by the newest forecast."""
    newest = _Newest(grid, scenario.start, scenario.forecast.renew_s)

    def intensities(now_s: float) -> Sequence[float] | None:
        known = [newest.gco2e_per_kwh(home.zone, now_s) for home in homes]
        found = [home.pue * one for home, one in zip(homes, known, strict=True) if one is not None]
        return found if len(found) == len(homes) else None

    return intensities


class _Newest:
    """The forecasts that hold at an instant; asked in order of time."""

    def __init__(self, grid: Grid, start_at_s: float, renew_s: float) -> None:
        self._grid, self._due_at_s, self._renew_s = grid, start_at_s, renew_s
        self._by_zone: dict[str, IntensitySeries | None] = {}

    def gco2e_per_kwh(self, zone: str, now_s: float) -> float | None:
        while self._due_at_s <= now_s:
            self._by_zone = {told.zone: told.series for told in self._grid.forecasts(self._due_at_s)}
            self._due_at_s += self._renew_s
        series = self._by_zone[zone]
        try:
            return None if series is None else series.at(now_s)
        except SeriesError:
            return None
