"""Builders of small scenarios on a hand-made grid, shared by the tests of the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from intensity_feeds.feed import Rung
from intensity_feeds.series import IntensitySeries
from shaping.profiles import deployment
from shaping.routing import Service
from simulations.grid import Grid, perfect
from simulations.outages import Forecaster
from simulations.routed_requests import route_requests
from simulations.runs import Inputs
from simulations.scenario import (
    ForecastSettings,
    GridSettings,
    JobSettings,
    ModelChoiceSettings,
    PolicySettings,
    RegionSettings,
    RequestSettings,
    Scenario,
)
from simulations.workloads import JobTrace, RequestTrace

HOUR_S = 3600.0
# Dirty, then clean from 06:00 to 12:00, then dirty again: 400 and 100 g/kWh.
CLEAN_MORNING = [400.0] * 6 + [100.0] * 6 + [400.0] * 60


def a_job_trace(*rows: tuple[float, float, int]) -> JobTrace:
    """Rows of submission, duration and GPUs."""
    table = np.array(rows, dtype=np.float64)
    return JobTrace(submit_s=table[:, 0], duration_s=table[:, 1], gpus=table[:, 2].astype(np.int64))


def a_request_trace(*rows: tuple[float, int, int]) -> RequestTrace:
    """Rows of arrival, prompt tokens and output tokens."""
    table = np.array(rows, dtype=np.float64)
    return RequestTrace(
        arrival_s=table[:, 0], prompt_tokens=table[:, 1].astype(np.int64), output_tokens=table[:, 2].astype(np.int64)
    )


def some_inputs(
    *,
    jobs: JobTrace | None = None,
    requests: RequestTrace | None = None,
    job_settings: JobSettings | None = None,
    request_settings: RequestSettings | None = None,
    values: Sequence[float] = CLEAN_MORNING,
    gpus: int = 4,
    pue: float = 1.0,
    policy: PolicySettings | None = None,
    forecaster: Forecaster | None = None,
) -> Inputs:
    """One region `here` in zone Z from instant 0, hourly values."""
    request_table = request_settings or RequestSettings(name="chat")
    scenario = Scenario(
        name="small",
        start=0.0,
        grid=GridSettings(archetypes={"Z": "solar"}),
        region=(RegionSettings(name="here", zone="Z", gpus=gpus, pue=pue),),
        requests=(request_table,) if requests is not None else (),
        jobs=(job_settings or JobSettings(name="training"),) if jobs is not None else (),
        policy=policy or PolicySettings(),
        forecast=ForecastSettings(),
    )
    series = IntensitySeries.regular("Z", 0.0, HOUR_S, list(values))
    return Inputs(
        scenario=scenario,
        grid=Grid(realised={"Z": series}, forecaster=forecaster or perfect(96 * HOUR_S), rung=Rung.LIVE),
        requests=(requests,) if requests is not None else (),
        jobs=(jobs,) if jobs is not None else (),
        deployments=(deployment(gpu="h100-sxm", model=request_table.model),) if requests is not None else (),
    )


def routed_inputs(
    small: RequestTrace,
    large: RequestTrace,
    table: RequestSettings | None = None,
    inputs: Inputs | None = None,
    choice: ModelChoiceSettings | None = None,
) -> Inputs:
    """Two tables whose requests are one pool of models, `auto`; unless `choice` says else all are worth the small."""
    asked = table or RequestSettings(name="chat")
    tables = (
        replace(asked, name="small", model="llama-3.1-8b"),
        replace(asked, name="large", model="llama-3.1-70b", gpus_per_worker=4),
    )
    settings = choice or ModelChoiceSettings(
        name="auto", candidates=("small", "large"), accuracy_ratios=(0.7, 0.8), service=Service.ECO, eco_floor_ratio=0.0
    )
    base = inputs or some_inputs(requests=small, gpus=64)
    scenario = replace(base.scenario, requests=tables, model_pool=(settings,))
    deployments = tuple(deployment(gpu=one.gpu, model=one.model, gpus=one.gpus_per_worker) for one in tables)
    routed, unrouted = route_requests(scenario, (small, large), deployments, base.grid)
    return replace(
        base,
        scenario=scenario,
        requests=routed.requests,
        chosen=routed.chosen,
        unrouted=unrouted,
        deployments=deployments,
    )
