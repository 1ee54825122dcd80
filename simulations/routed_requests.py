"""The requests of a scenario's pools of models, each at the model that the daemon's rule chooses for it.

Decides which grid a budget in grams sees: the newest forecast, as often as the scenario issues one.
"""

from __future__ import annotations

from collections.abc import Sequence

from intensity_feeds.series import IntensitySeries, SeriesError
from shaping.energy import Deployment
from shaping.routing import Floors
from shaping.shadow_price import PacedBudget
from simulations.grid import Grid
from simulations.model_choice import Candidate, Chosen, Intensities, Rules, choose_all, drawn_chances, merged, parted
from simulations.runs import generator
from simulations.scenario import ModelChoiceSettings, RegionSettings, Scenario
from simulations.workloads import RequestTrace


def route_requests(
    scenario: Scenario, requests: Sequence[RequestTrace], deployments: Sequence[Deployment], grid: Grid
) -> tuple[tuple[RequestTrace, ...], tuple[Chosen, ...]]:
    """The requests of each table after the choice, and what was chosen."""
    routed, found = list(requests), []
    names = [pool.name for pool in scenario.requests]
    for number, settings in enumerate(scenario.model_pool):
        places = [names.index(name) for name in settings.candidates]
        trace = merged([requests[place] for place in places])
        drawn = generator(scenario, "chances", number)
        chosen = choose_all(
            settings.name,
            trace,
            drawn_chances(drawn, len(trace), settings.accuracy_ratios, settings.hardness_spread_ratio),
            [Candidate(name=names[place], deployment=deployments[place]) for place in places],
            _rules(settings),
            start_at_s=scenario.start,
            budget=_budget(settings, scenario.start),
            intensities=_intensities(scenario, [scenario.region_of(scenario.requests[one]) for one in places], grid),
        )
        for place, part in zip(places, parted(trace, chosen.place, len(places)), strict=True):
            routed[place] = part
        found.append(chosen)
    return tuple(routed), tuple(found)


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
