"""Gathers what a scenario names: traces from files, grids from files or archetypes, profiles by name.

The only place where a scenario meets the disk. Decides nothing about the run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from intensity_feeds.feed import Rung
from intensity_feeds.forecasting import LOOK_BACK_DAYS
from intensity_feeds.price_trace import read_prices
from intensity_feeds.prices import PriceSeries
from intensity_feeds.series import IntensitySeries, MixedSignalsError, refuse_mixture
from intensity_feeds.synthetic import archetype
from intensity_feeds.trace import TraceError, read_forecast_trace, read_trace
from scheduler.objective_settings import price_zones
from shaping.energy import Deployment, ProfileError
from shaping.profiles import deployment
from simulations.compiled.choice import LoopKind, NoCompilerError, chosen_board, chosen_run
from simulations.grid import Grid, blind, perfect, recorded, seasonal
from simulations.outages import Forecaster, Outages
from simulations.routed_requests import route_requests
from simulations.runs import Inputs, generator
from simulations.scenario import ForecastKind, JobSettings, RequestSettings, Scenario
from simulations.scenario_file import LoadedScenario, ScenarioError
from simulations.trace_files import WorkloadError, read_job_trace, read_request_trace
from simulations.workloads import JobTrace, RequestTrace, drawn_jobs, grown, poisson_requests

_DAY_S = 86400.0


def gather_inputs(loaded: LoadedScenario, loop: LoopKind = LoopKind.AUTO) -> Inputs:
    """Everything the scenario needs, read. Raises ScenarioError."""
    scenario = loaded.scenario
    try:
        grid = _grid(loaded)
        deployments = tuple(_deployment(settings) for settings in scenario.requests)
        asked = tuple(_requests(loaded, settings, place) for place, settings in enumerate(scenario.requests))
        routed, unrouted = route_requests(scenario, asked, deployments, grid)
        jobs = tuple(
            grown(_jobs(loaded, settings, place), settings.growth_ratio) for place, settings in enumerate(scenario.jobs)
        )
        return Inputs(
            scenario=scenario,
            grid=grid,
            requests=routed.requests,
            jobs=jobs,
            deployments=deployments,
            prices=_prices(loaded),
            run_requests=chosen_run(loop, sum(len(trace) for trace in asked)),
            board_loops=chosen_board(loop, sum(len(trace) for trace in jobs)),
            chosen=routed.chosen,
            unrouted=unrouted,
        )
    except (WorkloadError, TraceError, ProfileError, NoCompilerError) as error:
        raise ScenarioError(scenario.name, str(error)) from error


def _grid(loaded: LoadedScenario) -> Grid:
    scenario = loaded.scenario
    settings = scenario.grid
    realised = _column(loaded, settings.column) if settings.trace else _archetypes(scenario)
    seen = _column(loaded, scenario.forecast.column) if scenario.forecast.column else None
    for zone, series in realised.items():
        if not series.start_at_s <= scenario.start < series.end_at_s:
            raise ScenarioError(scenario.name, f"the grid of {zone} is not known at the start of the scenario")
    forecaster, rung = _forecaster(loaded, realised)
    return Grid(realised=realised, forecaster=forecaster, rung=rung, seen=seen, outages=_outages(scenario))


def _column(loaded: LoadedScenario, column: str) -> dict[str, IntensitySeries]:
    return read_trace(loaded.path(loaded.scenario.grid.trace), loaded.scenario.zones, column=column or None)


def _outages(scenario: Scenario) -> Outages | None:
    settings = scenario.forecast
    if not settings.outage:
        return None
    windows_at_s = [(one.from_, one.to) for one in settings.outage]
    return Outages(
        windows_at_s=windows_at_s, start_at_s=scenario.start, renew_s=settings.renew_s, horizon_s=settings.horizon_s
    )


def _prices(loaded: LoadedScenario) -> Mapping[str, PriceSeries]:
    scenario = loaded.scenario
    if not scenario.price.trace:
        return {}
    return read_prices(loaded.path(scenario.price.trace), price_zones(scenario.region))


def _archetypes(scenario: Scenario) -> dict[str, IntensitySeries]:
    missing = [zone for zone in scenario.zones if zone not in scenario.grid.archetypes]
    if missing:
        raise ScenarioError(
            scenario.name, f"zone {missing[0]!r} has no archetype", f'add {missing[0]} = "solar" to [grid.archetypes]'
        )
    days = LOOK_BACK_DAYS + math.ceil(scenario.grid.span_s / _DAY_S)
    begins_at_s = scenario.start - LOOK_BACK_DAYS * _DAY_S  # a past for our own forecast to learn from
    try:
        return {
            zone: archetype(scenario.grid.archetypes[zone], zone, begins_at_s, days, scenario.seed)
            for zone in scenario.zones
        }
    except ValueError as error:
        raise ScenarioError(scenario.name, f"grid.archetypes: {error}") from error


def _forecaster(loaded: LoadedScenario, realised: Mapping[str, IntensitySeries]) -> tuple[Forecaster, Rung | None]:
    scenario = loaded.scenario
    match scenario.forecast.kind:
        case ForecastKind.PERFECT:
            return perfect(scenario.forecast.horizon_s), Rung.LIVE
        case ForecastKind.SEASONAL:
            return seasonal(scenario.forecast.horizon_s), Rung.OWN_FORECAST
        case ForecastKind.RECORDED:
            return recorded(scenario.forecast.horizon_s, _issues(loaded, realised)), Rung.LIVE
        case ForecastKind.NONE:
            return blind, None


def _issues(loaded: LoadedScenario, realised: Mapping[str, IntensitySeries]) -> Mapping[str, Sequence[IntensitySeries]]:
    """Recorded forecasts, which answer the question that emissions are priced by."""
    scenario = loaded.scenario
    issues = read_forecast_trace(loaded.path(scenario.forecast.trace), scenario.zones)
    try:
        refuse_mixture([*realised.values(), *(series[0] for series in issues.values())])
    except MixedSignalsError as error:
        hint = 'price by the same: [grid] column = "actual_gco2e_per_kwh", or "direct_gco2e_per_kwh"'
        raise ScenarioError(scenario.name, f"forecast.trace: {error}", hint) from error
    return issues


def _requests(loaded: LoadedScenario, settings: RequestSettings, place: int) -> RequestTrace:
    if settings.trace:
        return read_request_trace(loaded.path(settings.trace), settings.limit)
    return poisson_requests(
        generator(loaded.scenario, "requests", place),
        rate_per_s=settings.rate_per_s,
        span_s=settings.span_s,
        prompt_tokens=settings.prompt_tokens,
        output_tokens=settings.output_tokens,
    )


def _jobs(loaded: LoadedScenario, settings: JobSettings, place: int) -> JobTrace:
    if settings.trace:
        return read_job_trace(loaded.path(settings.trace), settings.limit, settings.gpus_column)
    return drawn_jobs(
        generator(loaded.scenario, "drawn jobs", place),
        count=settings.count,
        span_s=settings.span_s,
        median_duration_s=settings.median_duration_s,
        max_gpus=settings.max_gpus,
    )


def _deployment(settings: RequestSettings) -> Deployment:
    return deployment(gpu=settings.gpu, model=settings.model, gpus=settings.gpus_per_worker)
